//! What is fetched for others gives way to what somebody here waits for.
//!
//! Whoever reads a large database is soon asked to hold a copy of it, and would wait behind that copy.
//! So an errand has little on its way at a time, asks for nothing while a read waits, though for no
//! longer than [`PATIENCE`] at a time, and its wants stand behind all others.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::Shared;

/// Bytes that an errand fetches ahead: a third of a second at 50 Mbit/s.
pub(super) const AHEAD_BYTES: u64 = 2 << 20;
/// How long a read is over before errands go on: a reader that takes a moment comes back.
const QUIET: Duration = Duration::from_millis(200);
/// How long one step of an errand waits at most: where somebody reads all day, copies are made too.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// The reads that wait now.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: Cell<usize>,
    /// When the last one ended.
    ended: Cell<Option<Duration>>,
}

impl Reads {
    /// Whether somebody waits, or did a moment ago.
    fn are_under_way(&self, now: Duration) -> bool {
        let recent = |end| now.saturating_sub(end) < QUIET;
        self.waiting.get() > 0 || self.ended.get().is_some_and(recent)
    }

    fn begin(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    fn end(&self, now: Duration) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        self.ended.set(Some(now));
    }
}

/// One read that waits, until it is dropped.
pub(super) struct Waiting(Rc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.reads.end(self.0.clock.monotonic());
    }
}

impl Shared {
    /// Notes that somebody here waits for a block.
    pub(super) fn waits(self: &Rc<Self>) -> Waiting {
        self.reads.begin();
        Waiting(self.clone())
    }

    /// Waits while somebody here reads.
    pub(super) async fn give_way(&self) {
        let began = self.clock.monotonic();
        loop {
            let now = self.clock.monotonic();
            let patient = now.saturating_sub(began) < PATIENCE;
            if !patient || !self.reads.are_under_way(now) || self.stopped.get() {
                return;
            }
            self.clock.sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_under_way_until_a_moment_after_the_last() {
        let at = Duration::from_millis;
        let reads = Reads::default();
        assert!(!reads.are_under_way(at(0)));
        reads.begin();
        reads.begin();
        reads.end(at(10));
        assert!(reads.are_under_way(at(10_000)), "the other still waits");
        reads.end(at(20_000));
        assert!(reads.are_under_way(at(20_199)));
        assert!(!reads.are_under_way(at(20_200)));
    }
}
