//! Which pieces there are and which shard each belongs to: a function of the length of the file, the
//! number of shards and the redundancy.

use super::CodedError;
use crate::unixfs::{GENERATION_PIECES, Layout, MAX_PIECE_BYTES, layout};
use craftec_core::limits::SMALL_OBJECT_BYTES;

/// Longest file that one code covers: its coded pieces' hashes fit one block (30,000 of 32 bytes at
/// 2.5 ×). Longer files are kept in whole copies.
pub const CODED_BYTES: u64 = 20_000 * MAX_PIECE_BYTES;
/// Shards of one file: fewer would not spread a loss, more would ask a reader for as many
/// connections, and there are only some hundred pieces in a generation.
pub const SHARDS: std::ops::RangeInclusive<u8> = 5..=64;
/// Pieces per hundred source pieces. GF(2^8) has 256 elements, so at most 4 × of 64 sources.
pub const PERCENT: std::ops::RangeInclusive<u16> = 110..=400;

/// Hashes that one code can list in a block of 1 MiB, its other fields included.
const HASHES: u64 = 32_000;

/// One piece of a file: a source piece if `index` is below the generation's number of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Its generation.
    pub generation: u64,
    /// Its number in the generation.
    pub index: u8,
}

/// The pieces of a file and their shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    layout: Layout,
    shards: u8,
    percent: u16,
}

impl Spread {
    /// For a file of `size` bytes.
    ///
    /// # Errors
    /// Outside [`SHARDS`], [`PERCENT`], or of a length from 1 MiB to [`CODED_BYTES`]; with more
    /// redundancy the longest length is less.
    pub fn new(size: u64, shards: u8, percent: u16) -> Result<Self, CodedError> {
        check("a number of shards", shards.into(), *SHARDS.start(), *SHARDS.end())?;
        check("a redundancy per hundred", percent.into(), *PERCENT.start(), *PERCENT.end())?;
        check("a length of a coded file", size, SMALL_OBJECT_BYTES, CODED_BYTES)?;
        let spread = Self { layout: layout(size), shards, percent };
        check("a number of coded pieces", spread.coded(), 1_u8, HASHES)?;
        Ok(spread)
    }

    /// As [`Spread::new`], with so many of `shards` that pieces divide well among them: of numbers down
    /// to three quarters of the most, the one of which the smallest part is needed.
    ///
    /// # Errors
    /// As [`Spread::new`].
    pub fn fit(
        size: u64,
        shards: std::ops::RangeInclusive<u8>,
        percent: u16,
    ) -> Result<Self, CodedError> {
        let best = Self::new(size, *shards.end(), percent)?;
        let least = (best.shards - best.shards / 4).max(*shards.start());
        let others = (least..best.shards).rev().map(|shards| Self { shards, ..best });
        let part = |spread: &Self| u32::from(spread.needed()) * 10_000 / u32::from(spread.shards);
        // The first of equals: the most shards.
        Ok(std::iter::once(best).chain(others).min_by_key(part).unwrap_or(best))
    }

    /// How the file is cut.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many shards.
    pub const fn shards(&self) -> u8 {
        self.shards
    }

    /// Pieces per hundred source pieces.
    pub const fn percent(&self) -> u16 {
        self.percent
    }

    /// Source pieces of a generation, k: so many pieces give all back.
    pub fn sources(&self, generation: u64) -> u8 {
        let range = self.layout.generation(generation);
        // At most 64.
        u8::try_from(range.end - range.start).unwrap_or(GENERATION_PIECES as u8)
    }

    /// All pieces of a generation, n.
    pub fn pieces(&self, generation: u64) -> u16 {
        (u16::from(self.sources(generation)) * self.percent).div_ceil(100)
    }

    /// The place of a source piece among the leaves of the file; `None` for a coded piece.
    pub fn leaf(&self, piece: Piece) -> Option<u64> {
        let range = self.layout.generation(piece.generation);
        let leaf = range.start + u64::from(piece.index);
        (leaf < range.end).then_some(leaf)
    }

