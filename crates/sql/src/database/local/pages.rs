//! A database by its pages, for a program that has an SQLite of its own: states that stay as they are
//! while they are read, and commits that count only if the state is still the one that they were made on.

use craftec_core::database::PAGE_BYTES;

use super::Database;
use crate::{
    error::SqlError,
    page::{Page, PageNo},
};

/// What the last commit left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its number, which never comes again.
    pub number: u64,
    /// How many pages there are.
    pub pages: u32,
}

impl Database {
    /// The current state.
    pub fn state(&self) -> State {
        let pages = self.pages.borrow();
        State { number: pages.log.state(), pages: pages.log.pages() }
    }

    /// The current state, which can be read until it is let go of with [`Self::unpin`]. That is not for
    /// ever: where much is written meanwhile it ends by itself.
    pub fn pin(&self) -> State {
        self.pages.borrow_mut().log.pin();
        self.state()
    }

    /// Lets go of a state, once for each [`Self::pin`].
    pub fn unpin(&self, state: u64) {
        self.pages.borrow_mut().log.unpin(state);
    }

    /// At most `count` pages from `first` on, one after the other, as they were in a pinned state; fewer
    /// at its end. `None` if it is no longer pinned.
    pub fn pages_at(
        &self,
        state: u64,
        first: PageNo,
        count: u32,
    ) -> Result<Option<Vec<u8>>, SqlError> {
        let log = &mut self.pages.borrow_mut().log;
        let mut bytes = Vec::new();
        let mut page = [0; PAGE_BYTES];
        let numbers = (first.number()..).take(count as usize).map_while(PageNo::new);
        for number in numbers {
            match log.read_at(state, number, &mut page)? {
                None => return Ok(None),
                Some(false) => break,
                Some(true) => bytes.extend_from_slice(&page),
            }
        }
        Ok(Some(bytes))
    }

    /// Commits pages that were made on the state `base`, after which there are `pages`: durable when
    /// this returns. The new state; `None`, and nothing happened, if `base` is no longer the current one.
    pub async fn commit_pages<'p>(
        &self,
        base: u64,
        pages: u32,
        changed: impl IntoIterator<Item = (PageNo, &'p Page)>,
    ) -> Result<Option<State>, SqlError> {
        self.outside_transactions()?;
        let committed = self.pages.borrow_mut().log.commit_pages(base, pages, changed)?;
        if committed.is_none() {
            return Ok(None);
        }
        let state = self.state();
        self.compact_if_wanted().await;
        Ok(Some(state))
    }

    /// Takes the next page of an SQLite file in, in order from the first. Nobody else may use the database
    /// until [`Self::import_end`] or [`Self::import_drop`].
    pub fn import_page(&self, page: PageNo, bytes: &Page) -> Result<(), SqlError> {
        self.outside_transactions()?;
        Ok(self.pages.borrow_mut().log.import_page(page, bytes)?)
    }

    /// Makes a file of so many pages the content of the database, as one commit.
    pub async fn import_end(&self, pages: u32) -> Result<(), SqlError> {
        self.outside_transactions()?;
        self.pages.borrow_mut().log.import_end(pages)?;
        self.compact_if_wanted().await;
        Ok(())
    }

    /// Forgets what was taken in.
    pub fn import_drop(&self) {
        self.pages.borrow_mut().log.rollback();
    }
}
