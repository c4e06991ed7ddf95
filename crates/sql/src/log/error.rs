//! What can go wrong between a database and its log, by cause.

use std::io;

use craftec_core::{Cid, database::TableError};

/// A log operation failed. Nothing of it took effect unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk or the browser's quota is exhausted. What was committed stays readable.
    #[error("no space left while {doing}: free some, or drop snapshots that are no longer needed")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// The database is open elsewhere.
    #[error("the database is in use by another handle, process or tab; close it and try again")]
    Busy,
    /// The disk returned other bytes than were written.
    #[error(
        "the disk returned wrong bytes for {cid}; restore a snapshot, or fetch the block again"
    )]
    Rotten {
        /// The page or node.
        cid: Cid,
    },
    /// The log itself is damaged where it was acknowledged.
    #[error("the log of the database is damaged: {reason}")]
    Corrupt {
        /// What was found.
        reason: String,
    },
    /// Written by a newer Craftec.
    #[error("the log has format {found}, this version reads up to {known}; update Craftec")]
    Newer {
        /// The format found.
        found: u16,
        /// The newest format known here.
        known: u16,
    },
    /// Not while a transaction is open.
    #[error("a transaction is open: commit it or roll it back first")]
    Transaction,
    /// Pages that another program made, and that are no database as it is kept here.
    #[error("the pages to commit are not a database that can be kept here: they have {reason}")]
    Foreign {
        /// What they have.
        reason: String,
    },
    /// Pages without room for encryption in a database that is encrypted.
    #[error("this state is not encrypted and the database is: its pages have no room for that")]
    NoRoom,
    /// A root that is not kept here.
    #[error("snapshot {root} is not kept here")]
    NoSuchRoot {
        /// The root.
        root: Cid,
    },
    /// A name that snapshots can't have.
    #[error("`{0}` is not a name: 1 to 255 bytes without control characters")]
    Name(String),
    /// A root or node here is not what it should be.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The disk failed in some other way.
    #[error("the disk failed while {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the platform said.
        source: io::Error,
    },
}

impl LogError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy | Self::Io { .. })
    }

    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing },
            io::ErrorKind::ResourceBusy => Self::Busy,
            _ => Self::Io { doing, source },
        }
    }

    pub(crate) fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt { reason: reason.into() }
    }
}
