//! A connection for work that counts only once somebody takes over what it wrote.

use std::{cell::RefCell, rc::Rc, time::Duration};

use rusqlite::Connection;

use super::{
    bounds::{Watch, told},
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
    watch: Watch,
    _mount: Mount,
}

impl Scratch {
    /// Opens `main`.
    pub(crate) fn open(main: Rc<RefCell<Overlay>>) -> Result<Self, SqlError> {
        let mount = Mount::new(main);
        let (mut connection, granted) = connection::open(&mount)?;
        let watch = Watch::over(&mut connection)?;
        connection::set_up(&connection, CACHE_BYTES)?;
        Ok(Self { connection, granted, watch, _mount: mount })
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

    /// Runs `work`, for at most `limit`.
    pub(crate) fn within<T>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce() -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let (done, _) = self.watch.within(limit, work);
        done.map_err(|error| told(error, limit))
    }
}
