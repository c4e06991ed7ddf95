//! The shape of what is coded together: how many source pieces, and how long each is.

use crate::{echelon::Echelon, error::Error, kernel::Kernel};

/// Source pieces of a generation, at most. Coding costs as many products per byte; beyond this a
/// generation is cut in two.
pub const MAX_SOURCES: usize = 64;

/// Bytes of a piece, at most: with [`MAX_SOURCES`] what a decoder may keep, 1 GiB, is bounded.
pub const MAX_PIECE_BYTES: usize = 16 << 20;

/// The shape of a generation: `sources` pieces of `piece_bytes` bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    sources: usize,
    piece_bytes: usize,
}

impl Generation {
    /// A shape within the limits.
    ///
    /// # Errors
    /// When a number is zero or above its limit.
    pub const fn new(sources: usize, piece_bytes: usize) -> Result<Self, Error> {
        if sources == 0 || sources > MAX_SOURCES {
            return Err(Error::SourceCount { count: sources });
        }
        if piece_bytes == 0 || piece_bytes > MAX_PIECE_BYTES {
            return Err(Error::PieceBytes { bytes: piece_bytes });
        }
        Ok(Self { sources, piece_bytes })
    }

    /// How many source pieces there are, and how many coefficients go with each coded one.
    #[must_use]
    pub const fn sources(self) -> usize {
        self.sources
    }

    /// Bytes of each piece.
    #[must_use]
    pub const fn piece_bytes(self) -> usize {
        self.piece_bytes
    }

    /// The span of no vectors of this shape.
    pub(crate) fn echelon(self) -> Echelon {
        Echelon::of_checked(self.sources, Kernel::best())
    }

    /// Checks a coded piece's two lengths.
    pub(crate) fn check(self, coefficients: &[u8], payload: &[u8]) -> Result<(), Error> {
        Error::check_count(self.sources, coefficients.len())?;
        Error::check_bytes(self.piece_bytes, payload.len())
    }
}
