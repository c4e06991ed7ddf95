//! The time of what a client holds open.

use std::{rc::Rc, time::Duration};

use craftec_platform::Clock;

/// Asks `left` how long it may still last, again whenever that is over, until it has ended: there it ends
/// by itself. What is dropped is watched no longer.
pub(super) fn watch<T: 'static>(
    clock: &Rc<dyn Clock>,
    held: &Rc<T>,
    left: impl Fn(&T) -> Option<Duration> + 'static,
) {
    let (weak, ticking) = (Rc::downgrade(held), clock.clone());
    clock.spawn(Box::pin(async move {
        while let Some(left) = weak.upgrade().and_then(|held| left(&held)) {
            ticking.sleep(left).await;
        }
    }));
}
