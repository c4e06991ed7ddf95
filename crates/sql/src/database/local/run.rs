//! What runs for somebody who asks from outside: with a limit of time, and never with a transaction
//! that stays open between two calls, in which the next asker would find itself; unless it was begun so,
//! by who sees to it that nobody else asks meanwhile.

use std::time::Duration;

use craftec_core::Cid;
use rusqlite::types::Value;

use super::Database;
use crate::{
    database::{
        Aside, Ran,
        connection::{self, Guarded},
    },
    error::SqlError,
    page::Digest,
};

impl Database {
    /// Runs one statement within `limit` of computing: its rows, what it changed. Nobody else may use this
    /// handle before it has returned.
    pub async fn run(
        &self,
        sql: &str,
        params: &[Value],
        limit: Option<Duration>,
    ) -> Result<Ran, SqlError> {
        let _closing = Closing(self);
        let ran = self.run_inside(sql, params, limit).await;
        let ended = self.end_transaction();
        let ran = ran?;
        ended?;
        self.compact_if_wanted().await;
        Ok(ran)
    }

    /// Runs several statements, separated by semicolons, within `limit`. Those before one that fails stay
    /// done, unless they are in a transaction of theirs.
    pub async fn run_script(&self, sql: &str, limit: Option<Duration>) -> Result<Ran, SqlError> {
        let _closing = Closing(self);
        let ran = self.run_script_inside(sql, limit).await;
        let ended = self.end_transaction();
        let ran = ran?;
        ended?;
        self.compact_if_wanted().await;
        Ok(ran)
    }

    /// Runs statements as one transaction, all of them within `limit`; if one fails, nothing of them
    /// happened. What each changed, and what came of all.
    pub async fn run_transaction(
        &self,
        statements: Vec<(String, Vec<Value>)>,
        limit: Option<Duration>,
    ) -> Result<(Vec<u64>, Ran), SqlError> {
        let _closing = Closing(self);
        let before = self.connection.total_changes();
        let connection = self.connection.clone();
        let work = move || -> rusqlite::Result<Vec<u64>> {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut each = Vec::with_capacity(statements.len());
            for (sql, params) in &statements {
                each.push(connection::execute(&connection, sql, params)?);
            }
            if connection.is_autocommit() {
                return Err(connection::misuse("a statement ended the transaction"));
            }
            connection.execute_batch("COMMIT")?;
            Ok(each)
        };
        let (each, _) = self.watch.run(limit, work).await;
        let each = self.said(each).map_err(|error| self.watch.told(error, limit));
        // After a failure it is still open.
        let ended = self.end_transaction();
        let each = each?;
        ended?;
        self.compact_if_wanted().await;
        Ok((each, self.changed_since(before)))
    }

    /// Opens what was committed last, to be read while something runs in this handle or a transaction is
    /// open in it.
    pub fn aside(&self) -> Result<Aside, SqlError> {
        let Self { pages, options, .. } = self;
        Aside::open(pages.clone(), options.slices.clone(), options.result_bytes)
    }

    /// Ends what runs in this handle, which then fails as [`SqlError::Interrupted`].
    pub fn interrupt(&self) {
        self.watch.stop();
    }

    /// Begins a transaction that lasts over several calls, until [`Self::commit`] or [`Self::roll_back`].
    pub fn begin(&self) -> Result<(), SqlError> {
        self.said(self.connection.execute_batch("BEGIN IMMEDIATE"))
    }

    /// Whether one is open.
    pub fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Runs one statement in the open transaction, within `limit`.
    pub async fn run_inside(
        &self,
        sql: &str,
        params: &[Value],
        limit: Option<Duration>,
    ) -> Result<Ran, SqlError> {
        let guarded = Guarded { limit: self.options.result_bytes, read_only: false };
        let (connection, sql, params) = (self.connection.clone(), sql.to_owned(), params.to_vec());
        let work = move || connection::run(&connection, &sql, &params, guarded);
        let (ran, _) = self.watch.run(limit, work).await;
        ran.map_err(|error| self.watch.told(self.explained(error), limit))
    }

    /// Runs several.
    pub async fn run_script_inside(
        &self,
        sql: &str,
        limit: Option<Duration>,
    ) -> Result<Ran, SqlError> {
        let before = self.connection.total_changes();
        let (connection, sql) = (self.connection.clone(), sql.to_owned());
        let (ran, _) = self.watch.run(limit, move || connection.execute_batch(&sql)).await;
        self.said(ran).map_err(|error| self.watch.told(error, limit))?;
        Ok(self.changed_since(before))
    }

    /// Makes the open transaction durable. After an error it is still open.
    pub async fn commit(&self) -> Result<(), SqlError> {
        self.said(self.connection.execute_batch("COMMIT"))?;
        self.compact_if_wanted().await;
        Ok(())
    }

    /// Drops it, if one is open.
    pub fn roll_back(&self) -> Result<(), SqlError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.said(self.connection.execute_batch("ROLLBACK"))
    }

    /// Whether `sql` may write, as far as that can be said before it runs.
    pub fn may_write(&self, sql: &str) -> bool {
        self.connection.prepare_cached(sql).is_ok_and(|statement| !statement.readonly())
    }

    /// CIDs of the pages as the last commit left them, in order; none for one of zeros. One after the
    /// other, they are an ordinary SQLite file.
    pub fn page_cids(&self) -> Vec<Option<Cid>> {
        let pages = self.pages.borrow();
        pages.log.digests().iter().map(|digest| digest.as_ref().map(Digest::cid)).collect()
    }

    fn changed_since(&self, before: u64) -> Ran {
        let connection = &self.connection;
        let changes = connection.total_changes().saturating_sub(before);
        Ran { rows: super::Rows::default(), changes, last_rowid: connection.last_insert_rowid() }
    }

    /// Rolls back what was left open, and says so.
    fn end_transaction(&self) -> Result<(), SqlError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.roll_back()?;
        Err(SqlError::LeftOpen)
    }
}

/// Takes back what a statement left open whose asker has gone.
struct Closing<'d>(&'d Database);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // What can't be taken back now is, when the log is opened next.
        drop(self.0.roll_back());
    }
}
