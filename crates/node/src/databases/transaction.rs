//! A transaction that stays open between two commands of one client.
//!
//! It has the turn to itself: nobody else writes the database meanwhile, and who reads it sees what was
//! committed before. So it can't last: who says nothing for [`IDLE`], or takes longer than [`LIFE`], has
//! it rolled back. It is rolled back, too, when its client lets go of it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use craftec_api::{ApiError, ErrorCode};
use craftec_sql::{Ran, Value};
use futures::lock::{Mutex, MutexGuard, OwnedMutexGuard};

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
    /// Held while a statement of it runs: it may pause, and the next must wait.
    speaking: Mutex<()>,
    /// Its client wants nothing of it.
    is_given_up: Cell<bool>,
}

impl Own {
    /// Begins a transaction, once nobody writes any more.
    pub(crate) async fn transaction(self: &Rc<Self>) -> Result<Rc<Transaction>, ApiError> {
        self.no_writer().await?;
        let turn = RefCell::new(Some(self.turn().await?));
        self.database.begin().map_err(fault::sql)?;
        let now = self.clock.monotonic();
        let own = self.clone();
        let transaction = Rc::new(Transaction {
            own,
            turn,
            begun: now,
            spoke: Cell::new(now),
            speaking: Mutex::default(),
            is_given_up: Cell::default(),
        });
        watch(&self.clock, &transaction, Transaction::left);
        Ok(transaction)
    }
}

impl Transaction {
    /// How long it may still last; none once it has ended, which it does here.
    fn left(&self) -> Option<Duration> {
        self.turn.borrow().as_ref()?;
        if self.speaking.try_lock().is_none() {
            // It has a limit of its own.
            return Some(IDLE);
        }
        let now = self.own.clock.monotonic();
        let left = (self.spoke.get() + IDLE).min(self.begun + LIFE).saturating_sub(now);
        if left.is_zero() {
            self.roll_back();
            return None;
        }
        Some(left)
    }

    /// Runs one statement in it.
    pub(crate) async fn run(&self, sql: &str, params: &[Value]) -> Result<Ran, ApiError> {
        let _speaking = self.speak().await?;
        let ran = self.own.database.run_inside(sql, params, Some(self.own.limit)).await;
        ran.map_err(fault::sql)
    }

    /// Runs several.
    pub(crate) async fn script(&self, sql: &str) -> Result<Ran, ApiError> {
        let _speaking = self.speak().await?;
        let ran = self.own.database.run_script_inside(sql, Some(self.own.limit)).await;
        ran.map_err(fault::sql)
    }

    /// Makes it durable.
    pub(crate) async fn commit(&self) -> Result<(), ApiError> {
        let _speaking = self.speak().await?;
        let committed = self.own.database.commit().await;
        if committed.is_err() {
            self.roll_back();
        }
        drop(self.turn.take());
        self.own.ring();
        committed.map_err(fault::sql)
    }

    /// Ends it, and what runs in it: nothing of it happened.
    pub(crate) async fn give_up(&self) {
        self.is_given_up.set(true);
        if self.speaking.try_lock().is_none() {
            self.own.database.interrupt();
        }
        let _nobody_speaks = self.speaking.lock().await;
        self.roll_back();
    }

    /// Ends it. No statement of it may run.
    fn roll_back(&self) {
        // Whatever ended it before has let go of the turn.
        if let Some(turn) = self.turn.take() {
            if let Err(error) = self.own.database.roll_back() {
                tracing::warn!(%error, "a transaction could not be rolled back");
            }
            drop(turn);
        }
    }

    /// The turn to run a statement in it.
    async fn speak(&self) -> Result<Speaking<'_>, ApiError> {
        let held = self.speaking.lock().await;
        self.is_open()?;
        Ok(Speaking { transaction: self, _held: held })
    }

    fn is_open(&self) -> Result<(), ApiError> {
        if self.turn.borrow().is_some() && !self.is_given_up.get() {
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

/// A statement of a transaction runs, for as long as this lives; its client may let go of it.
struct Speaking<'t> {
    transaction: &'t Transaction,
    _held: MutexGuard<'t, ()>,
}

impl Drop for Speaking<'_> {
    fn drop(&mut self) {
        let Transaction { own, spoke, .. } = self.transaction;
        // From now on: what a statement took is not its client's silence.
        spoke.set(own.clock.monotonic());
        if !own.database.is_in_transaction() {
            // SQLite gives up all of it where the disk fails or a writing statement is interrupted; a
            // statement may say ROLLBACK.
            self.transaction.roll_back();
        }
    }
}
