//! The messages of the audit protocol (`/craftec/audit/1`) and their limits. Canonical DAG-CBOR, one
//! request and one answer per stream. It never touches a network or a store.
//!
//! | message | largest | fields |
//! |---|---|---|
//! | request | 1 KiB | `challenges`: 1 to 16 of {`cid`: link, `chunk`: index from 0} |
//! | `proofs` | 24 KiB | one of `proof`, `missing` for each challenge, in their order |
//! | `busy` | 16 bytes | milliseconds after which to ask again |
//! | `refused` | 1 KiB | why, in words |
//!
//! A `proof` is {`len`: the block's length in bytes, `path`: hashes of 32 bytes from the root's
//! children down, `chunk`: at most 1,024 bytes}; [`proof`](super::proof) has what it proves. Numbers
//! are CBOR integers; the layout has no byte order of its own.

use bytes::Bytes;
use craftec_core::{
    Cid,
    cbor::{self, CborError},
};
use craftec_p2p::Protocol;
use serde::{Deserialize, Serialize};

use super::proof::Proof;

/// The audit protocol.
pub const PROTOCOL: Protocol = Protocol { name: "audit", versions: &[1] };
/// Challenges in one request: each costs who answers the reading and hashing of one block, so that
/// one request costs at most 16 MiB of that.
pub const CHALLENGES: usize = 16;
/// Largest request: 16 challenges of 57 bytes, and their envelope.
pub const REQUEST_BYTES: usize = 1 << 10;
/// Largest answer: 16 proofs of 1.4 KiB, and their envelope.
pub const ANSWER_BYTES: usize = 24 << 10;
/// Longest reason of a refusal, in characters.
pub const REASON_CHARS: usize = 200;

/// What an auditor asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// 1 to [`CHALLENGES`].
    pub challenges: Vec<Challenge>,
}

/// Names one chunk of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Challenge {
    /// The block.
    pub cid: Cid,
    /// The chunk's index, from 0. One beyond the block's end is answered with the last chunk, which
    /// proves where the end is.
    pub chunk: u32,
}

/// What a holder answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One for each challenge, in their order.
    Proofs(Vec<Item>),
    /// Not now; ask again after so many milliseconds.
    Busy(u32),
    /// It will not answer; the text says why.
    Refused(String),
}

/// To one challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The chunk.
    Proof(Proof),
    /// The block is not here.
    Missing,
}

/// Why a request or an answer is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not of this protocol.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// No challenges, or more than the limit.
    #[error("{found} challenges; 1 to {CHALLENGES} are allowed")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// An answer of another length than the question.
    #[error("{found} answers to {asked} challenges")]
    Answers {
        /// How many there are.
        found: usize,
        /// How many there should be.
        asked: usize,
    },
}

impl Request {
    /// The message.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    /// Reads a message and checks its limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let request: Self = cbor::decode(bytes, REQUEST_BYTES)?;
        match request.challenges.len() {
            1..=CHALLENGES => Ok(request),
            found => Err(WireError::Count { found }),
        }
    }
}

impl Answer {
    /// The message.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    /// Reads the answer to `asked` challenges. What its proofs prove is another matter.
    pub fn decode(bytes: &[u8], asked: usize) -> Result<Self, WireError> {
        let answer: Self = cbor::decode(bytes, ANSWER_BYTES)?;
        match &answer {
            Self::Proofs(items) if items.len() != asked => {
                Err(WireError::Answers { found: items.len(), asked })
            }
            _ => Ok(answer),
        }
    }

    /// A refusal, cut to its limit.
    pub fn refused(reason: &str) -> Self {
        Self::Refused(reason.chars().take(REASON_CHARS).collect())
    }

    /// The message of an answer that always encodes.
    pub(super) fn to_message(&self) -> Bytes {
        Bytes::from(self.encode().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Block,
        audit::proof::{CHUNK_BYTES, CHUNKS},
    };
    use craftec_core::{Codec, limits};

    fn request(count: u32) -> Request {
        let challenge = |chunk| Challenge { cid: Cid::of(Codec::Raw, b"block"), chunk };
        Request { challenges: (0..count).map(|n| challenge(u32::MAX - n)).collect() }
    }

    #[test]
    fn the_largest_messages_fit_their_limits() {
        let bytes = request(CHALLENGES as u32).encode().unwrap();
        assert!(bytes.len() <= REQUEST_BYTES, "{}", bytes.len());
        assert_eq!(Request::decode(&bytes), Ok(request(CHALLENGES as u32)));

        let block = Block::of(Codec::Raw, vec![7; limits::BLOCK_BYTES]).unwrap();
        let proof = Proof::make(&block, CHUNKS / 2);
        assert_eq!((proof.chunk.len(), proof.path.len()), (CHUNK_BYTES, 10 * 32));
        let answer = Answer::Proofs(vec![Item::Proof(proof); CHALLENGES]);
        let bytes = answer.encode().unwrap();
        assert!(bytes.len() <= ANSWER_BYTES, "{}", bytes.len());
        assert_eq!(Answer::decode(&bytes, CHALLENGES), Ok(answer));

        let wide = "\u{1f980}".repeat(1000);
        assert!(Answer::refused(&wide).encode().unwrap().len() <= 1 << 10);
    }

    #[test]
    fn counts_are_checked() {
        for count in [0, CHALLENGES as u32 + 1] {
            let bytes = request(count).encode().unwrap();
            let error = Request::decode(&bytes).unwrap_err();
            assert_eq!(error, WireError::Count { found: count as usize });
        }
        let answer = Answer::Proofs(vec![Item::Missing, Item::Missing]);
        let bytes = answer.encode().unwrap();
        assert_eq!(Answer::decode(&bytes, 2), Ok(answer));
        let wrong = WireError::Answers { found: 2, asked: 1 };
        assert_eq!(Answer::decode(&bytes, 1), Err(wrong));
        assert!(matches!(Answer::decode(&[0; ANSWER_BYTES + 1], 1), Err(WireError::Cbor(_))));
    }
}
