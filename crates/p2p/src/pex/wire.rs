//! The messages of peer exchange (`/craftec/pex/1`) and their limits. Canonical DAG-CBOR, one frame
//! each way. It never touches a network.
//!
//! | message | largest | fields |
//! |---|---|---|
//! | ask | [`ASK_BYTES`] | `count`: how many peers are of use (1 to [`PEERS`]) |
//! | answer | [`ANSWER_BYTES`] | `peers`: each `id` (32 bytes) and `addrs` (text); `wait_ms` |
//!
//! `addrs` are multiaddrs at which the peer itself says it can be dialed: at most [`ADDRESSES`] of
//! at most [`ADDRESS_BYTES`] each, none when the way leads through a relay that both sides share.
//! `wait_ms` is how long the asker should wait before it asks again; an answer without peers but
//! with a wait means that it came too soon. An address is a hint and nothing more: a connection
//! counts only when the handshake proves the id.

use craftec_core::{PeerId, cbor};
use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Peer exchange.
pub const PROTOCOL: Protocol = Protocol { name: "pex", versions: &[1] };

/// Peers in one answer: twice the links that a node wants, so that some may be gone.
pub const PEERS: usize = 16;
/// Addresses of one peer: two relays, each with and without WebRTC.
pub const ADDRESSES: usize = 4;
/// Longest address: a circuit through a DNS name with its two peer ids takes about 240 bytes.
pub const ADDRESS_BYTES: usize = 320;
/// Longest ask: a map of one small number.
pub const ASK_BYTES: usize = 32;
/// Longest answer: all peers with all addresses, and their envelopes.
pub const ANSWER_BYTES: usize = PEERS * (ADDRESSES * (ADDRESS_BYTES + 3) + 64) + 64;

/// Asks for peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// How many are of use.
    pub count: u8,
}

/// Some of whom the answerer is connected to now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The peers.
    pub peers: Vec<Told>,
    /// How long to wait before asking again, in milliseconds.
    pub wait_ms: u32,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who.
    pub id: PeerId,
    /// Where it says it can be dialed.
    pub addrs: Vec<String>,
}

/// What a peer sent is not a message of peer exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PexError {
    /// Not canonical DAG-CBOR of the right fields, or too long.
    #[error(transparent)]
    Cbor(#[from] cbor::CborError),
    /// More of something than the protocol allows.
    #[error("{found} {what} are more than the {limit} allowed")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many were found.
        found: usize,
        /// How many may be there.
        limit: usize,
    },
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), PexError> {
    if found > limit { Err(PexError::Limit { what, found, limit }) } else { Ok(()) }
}

impl Ask {
    /// Reads an ask.
    pub fn decode(bytes: &[u8]) -> Result<Self, PexError> {
        Ok(cbor::decode(bytes, ASK_BYTES)?)
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Result<Vec<u8>, PexError> {
        Ok(cbor::encode(self)?)
    }
}

impl Answer {
    /// Reads an answer and holds it to the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, PexError> {
        let answer: Self = cbor::decode(bytes, ANSWER_BYTES)?;
        answer.check()?;
        Ok(answer)
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Result<Vec<u8>, PexError> {
        self.check()?;
        Ok(cbor::encode(self)?)
    }

    fn check(&self) -> Result<(), PexError> {
        at_most("peers", self.peers.len(), PEERS)?;
        for told in &self.peers {
            at_most("addresses of a peer", told.addrs.len(), ADDRESSES)?;
            for addr in &told.addrs {
                at_most("bytes of an address", addr.len(), ADDRESS_BYTES)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(n: u8, addresses: usize, bytes: usize) -> Told {
        let id = PeerId::from_public_key([n; 32]);
        Told { id, addrs: vec!["x".repeat(bytes); addresses] }
    }

    #[test]
    fn the_largest_answer_fits_and_one_more_does_not() {
        let peers: Vec<_> = (0..PEERS as u8).map(|n| told(n, ADDRESSES, ADDRESS_BYTES)).collect();
        let full = Answer { peers: peers.clone(), wait_ms: u32::MAX };
        let bytes = full.encode().unwrap();
        assert!(bytes.len() <= ANSWER_BYTES, "{}", bytes.len());
        assert_eq!(Answer::decode(&bytes).unwrap(), full);
        for wrong in [
            Answer { peers: [peers, vec![told(99, 0, 0)]].concat(), wait_ms: 0 },
            Answer { peers: vec![told(1, ADDRESSES + 1, 1)], wait_ms: 0 },
            Answer { peers: vec![told(1, 1, ADDRESS_BYTES + 1)], wait_ms: 0 },
        ] {
            assert!(matches!(wrong.encode(), Err(PexError::Limit { .. })));
            let bytes = cbor::encode(&wrong).unwrap();
            assert!(Answer::decode(&bytes).is_err(), "a peer that does not check itself");
        }
        assert_eq!(Ask::decode(&Ask { count: 255 }.encode().unwrap()).unwrap().count, 255);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_message_or_a_typed_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..2048),
        ) {
            let _ = Ask::decode(&bytes);
            if let Ok(answer) = Answer::decode(&bytes) {
                prop_assert_eq!(answer.encode().unwrap(), bytes);
            }
        }
    }
}
