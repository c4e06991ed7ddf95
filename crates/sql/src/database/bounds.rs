//! How long a statement may run, and how long at one go.
//!
//! SQLite runs on the thread of whoever asks, so a statement without an end would hold everything up.
//! It is asked between instructions whether it has run long enough, and then ends as if interrupted:
//! nothing of it happened. Natively it can also pause there, and let others have the thread.

use std::{
    fmt,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use craftec_platform::{Clock, Fiber, Pause};
use rusqlite::Connection;
use web_time::Instant;

use crate::error::SqlError;

/// Instructions between two looks at the time: some tens of microseconds.
const INSTRUCTIONS: i32 = 1000;

/// More than taking back takes.
const TO_THE_END: Duration = Duration::from_secs(3600);

/// Lets long statements pause, where a platform can: in a tab they run to their end.
#[derive(Clone)]
pub struct Slices {
    /// Whose other tasks go on meanwhile.
    pub clock: Rc<dyn Clock>,
    /// How long a statement computes at one go.
    pub each: Duration,
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slices({:?})", self.each)
    }
}

/// What the handler looks at.
#[derive(Default)]
struct Bounds {
    /// When what runs must have ended; none while there is no limit.
    end: Option<Instant>,
    /// What runs must end at once, or did.
    is_stopped: bool,
    /// Something runs, or is paused.
    is_running: bool,
}

/// Bounds what a connection runs.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    bounds: Arc<Mutex<Bounds>>,
    pause: Pause,
    slices: Option<Slices>,
}

impl Watch {
    /// One that watches nothing yet.
    pub(crate) fn new(slices: Option<Slices>) -> Self {
        Self { slices, ..Self::default() }
    }

    /// Watches what `connection` runs from now on.
    pub(crate) fn over(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let (bounds, pause) = (self.bounds.clone(), self.pause.clone());
        let must_end = move || {
            // SQLite calls this between two instructions, when it is in no call of ours: no store is
            // borrowed.
            pause.when_due();
            let bounds = bounds.lock().unwrap_or_else(PoisonError::into_inner);
            let is_late = || bounds.end.is_some_and(|end| Instant::now() >= end);
            bounds.is_running && (bounds.is_stopped || is_late())
        };
        connection.progress_handler(INSTRUCTIONS, Some(must_end))
    }

    /// Ends what runs; nothing, if nothing does.
    pub(crate) fn stop(&self) {
        self.set(|bounds| bounds.is_stopped = true);
    }

    /// SQLite's word for what was interrupted, told as what it is.
    pub(crate) fn told(&self, error: SqlError, limit: Option<Duration>) -> SqlError {
        let SqlError::Sqlite { code, .. } = &error else { return error };
        if code & 0xff != rusqlite::ffi::SQLITE_INTERRUPT {
            return error;
        }
        let is_stopped = self.bounds.lock().unwrap_or_else(PoisonError::into_inner).is_stopped;
        match limit {
            _ if is_stopped => SqlError::Interrupted,
            Some(limit) => SqlError::TooLong { limit },
            None => error,
        }
    }

    /// Whether something runs, or is paused: then nothing may be asked of the connection.
    pub(crate) fn is_running(&self) -> bool {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).is_running
    }

    /// Runs `work`, which is ended once it has computed for `limit`; the time that it took. Where it
    /// pauses, nobody else may use the connection before this has returned. If nobody waits for it any
    /// more it ends as if it had been interrupted.
    pub(crate) async fn run<T: 'static>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce() -> T + 'static,
    ) -> (T, Duration) {
        let mut took = Duration::ZERO;
        let _running = Running::new(self);
        let Some(Slices { clock, each }) = &self.slices else {
            let done = self.go_on(limit, &mut took, work);
            return (done, took);
        };
        let mut sliced = Sliced { fiber: Fiber::new(&self.pause, work), watch: self };
        loop {
            let resumed = self.go_on(limit, &mut took, || sliced.fiber.resume(*each));
            match resumed {
                Some(done) => return (done, took),
                None => clock.give_way().await,
            }
        }
    }

    /// Computes, for what is left of `limit` after what it `took` before.
    fn go_on<T>(
        &self,
        limit: Option<Duration>,
        took: &mut Duration,
        work: impl FnOnce() -> T,
    ) -> T {
        let start = Instant::now();
        let end = limit.map(|limit| start + limit.saturating_sub(*took));
        self.set(|bounds| bounds.end = end);
        let done = work();
        self.set(|bounds| bounds.end = None);
        *took += start.elapsed();
        done
    }

    fn set(&self, change: impl FnOnce(&mut Bounds)) {
        change(&mut self.bounds.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Something runs for as long as this lives.
struct Running<'w>(&'w Watch);

impl<'w> Running<'w> {
    fn new(watch: &'w Watch) -> Self {
        watch.set(|bounds| *bounds = Bounds { is_running: true, ..Bounds::default() });
        Self(watch)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(|bounds| bounds.is_running = false);
    }
}

/// Work with pauses, which comes to an end also where nobody waits for it any more: SQLite takes back what
/// is interrupted.
struct Sliced<'w, T: 'static> {
    fiber: Fiber<T>,
    watch: &'w Watch,
}

impl<T: 'static> Drop for Sliced<'_, T> {
    fn drop(&mut self) {
        while self.fiber.is_paused() {
            self.watch.stop();
            drop(self.fiber.resume(TO_THE_END));
        }
    }
}
