//! A connection for work that counts only once somebody takes over what it wrote.

use std::{cell::RefCell, rc::Rc};

use rusqlite::Connection;

use super::{
    bounds::Watch,
    connection::{self, Granted},
};
use crate::{
    error::SqlError,
    vfs::{Mount, Overlay},
};

/// Its page cache.
const CACHE_BYTES: usize = 8 << 20;

/// The connection, and what it has open.
pub(crate) struct Scratch {
    // Closed before what it reads from.
    connection: Connection,
    granted: Granted,
    _mount: Mount,
}

impl Scratch {
    /// Opens `main`; what runs in it is bounded by `watch`.
    pub(crate) fn open(main: Rc<RefCell<Overlay>>, watch: &Watch) -> Result<Self, SqlError> {
        let mount = Mount::new(main);
        let (mut connection, granted) = connection::open(&mount)?;
        watch.over(&mut connection)?;
        connection::set_up(&connection, CACHE_BYTES)?;
        Ok(Self { connection, granted, _mount: mount })
    }

    /// Attaches another one as `alias`, for as long as what is given lives.
    pub(crate) fn attach(&self, alias: &str, pages: Overlay) -> Result<Mount, SqlError> {
        let mount = Mount::new(Rc::new(RefCell::new(pages)));
        connection::attach(&self.connection, &self.granted, &mount, alias)?;
        Ok(mount)
    }

    /// What runs statements.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}
