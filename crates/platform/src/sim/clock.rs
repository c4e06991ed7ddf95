//! The clock that simulated nodes see: time stands still while they compute.

use std::{
    future::Future,
    pin::Pin,
    rc::Weak,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::LocalBoxFuture;

use super::executor::{Group, Shared};
use crate::{Clock, UnixMs};

/// Virtual time of one group of tasks (one node, usually).
#[derive(Clone)]
pub struct SimClock {
    shared: Weak<Shared>,
    group: Group,
}

impl std::fmt::Debug for SimClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimClock({:?} at {:?})", self.group, self.monotonic())
    }
}

impl SimClock {
    pub(super) fn new(shared: Weak<Shared>, group: Group) -> Self {
        Self { shared, group }
    }
}

/// After its executor is gone, the time is 0, sleeps never end and tasks are dropped unrun.
impl Clock for SimClock {
    fn now(&self) -> UnixMs {
        self.shared.upgrade().map_or(UnixMs(0), |shared| shared.unix())
    }

    fn monotonic(&self) -> Duration {
        self.shared.upgrade().map_or(Duration::ZERO, |shared| shared.time())
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        let until = self.monotonic().saturating_add(duration);
        Box::pin(Sleep { shared: self.shared.clone(), until, timer: None })
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.spawn(self.group, task);
        }
    }
}

struct Sleep {
    shared: Weak<Shared>,
    until: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = self.shared.upgrade() else { return Poll::Pending };
        if let Some(timer) = self.timer.take() {
            shared.cancel_timer(self.until, timer);
        }
        if shared.time() >= self.until {
            return Poll::Ready(());
        }
        self.timer = Some(shared.set_timer(self.until, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(shared), Some(timer)) = (self.shared.upgrade(), self.timer) {
            shared.cancel_timer(self.until, timer);
        }
    }
}