    /// The source piece that is a leaf of the file.
    pub fn source(&self, leaf: u64) -> Option<Piece> {
        let Layout { pieces, generations, .. } = self.layout;
        if leaf >= pieces {
            return None;
        }
        // The first `more` generations have one piece more than the others.
        let (each, more) = (pieces / generations, pieces % generations);
        let long = more * (each + 1);
        let generation = match leaf < long {
            true => leaf / (each + 1),
            false => more + (leaf - long) / each,
        };
        let start = self.layout.generation(generation).start;
        Some(Piece { generation, index: (leaf - start) as u8 })
    }

    /// The place of a coded piece among all coded pieces, by generation, then number; `None` for a
    /// source piece.
    pub fn coded_place(&self, piece: Piece) -> Option<usize> {
        let sources = self.sources(piece.generation);
        let coded = piece.index.checked_sub(sources)?;
        let before = self.coded_before(piece.generation);
        Some(before as usize + usize::from(coded))
    }

    /// Coded pieces of all generations.
    pub fn coded(&self) -> u64 {
        self.coded_before(self.layout.generations)
    }

    fn coded_before(&self, generation: u64) -> u64 {
        let Layout { pieces, generations, .. } = self.layout;
        let (each, more) = (pieces / generations, pieces % generations);
        let coded = |k: u64| (k * u64::from(self.percent)).div_ceil(100) - k;
        let long = generation.min(more);
        long * coded(each + 1) + (generation - long) * coded(each)
    }

    /// The shard that a piece belongs to. Rotated by the generation, so that each shard has its share
    /// of source pieces and of the remainders.
    pub fn shard_of(&self, piece: Piece) -> u8 {
        let shards = u64::from(self.shards);
        ((u64::from(piece.index) + piece.generation % shards) % shards) as u8
    }

    /// The pieces of a shard, by generation, then number.
    pub fn shard(self, shard: u8) -> impl Iterator<Item = Piece> {
        (0..self.layout.generations).flat_map(move |generation| {
            let shards = u64::from(self.shards);
            let first = (u64::from(shard) + shards - generation % shards) % shards;
            let indices = (first..u64::from(self.pieces(generation))).step_by(shards as usize);
            indices.map(move |index| Piece { generation, index: index as u8 })
        })
    }

    /// The pieces of a generation.
    pub fn generation(self, generation: u64) -> impl Iterator<Item = Piece> {
        (0..self.pieces(generation)).map(move |index| Piece { generation, index: index as u8 })
    }

    /// So many shards give the file back, whichever they are; all of them at most.
    pub fn needed(&self) -> u8 {
        // Generations have one of two lengths, the first and the last.
        let last = self.layout.generations - 1;
        let needed = |generation| {
            let shards = u16::from(self.shards);
            let (pieces, sources) = (self.pieces(generation), u16::from(self.sources(generation)));
            let (each, more) = (pieces / shards, pieces % shards);
            let least = |m: u16| m * each + m.saturating_sub(shards - more);
            (1..=shards).find(|m| least(*m) >= sources).unwrap_or(shards)
        };
        needed(0).max(needed(last)) as u8
    }

    /// Whether these shards give the file back.
    pub fn decodes(&self, shards: &[u8]) -> bool {
        let mut held = [false; *SHARDS.end() as usize];
        for shard in shards {
            if let Some(held) = held.get_mut(usize::from(*shard)) {
                *held = true;
            }
        }
        // What a generation has of each shard repeats after as many generations as there are shards.
        let lengths = [0, self.layout.generations.saturating_sub(u64::from(self.shards))];
        lengths.into_iter().all(|first| {
            let end = (first + u64::from(self.shards)).min(self.layout.generations);
            (first..end).all(|generation| {
                let here = self.generation(generation);
                let here = here.filter(|piece| held[usize::from(self.shard_of(*piece))]).count();
                here >= usize::from(self.sources(generation))
            })
        })
    }
}

