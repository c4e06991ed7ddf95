//! What can go wrong between a node and its disk, by cause.

use std::io;

use craftec_core::{Cid, cbor::CborError};

/// A storage operation failed. Nothing of it took effect unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the browser's quota is exhausted. What was stored stays readable.
    #[error("no space left while {doing}: free some, or delete objects that are no longer needed")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// Another process or tab has the store open.
    #[error("the store is in use by another process or tab; close it and try again")]
    Busy,
    /// The disk returned other bytes than were stored. The block was dropped and counts as missing.
    #[error("the disk returned wrong bytes for {cid}; the block is gone and must be fetched again")]
    Rotten {
        /// The block that was lost.
        cid: Cid,
    },
    /// The index itself is damaged: what it says can't be trusted.
    #[error("the store's index is damaged ({reason}); restore it, or remove it and fetch again")]
    Corrupt {
        /// What was found.
        reason: String,
    },
    /// The store was written by a newer Craftec.
    #[error("the store has format {found}, this version reads up to {known}; update Craftec")]
    Newer {
        /// The format found.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// A value is longer than the store takes.
    #[error("{what} of {bytes} bytes is longer than the {limit} allowed")]
    TooLong {
        /// What kind of value.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk failed in some other way.
    #[error("the disk failed while {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the platform said.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy | Self::Io { .. })
    }

    pub(super) fn io(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing },
            io::ErrorKind::ResourceBusy => Self::Busy,
            _ => Self::Io { doing, source },
        }
    }

    pub(super) fn index(doing: &'static str, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(source) => match source.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    Self::Corrupt { reason: source.to_string() }
                }
                _ => Self::io(doing, source),
            },
            redb::Error::DatabaseAlreadyOpen => Self::Busy,
            error @ (redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::TransactionInProgress) => {
                Self::Io { doing, source: io::Error::other(error.to_string()) }
            }
            error => Self::Corrupt { reason: error.to_string() },
        }
    }

    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self::Corrupt { reason: reason.into() }
    }
}

impl From<CborError> for StoreError {
    fn from(error: CborError) -> Self {
        Self::damaged(error.to_string())
    }
}
