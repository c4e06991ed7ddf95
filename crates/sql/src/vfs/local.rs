//! A database of this node: pages in its log.

use craftec_pager::Fault;

use super::Paged;
use crate::{
    log::{Log, LogError},
    page::{Digest, Page, PageNo},
};

/// A log as SQLite's pager sees it, and the last thing that went wrong with it.
pub(crate) struct LocalPages {
    pub(crate) log: Log,
    fault: Option<LogError>,
}

impl LocalPages {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, fault: None }
    }

    /// What SQLite was told about with a number only.
    pub(crate) fn take_fault(&mut self) -> Option<LogError> {
        self.fault.take()
    }

    /// A page of a snapshot that is kept.
    pub(crate) fn kept(&mut self, digest: &Digest, out: &mut Page) -> Result<(), Fault> {
        let read = self.log.block_into(&digest.cid(), out);
        self.told(read)
    }

    /// A page as it was in a pinned state; see [`Log::read_at`].
    pub(crate) fn at(
        &mut self,
        state: u64,
        page: PageNo,
        out: &mut Page,
    ) -> Result<Option<bool>, Fault> {
        let read = self.log.read_at(state, page, out);
        self.told(read)
    }

    fn told<T>(&mut self, result: Result<T, LogError>) -> Result<T, Fault> {
        result.map_err(|error| {
            let fault = match &error {
                LogError::Full { .. } => Fault::Full,
                LogError::Rotten { .. } | LogError::Corrupt { .. } => Fault::Rotten,
                _ => Fault::Io,
            };
            self.fault = Some(error);
            fault
        })
    }
}

impl Paged for LocalPages {
    fn pages(&self) -> u32 {
        self.log.pending_pages()
    }

    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
        let read = self.log.read(page, out);
        self.told(read)
    }

    fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), Fault> {
        let written = self.log.write(page, bytes);
        self.told(written)
    }

    fn set_pages(&mut self, pages: u32) -> Result<(), Fault> {
        self.log.set_pages(pages);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let committed = self.log.commit().map(drop);
        self.told(committed)
    }

    fn rollback(&mut self) {
        self.log.rollback();
    }

    fn is_immutable(&self) -> bool {
        false
    }
}
