//! Where there is one stack, work runs to its end.

use std::{fmt, time::Duration};

/// Where a fiber would pause.
#[derive(Clone, Debug, Default)]
pub struct Pause(());

impl Pause {
    /// Does nothing.
    pub fn when_due(&self) {}
}

/// Work that is done in slices: here, in one.
pub struct Fiber<T>(Option<Box<dyn FnOnce() -> T>>);

impl<T> fmt::Debug for Fiber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fiber(ended: {})", self.0.is_none())
    }
}

impl<T: 'static> Fiber<T> {
    /// Nothing of `work` is done yet.
    pub fn new(_pause: &Pause, work: impl FnOnce() -> T + 'static) -> Self {
        Self(Some(Box::new(work)))
    }

    /// The result.
    pub fn resume(&mut self, _slice: Duration) -> Option<T> {
        Some(self.0.take()?())
    }

    /// Whether it paused.
    pub fn is_paused(&self) -> bool {
        false
    }
}
