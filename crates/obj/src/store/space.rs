//! Who owns which bytes of the pack: a best-fit allocator of extents.
//!
//! It decides and never writes: the store writes the blocks, and records [`Space::take_changes`] in
//! the same transaction as the blocks' index entries. Extents begin at multiples of [`GRAIN`].

use std::collections::{BTreeMap, BTreeSet};

/// Alignment of extents in bytes: a disk sector, so that a small file wastes little.
pub(super) const GRAIN: u64 = 512;

/// Extents looked at for one before an offset.
const FITS: usize = 256;

/// Free extents of the pack, and where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    /// Offset → length of every free extent; neighbours are merged, none touches `end`.
    free: BTreeMap<u64, u64>,
    /// The same as (length, offset), for best fit.
    by_length: BTreeSet<(u64, u64)>,
    /// First byte beyond every extent in use.
    end: u64,
    /// Offsets whose entry in `free` differs from what was last recorded.
    changed: BTreeSet<u64>,
}

/// How a stored free list contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) offset: u64,
}

/// The bytes that `bytes` occupy in the pack.
pub(super) const fn rounded(bytes: u64) -> u64 {
    bytes.div_ceil(GRAIN) * GRAIN
}

impl Space {
    /// The state that was recorded.
    pub(super) fn recorded(
        free: impl IntoIterator<Item = (u64, u64)>,
        end: u64,
    ) -> Result<Self, Overlap> {
        let mut space = Self { end, ..Self::default() };
        let mut last = 0;
        for (offset, length) in free {
            let stop = offset.checked_add(length).filter(|stop| *stop < end && length > 0);
            match stop {
                Some(stop) if offset >= last && offset % GRAIN == 0 => last = stop,
                _ => return Err(Overlap { offset }),
            }
            space.free.insert(offset, length);
            space.by_length.insert((length, offset));
        }
        Ok(space)
    }

    /// The space around extents in use (offset → length). Where two overlap, the bytes of one are
    /// wrong; which, its CID will say.
    pub(super) fn around(used: &BTreeMap<u64, u64>) -> Self {
        let mut space = Self::default();
        for (offset, length) in used {
            if *offset > space.end {
                space.remember(space.end, offset - space.end);
            }
            space.end = space.end.max(offset.saturating_add(*length));
        }
        space
    }

    /// Offset and length of every free extent.
    pub(super) fn free_extents(&self) -> impl Iterator<Item = (u64, u64)> {
        self.free.iter().map(|(offset, length)| (*offset, *length))
    }

    /// First byte beyond every extent in use.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Reserves an extent for `bytes` and returns its offset.
    pub(super) fn take(&mut self, bytes: u64) -> u64 {
        let wanted = rounded(bytes);
        let Some(&(length, offset)) = self.by_length.range((wanted, 0)..).next() else {
            let offset = self.end;
            self.end += wanted;
            return offset;
        };
        self.forget(offset, length);
        if length > wanted {
            self.remember(offset + wanted, length - wanted);
        }
        offset
    }

    /// The sum of free extents before the end.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free.values().sum()
    }

    /// Reserves an extent for `bytes` that ends at or before `below`.
    pub(super) fn take_below(&mut self, bytes: u64, below: u64) -> Option<u64> {
        let wanted = rounded(bytes);
        // The first fits best; a few more are tried for one that is low enough.
        let fits = self.by_length.range((wanted, 0)..).take(FITS);
        let (length, offset) = fits.copied().find(|(_, offset)| offset + wanted <= below)?;
        self.forget(offset, length);
        if length > wanted {
            self.remember(offset + wanted, length - wanted);
        }
        Some(offset)
    }

    /// Gives an extent of `bytes` back. Only after what was in it is durably gone.
    pub(super) fn release(&mut self, offset: u64, bytes: u64) {
        let (mut offset, mut length) = (offset, rounded(bytes));
        if let Some((&before, &before_length)) = self.free.range(..offset).next_back()
            && before + before_length == offset
        {
            self.forget(before, before_length);
            offset = before;
            length += before_length;
        }
        if let Some(&after_length) = self.free.get(&(offset + length)) {
            self.forget(offset + length, after_length);
            length += after_length;
        }
        if offset + length >= self.end {
            self.end = offset;
        } else {
            self.remember(offset, length);
        }
    }

    /// What to record: offset and its new length, or none where no free extent begins any more.
    pub(super) fn take_changes(&mut self) -> Vec<(u64, Option<u64>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|offset| (offset, self.free.get(&offset).copied())).collect()
    }

    fn remember(&mut self, offset: u64, length: u64) {
        self.free.insert(offset, length);
        self.by_length.insert((length, offset));
        self.changed.insert(offset);
    }

    fn forget(&mut self, offset: u64, length: u64) {
        self.free.remove(&offset);
        self.by_length.remove(&(length, offset));
        self.changed.insert(offset);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_merge_and_the_end_moves_back() {
        let mut space = Space::default();
        let offsets: Vec<u64> = (0..4).map(|_| space.take(1000)).collect();
        assert_eq!(offsets, [0, 1024, 2048, 3072]);
        space.release(1024, 1000);
        space.release(2048, 1000);
        assert_eq!(space.free, BTreeMap::from([(1024, 2048)]));
        assert_eq!(space.take(2000), 1024, "best fit reuses the merged extent");
        space.release(1024, 2000);
        space.release(3072, 1000);
        assert_eq!((space.end, space.free.len()), (1024, 0), "the tail is given back whole");
    }

    #[test]
    fn a_free_list_that_overlaps_is_refused() {
        assert_eq!(Space::recorded([(0, 1024), (512, 512)], 4096), Err(Overlap { offset: 512 }));
        assert_eq!(Space::recorded([(512, 4096)], 4096), Err(Overlap { offset: 512 }));
        assert_eq!(Space::recorded([(512, u64::MAX)], 4096), Err(Overlap { offset: 512 }));
        assert!(Space::recorded([(0, 512), (1024, 512)], 4096).is_ok());
    }

    /// Whether to take, how many bytes, and else which extent to give back.
    fn step() -> impl Strategy<Value = (bool, u64, prop::sample::Index)> {
        (any::<bool>(), 1..5000_u64, any::<prop::sample::Index>())
    }

    proptest! {
        #[test]
        fn extents_never_overlap_and_changes_replay(
            steps in prop::collection::vec(step(), 1..200)
        ) {
            let mut space = Space::default();
            let mut used: Vec<(u64, u64)> = Vec::new();
            let mut table: BTreeMap<u64, u64> = BTreeMap::new();
            for (take, bytes, pick) in steps {
                if take || used.is_empty() {
                    let offset = space.take(bytes);
                    let apart = used.iter().all(|(at, len)| {
                        offset + rounded(bytes) <= *at || at + rounded(*len) <= offset
                    });
                    prop_assert!(apart);
                    used.push((offset, bytes));
                } else {
                    let (offset, bytes) = used.swap_remove(pick.index(used.len()));
                    space.release(offset, bytes);
                }
                for (offset, length) in space.take_changes() {
                    match length {
                        Some(length) => table.insert(offset, length),
                        None => table.remove(&offset),
                    };
                }
                let recorded = Space::recorded(table.clone(), space.end());
                prop_assert_eq!(recorded.as_ref(), Ok(&space));
                let in_use: u64 = used.iter().map(|(_, len)| rounded(*len)).sum();
                let free: u64 = table.values().sum();
                prop_assert_eq!(in_use + free, space.end());
            }
        }
    }
}
