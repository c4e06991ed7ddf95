//! The messages of the exchange protocol (`/craftec/obj/1`) and their limits. Canonical DAG-CBOR,
//! one request and one answer per stream. It never touches a network or a store.
//!
//! | message | largest | fields |
//! |---|---|---|
//! | `want` | 256 CIDs, about 11 KiB | root (hint), CIDs in the order wanted, budget in bytes |
//! | `blocks` | `limits::FRAME_BYTES` | blocks with their position in the want, positions not here |
//! | `have` | 256 CIDs | CIDs |
//! | `held` | 32 bytes | one bit per CID, lowest bit of the first byte first |
//!
//! An answer to `want` holds a prefix of what is here: blocks in the order wanted until the budget
//! is spent (the first block is always sent, whatever its size). Positions that are neither sent
//! nor missing did not fit; the asker asks again.

use bytes::Bytes;
use craftec_core::{
    Cid,
    cbor::{self, CborError},
    limits,
};
use craftec_p2p::Protocol;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The exchange protocol.
pub const PROTOCOL: Protocol = Protocol { name: "obj", versions: &[1] };

/// Largest request: 256 CIDs of 41 bytes and their envelope.
pub const REQUEST_BYTES: usize = 16 << 10;

/// Block bytes that one answer may carry: a frame less room for positions and envelope (256
/// blocks need 256 × 12 bytes).
pub const ANSWER_BYTES: usize = limits::FRAME_BYTES - (8 << 10);

/// What a peer asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Send these blocks.
    Want(Want),
    /// Which of these are here?
    Have(Have),
}

/// Asks for blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Below which root they lie: a hint that lets the answerer look in one place.
    pub root: Cid,
    /// The blocks, most urgent first (1 to `limits::WANT_CIDS`).
    pub cids: Vec<Cid>,
    /// Block bytes that the asker can take in one answer.
    pub budget: u64,
}

/// Asks what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The blocks (1 to `limits::WANT_CIDS`).
    pub cids: Vec<Cid>,
}

/// What a peer answers. `B` is how the bytes of a block are held: apart, or as a part of the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<B = Bytes> {
    /// To `want`.
    Blocks(Blocks<B>),
    /// To `have`: one bit per CID asked.
    Held(ByteBuf),
    /// Not now; ask again after so many milliseconds.
    Busy(u32),
    /// The request breaks the protocol; the text says how.
    Refused(String),
}

/// Blocks that fit, and what is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks<B = Bytes> {
    /// What was found and fits.
    pub blocks: Vec<Item<B>>,
    /// Positions in the want that are not here.
    pub missing: Vec<u16>,
}

/// One block of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<B = Bytes> {
    /// Position in the want.
    pub at: u16,
    /// The block's bytes.
    pub bytes: B,
}

impl<B> Default for Blocks<B> {
    fn default() -> Self {
        Self { blocks: Vec::new(), missing: Vec::new() }
    }
}

impl Answer {
    /// Reads an answer. Blocks are parts of `message`, which is not copied: it stays in memory as
    /// long as one of them.
    pub fn read(message: &Bytes) -> Result<Self, CborError> {
        let read: Answer<&serde_bytes::Bytes> = cbor::decode(message, limits::FRAME_BYTES)?;
        Ok(match read {
            Answer::Blocks(Blocks { blocks, missing }) => {
                let own = |item: Item<&serde_bytes::Bytes>| Item {
                    at: item.at,
                    bytes: message.slice_ref(item.bytes),
                };
                Answer::Blocks(Blocks { blocks: blocks.into_iter().map(own).collect(), missing })
            }
            Answer::Held(bits) => Answer::Held(bits),
            Answer::Busy(ms) => Answer::Busy(ms),
            Answer::Refused(reason) => Answer::Refused(reason),
        })
    }

    /// The message.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        let blocks: usize = match self {
            Answer::Blocks(blocks) => blocks.blocks.iter().map(|b| b.bytes.len() + 32).sum(),
            _ => 0,
        };
        cbor::encode_sized(self, blocks + 1024)
    }
}

/// Why a request or an answer is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No CIDs, or more than the limit.
    #[error("{found} CIDs asked for; 1 to {limit} are allowed")]
    Count {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// An answer names a position that was not asked, twice, or out of order.
    #[error("the answer names position {at} of a want of {asked}, or names it twice")]
    Position {
        /// The position.
        at: u16,
        /// CIDs in the want.
        asked: usize,
    },
    /// An answer of another kind than the question.
    #[error("the answer does not fit the question")]
    Kind,
}

