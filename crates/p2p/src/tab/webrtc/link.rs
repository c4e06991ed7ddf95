//! What the data channels of one peer connection share: whether it ended, how many bytes are unsent
//! and unread, and who waits for a change. Never talks to the browser.

use std::{
    cell::{Cell, RefCell},
    rc::Weak,
    task::{Context, Waker},
};

use web_sys::RtcDataChannel;

use super::{channel::Inner, limits::UNREAD_BYTES};

/// Shared by the channels of one connection.
#[derive(Default)]
pub(crate) struct Link {
    ended: Cell<bool>,
    unread: Cell<usize>,
    channels: RefCell<Vec<Weak<Inner>>>,
    waiting: RefCell<Vec<Waker>>,
    writers: RefCell<Vec<Waker>>,
}

fn add(wakers: &RefCell<Vec<Waker>>, cx: &Context<'_>) {
    let mut wakers = wakers.borrow_mut();
    if !wakers.iter().any(|w| w.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

fn wake_all(wakers: &RefCell<Vec<Waker>>) {
    // Taken out first: a woken task may register again at once.
    let taken = std::mem::take(&mut *wakers.borrow_mut());
    taken.into_iter().for_each(Waker::wake);
}

impl Link {
    /// Adds a channel to the sums.
    pub(crate) fn add(&self, channel: Weak<Inner>) {
        self.channels.borrow_mut().push(channel);
    }

    /// Takes a channel out of the sums, with what it left unread.
    pub(crate) fn remove(&self, unread: usize) {
        self.channels.borrow_mut().retain(|c| c.strong_count() > 0);
        self.read(unread);
        self.wake_writers();
    }

    /// Bytes that all channels together have not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        let channels = self.channels.borrow();
        channels.iter().filter_map(Weak::upgrade).map(|c| c.unsent()).sum()
    }

    /// Counts received bytes; false if they are too many, and then closes `channel`.
    pub(crate) fn receive(&self, bytes: usize, channel: &RtcDataChannel) -> bool {
        if self.unread.get() + bytes > UNREAD_BYTES {
            tracing::warn!("a peer sent more than {UNREAD_BYTES} bytes ahead; channel closed");
            channel.close();
            return false;
        }
        self.unread.set(self.unread.get() + bytes);
        true
    }

    /// Counts bytes as read.
    pub(crate) fn read(&self, bytes: usize) {
        self.unread.set(self.unread.get().saturating_sub(bytes));
    }

    /// The connection is over.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.wake();
        self.wake_writers();
        let channels: Vec<_> = self.channels.borrow().iter().filter_map(Weak::upgrade).collect();
        channels.iter().for_each(|c| c.wake());
    }

    /// Whether it is.
    pub(crate) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Wakes the task of `cx` at the next change of the connection.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        add(&self.waiting, cx);
    }

    /// Wakes the task of `cx` when there may be room to send.
    pub(crate) fn register_writer(&self, cx: &Context<'_>) {
        add(&self.writers, cx);
    }

    /// Something changed.
    pub(crate) fn wake(&self) {
        wake_all(&self.waiting);
    }

    /// There may be room to send.
    pub(crate) fn wake_writers(&self) {
        wake_all(&self.writers);
    }
}
