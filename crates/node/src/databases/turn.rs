//! Who may use a database of this node now: a statement, a script, a transaction or a merge has it to itself,
//! also while it pauses. Who only reads does not wait for long: it reads what was committed last.

use std::{cell::Cell, time::Duration};

use craftec_api::{ApiError, ErrorCode};
use craftec_platform::timeout;
use craftec_sql::Aside;
use futures::{
    future::{Either, select},
    lock::OwnedMutexGuard,
};

use super::Own;
use crate::fault;

/// How long somebody waits for the turn: longer than most statements take.
pub(super) const WAITED: Duration = Duration::from_secs(5);

/// How long who only reads waits for the turn: whoever asks after a short statement sees what that wrote,
/// whether it waited for the answer or not.
const SOON: Duration = Duration::from_millis(100);
/// States that are read beside what others do, of one database: each has a page cache of its own.
const ASIDE: usize = 8;

/// Who may go on.
pub(super) enum Next<'o> {
    /// It has the database to itself.
    Turn(OwnedMutexGuard<()>),
    /// Somebody else has, and what was committed last is read beside.
    Aside(Aside, Counted<'o>),
}

/// Counts what is read aside, down when it is dropped.
pub(super) struct Counted<'o>(&'o Cell<usize>);

impl<'o> Counted<'o> {
    fn new(count: &'o Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Own {
    /// The turn for a statement; where that takes long and it only reads, it need not wait.
    pub(super) async fn turn_or_aside(&self, sql: &str) -> Result<Next<'_>, ApiError> {
        let turn = Box::pin(self.turn());
        let waiting = match select(turn, self.clock.sleep(SOON)).await {
            Either::Left((turn, _)) => return turn.map(Next::Turn),
            Either::Right(((), waiting)) => waiting,
        };
        if self.asides.get() < ASIDE {
            let counted = Counted::new(&self.asides);
            let aside = self.database.aside().map_err(fault::sql)?;
            if aside.reads(sql) {
                return Ok(Next::Aside(aside, counted));
            }
        }
        waiting.await.map(Next::Turn)
    }

    /// The turn to use the database. A transaction of somebody else may have it, for longer than a statement
    /// takes.
    pub(crate) async fn turn(&self) -> Result<OwnedMutexGuard<()>, ApiError> {
        self.turn_within(WAITED).await
    }

    /// The same for what follows from something that others see already: it waits for a long statement, too.
    pub(crate) async fn turn_at_last(&self) -> Result<OwnedMutexGuard<()>, ApiError> {
        self.turn_within(self.limit + WAITED).await
    }

    async fn turn_within(&self, limit: Duration) -> Result<OwnedMutexGuard<()>, ApiError> {
        let turn = self.turn.clone().lock_owned();
        timeout(&*self.clock, limit, turn).await.map_err(|_| self.is_busy("Somebody else is using"))
    }

    /// Who does `what` goes before.
    pub(super) fn is_busy(&self, what: &str) -> ApiError {
        let message = format!("{what} the database `{}`.", self.name);
        let mut busy = ApiError::new(ErrorCode::Refused, message)
            .hint("Nothing was changed. End its statement or transaction, or try again.");
        busy.retryable = true;
        busy
    }

    /// The turn to change the database, once no client is about to.
    pub(super) async fn write(&self) -> Result<Using<'_>, ApiError> {
        self.no_writer().await?;
        Ok(Using::new(self, self.turn().await?))
    }
}

/// Somebody has the turn to use a database; when it ends, also because its asker has gone, those who wait for
/// a change are told if there is one.
pub(super) struct Using<'o> {
    own: &'o Own,
    _turn: OwnedMutexGuard<()>,
}

impl<'o> Using<'o> {
    pub(super) fn new(own: &'o Own, turn: OwnedMutexGuard<()>) -> Self {
        Self { own, _turn: turn }
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.own.ring();
    }
}
