//! Waking whoever waits for something to change. Who comes after a ring waits for the next one: look first,
//! then wait, with nothing in between.

use std::cell::RefCell;

use futures::channel::oneshot;

/// One thing that may change.
#[derive(Default)]
pub(crate) struct Bell(RefCell<Vec<oneshot::Sender<()>>>);

impl Bell {
    /// It changed.
    pub(crate) fn ring(&self) {
        for waiting in self.0.take() {
            // Whoever left does not need to know.
            let _left = waiting.send(());
        }
    }

    /// Resolves at the next ring; fails when the bell is gone.
    pub(crate) fn wait(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.0.borrow_mut();
        waiting.retain(|other| !other.is_canceled());
        waiting.push(sender);
        receiver
    }

    /// Whether anybody waits.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.borrow().iter().any(|waiting| !waiting.is_canceled())
    }
}
