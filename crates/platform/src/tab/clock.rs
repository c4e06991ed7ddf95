//! Time by `performance` and `Date`, waiting by `setTimeout`, spawning on the worker's event loop.

use std::time::Duration;

use futures::future::LocalBoxFuture;
use web_time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{Clock, UnixMs};

/// `setTimeout` counts milliseconds in 31 bits; longer waits are made of several.
const LONGEST_TIMEOUT_MS: u32 = 1 << 30;

/// The clock of a node in a tab.
#[derive(Clone, Debug)]
pub struct TabClock {
    start: Instant,
}

impl TabClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for TabClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TabClock {
    fn now(&self) -> UnixMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            // Rounded up: a wait never ends early.
            let mut left = duration.as_nanos().div_ceil(1_000_000);
            while left > 0 {
                let step = u32::try_from(left).unwrap_or(u32::MAX).min(LONGEST_TIMEOUT_MS);
                gloo_timers::future::TimeoutFuture::new(step).await;
                left -= u128::from(step);
            }
        })
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        wasm_bindgen_futures::spawn_local(task);
    }
}
