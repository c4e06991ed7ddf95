//! What can be wrong with what the coder is given. Nothing here is ever a panic.

use core::fmt;

use crate::generation::{MAX_PIECE_BYTES, MAX_SOURCES};

/// Why something was refused. Nothing was changed by the call that returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A generation has 1 to [`MAX_SOURCES`] source pieces.
    SourceCount {
        /// What was asked for.
        count: usize,
    },
    /// A piece has 1 to [`MAX_PIECE_BYTES`] bytes.
    PieceBytes {
        /// What was asked for.
        bytes: usize,
    },
    /// There are not as many coefficients, pieces, tags or outputs as there must be.
    Count {
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A piece, a buffer or a key does not have the length it must have.
    Length {
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// There is no source piece of this index.
    SourceIndex {
        /// The index, from 0.
        index: usize,
        /// How many source pieces there are.
        sources: usize,
    },
    /// Not enough independent pieces are there for what was asked.
    Rank {
        /// How many there are.
        rank: usize,
        /// How many make everything known.
        sources: usize,
    },
    /// The matrix has no inverse.
    Singular,
    /// The weights cancel each other: the piece would say nothing.
    Nothing,
    /// What should give random bytes gave none that can be used.
    Randomness,
}

impl Error {
    pub(crate) fn check_count(expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self::Count { expected, found }) }
    }

    pub(crate) fn check_bytes(expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self::Length { expected, found }) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SourceCount { count } => {
                write!(f, "a generation of {count} source pieces; it has 1 to {MAX_SOURCES}")
            }
            Self::PieceBytes { bytes } => {
                write!(f, "a piece of {bytes} bytes; it has 1 to {MAX_PIECE_BYTES}")
            }
            Self::Count { expected, found } => write!(f, "{found} given, where {expected} belong"),
            Self::Length { expected, found } => {
                write!(f, "{found} bytes, where {expected} belong")
            }
            Self::SourceIndex { index, sources } => {
                write!(f, "source piece {index} of {sources}, counted from 0")
            }
            Self::Rank { rank, sources } => {
                write!(f, "{rank} independent pieces of the {sources} that are needed")
            }
            Self::Singular => f.write_str("the matrix has no inverse"),
            Self::Nothing => f.write_str("the combination is zero and would say nothing"),
            Self::Randomness => f.write_str("the random bytes are not random: nothing to use"),
        }
    }
}

impl core::error::Error for Error {}
