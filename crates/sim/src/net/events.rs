//! A listener's queue of network events: bounded, the oldest lost first.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use craftec_p2p::NetEvent;
use futures::Stream;

/// Events that a listener may be behind, as the port says.
const EVENTS: usize = 1024;

#[derive(Default)]
struct Queue {
    events: VecDeque<NetEvent>,
    closed: bool,
    waker: Option<Waker>,
}

/// The listeners of one peer.
#[derive(Default)]
pub(super) struct Listeners(Vec<Weak<RefCell<Queue>>>);

/// One listener's stream.
pub(super) struct Listener(Rc<RefCell<Queue>>);

impl Listeners {
    pub(super) fn listen(&mut self) -> Listener {
        self.0.retain(|queue| queue.strong_count() > 0);
        let queue = Rc::new(RefCell::new(Queue::default()));
        self.0.push(Rc::downgrade(&queue));
        Listener(queue)
    }

    pub(super) fn tell(&self, event: &NetEvent) {
        for queue in self.0.iter().filter_map(Weak::upgrade) {
            let mut queue = queue.borrow_mut();
            if queue.events.len() == EVENTS {
                queue.events.pop_front();
            }
            queue.events.push_back(event.clone());
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }

    pub(super) fn close(&mut self) {
        for queue in self.0.drain(..).filter_map(|queue| queue.upgrade()) {
            let mut queue = queue.borrow_mut();
            queue.closed = true;
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Listener {
    /// A listener that hears nothing more.
    pub(super) fn closed() -> Self {
        Self(Rc::new(RefCell::new(Queue { closed: true, ..Queue::default() })))
    }
}

impl Stream for Listener {
    type Item = NetEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NetEvent>> {
        let mut queue = self.0.borrow_mut();
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
