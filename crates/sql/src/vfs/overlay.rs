//! A snapshot that a log keeps, and what one transaction writes over it in memory: where a merge is
//! tried before it counts.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use craftec_pager::Fault;

use super::{LocalPages, Paged};
use crate::page::{Digest, Page, PageNo};

/// Pages that were written, by their numbers.
pub(crate) type Written = BTreeMap<u32, Box<Page>>;

/// Pages of one kept snapshot.
pub(crate) struct Overlay {
    log: Rc<RefCell<LocalPages>>,
    digests: Vec<Option<Digest>>,
    /// How many pages may be written; none for a snapshot that is only read.
    room: Option<usize>,
    written: Written,
    pages: u32,
    /// The fewest pages that there were: what lies above and was not written again is zeros.
    floor: u32,
    committed: bool,
}

impl Overlay {
    /// What has these pages, which the log must keep; `room` for so many that change.
    pub(crate) fn new(
        log: Rc<RefCell<LocalPages>>,
        digests: Vec<Option<Digest>>,
        room: Option<usize>,
    ) -> Self {
        let pages = digests.len() as u32;
        let written = Written::new();
        Self { log, digests, room, written, pages, floor: pages, committed: false }
    }

    /// How many pages may be written.
    pub(crate) fn room(&self) -> usize {
        self.room.unwrap_or_default()
    }

    /// What was committed, if something was: pages, and how many there are with it.
    pub(crate) fn take_committed(&mut self) -> Option<(Written, u32)> {
        self.committed.then(|| (std::mem::take(&mut self.written), self.pages))
    }

    /// Whether there may be another change.
    fn writable(&self) -> Result<usize, Fault> {
        self.room.filter(|_| !self.committed).ok_or(Fault::ReadOnly)
    }
}

impl Paged for Overlay {
    fn pages(&self) -> u32 {
        self.pages
    }

    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
        if let Some(bytes) = self.written.get(&page.number()) {
            out.copy_from_slice(&**bytes);
            return Ok(());
        }
        let digest = self.digests.get(page.index()).copied().flatten();
        let Some(digest) = digest.filter(|_| page.number() <= self.floor) else {
            out.fill(0);
            return Ok(());
        };
        self.log.try_borrow_mut().map_err(|_| Fault::Busy)?.kept(&digest, out)
    }

    fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), Fault> {
        if self.written.len() >= self.writable()? && !self.written.contains_key(&page.number()) {
            return Err(Fault::Full);
        }
        self.written.insert(page.number(), Box::new(*bytes));
        self.pages = self.pages.max(page.number());
        Ok(())
    }

    fn set_pages(&mut self, pages: u32) -> Result<(), Fault> {
        self.writable()?;
        self.written.split_off(&pages.saturating_add(1));
        self.floor = self.floor.min(pages);
        self.pages = pages;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.committed = true;
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.committed {
            self.written.clear();
            self.pages = self.digests.len() as u32;
            self.floor = self.pages;
        }
    }

    fn is_immutable(&self) -> bool {
        self.room.is_none()
    }
}

#[cfg(test)]
mod tests {
    use craftec_core::database::PAGE_BYTES;
    use craftec_platform::sim::SimDisk;

    use super::*;
    use crate::log::{Log, LogOptions};

    #[test]
    fn one_transaction_is_written_over_what_is_kept_or_nothing_is() {
        let disk = SimDisk::new();
        let log = futures::executor::block_on(Log::open(&disk, "a", LogOptions::default()));
        let log = Rc::new(RefCell::new(LocalPages::new(log.expect("a log"))));
        let digests = vec![None; 4];
        let page = |number| PageNo::new(number).expect("a page");
        let mut read = Overlay::new(log.clone(), digests.clone(), None);
        assert_eq!(read.write(page(1), &[1; PAGE_BYTES]), Err(Fault::ReadOnly));
        let mut overlay = Overlay::new(log, digests, Some(2));
        overlay.write(page(4), &[4; PAGE_BYTES]).expect("written");
        overlay.set_pages(3).expect("cut");
        overlay.write(page(5), &[5; PAGE_BYTES]).expect("written");
        let mut out = [9; PAGE_BYTES];
        overlay.read(page(4), &mut out).expect("read");
        assert_eq!(out, [0; PAGE_BYTES], "what was cut off is gone");
        overlay.rollback();
        assert_eq!((overlay.pages(), overlay.take_committed().is_none()), (4, true));
        overlay.write(page(1), &[1; PAGE_BYTES]).expect("written");
        overlay.write(page(2), &[2; PAGE_BYTES]).expect("written");
        assert_eq!(overlay.write(page(3), &[3; PAGE_BYTES]), Err(Fault::Full));
        overlay.commit().expect("committed");
        overlay.rollback();
        let (written, pages) = overlay.take_committed().expect("it was committed");
        assert_eq!((written.keys().copied().collect::<Vec<_>>(), pages), (vec![1, 2], 4));
    }
}
