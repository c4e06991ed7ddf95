//! How content of a given length is cut: pieces (the leaves of the UnixFS file, and the source
//! pieces of the code) and generations (groups of pieces that are coded together).
//!
//! A pure function of the length, so that whoever knows an object's size knows its layout. Final:
//! a change would change CIDs.

use std::ops::Range;

use craftec_core::limits::SMALL_OBJECT_BYTES;

/// Pieces are a multiple of this, except the last.
const PIECE_STEP_BYTES: u64 = 4 << 10;
/// Shortest piece of a file.
pub const MIN_PIECE_BYTES: u64 = 32 << 10;
/// Longest piece of a file.
pub const MAX_PIECE_BYTES: u64 = 256 << 10;
/// An object aims at this many pieces until pieces reach their greatest length.
const AIMED_PIECES: u64 = 32;
/// From this length on every file has pieces of [`MAX_PIECE_BYTES`].
pub const CERTAIN_BYTES: u64 = MAX_PIECE_BYTES * AIMED_PIECES;
/// Most pieces in one generation.
pub const GENERATION_PIECES: u64 = 64;
/// Most links of a file's inner node. 1,024 links take about 50 KiB, reach 256 MiB, and three
/// levels reach 256 TiB.
pub const FAN_OUT: usize = 1024;

/// The layout of content of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the content in bytes.
    pub size: u64,
    /// Length of every piece but the last, in bytes.
    pub piece_bytes: u64,
    /// How many pieces.
    pub pieces: u64,
    /// How many generations.
    pub generations: u64,
}

/// The layout of `size` bytes of content.
pub fn layout(size: u64) -> Layout {
    if size < SMALL_OBJECT_BYTES {
        return Layout { size, piece_bytes: size, pieces: 1, generations: 1 };
    }
    let aimed = size.div_ceil(AIMED_PIECES * PIECE_STEP_BYTES).saturating_mul(PIECE_STEP_BYTES);
    let piece_bytes = aimed.clamp(MIN_PIECE_BYTES, MAX_PIECE_BYTES);
    let pieces = size.div_ceil(piece_bytes);
    Layout { size, piece_bytes, pieces, generations: pieces.div_ceil(GENERATION_PIECES) }
}

impl Layout {
    /// The byte range of a piece; empty from `self.pieces` on.
    pub fn piece(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.piece_bytes).min(self.size);
        start..start.saturating_add(self.piece_bytes).min(self.size)
    }

    /// The pieces of a generation: evenly divided, the first ones may have one more than the last.
    /// Empty from `self.generations` on.
    pub fn generation(&self, index: u64) -> Range<u64> {
        let (each, more) = (self.pieces / self.generations, self.pieces % self.generations);
        let start = |index: u64| {
            let index = index.min(self.generations);
            index * each + index.min(more)
        };
        start(index)..start(index.saturating_add(1))
    }

    /// Levels of inner nodes above the pieces: 0 for a single raw block.
    pub fn levels(&self) -> usize {
        let mut nodes = self.pieces;
        let mut levels = 0;
        while nodes > 1 {
            nodes = nodes.div_ceil(FAN_OUT as u64);
            levels += 1;
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_length_grows_with_the_object_and_stops() {
        assert_eq!(layout(0).pieces, 1);
        assert_eq!(layout(SMALL_OBJECT_BYTES - 1).levels(), 0);
        let cases: [(u64, u64, u64); 6] = [
            (1 << 20, 32 << 10, 32),
            ((1 << 20) + 1, 36 << 10, 29),
            (3_000_000, 94_208, 32),
            (8 << 20, 256 << 10, 32),
            ((8 << 20) + 1, 256 << 10, 33),
            (1 << 30, 256 << 10, 4096),
        ];
        for (size, piece_bytes, pieces) in cases {
            let layout = layout(size);
            assert_eq!((layout.piece_bytes, layout.pieces), (piece_bytes, pieces), "{size}");
        }
        for size in [CERTAIN_BYTES, CERTAIN_BYTES + 1, u64::MAX] {
            assert_eq!(layout(size).piece_bytes, MAX_PIECE_BYTES);
        }
        assert_eq!(layout(256 << 20).levels(), 1);
        assert_eq!(layout((256 << 20) + 1).levels(), 2);
        assert_eq!(layout(u64::MAX).levels(), 5);
    }

    #[test]
    fn pieces_and_generations_cover_everything_evenly() {
        for size in [0, 1, 1 << 20, (8 << 20) + 1, 17 << 20, 999_999_999] {
            let layout = layout(size);
            let mut end = 0;
            for piece in 0..layout.pieces {
                let range = layout.piece(piece);
                assert_eq!(range.start, end);
                end = range.end;
            }
            assert_eq!(end, size);
            assert!(layout.piece(layout.pieces).is_empty());
            let mut next = 0;
            for generation in 0..layout.generations {
                let range = layout.generation(generation);
                assert_eq!(range.start, next);
                let pieces = range.end - range.start;
                assert!(
                    pieces <= GENERATION_PIECES && pieces >= layout.pieces / layout.generations
                );
                next = range.end;
            }
            assert_eq!(next, layout.pieces);
            assert!(layout.generation(layout.generations).is_empty());
        }
    }
}
