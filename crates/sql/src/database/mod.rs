//! Databases: a handle that runs SQL, takes snapshots and goes back to them.
//!
//! A [`Database`] is one that this node writes; a [`Reader`] is a snapshot of anybody's, whose pages
//! come when a statement touches them. Statements of a local database never wait: its methods are
//! asynchronous where the log may be compacted, since opening a file is, in a browser, and where a long
//! statement pauses ([`Slices`]).
//!
//! A handle belongs to the thread that opened it. Nothing here knows of heads or of the network.

mod aside;
mod bounds;
mod connection;
mod local;
mod reader;
mod scratch;

use futures::future::LocalBoxFuture;
use rusqlite::types::Value;

use crate::error::SqlError;

pub use aside::Aside;
pub use bounds::Slices;
pub(crate) use bounds::Watch;
pub(crate) use connection::quoted;
pub use connection::{Ran, Rows};
pub use local::{Database, DatabaseOptions, Other, State, Transaction};
pub use reader::{Fetched, Reader, ReaderOptions};
pub(crate) use scratch::Scratch;

/// Whatever runs SQL: for those who need a database and not this one.
pub trait Sql {
    /// Runs one statement and gives its rows.
    fn query<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<Rows, SqlError>>;

    /// Runs one statement and says how many rows it changed.
    fn execute<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<u64, SqlError>>;
}

impl Sql for Database {
    fn query<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<Rows, SqlError>> {
        Box::pin(self.query(sql, params))
    }

    fn execute<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<u64, SqlError>> {
        Box::pin(self.execute(sql, params))
    }
}

/// Plain SQLite, on whatever file it has open.
impl Sql for rusqlite::Connection {
    fn query<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<Rows, SqlError>> {
        Box::pin(async move {
            Ok(connection::query(self, sql, params, usize::MAX)?.unwrap_or_default())
        })
    }

    fn execute<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<u64, SqlError>> {
        Box::pin(async move { Ok(connection::execute(self, sql, params)?) })
    }
}
