//! What can go wrong with a statement, by cause.

use std::time::Duration;

use craftec_core::{Cid, database::TableError};

use crate::{log::LogError, store::PageStoreError};

/// A statement or an operation on a database failed.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// SQLite says so: a wrong statement, a constraint, a database that is not one.
    #[error("{message}")]
    Sqlite {
        /// SQLite's extended result code.
        code: i32,
        /// What it says.
        message: String,
    },
    /// The result is longer than the handle takes.
    #[error("the result has more than {limit} bytes: ask for less of it, or raise the limit")]
    TooMuch {
        /// The handle's limit.
        limit: usize,
    },
    /// A statement ran for too long; nothing of it happened.
    #[error("the statement ran for longer than {limit:?} and was ended")]
    TooLong {
        /// The limit.
        limit: Duration,
    },
    /// A statement was ended by [`interrupt`](crate::Database::interrupt); nothing of it happened.
    #[error("the statement was ended")]
    Interrupted,
    /// Statements that began a transaction and did not end it.
    #[error("the statements leave a transaction open; it was rolled back")]
    LeftOpen,
    /// Something that only an encrypted database has.
    #[error("the database is not encrypted: only an encrypted one is shared")]
    NotEncrypted,
    /// So much was written while a statement read an older state that this state is gone.
    #[error("too much was written while the statement read an older state; ask again")]
    StateGone,
    /// A statement touches more pages than the reader's cache has room for.
    #[error("the statement needs more than the {cache_bytes} bytes of this reader's cache")]
    CacheTooSmall {
        /// Its size.
        cache_bytes: usize,
    },
    /// The database has more pages than the reader takes.
    #[error("the database has {pages} pages, this reader takes {limit}")]
    TooLarge {
        /// What its root claims.
        pages: u32,
        /// The limit.
        limit: u32,
    },
    /// Nobody has a block of the database that is needed.
    #[error("block {cid} of the database can't be had now; try again later")]
    Missing {
        /// The block.
        cid: Cid,
    },
    /// Whoever was asked gave other bytes than were asked for.
    #[error("wrong bytes were given for block {cid}")]
    WrongBytes {
        /// The block.
        cid: Cid,
    },
    /// Both sides of a merge changed what their rows are like.
    #[error("both sides changed the schema, each in its way")]
    Schemas,
    /// A table that both sides have and that is another on each; rows of it can't go over.
    #[error("the table `{table}` is not the same on both sides, and its rows were changed")]
    Unlike {
        /// Its name.
        table: String,
    },
    /// A merge that changes more than is held in memory for it.
    #[error("the merge changes more than {limit} bytes of pages")]
    LargeMerge {
        /// The limit.
        limit: usize,
    },
    /// The log of a database of this node.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A root or a node that is not one.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The store of its pages.
    #[error(transparent)]
    Store(#[from] PageStoreError),
}

impl SqlError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::StateGone => true,
            Self::Log(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            Self::Sqlite { code, .. } => matches!(code & 0xff, 5 | 6),
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => Self::Sqlite {
                code: failure.extended_code,
                message: message.unwrap_or_else(|| failure.to_string()),
            },
            rusqlite::Error::SqlInputError { error, msg, .. } => {
                Self::Sqlite { code: error.extended_code, message: msg }
            }
            // The binding's own: a wrong number of parameters, several statements in one.
            error => {
                Self::Sqlite { code: rusqlite::ffi::SQLITE_MISUSE, message: error.to_string() }
            }
        }
    }
}
