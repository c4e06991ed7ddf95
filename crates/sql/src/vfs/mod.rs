//! What `craftec-pager` makes of SQLite's files, for the databases of this crate: pages of a [`Paged`],
//! whose durability is theirs. A transaction that outgrows SQLite's cache writes pages before it commits;
//! those wait in the [`Paged`] until the commit, or are dropped.
//!
//! A file's name means something only in the thread that mounted it: SQLite knows no host path, no
//! other VFS is reachable by name (see `database::connection`), and two databases meet only where a
//! handle attaches one to the other.

mod ffi;
mod file;
mod host;
mod local;
mod locks;
mod overlay;
mod pinned;
mod remote;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ffi::CStr,
    rc::Rc,
};

use craftec_pager::Fault;

use crate::page::{Page, PageNo};

pub(crate) use ffi::{register, reserve};
pub(crate) use local::LocalPages;
use locks::Locks;
pub(crate) use overlay::{Overlay, Written};
pub(crate) use pinned::Pinned;
pub(crate) use remote::RemotePages;

/// Name of the VFS.
pub(crate) const VFS_NAME: &CStr = c"craft";

/// Pages of one database, as SQLite's pager sees them: by default they are only read.
pub(crate) trait Paged {
    /// How many there are.
    fn pages(&self) -> u32;
    /// Reads one; zeros where it was never written.
    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault>;
    /// Writes one, for the next commit.
    fn write(&mut self, _page: PageNo, _bytes: &Page) -> Result<(), Fault> {
        Err(Fault::ReadOnly)
    }
    /// Cuts or grows, for the next commit.
    fn set_pages(&mut self, _pages: u32) -> Result<(), Fault> {
        Err(Fault::ReadOnly)
    }
    /// Makes what was written durable, as one.
    fn commit(&mut self) -> Result<(), Fault> {
        Ok(())
    }
    /// Forgets what was not committed.
    fn rollback(&mut self) {}
    /// Whether it can't be written, ever: then nobody locks it either.
    fn is_immutable(&self) -> bool {
        true
    }
}

/// A database that SQLite can open by name in this thread.
#[derive(Clone)]
struct Mounted {
    pages: Rc<RefCell<dyn Paged>>,
    locks: Rc<RefCell<Locks>>,
}

thread_local! {
    static MOUNTED: RefCell<HashMap<String, Mounted>> = RefCell::default();
    static NEXT: Cell<u64> = const { Cell::new(1) };
}

/// A mounted database; unmounted when dropped. Connections that are open stay usable.
pub(crate) struct Mount(String);

impl Mount {
    /// Makes `pages` openable.
    pub(crate) fn new(pages: Rc<RefCell<dyn Paged>>) -> Self {
        let number = NEXT.replace(NEXT.get() + 1);
        let name = format!("craft-{number}");
        let mounted = Mounted { pages, locks: Rc::default() };
        MOUNTED.with_borrow_mut(|all| all.insert(name.clone(), mounted));
        Self(name)
    }

    /// What SQLite calls it.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Whether a connection reads or writes it right now.
    pub(crate) fn is_locked(&self) -> bool {
        mounted(&self.0).is_some_and(|it| it.locks.try_borrow().is_ok_and(|locks| locks.any()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The last owner of a database may go with it, and closes files: not inside the borrow.
        let gone = MOUNTED.try_with(|all| all.borrow_mut().remove(&self.0));
        drop(gone);
    }
}

fn mounted(name: &str) -> Option<Mounted> {
    MOUNTED.with_borrow(|all| all.get(name).cloned())
}
