//! The pages that a root changed since its parent: what a follower's cache must forget.
//!
//! Layout: runs of neighbours as pairs of unsigned varints, in order: how many pages lie between the
//! run and the one before it (for the first: pages before it), and how many more than one it has.
//! Neighbouring runs would be one, so every gap but the first counts one less. A database that grew
//! at its end and changed a few pages takes some bytes, whatever its size.
//! Source of the varints: <https://github.com/multiformats/unsigned-varint>.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{MAX_PAGES, TableError};

/// Longest set that a root carries; a root with more leaves it out, and followers compare tables.
pub const CHANGED_BYTES: usize = 64 << 10;

/// A compressed set of page numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedPages(#[serde(with = "serde_bytes")] Vec<u8>);

impl ChangedPages {
    /// The set of these pages, which must come in order and once each; none if it would be too long.
    pub fn of(pages: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut bytes = Vec::new();
        let (mut after, mut first): (u32, bool) = (1, true);
        let mut run: Option<(u32, u32)> = None;
        let put = |bytes: &mut Vec<u8>, (start, end): (u32, u32), after: u32, first: bool| {
            let gap = start.checked_sub(after)?;
            let gap = if first { gap } else { gap.checked_sub(1)? };
            for number in [gap, end - start] {
                let mut buffer = unsigned_varint::encode::u32_buffer();
                bytes.extend_from_slice(unsigned_varint::encode::u32(number, &mut buffer));
            }
            (bytes.len() <= CHANGED_BYTES).then_some(())
        };
        for page in pages {
            match &mut run {
                Some((_, end)) if *end + 1 == page => *end = page,
                Some(last) => {
                    put(&mut bytes, *last, after, first)?;
                    (after, first) = (last.1 + 1, false);
                    run = Some((page, page));
                }
                None => run = Some((page, page)),
            }
        }
        if let Some(last) = run {
            put(&mut bytes, last, after, first)?;
        }
        Some(Self(bytes))
    }

    /// Runs of neighbouring pages, in order. Fails at what [`ChangedPages::of`] would not write.
    pub fn runs(&self) -> impl Iterator<Item = Result<RangeInclusive<u32>, TableError>> {
        let mut rest = self.0.as_slice();
        let (mut after, mut first) = (1u32, true);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let run = (|| {
                // As 64 bits: the decoder of 32 lets bits beyond them fall away.
                let (gap, more) = unsigned_varint::decode::u64(rest).ok()?;
                let (length, more) = unsigned_varint::decode::u64(more).ok()?;
                let (gap, length) = (u32::try_from(gap).ok()?, u32::try_from(length).ok()?);
                rest = more;
                let gap = if first { gap } else { gap.checked_add(1)? };
                let start = after.checked_add(gap)?;
                let end = start.checked_add(length).filter(|end| *end <= MAX_PAGES)?;
                (after, first) = (end + 1, false);
                Some(start..=end)
            })();
            if run.is_none() {
                rest = &[];
            }
            Some(run.ok_or(TableError::Changed))
        })
    }

    /// How many pages it has, if it is well formed and names none above `pages`.
    pub fn check(&self, pages: u32) -> Result<u64, TableError> {
        if self.0.len() > CHANGED_BYTES {
            return Err(TableError::Changed);
        }
        let mut count = 0;
        for run in self.runs() {
            let run = run?;
            if *run.end() > pages {
                return Err(TableError::Changed);
            }
            count += u64::from(run.end() - run.start()) + 1;
        }
        Ok(count)
    }

    /// Whether `page` is in it.
    pub fn contains(&self, page: u32) -> bool {
        self.runs().map_while(Result::ok).any(|run| run.contains(&page))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pages(set: &ChangedPages) -> Vec<u32> {
        set.runs().flat_map(Result::unwrap).collect()
    }

    #[test]
    fn a_commit_takes_bytes_and_not_pages() {
        let set = ChangedPages::of([1, 2, 3].into_iter().chain(5_000..=90_000)).unwrap();
        assert!(set.0.len() <= 8, "{}", set.0.len());
        assert_eq!(set.check(90_000).unwrap(), 85_004);
        assert_eq!(set.check(89_999), Err(TableError::Changed));
        assert!(set.contains(3) && set.contains(70_000) && !set.contains(4));
        assert_eq!(ChangedPages::of((0..100_000).map(|n| n * 2 + 1)), None, "too long a set");
        assert_eq!(ChangedPages::of([]).unwrap().check(0), Ok(0));
        assert_eq!(ChangedPages::of([5, 4]), None, "out of order");
    }

    #[test]
    fn numbers_have_one_encoding() {
        for bad in [&[0x80, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x7f, 0], &[0], &[0x80]] {
            assert_eq!(ChangedPages(bad.to_vec()).check(MAX_PAGES), Err(TableError::Changed));
        }
    }

    proptest! {
        #[test]
        fn every_set_comes_back(wanted in prop::collection::btree_set(1u32..3_000, 0..200)) {
            let set = ChangedPages::of(wanted.iter().copied()).unwrap();
            prop_assert_eq!(pages(&set).into_iter().collect::<BTreeSet<_>>(), wanted.clone());
            prop_assert_eq!(set.check(3_000), Ok(wanted.len() as u64));
        }

        #[test]
        fn what_is_read_without_an_error_is_written_again_the_same(
            bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..40),
        ) {
            let set = ChangedPages(bytes);
            if let Ok(count) = set.check(MAX_PAGES) && count < 10_000 {
                prop_assert_eq!(ChangedPages::of(pages(&set)), Some(set));
            }
        }
    }
}
