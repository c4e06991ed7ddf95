//! An open file: what each of SQLite's calls does, without anything of C.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use craftec_core::database::PAGE_BYTES;

use super::{
    Fault, Mounted, Paged,
    locks::{Level, Locks},
    mounted,
};
use crate::page::{Page, PageNo};

/// Longest file in memory: SQLite's temporary files.
const FLAT_BYTES: u64 = 1 << 30;

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(1) };
}

/// A file that SQLite has open.
pub(super) enum OpenFile {
    Main(Main),
    /// Temporary: gone when closed.
    Flat(Vec<u8>),
}

/// A main database.
pub(super) struct Main {
    pages: Rc<RefCell<dyn Paged>>,
    locks: Rc<RefCell<Locks>>,
    who: u64,
    level: Level,
}

/// What a `PRAGMA` that a file is asked about first comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// SQLite goes on with it.
    Pass,
    /// It is done, with this result.
    Said(&'static str),
}

impl OpenFile {
    /// The mounted database `name`.
    pub(super) fn main(name: &str) -> Option<Self> {
        let Mounted { pages, locks } = mounted(name)?;
        let who = NEXT.replace(NEXT.get() + 1);
        Some(Self::Main(Main { pages, locks, who, level: Level::None }))
    }

    pub(super) fn is_immutable(&self) -> bool {
        match self {
            Self::Main(main) => main.pages.try_borrow().is_ok_and(|pages| pages.is_immutable()),
            Self::Flat(_) => false,
        }
    }

    pub(super) fn is_main(&self) -> bool {
        matches!(self, Self::Main(_))
    }

    /// Fills as much of `out` as there is from `offset` on; how much.
    pub(super) fn read(&mut self, out: &mut [u8], offset: u64) -> Result<usize, Fault> {
        match self {
            Self::Main(main) => main.read(out, offset),
            Self::Flat(bytes) => {
                let from = usize::try_from(offset).map_err(|_| Fault::Io)?.min(bytes.len());
                let found = &bytes[from..bytes.len().min(from.saturating_add(out.len()))];
                out[..found.len()].copy_from_slice(found);
                Ok(found.len())
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        match self {
            Self::Main(main) => main.write(bytes, offset),
            Self::Flat(held) => {
                let end = offset.checked_add(bytes.len() as u64).ok_or(Fault::Full)?;
                if end > FLAT_BYTES {
                    return Err(Fault::Full);
                }
                let (from, end) = (offset as usize, end as usize);
                held.resize(held.len().max(end), 0);
                held[from..end].copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn truncate(&mut self, bytes: u64) -> Result<(), Fault> {
        match self {
            Self::Main(main) => {
                let pages = bytes.div_ceil(PAGE_BYTES as u64);
                let pages = u32::try_from(pages).map_err(|_| Fault::Full)?;
                main.pages()?.set_pages(pages)
            }
            Self::Flat(held) => {
                held.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
                Ok(())
            }
        }
    }

    pub(super) fn bytes(&self) -> Result<u64, Fault> {
        match self {
            Self::Main(main) => Ok(u64::from(main.pages()?.pages()) * PAGE_BYTES as u64),
            Self::Flat(held) => Ok(held.len() as u64),
        }
    }

    /// Makes durable what was written. A commit that SQLite hands over in one piece comes here too.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        match self {
            Self::Main(main) => {
                let mut pages = main.pages()?;
                let committed = pages.commit();
                // SQLite tries again, page by page, after an I/O error only.
                if committed == Err(Fault::Full) {
                    pages.rollback();
                }
                committed
            }
            Self::Flat(_) => Ok(()),
        }
    }

    pub(super) fn lock(&mut self, level: i32) -> Result<(), Fault> {
        let Self::Main(main) = self else { return Ok(()) };
        let wanted = Level::of(level);
        if main.level >= wanted {
            return Ok(());
        }
        let mut locks = main.locks.try_borrow_mut().map_err(|_| Fault::Busy)?;
        main.level = locks.raise(main.who, main.level, wanted);
        if main.level < wanted { Err(Fault::Busy) } else { Ok(()) }
    }

    pub(super) fn unlock(&mut self, level: i32) -> Result<(), Fault> {
        let Self::Main(main) = self else { return Ok(()) };
        let wanted = Level::of(level);
        if main.level <= wanted {
            return Ok(());
        }
        if main.level > Level::Shared {
            // Whatever the writer leaves uncommitted was rolled back, or is to be.
            main.pages()?.rollback();
        }
        let mut locks = main.locks.try_borrow_mut().map_err(|_| Fault::Busy)?;
        locks.lower(main.who, main.level, wanted);
        drop(locks);
        main.level = wanted;
        Ok(())
    }

    pub(super) fn is_reserved(&self) -> bool {
        match self {
            Self::Main(main) => main.locks.try_borrow().is_ok_and(|locks| locks.is_reserved()),
            Self::Flat(_) => false,
        }
    }

    /// Answers a `PRAGMA` of what is pinned here as SQLite does for what can't be changed: with the
    /// value that stays.
    pub(super) fn pragma(&self, name: &str, value: Option<&str>) -> Answer {
        let (Self::Main(_), Some(value)) = (self, value) else { return Answer::Pass };
        let value = value.to_ascii_lowercase();
        let pinned: [(&str, &[&str], &'static str); 4] = [
            ("journal_mode", &["memory"], "memory"),
            ("page_size", &["4096"], ""),
            ("locking_mode", &["normal"], "normal"),
            ("synchronous", &["full", "2"], ""),
        ];
        for (pragma, passes, stays) in pinned {
            if name.eq_ignore_ascii_case(pragma) && !passes.contains(&value.as_str()) {
                return Answer::Said(stays);
            }
        }
        Answer::Pass
    }
}

impl Main {
    fn pages(&self) -> Result<std::cell::RefMut<'_, dyn Paged + 'static>, Fault> {
        // Borrowed elsewhere only while SQLite does not run.
        self.pages.try_borrow_mut().map_err(|_| Fault::Busy)
    }

    fn read(&mut self, out: &mut [u8], offset: u64) -> Result<usize, Fault> {
        let mut pages = self.pages()?;
        let end = u64::from(pages.pages()) * PAGE_BYTES as u64;
        let wanted = end.saturating_sub(offset).min(out.len() as u64) as usize;
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let page = PageNo::at(at).ok_or(Fault::Io)?;
            let within = (at % PAGE_BYTES as u64) as usize;
            let part = (PAGE_BYTES - within).min(wanted - done);
            let out = &mut out[done..done + part];
            match <&mut Page>::try_from(&mut *out) {
                Ok(whole) => pages.read(page, whole)?,
                Err(_) => {
                    let mut whole = [0; PAGE_BYTES];
                    pages.read(page, &mut whole)?;
                    out.copy_from_slice(&whole[within..within + part]);
                }
            }
            done += part;
        }
        Ok(done)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        // Pages of another size, which a hostile header may claim, are nothing that can be stored.
        let (Ok(bytes), true) =
            (<&Page>::try_from(bytes), offset.is_multiple_of(PAGE_BYTES as u64))
        else {
            return Err(Fault::ReadOnly);
        };
        let page = PageNo::at(offset).ok_or(Fault::Full)?;
        self.pages()?.write(page, bytes)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // Unlocking fails only where somebody else holds a borrow, who outlives this.
        let _ = self.unlock(0);
    }
}
