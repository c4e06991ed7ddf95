//! The messages of the replication protocol (`/craftec/hold/1`), a subscription: one question, then
//! what the holder tells until it has signed or refused. Canonical DAG-CBOR.
//!
//! | message | largest | from |
//! |---|---|---|
//! | `hold` | 132 KiB: four heads of at most 32 KiB | owner |
//! | `release` | 128 bytes | owner |
//! | `progress`, `released` | 16 bytes | holder |
//! | `signed` | 512 bytes | holder |
//! | `refused` | 1 KiB | holder |

use bytes::Bytes;
use craftec_core::{Cid, Did, limits, placement::SignedPromise};
use craftec_p2p::Protocol;
use serde::{Deserialize, Serialize};

/// The replication protocol.
pub const PROTOCOL: Protocol = Protocol { name: "hold", versions: &[1] };
/// Heads that may come with one request: names that point to one root.
pub const HEADS: usize = 4;
/// Largest question.
pub const ASK_BYTES: usize = HEADS * limits::RECORD_BYTES + (4 << 10);
/// Largest thing told.
pub const TOLD_BYTES: usize = 2 << 10;
/// Longest reason of a refusal, in characters.
pub const REASON_CHARS: usize = 200;

/// What an owner asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Keep a copy.
    Hold(Hold),
    /// Let go of it: only whoever asked for the copy may ask this.
    Release(Release),
}

/// Asks for a copy, or renews one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The root of what to keep.
    pub root: Cid,
    /// Bytes of all its blocks at most; the holder takes no more.
    pub bytes: u64,
    /// Blocks at most.
    pub blocks: u64,
    /// For whom.
    pub owner: Did,
    /// The epoch of the placement that the promise is for.
    pub epoch: u64,
    /// Signed records of names that point to the root, for the holder to keep in the DHT.
    pub heads: Vec<Bytes>,
}

/// Ends the wish for a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The root.
    pub root: Cid,
    /// For whom it was kept.
    pub owner: Did,
}

/// What a holder tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Bytes that it has so far. Also sent without progress, every few seconds.
    Progress(u64),
    /// It has everything durably, and promises to keep it. The last thing told.
    Signed(SignedPromise),
    /// It will not. The last thing told.
    Refused(Refusal),
    /// It let go.
    Released,
}

/// Why there is no promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words, for the owner.
    pub reason: String,
    /// When asking again may help.
    pub retry_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::{Codec, cbor, sign::Hash};

    #[test]
    fn the_largest_question_fits_its_limit() {
        let hold = Hold {
            root: Cid::of(Codec::DagPb, b"root"),
            bytes: u64::MAX,
            blocks: u64::MAX,
            owner: Did(Hash([1; 32])),
            epoch: u64::MAX,
            heads: vec![vec![0; limits::RECORD_BYTES].into(); HEADS],
        };
        let bytes = cbor::encode(&Ask::Hold(hold)).expect("encodes").len();
        assert!(bytes <= ASK_BYTES, "{bytes}");
    }
}
