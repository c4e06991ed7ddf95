//! How long a statement may run.
//!
//! SQLite runs on the thread of whoever asks, so a statement without an end would hold everything up.
//! It is asked between instructions whether it has run long enough, and then ends as if interrupted:
//! nothing of it happened.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use web_time::Instant;

use crate::error::SqlError;

/// Instructions between two looks at the time: some tens of microseconds.
const INSTRUCTIONS: i32 = 1000;

/// When the statement that runs must have ended; none while there is no limit.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Option<Instant>>>);

impl Watch {
    /// Watches what `connection` runs from now on.
    pub(super) fn over(connection: &mut Connection) -> rusqlite::Result<Self> {
        let watch = Self::default();
        let seen = watch.clone();
        connection.progress_handler(INSTRUCTIONS, Some(move || seen.is_over()))?;
        Ok(watch)
    }

    fn is_over(&self) -> bool {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.is_some_and(|end| Instant::now() >= end)
    }

    /// Runs `work`, which is ended after `limit`; the time that it took.
    pub(super) fn within<T>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce() -> T,
    ) -> (T, Duration) {
        let start = Instant::now();
        let set = |end| *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
        set(limit.map(|limit| start + limit));
        let done = work();
        set(None);
        (done, start.elapsed())
    }
}

/// SQLite's word for what was interrupted, told as what it is.
pub(super) fn told(error: SqlError, limit: Option<Duration>) -> SqlError {
    match (&error, limit) {
        (SqlError::Sqlite { code, .. }, Some(limit))
            if code & 0xff == rusqlite::ffi::SQLITE_INTERRUPT =>
        {
            SqlError::TooLong { limit }
        }
        _ => error,
    }
}
