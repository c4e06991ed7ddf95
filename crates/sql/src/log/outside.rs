//! Commits whose pages were made elsewhere: by the SQLite of another program.
//!
//! That program is the owner's, and what it writes into a page is its affair. What is checked is what
//! keeps this SQLite from misreading the file: that it is one, of pages of this size, without a WAL, and
//! that it counts its change, by which every connection knows that what it remembers is out of date.

use craftec_core::database::PAGE_BYTES;

use super::{
    Log, LogError,
    history::{change_count, counter},
    sealing::MAGIC,
};
use crate::page::{Digest, Page, PageNo};

impl Log {
    /// Commits `changed` pages, after which there are `pages`, if `base` still is the state; `None` if
    /// it is not. Whether that changed anything.
    pub fn commit_pages<'p>(
        &mut self,
        base: u64,
        pages: u32,
        changed: impl IntoIterator<Item = (PageNo, &'p Page)>,
    ) -> Result<Option<bool>, LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        if base != self.state {
            return Ok(None);
        }
        let done = self.write_changed(pages, changed).and_then(|written| {
            if !self.is_dirty() {
                return Ok(false);
            }
            self.check_outside(written)?;
            self.commit()
        });
        self.rollback();
        done.map(Some)
    }

    /// Takes the pages in; whether any of them is another than before.
    fn write_changed<'p>(
        &mut self,
        pages: u32,
        changed: impl IntoIterator<Item = (PageNo, &'p Page)>,
    ) -> Result<bool, LogError> {
        let mut written = false;
        for (page, bytes) in changed {
            if page.number() > pages {
                let reason = format!("page {} of {pages}", page.number());
                return Err(LogError::Foreign { reason });
            }
            // A transaction that SQLite played back leaves such pages.
            let mut stored = *bytes;
            self.keys.close(&mut stored);
            if self.table.digest(page) != Some(Digest::of(&stored)) {
                self.write(page, bytes)?;
                written = true;
            }
        }
        if pages != self.pending_pages() {
            self.set_pages(pages);
        }
        Ok(written)
    }

    /// Takes the next page of a file in that is to take the place of all that is here, in order from the
    /// first. Nothing is changed before [`Self::import_end`]; [`Self::rollback`] forgets it.
    pub fn import_page(&mut self, page: PageNo, bytes: &Page) -> Result<(), LogError> {
        let mut bytes = *bytes;
        if page == PageNo::FIRST {
            // A WAL that was written back leaves its mark, and is not here.
            bytes[18..20].fill(1);
            check_first(&bytes)?;
            self.check_reserved(&bytes)?;
        }
        self.write(page, &bytes)
    }

    /// Makes a file of so many pages what is here, as one commit. Whether anything changed.
    pub fn import_end(&mut self, pages: u32) -> Result<bool, LogError> {
        let done = self.import_whole(pages).and_then(|()| self.commit());
        self.rollback();
        done
    }

    fn import_whole(&mut self, pages: u32) -> Result<(), LogError> {
        let mut first = [0; PAGE_BYTES];
        self.read(PageNo::FIRST, &mut first)?;
        // The count is right if it was written with the last change.
        let counts = counter(&first, 24) == counter(&first, 92);
        let counted = counter(&first, 28);
        if pages == 0 || (counts && counted != 0 && counted != pages) {
            let reason = format!("{pages} pages, where the first says {counted}");
            return Err(LogError::Foreign { reason });
        }
        self.set_pages(pages);
        self.count_change(false)
    }

    fn check_outside(&mut self, written: bool) -> Result<(), LogError> {
        let foreign = |reason: &str| Err(LogError::Foreign { reason: reason.to_owned() });
        let (mut old, mut new) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
        if self.pending_pages() == 0 {
            return foreign("no page at all");
        }
        self.read(PageNo::FIRST, &mut new)?;
        check_first(&new)?;
        if self.pages() > 0 {
            self.committed(PageNo::FIRST, &mut old)?;
            // A VACUUM commits first, and then cuts off what its first page no longer counts.
            let cut = !written && counter(&new, 28) == self.pending_pages();
            if change_count(&old) == change_count(&new) && !cut {
                return foreign("a count of changes that does not count this one");
            }
        }
        Ok(())
    }
}

/// Whether a file can begin so that this SQLite reads here.
fn check_first(first: &Page) -> Result<(), LogError> {
    let foreign = |reason: &str| Err(LogError::Foreign { reason: reason.to_owned() });
    if !first.starts_with(MAGIC) {
        return foreign("another beginning than SQLite's");
    }
    if first[16..18] != (PAGE_BYTES as u16).to_be_bytes() {
        return foreign("pages of another size than 4096 bytes");
    }
    if first[18..20] != [1, 1] {
        return foreign("the mark of a WAL, which is not here");
    }
    Ok(())
}