impl Request {
    /// Checks what the encoding cannot say.
    pub fn check(&self) -> Result<(), WireError> {
        let (Request::Want(Want { cids, .. }) | Request::Have(Have { cids })) = self;
        if cids.is_empty() || cids.len() > limits::WANT_CIDS {
            return Err(WireError::Count { found: cids.len(), limit: limits::WANT_CIDS });
        }
        Ok(())
    }
}

impl<B> Blocks<B> {
    /// Checks that every position was asked (`asked` CIDs) and none is named twice.
    pub fn check(&self, asked: usize) -> Result<(), WireError> {
        let mut seen = vec![false; asked];
        let named = self.blocks.iter().map(|item| item.at).chain(self.missing.iter().copied());
        for at in named {
            match seen.get_mut(usize::from(at)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(WireError::Position { at, asked }),
            }
        }
        Ok(())
    }
}

/// Packs one bit per answer.
pub fn bits(held: impl IntoIterator<Item = bool>) -> ByteBuf {
    let mut bytes = Vec::new();
    for (at, held) in held.into_iter().enumerate() {
        if at % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(held) << (at % 8);
        }
    }
    ByteBuf::from(bytes)
}

/// Reads the bits of `count` answers; `None` when the length does not fit.
pub fn unpack(bytes: &[u8], count: usize) -> Option<Vec<bool>> {
    (bytes.len() == count.div_ceil(8))
        .then(|| (0..count).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    #[test]
    fn bits_round_trip_and_a_wrong_length_is_refused() {
        let held = [true, false, true, true, false, false, false, false, true];
        let packed = bits(held);
        assert_eq!(packed.as_ref(), &[0b1101, 1]);
        assert_eq!(unpack(&packed, 9), Some(held.to_vec()));
        assert_eq!(unpack(&packed, 17), None);
    }

    #[test]
    fn the_largest_messages_fit_their_limits() {
        let cids = (0..limits::WANT_CIDS as u32).map(|n| Cid::of(Codec::Raw, &n.to_be_bytes()));
        let root = Cid::of(Codec::DagPb, b"root");
        let want = Request::Want(Want { root, cids: cids.collect(), budget: u64::MAX });
        assert!(cbor::encode(&want).expect("encodes").len() <= REQUEST_BYTES);

        let item =
            |at: usize, bytes: usize| Item { at: at as u16, bytes: Bytes::from(vec![7; bytes]) };
        let many = Blocks {
            blocks: (0..limits::WANT_CIDS).map(|at| item(at, ANSWER_BYTES / 256)).collect(),
            missing: Vec::new(),
        };
        let one = Blocks {
            blocks: vec![item(0, limits::BLOCK_BYTES)],
            missing: (1..limits::WANT_CIDS as u16).collect(),
        };
        for blocks in [many, one] {
            let bytes = cbor::encode(&Answer::Blocks(blocks)).expect("encodes").len();
            assert!(bytes <= limits::FRAME_BYTES, "{bytes}");
        }
    }

    #[test]
    fn the_blocks_of_an_answer_are_parts_of_the_message() {
        let item = |at, bytes| Item { at, bytes: Bytes::from_static(bytes) };
        let blocks = Blocks { blocks: vec![item(0, b"one"), item(2, b"three")], missing: vec![1] };
        for answer in [Answer::Blocks(blocks), Answer::Busy(7), Answer::Refused("no".into())] {
            let message = Bytes::from(answer.encode().expect("encodes"));
            assert_eq!(message, cbor::encode(&answer).expect("encodes"));
            let read = Answer::read(&message).expect("reads");
            assert_eq!(read, answer);
            if let Answer::Blocks(blocks) = &read {
                let within = message.as_ptr_range();
                assert!(blocks.blocks.iter().all(|b| within.contains(&b.bytes.as_ptr())));
            }
        }
        assert!(Answer::read(&Bytes::from_static(b"\xa1")).is_err());
    }

    #[test]
    fn positions_are_checked() {
        let blocks =
            |missing: &[u16]| Blocks::<Bytes> { blocks: Vec::new(), missing: missing.to_vec() };
        assert_eq!(blocks(&[0, 1]).check(2), Ok(()));
        assert_eq!(blocks(&[2]).check(2), Err(WireError::Position { at: 2, asked: 2 }));
        assert_eq!(blocks(&[1, 1]).check(2), Err(WireError::Position { at: 1, asked: 2 }));
        let none = Request::Have(Have { cids: Vec::new() });
        assert!(matches!(none.check(), Err(WireError::Count { found: 0, .. })));
    }
}
