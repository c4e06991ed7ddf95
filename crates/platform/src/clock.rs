//! Time and concurrency. All of it goes through here, so that a simulation can own both.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use futures::future::{Either, LocalBoxFuture, select};

/// Milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub u64);

/// Now, later, and meanwhile.
pub trait Clock {
    /// Wall-clock time. May jump; never used to measure a duration.
    fn now(&self) -> UnixMs;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;
    /// Runs `task` on the node's thread until it completes.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
    /// Completes once everything else that is ready had a turn.
    fn give_way(&self) -> LocalBoxFuture<'static, ()> {
        let mut was_asked = false;
        Box::pin(poll_fn(move |context| {
            if std::mem::replace(&mut was_asked, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }
}

/// A future did not complete in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(
    /// The time it was given.
    pub Duration,
);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} ms", self.0.as_millis())
    }
}

impl std::error::Error for Elapsed {}

/// Gives `future` at most `limit`.
pub async fn timeout<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    match select(pin!(future), clock.sleep(limit)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(Elapsed(limit)),
    }
}