fn check(
    what: &'static str,
    found: u64,
    least: impl Into<u64>,
    most: impl Into<u64>,
) -> Result<(), CodedError> {
    let (least, most) = (least.into(), most.into());
    match (least..=most).contains(&found) {
        true => Ok(()),
        false => Err(CodedError::Range { what, found, least, most }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_told() {
        assert!(Spread::new(SMALL_OBJECT_BYTES, 20, 250).is_ok());
        assert!(Spread::new(CODED_BYTES, 64, 250).is_ok());
        for (size, shards, percent) in [
            (SMALL_OBJECT_BYTES - 1, 20, 250),
            (CODED_BYTES + 1, 20, 250),
            (CODED_BYTES, 20, 400),
            (SMALL_OBJECT_BYTES, 4, 250),
            (SMALL_OBJECT_BYTES, 65, 250),
            (SMALL_OBJECT_BYTES, 20, 100),
            (u64::MAX, 20, 250),
        ] {
            let error = Spread::new(size, shards, percent).unwrap_err();
            assert!(matches!(error, CodedError::Range { .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn each_piece_is_in_one_shard_and_has_one_place(
            size in SMALL_OBJECT_BYTES..200 << 20, shards in SHARDS, percent in 110_u16..=300,
        ) {
            let spread = Spread::new(size, shards, percent).unwrap();
            let mut seen = BTreeSet::new();
            for shard in 0..shards {
                for piece in spread.shard(shard) {
                    prop_assert_eq!(spread.shard_of(piece), shard);
                    prop_assert!(seen.insert(piece));
                }
            }
            let all = (0..spread.layout().generations).flat_map(|g| spread.generation(g));
            prop_assert_eq!(&seen, &all.collect::<BTreeSet<_>>());
            let leaves: Vec<u64> = seen.iter().filter_map(|piece| spread.leaf(*piece)).collect();
            prop_assert_eq!(&leaves, &(0..spread.layout().pieces).collect::<Vec<_>>());
            let back = leaves.iter().filter_map(|leaf| spread.source(*leaf));
            let sources = seen.iter().filter(|piece| spread.leaf(**piece).is_some());
            prop_assert!(back.eq(sources.copied()));
            let places: Vec<usize> = seen.iter().filter_map(|p| spread.coded_place(*p)).collect();
            prop_assert_eq!(&places, &(0..spread.coded() as usize).collect::<Vec<_>>());
            prop_assert_eq!(spread.source(spread.layout().pieces), None);
        }

        #[test]
        fn as_many_shards_as_needed_are_enough_and_a_few_are_not(
            size in SMALL_OBJECT_BYTES..100 << 20, shards in SHARDS, seed in any::<u64>(),
        ) {
            let spread = Spread::new(size, shards, 250).unwrap();
            let mut order: Vec<u8> = (0..shards).collect();
            order.sort_by_key(|at| (seed ^ u64::from(*at)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let needed = usize::from(spread.needed());
            prop_assert!(spread.decodes(&order[..needed]));
            // Two fifths, and what the remainders of one generation cost.
            prop_assert!(needed <= usize::from(shards) * 2 / 5 + usize::from(shards) / 5 + 2);
            // So few have less of the first generation than it was made of.
            let most_each = spread.pieces(0).div_ceil(u16::from(shards));
            let few = (u16::from(spread.sources(0)) - 1) / most_each;
            prop_assert!(!spread.decodes(&order[..usize::from(few)]));
        }
    }

    #[test]
    fn a_fitting_number_of_shards_needs_about_two_fifths() {
        for size in [1 << 20, 5 << 20, 9 << 20, 17 << 20, 100 << 20, 700 << 20] {
            for most in [20, 29, 40] {
                let spread = Spread::fit(size, 20..=most, 250).unwrap();
                let (needed, shards) = (u32::from(spread.needed()), u32::from(spread.shards()));
                assert!(needed * 100 <= shards * 45, "{size}: {needed} of {shards}");
                assert!((20..=u32::from(most)).contains(&shards));
            }
        }
    }
}
