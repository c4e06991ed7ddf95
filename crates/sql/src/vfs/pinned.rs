//! The last committed state of a database of this node, which stays as it is while newer ones are
//! committed. It is only read.

use std::{cell::RefCell, rc::Rc};

use craftec_pager::Fault;

use super::{LocalPages, Paged};
use crate::page::{Page, PageNo};

/// Pages of one state.
pub(crate) struct Pinned {
    log: Rc<RefCell<LocalPages>>,
    state: u64,
    pages: u32,
    is_gone: bool,
}

impl Pinned {
    /// What the last commit left.
    pub(crate) fn new(log: Rc<RefCell<LocalPages>>) -> Self {
        let (state, pages) = {
            let log = &mut log.borrow_mut().log;
            (log.pin(), log.pages())
        };
        Self { log, state, pages, is_gone: false }
    }

    /// Whether too much was written meanwhile: then it can't be read any more.
    pub(crate) const fn is_gone(&self) -> bool {
        self.is_gone
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Borrowed elsewhere only while SQLite does not run.
        if let Ok(mut log) = self.log.try_borrow_mut() {
            log.log.unpin(self.state);
        }
    }
}

impl Paged for Pinned {
    fn pages(&self) -> u32 {
        self.pages
    }

    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
        let mut log = self.log.try_borrow_mut().map_err(|_| Fault::Busy)?;
        match log.at(self.state, page, out)? {
            Some(true) => Ok(()),
            Some(false) => {
                out.fill(0);
                Ok(())
            }
            None => {
                self.is_gone = true;
                Err(Fault::Io)
            }
        }
    }
}
