//! Pages: their size and their numbers.

use craftec_core::database::{MAX_PAGES, PAGE_BYTES};

/// Bytes of one page.
pub type Page = [u8; PAGE_BYTES];

/// The number of a page, from 1 as SQLite counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageNo(u32);

impl PageNo {
    /// The first page, which holds the database's header.
    pub const FIRST: Self = Self(1);

    /// The page `number`, if there can be one.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 || number > MAX_PAGES { None } else { Some(Self(number)) }
    }

    /// The page that holds the byte at `offset` of the database.
    pub fn at(offset: u64) -> Option<Self> {
        Self::new(u32::try_from(offset / PAGE_BYTES as u64).ok()?.checked_add(1)?)
    }

    /// Its number, from 1.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its place in a list of all pages, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_one_and_end_where_sqlite_ends() {
        assert_eq!(PageNo::new(0), None);
        assert_eq!(PageNo::new(u32::MAX), None);
        assert_eq!(PageNo::at(0), Some(PageNo::FIRST));
        assert_eq!(PageNo::at(4096).map(PageNo::number), Some(2));
        assert_eq!(PageNo::at(u64::MAX), None);
        assert_eq!(PageNo::FIRST.index(), 0);
    }
}
