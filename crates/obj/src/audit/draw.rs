//! Which chunks are asked for: uniform over all chunks of what a holder promised, and each at most once
//! in one look. Values only: randomness is an argument.
//!
//! A block whose length is not known counts as the longest possible until a draw falls beyond its end
//! and the holder shows where that is; such a draw is no sample. So what is drawn is uniform whether
//! lengths are known or not, and a holder can't change that. Knowing them saves questions, three in four
//! of them for blocks of 256 KiB. A length that is too large does no harm; one that is too small leaves
//! what is behind it unasked, so it must come from who checked it: the own store, or a checked manifest.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{Cid, limits};

use super::{
    proof::{CHUNKS, chunks},
    wire::Challenge,
};

/// A block that a holder promised to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// The block.
    pub cid: Cid,
    /// Its length in bytes, if it is known.
    pub bytes: Option<u32>,
}

/// Draws in vain, one after the other, after which everything counts as drawn.
const TRIES: u32 = 64;

/// The draws of one look at one holder.
pub(super) struct Draws<'a> {
    blocks: &'a [Promised],
    /// Chunks of each block and all before it, at most.
    ends: Vec<u64>,
    /// Lengths that were shown, by position.
    shown: BTreeMap<usize, u32>,
    drawn: BTreeSet<(usize, u32)>,
}

/// A question about one of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    /// The position of the block.
    pub(super) at: usize,
    pub(super) challenge: Challenge,
    /// It was drawn, and not left open by an earlier look.
    pub(super) fresh: bool,
}

impl<'a> Draws<'a> {
    pub(super) fn new(blocks: &'a [Promised]) -> Self {
        let (ends, shown, drawn) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let mut draws = Self { blocks, ends, shown, drawn };
        draws.measure();
        draws
    }

    fn measure(&mut self) {
        let mut end = 0;
        self.ends.clear();
        for at in 0..self.blocks.len() {
            end += u64::from(self.most(at));
            self.ends.push(end);
        }
    }

    /// Chunks of a block, at most.
    fn most(&self, at: usize) -> u32 {
        match self.shown.get(&at).copied().or(self.blocks[at].bytes) {
            Some(bytes) if bytes as usize <= limits::BLOCK_BYTES => chunks(bytes),
            _ => CHUNKS,
        }
    }

    /// The next chunk; `None` when there is hardly one left that was not drawn.
    pub(super) fn next(&mut self, random: &mut dyn FnMut() -> u64) -> Option<Drawn> {
        for _ in 0..TRIES {
            let all = *self.ends.last()?;
            // The bias is below all / 2^64: nothing, for any disk.
            let place = ((u128::from(random()) * u128::from(all)) >> 64) as u64;
            let at = self.ends.partition_point(|end| *end <= place);
            let before = at.checked_sub(1).map_or(0, |at| self.ends[at]);
            let chunk = (place - before) as u32;
            if chunk >= self.most(at) {
                // Its length was shown since. That is seldom, unless there are few blocks.
                self.measure();
            } else if self.drawn.insert((at, chunk)) {
                let challenge = Challenge { cid: self.blocks[at].cid, chunk };
                return Some(Drawn { at, challenge, fresh: true });
            }
        }
        None
    }

    /// A holder showed how long a block is.
    pub(super) fn learn(&mut self, at: usize, len: u32) {
        self.shown.insert(at, len);
    }

    /// What holders showed that was not known before, or known wrongly.
    pub(super) fn learned(&self) -> Vec<(Cid, u32)> {
        let new = |(at, len): (&usize, &u32)| {
            let block = self.blocks[*at];
            (block.bytes != Some(*len)).then_some((block.cid, *len))
        };
        self.shown.iter().filter_map(new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;
    use craftec_platform::{Entropy, sim::SimEntropy};

    fn block(n: u32, bytes: Option<u32>) -> Promised {
        Promised { cid: Cid::of(Codec::Raw, &n.to_be_bytes()), bytes }
    }

    /// Chi-squared over all chunks, with lengths known, unknown, and wrongly said to be too long.
    #[test]
    fn draws_are_uniform_over_chunks_whatever_is_known() {
        let real = [1_u32, 3 * 1024, 70 * 1024, 256 * 1024];
        let total: u32 = real.iter().map(|len| chunks(*len)).sum();
        let blocks = |known: fn(u32) -> Option<u32>| {
            let block = |(n, len): (u32, &u32)| block(n, known(*len));
            (0..).zip(&real).map(block).collect::<Vec<_>>()
        };
        let cases = [blocks(Some), blocks(|_| None), blocks(|len| Some(len + 200_000))];
        for (case, blocks) in cases.iter().enumerate() {
            let dice = SimEntropy::new(case as u64);
            let mut counts = BTreeMap::new();
            for _ in 0..400 {
                let mut draws = Draws::new(blocks);
                let mut samples = 0;
                while samples < 33 {
                    let drawn = draws.next(&mut || dice.next_u64()).unwrap();
                    let len = real[drawn.at];
                    if drawn.challenge.chunk >= chunks(len) {
                        draws.learn(drawn.at, len);
                        continue;
                    }
                    samples += 1;
                    *counts.entry((drawn.at, drawn.challenge.chunk)).or_insert(0_u32) += 1;
                }
            }
            assert_eq!(counts.len(), total as usize, "case {case}: every chunk is drawn");
            let mean = 400.0 * 33.0 / f64::from(total);
            let chi: f64 = counts.values().map(|n| (f64::from(*n) - mean).powi(2) / mean).sum();
            // 329 degrees of freedom: a standard deviation of 26 around 329.
            assert!(chi < f64::from(total) + 5.0 * 26.0, "case {case}: {chi} of {total}");
        }
    }

    #[test]
    fn nothing_is_drawn_twice_and_an_end_is_found() {
        let blocks = [block(1, Some(5 * 1024)), block(2, Some(0)), block(3, None)];
        let dice = SimEntropy::new(9);
        let mut draws = Draws::new(&blocks);
        draws.learn(2, 2000);
        let mut seen = BTreeSet::new();
        while let Some(drawn) = draws.next(&mut || dice.next_u64()) {
            assert!(seen.insert((drawn.at, drawn.challenge)));
        }
        // Six chunks of the first two, two of the third; most of them are found.
        assert!(seen.len() <= 8, "{seen:?}");
        assert!(Draws::new(&[]).next(&mut || 7).is_none());
        let huge = [block(4, Some(u32::MAX))];
        let drawn = Draws::new(&huge).next(&mut || u64::MAX).unwrap();
        assert_eq!(drawn.challenge.chunk, CHUNKS - 1);
    }
}
