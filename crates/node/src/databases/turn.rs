//! Who may use a database of this node now: a statement, a script, a transaction or a merge has it to itself,
//! also while it pauses.

use std::time::Duration;

use craftec_api::{ApiError, ErrorCode};
use craftec_platform::timeout;
use futures::lock::OwnedMutexGuard;

use super::Own;

/// How long somebody waits for the turn: longer than most statements take.
pub(super) const WAITED: Duration = Duration::from_secs(5);

impl Own {
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
