//! A mounted database as one connection of its thread has it open.

use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
};

use craftec_pager::{Fault, Level, Main, Request};

use super::{Mounted, Paged, locks::Locks, mounted};
use crate::page::{Page, PageNo};

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(1) };
}

/// A main database that SQLite has open.
pub(super) struct MainFile {
    pages: Rc<RefCell<dyn Paged>>,
    locks: Rc<RefCell<Locks>>,
    who: u64,
    level: Level,
}

/// What SQLite calls to open one.
pub(super) fn open(request: &Request<'_>) -> Result<Box<dyn Main>, Fault> {
    let file = request.name.and_then(MainFile::open).ok_or(Fault::CantOpen)?;
    Ok(Box::new(file))
}

impl MainFile {
    /// The mounted database `name`.
    pub(super) fn open(name: &str) -> Option<Self> {
        let Mounted { pages, locks } = mounted(name)?;
        let who = NEXT.replace(NEXT.get() + 1);
        Some(Self { pages, locks, who, level: Level::None })
    }

    fn held(&self) -> Result<RefMut<'_, dyn Paged + 'static>, Fault> {
        // Borrowed elsewhere only while SQLite does not run.
        self.pages.try_borrow_mut().map_err(|_| Fault::Busy)
    }
}

impl Main for MainFile {
    fn pages(&mut self) -> Result<u32, Fault> {
        Ok(self.held()?.pages())
    }

    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
        self.held()?.read(page, out)
    }

    fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), Fault> {
        self.held()?.write(page, bytes)
    }

    fn set_pages(&mut self, pages: u32) -> Result<(), Fault> {
        self.held()?.set_pages(pages)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let mut pages = self.held()?;
        let committed = pages.commit();
        // SQLite tries again, page by page, after an I/O error only.
        if committed == Err(Fault::Full) {
            pages.rollback();
        }
        committed
    }

    fn is_immutable(&self) -> bool {
        self.pages.try_borrow().is_ok_and(|pages| pages.is_immutable())
    }

    fn lock(&mut self, level: Level) -> Result<(), Fault> {
        if self.level >= level {
            return Ok(());
        }
        let mut locks = self.locks.try_borrow_mut().map_err(|_| Fault::Busy)?;
        self.level = locks.raise(self.who, self.level, level);
        if self.level < level { Err(Fault::Busy) } else { Ok(()) }
    }

    fn unlock(&mut self, level: Level) -> Result<(), Fault> {
        if self.level <= level {
            return Ok(());
        }
        if self.level > Level::Shared {
            // Whatever the writer leaves uncommitted was rolled back, or is to be.
            self.held()?.rollback();
        }
        let mut locks = self.locks.try_borrow_mut().map_err(|_| Fault::Busy)?;
        locks.lower(self.who, self.level, level);
        self.level = level;
        Ok(())
    }

    fn is_reserved(&self) -> bool {
        self.locks.try_borrow().is_ok_and(|locks| locks.is_reserved())
    }
}

impl Drop for MainFile {
    fn drop(&mut self) {
        // Unlocking fails only where somebody else holds a borrow, who outlives this.
        let _ = self.unlock(Level::None);
    }
}
