//! A transaction that stays open between two commands of one client.
//!
//! It has the turn to itself: nobody else reads or writes the database meanwhile, since SQLite has one
//! connection to it. So it can't last: who says nothing for [`IDLE`], or takes longer than [`LIFE`], has
//! it rolled back. It is rolled back, too, when its client lets go of it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use craftec_api::{ApiError, ErrorCode};
use craftec_sql::{Ran, SqlError, Value};
use futures::lock::OwnedMutexGuard;

use super::{Own, watch::watch};
use crate::fault;

/// How long a client may say nothing: what a page computes between two statements, not what a person
/// does.
const IDLE: Duration = Duration::from_secs(5);
/// How long one may last.
const LIFE: Duration = Duration::from_secs(30);

/// The transaction.
pub(crate) struct Transaction {
    own: Rc<Own>,
    /// Nobody else's until it ends.
    turn: RefCell<Option<OwnedMutexGuard<()>>>,
    begun: Duration,
    /// When its client spoke last.
    spoke: Cell<Duration>,
}

impl Own {
    /// Begins a transaction, once nobody writes any more.
    pub(crate) async fn transaction(self: &Rc<Self>) -> Result<Rc<Transaction>, ApiError> {
        self.no_writer().await?;
        let turn = RefCell::new(Some(self.turn().await?));
        self.database.begin().map_err(fault::sql)?;
        let now = self.clock.monotonic();
        let own = self.clone();
        let transaction = Rc::new(Transaction { own, turn, begun: now, spoke: Cell::new(now) });
        watch(&self.clock, &transaction, Transaction::left);
        Ok(transaction)
    }
}

impl Transaction {
    /// How long it may still last; none once it has ended, which it does here.
    fn left(&self) -> Option<Duration> {
        self.turn.borrow().as_ref()?;
        let now = self.own.clock.monotonic();
        let left = (self.spoke.get() + IDLE).min(self.begun + LIFE).saturating_sub(now);
        if left.is_zero() {
            self.roll_back();
            return None;
        }
        Some(left)
    }

    /// Runs one statement in it.
    pub(crate) fn run(&self, sql: &str, params: &[Value]) -> Result<Ran, ApiError> {
        self.is_open()?;
        let ran = self.own.database.run_inside(sql, params, Some(self.own.limit));
        self.checked(ran)
    }

    /// Runs several.
    pub(crate) fn script(&self, sql: &str) -> Result<Ran, ApiError> {
        self.is_open()?;
        let ran = self.own.database.run_script_inside(sql, Some(self.own.limit));
        self.checked(ran)
    }

    /// Makes it durable.
    pub(crate) async fn commit(&self) -> Result<(), ApiError> {
        self.is_open()?;
        let committed = self.own.database.commit().await;
        if committed.is_err() {
            self.roll_back();
        }
        drop(self.turn.take());
        self.own.ring();
        committed.map_err(fault::sql)
    }

    /// Ends it: nothing of it happened.
    pub(crate) fn roll_back(&self) {
        // Whatever ended it before has let go of the turn.
        if let Some(turn) = self.turn.take() {
            if let Err(error) = self.own.database.roll_back() {
                tracing::warn!(%error, "a transaction could not be rolled back");
            }
            drop(turn);
        }
    }

    fn checked(&self, ran: Result<Ran, SqlError>) -> Result<Ran, ApiError> {
        // From now on: what a statement took is not its client's silence.
        self.spoke.set(self.own.clock.monotonic());
        if !self.own.database.is_in_transaction() {
            // SQLite gives up all of it where the disk fails; a statement may say ROLLBACK.
            self.roll_back();
        }
        ran.map_err(fault::sql)
    }

    fn is_open(&self) -> Result<(), ApiError> {
        if self.turn.borrow().is_some() {
            return Ok(());
        }
        let message = format!("The transaction on `{}` has ended.", self.own.name);
        let hint = format!(
            "Nothing of it happened. It may last {} seconds, and {} without a statement.",
            LIFE.as_secs(),
            IDLE.as_secs()
        );
        Err(ApiError::new(ErrorCode::Aborted, message).hint(hint))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.roll_back();
    }
}
