//! Pages on this side: those that are known of a state, and those that a transaction has changed. It
//! knows no node.

use std::collections::{BTreeMap, HashMap, VecDeque};

use craftec_core::database::PAGE_BYTES;
use craftec_pager::{Fault, Page, PageNo};

/// Pages that are remembered of one database, besides SQLite's own cache: 8 MiB.
const ROOM: usize = 2048;
/// Most pages that a transaction changes: what the node takes from one client, 128 MiB.
const CHANGED: usize = 32 << 10;
/// Most pages that are asked for at one time.
const AHEAD: u32 = 64;
/// A miss so close behind what was asked for belongs to the same scan.
const SAME_SCAN: u32 = 16;

/// What is known of one state.
#[derive(Default)]
pub(crate) struct Known {
    pages: HashMap<u32, Box<Page>>,
    /// In the order in which they came.
    order: VecDeque<u32>,
    /// Where a scan goes on, and how much is asked for then.
    next: u32,
    ahead: u32,
}

impl Known {
    pub(crate) fn get(&self, page: PageNo) -> Option<&Page> {
        self.pages.get(&page.number()).map(|page| &**page)
    }

    pub(crate) fn put(&mut self, number: u32, page: Box<Page>) {
        if self.pages.insert(number, page).is_none() {
            self.order.push_back(number);
        }
        while self.order.len() > ROOM {
            if let Some(oldest) = self.order.pop_front() {
                self.pages.remove(&oldest);
            }
        }
    }

    /// Forgets pages behind the end.
    pub(crate) fn cut(&mut self, length: u32) {
        self.pages.retain(|number, _| *number <= length);
        self.order.retain(|number| *number <= length);
    }

    /// Forgets all: another state.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many pages to ask for from `page` on: twice as many each time that a scan goes on.
    pub(crate) fn wanted(&mut self, page: PageNo, least: u32) -> u32 {
        let scan = (self.next..self.next.saturating_add(SAME_SCAN)).contains(&page.number());
        self.ahead = if scan { (self.ahead * 2).min(AHEAD) } else { least };
        let held = |number: &u32| !self.pages.contains_key(number);
        let count = (page.number()..).take(self.ahead as usize).take_while(held).count() as u32;
        self.next = page.number().saturating_add(count.max(1));
        count.max(1)
    }
}

/// What a transaction has changed.
#[derive(Default)]
pub(crate) struct Changed {
    pages: BTreeMap<u32, Box<Page>>,
    length: Option<u32>,
    /// The fewest pages that there were: what lies above and was not written again is zeros.
    floor: Option<u32>,
}

impl Changed {
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.length.is_none()
    }

    /// How many pages there are, where that changed.
    pub(crate) fn length(&self) -> Option<u32> {
        self.length
    }

    /// Reads a page, if it is one of these. Whether it was.
    pub(crate) fn read(&self, page: PageNo, out: &mut Page) -> bool {
        match self.pages.get(&page.number()) {
            Some(bytes) => out.copy_from_slice(&**bytes),
            None if self.floor.is_some_and(|floor| page.number() > floor) => *out = [0; PAGE_BYTES],
            None => return false,
        }
        true
    }

    /// Writes a page of a database that had `length` before.
    pub(crate) fn write(&mut self, page: PageNo, bytes: &Page, length: u32) -> Result<(), Fault> {
        if self.pages.len() >= CHANGED && !self.pages.contains_key(&page.number()) {
            return Err(Fault::Full);
        }
        self.pages.insert(page.number(), Box::new(*bytes));
        if page.number() > self.length.unwrap_or(length) {
            self.length = Some(page.number());
        }
        Ok(())
    }

    /// Cuts or grows to `pages`.
    pub(crate) fn set_length(&mut self, pages: u32) {
        self.pages.retain(|number, _| *number <= pages);
        self.floor = Some(self.floor.map_or(pages, |floor| floor.min(pages)));
        self.length = Some(pages);
    }

    /// All of them, for a database that had `before` pages and then has `length`. Zeros where it was cut
    /// and has grown again.
    pub(crate) fn take(&mut self, before: u32) -> (u32, BTreeMap<u32, Box<Page>>) {
        let Self { mut pages, length, floor } = std::mem::take(self);
        let length = length.unwrap_or(before);
        if let Some(floor) = floor {
            for number in floor.saturating_add(1)..=length.min(before) {
                pages.entry(number).or_insert_with(|| Box::new([0; PAGE_BYTES]));
            }
        }
        (length, pages)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn no(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    #[test]
    fn a_scan_asks_for_more_each_time_and_a_look_up_does_not() {
        let mut known = Known::default();
        assert_eq!(known.wanted(no(100), 4), 4);
        assert_eq!(known.wanted(no(104), 4), 8);
        assert_eq!(known.wanted(no(113), 4), 16);
        assert_eq!(known.wanted(no(7), 4), 4);
        known.put(9, Box::new([0; PAGE_BYTES]));
        assert_eq!(known.wanted(no(8), 4), 1, "the next is here");
        for number in 0..3 * ROOM as u32 {
            known.put(number, Box::new([1; PAGE_BYTES]));
        }
        assert_eq!((known.pages.len(), known.order.len()), (ROOM, ROOM));
        known.cut(3);
        assert!(known.pages.is_empty());
    }

    #[test]
    fn what_was_cut_and_grew_again_is_zeros() {
        let mut changed = Changed::default();
        changed.write(no(3), &[3; PAGE_BYTES], 9).unwrap();
        changed.write(no(8), &[8; PAGE_BYTES], 9).unwrap();
        changed.set_length(5);
        changed.write(no(7), &[7; PAGE_BYTES], 9).unwrap();
        let mut page = [1; PAGE_BYTES];
        assert!(!changed.read(no(5), &mut page), "as it was");
        for (number, byte) in [(3, 3), (6, 0), (7, 7), (8, 0)] {
            assert!(changed.read(no(number), &mut page));
            assert_eq!(page, [byte; PAGE_BYTES]);
        }
        let (length, pages) = changed.take(9);
        assert_eq!((length, pages.keys().copied().collect::<Vec<_>>()), (7, vec![3, 6, 7]));
        assert!(changed.is_empty());
    }

    #[test]
    fn a_transaction_has_an_end() {
        let mut changed = Changed::default();
        for number in 1..=CHANGED as u32 {
            changed.write(no(number), &[0; PAGE_BYTES], 0).unwrap();
        }
        assert_eq!(changed.write(no(CHANGED as u32 + 1), &[0; PAGE_BYTES], 0), Err(Fault::Full));
        changed.write(no(1), &[1; PAGE_BYTES], 0).unwrap();
    }
}
