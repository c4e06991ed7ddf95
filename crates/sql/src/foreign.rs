//! Databases of this node for a SQLite that another program brings: SQLite's own tests.
//!
//! Such a program opens what is mounted by its name, with a connection that is not ours. Whoever mounts
//! says which file of the program is which database.

use std::{cell::RefCell, ffi::CStr, rc::Rc};

use craftec_platform::Folder;

use crate::{
    error::SqlError,
    log::{Log, LogOptions},
    vfs::{LocalPages, Mount, VFS_NAME, register},
};

/// Owners of the pages of a database that no connection has open: what holds it, and its mount.
const OWNERS: usize = 2;

/// Makes the VFS known to SQLite; its name there. SQLite's own code is what that failed with.
pub fn vfs() -> Result<&'static CStr, i32> {
    register().map(|()| VFS_NAME)
}

/// A database that any connection of this thread can open, as long as this lives.
pub struct Named {
    mount: Mount,
    pages: Rc<RefCell<LocalPages>>,
}

impl Named {
    /// Opens the log of `name` in `folder`, creating it if there is none.
    pub async fn open(folder: &dyn Folder, name: &str) -> Result<Self, SqlError> {
        let log = Log::open(folder, name, LogOptions::default()).await?;
        let pages = Rc::new(RefCell::new(LocalPages::new(log)));
        Ok(Self { mount: Mount::new(pages.clone()), pages })
    }

    /// What the VFS calls it.
    pub fn name(&self) -> &str {
        self.mount.name()
    }

    /// Whether a connection has it open.
    pub fn is_open(&self) -> bool {
        Rc::strong_count(&self.pages) > OWNERS
    }
}
