//! What a session has open, by number. Bounded, so that a client that never closes runs into an
//! error of its own and into nobody else.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use craftec_api::{ApiError, ErrorCode};
use craftec_obj::objects::{FilePut, FolderPut, Put};
use futures::lock::Mutex;

use super::{
    read::Reader,
    sql::{OpenDatabase, Rows},
};
use crate::backup::Restore;

/// Handles that a session may have open: one per file of a page that loads, many times over.
const HANDLES: usize = 1024;
/// Of these, uploads: each holds up to 8 MiB.
const UPLOADS: usize = 32;
/// Of these, databases: each may hold a page cache.
const DATABASES: usize = 32;
/// Of these, results of statements: each holds up to 16 MiB.
const RESULTS: usize = 8;

/// Something open.
pub(super) enum Handle {
    /// An object that is being put.
    Put {
        /// The object.
        put: Put,
        /// Copies wanted.
        wanted: u16,
        /// Pieces per hundred source pieces where it is to be coded.
        percent: u16,
        /// The name to list it under.
        name: Option<String>,
    },
    /// A folder that is being put.
    Folder(FolderPut),
    /// A file of a folder that is being put.
    File {
        /// The folder's handle.
        folder: u64,
        /// The file.
        put: FilePut,
    },
    /// A backup that is being taken in.
    Restore(Box<Restore>),
    /// Content that is being read. Locked, because a read waits for the network.
    Read(Rc<Mutex<Reader>>),
    /// A database.
    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "there are none"))]
    Database(OpenDatabase),
    /// An SQLite file that is being taken in.
    #[cfg(feature = "sql")]
    Import(Rc<crate::databases::Import>),
    /// A transaction on a database.
    #[cfg(feature = "sql")]
    Transaction(Rc<crate::databases::Transaction>),
    /// Rows of a result that were not asked for yet.
    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "there are none"))]
    Rows(Rows),
}

/// The handles of one session.
#[derive(Default)]
pub(super) struct Handles {
    open: RefCell<BTreeMap<u64, Handle>>,
    last: Cell<u64>,
}

impl Handles {
    /// Takes a handle in.
    pub(super) fn add(&self, handle: Handle) -> Result<u64, ApiError> {
        let mut open = self.open.borrow_mut();
        let is_upload = |handle: &Handle| {
            use Handle::{File, Folder, Put, Restore};
            matches!(handle, Put { .. } | Folder(_) | File { .. } | Restore(_))
        };
        let is_database = |handle: &Handle| matches!(handle, Handle::Database(_));
        let is_result = |handle: &Handle| matches!(handle, Handle::Rows(_));
        let full = |what: &str, limit: usize| {
            let message = format!("{limit} {what} are open in this session, which is the most.");
            let mut error =
                ApiError::new(ErrorCode::Full, message).hint("Close one of them first.");
            error.retryable = true;
            error
        };
        if open.len() >= HANDLES {
            return Err(full("handles", HANDLES));
        }
        let has = |is: &dyn Fn(&Handle) -> bool, most: usize| {
            is(&handle) && open.values().filter(|open| is(open)).count() >= most
        };
        if has(&is_upload, UPLOADS) {
            return Err(full("uploads", UPLOADS));
        }
        if has(&is_database, DATABASES) {
            return Err(full("databases", DATABASES));
        }
        if has(&is_result, RESULTS) {
            return Err(full("results of statements", RESULTS));
        }
        let id = self.last.get() + 1;
        self.last.set(id);
        open.insert(id, handle);
        Ok(id)
    }

    /// Takes a handle out.
    pub(super) fn remove(&self, id: u64) -> Result<Handle, ApiError> {
        self.open.borrow_mut().remove(&id).ok_or_else(|| unknown(id))
    }

    /// Uses a handle where it is.
    pub(super) fn with<T>(
        &self,
        id: u64,
        act: impl FnOnce(&mut Handle) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        match self.open.borrow_mut().get_mut(&id) {
            Some(handle) => act(handle),
            None => Err(unknown(id)),
        }
    }

    /// Drops the files of a folder that ended.
    pub(super) fn drop_files(&self, ended: u64) {
        let files =
            |handle: &Handle| matches!(handle, Handle::File { folder, .. } if *folder == ended);
        self.open.borrow_mut().retain(|_, handle| !files(handle));
    }
}

fn unknown(id: u64) -> ApiError {
    let message = format!("Handle {id} is not open in this session.");
    ApiError::new(ErrorCode::NotFound, message)
        .hint("It was closed, or belongs to another session.")
}

/// A handle of another kind than the command needs.
pub(super) fn other_kind(id: u64, needed: &str) -> ApiError {
    ApiError::new(ErrorCode::BadInput, format!("Handle {id} is not {needed}."))
}
