//! Time by the operating system, waiting and spawning by tokio on the node's own thread.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::LocalBoxFuture;

use crate::{Clock, UnixMs};

/// The clock of a native node. Its futures and tasks run inside a [`tokio::task::LocalSet`] (see
/// [`NativeClock::run`]) on a runtime with time enabled.
#[derive(Clone, Debug)]
pub struct NativeClock {
    start: Instant,
}

impl NativeClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Runs `node` and everything it spawns on this thread until `node` completes.
    pub fn run<T>(node: impl Future<Output = T>) -> std::io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(tokio::task::LocalSet::new().block_on(&runtime, node))
    }
}

impl Default for NativeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for NativeClock {
    fn now(&self) -> UnixMs {
        // A machine set to before 1970 is at 0.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        // Created when first polled, so that only waiting needs the runtime.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }

    fn give_way(&self) -> LocalBoxFuture<'static, ()> {
        // A task that only wakes itself is run again before tokio looks at timers and sockets.
        Box::pin(tokio::task::yield_now())
    }
}
