//! What the driver tells everyone else: who is connected, where we can be reached, what changed.
//!
//! The driver writes, any thread reads. A listener that falls behind loses the oldest events; it
//! never holds the driver back.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use craftec_core::PeerId;
use futures::Stream;

use crate::{NetEvent, PeerInfo, Reach};

/// Events kept for a listener that does not read.
const EVENTS: usize = 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that the driver publishes.
#[derive(Default)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    peers: BTreeMap<PeerId, PeerInfo>,
    addresses: Vec<String>,
    reach: Reach,
    /// What connected peers say of where they can be dialed.
    claimed: BTreeMap<PeerId, Vec<String>>,
    listeners: Vec<Weak<Mutex<Queue>>>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<NetEvent>,
    waker: Option<Waker>,
    closed: bool,
}

impl Shared {
    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        lock(&self.0).peers.values().cloned().collect()
    }

    pub(crate) fn peer(&self, peer: &PeerId) -> Option<PeerInfo> {
        lock(&self.0).peers.get(peer).cloned()
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        lock(&self.0).addresses.clone()
    }

    pub(crate) fn claimed(&self, peer: &PeerId) -> Vec<String> {
        lock(&self.0).claimed.get(peer).cloned().unwrap_or_default()
    }

    /// A connected peer said where it can be dialed.
    pub(crate) fn set_claimed(&self, peer: PeerId, addresses: Vec<String>) {
        let mut state = lock(&self.0);
        if state.peers.contains_key(&peer) {
            state.claimed.insert(peer, addresses);
        }
    }

    pub(crate) fn reach(&self) -> Reach {
        lock(&self.0).reach.clone()
    }

    pub(crate) fn set_reach(&self, reach: Reach) {
        lock(&self.0).reach = reach;
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    pub(crate) fn events(&self) -> Events {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let mut state = lock(&self.0);
        lock(&queue).closed = state.closed;
        state.listeners.retain(|listener| listener.strong_count() > 0);
        state.listeners.push(Arc::downgrade(&queue));
        Events(queue)
    }

    /// Publishes one change.
    pub(crate) fn publish(&self, event: NetEvent) {
        let mut state = lock(&self.0);
        match &event {
            NetEvent::Connected(info) | NetEvent::Changed(info) => {
                state.peers.insert(info.peer, info.clone());
            }
            NetEvent::Disconnected(peer) => {
                state.peers.remove(peer);
                state.claimed.remove(peer);
            }
            NetEvent::Addresses(addresses) => state.addresses.clone_from(addresses),
        }
        for listener in state.listeners.iter().filter_map(Weak::upgrade) {
            let mut queue = lock(&listener);
            if queue.events.len() >= EVENTS {
                queue.events.pop_front();
            }
            queue.events.push_back(event.clone());
            wake(&mut queue);
        }
    }

    /// Ends all listeners' streams.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        state.peers.clear();
        for listener in state.listeners.drain(..).filter_map(|listener| listener.upgrade()) {
            let mut queue = lock(&listener);
            queue.closed = true;
            wake(&mut queue);
        }
    }
}

fn wake(queue: &mut Queue) {
    if let Some(waker) = queue.waker.take() {
        waker.wake();
    }
}

/// Changes from now on.
pub(crate) struct Events(Arc<Mutex<Queue>>);

impl Stream for Events {
    type Item = NetEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NetEvent>> {
        let mut queue = lock(&self.0);
        match queue.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, executor::block_on};

    use super::*;

    #[test]
    fn a_listener_that_sleeps_loses_the_oldest_and_ends_with_the_network() {
        let shared = Shared::default();
        let mut events = shared.events();
        for i in 0..=EVENTS {
            shared.publish(NetEvent::Addresses(vec![i.to_string()]));
        }
        shared.close();
        let first = events.next().now_or_never().unwrap();
        assert_eq!(first, Some(NetEvent::Addresses(vec!["1".to_owned()])));
        assert_eq!(block_on(events.count()), EVENTS - 1);
        assert_eq!(block_on(shared.events().count()), 0);
    }
}
