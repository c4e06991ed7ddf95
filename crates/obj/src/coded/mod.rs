//! Coded objects: the pieces of a large file, and pieces computed from them, spread over shards so
//! that any two fifths or so of the shards give the file back.
//!
//! A file of at least 1 MiB is cut into pieces (its UnixFS leaves) and generations by its length
//! alone ([`crate::unixfs::layout`]). Each generation of k pieces is extended to n, 2.5 k by default:
//! the first k are the source pieces as they are, the others are computed so that **any** k of the n
//! give all back ([`Generation`]). Piece j of generation g belongs to shard (j + g) mod S
//! ([`Spread`]), and a shard is what one holder keeps.
//!
//! Everything has a name that can be checked. A source piece is a leaf of the file; a coded piece is
//! a raw block like any other. The [`Code`] lists the hashes of the coded pieces, so equal files with
//! equal parameters have equal codes, and a piece that is lost is made again under the same name by
//! whoever has k others. A [`Shard`] is a small block that names what one holder keeps: it is the root
//! that a holder pulls, pins and promises. What no hash can show alone is that a code belongs to its
//! file: that shows when a generation is decoded and its leaves are checked ([`Coding::restore`]).
//!
//! Plain functions of their arguments: no I/O, no clock, no randomness.

mod coding;
mod generation;
mod manifest;
mod spread;

pub use coding::{Coding, leaves};
pub use generation::Generation;
pub use manifest::{Code, Shard, shard_links};
pub use spread::{CODED_BYTES, PERCENT, Piece, SHARDS, Spread};

use craftec_core::{Cid, cbor::CborError};

/// Why something is no code, or not one of this file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodedError {
    /// A length or a number outside its limits.
    #[error("{what} of {found} is not possible here: from {least} to {most}")]
    Range {
        /// What.
        what: &'static str,
        /// What was found.
        found: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// A version that this build does not know.
    #[error("version {0} of a code is not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// Parts that contradict each other.
    #[error("{reason}")]
    Shape {
        /// What does not fit.
        reason: &'static str,
    },
    /// What was decoded is not the file: the code was made from something else.
    #[error(
        "the code does not give back the leaf {leaf} of the file: it is not a code of this file"
    )]
    NotItsCode {
        /// The first leaf that came out wrong.
        leaf: Cid,
    },
    /// Fewer pieces than are needed.
    #[error("{found} pieces of a generation are here, {needed} are needed")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Not canonical DAG-CBOR.
    #[error(transparent)]
    Encoding(#[from] CborError),
}

impl From<craftec_rlnc::Error> for CodedError {
    /// Shapes are checked before pieces are coded; what is left is a bug of the caller.
    fn from(error: craftec_rlnc::Error) -> Self {
        tracing::error!(%error, "coding was asked for an impossible shape");
        Self::Shape { reason: "pieces of different lengths, or too many of them" }
    }
}
