//! Limits on how much runs at one time: per peer and in total, first come, first served.
//!
//! Single-threaded. A permit that is dropped goes to whoever has waited longest; nothing is ever
//! refused here except by [`Gates::try_enter`], which does not wait.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use craftec_core::PeerId;
use futures::channel::oneshot;

/// Places in the queue before those who gave up are dropped from it.
const WAITING_BEFORE_SWEEP: usize = 64;

/// A counting semaphore.
pub(crate) struct Gate {
    free: Cell<usize>,
    queue: RefCell<VecDeque<oneshot::Sender<Permit>>>,
}

/// The right to run until dropped.
pub(crate) struct Permit(Option<Rc<Gate>>);

impl Gate {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(limit), queue: RefCell::default() })
    }

    pub(crate) fn try_enter(self: &Rc<Self>) -> Option<Permit> {
        let free = self.free.get();
        (free > 0).then(|| {
            self.free.set(free - 1);
            Permit(Some(self.clone()))
        })
    }

    pub(crate) async fn enter(self: &Rc<Self>) -> Permit {
        loop {
            if let Some(permit) = self.try_enter() {
                return permit;
            }
            let (ours, turn) = oneshot::channel();
            {
                let mut queue = self.queue.borrow_mut();
                if queue.len() >= WAITING_BEFORE_SWEEP {
                    queue.retain(|turn| !turn.is_canceled());
                }
                queue.push_back(ours);
            }
            if let Ok(permit) = turn.await {
                return permit;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(gate) = self.0.take() else { return };
        loop {
            let next = gate.queue.borrow_mut().pop_front();
            match next.map(|turn| turn.send(Self(Some(gate.clone())))) {
                Some(Ok(())) => return,
                // Whoever waited has given up: ask the next.
                Some(Err(mut unused)) => unused.0 = None,
                None => break,
            }
        }
        gate.free.set(gate.free.get() + 1);
    }
}

/// A gate in total and one for each peer.
pub(crate) struct Gates {
    total: Rc<Gate>,
    peers: RefCell<BTreeMap<PeerId, Rc<Gate>>>,
    per_peer: usize,
}

/// Passage through both gates.
pub(crate) struct Pass {
    _peer: Permit,
    _total: Permit,
}

/// Gates of peers kept before the unused ones are dropped.
const PEERS_BEFORE_SWEEP: usize = 256;

impl Gates {
    pub(crate) fn new(total: usize, per_peer: usize) -> Rc<Self> {
        Rc::new(Self { total: Gate::new(total), peers: RefCell::default(), per_peer })
    }

    /// Waits for a place, first among the peer's own, then among all.
    pub(crate) async fn enter(&self, peer: PeerId) -> Pass {
        let gate = self.of(peer);
        let of_peer = gate.enter().await;
        Pass { _peer: of_peer, _total: self.total.enter().await }
    }

    /// A place if there is one now.
    pub(crate) fn try_enter(&self, peer: PeerId) -> Option<Pass> {
        let of_peer = self.of(peer).try_enter()?;
        Some(Pass { _peer: of_peer, _total: self.total.try_enter()? })
    }

    fn of(&self, peer: PeerId) -> Rc<Gate> {
        let mut peers = self.peers.borrow_mut();
        if peers.len() > PEERS_BEFORE_SWEEP {
            // A permit and whoever waits hold the gate too.
            peers.retain(|_, gate| Rc::strong_count(gate) > 1);
        }
        peers.entry(peer).or_insert_with(|| Gate::new(self.per_peer)).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};

    use super::*;

    #[test]
    fn a_freed_place_goes_to_who_still_waits() {
        let gate = Gate::new(1);
        let held = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let mut gives_up = Box::pin(gate.enter());
        let mut waits = Box::pin(gate.enter());
        assert!(gives_up.as_mut().now_or_never().is_none());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(gives_up);
        drop(held);
        let permit = block_on(waits);
        assert!(gate.try_enter().is_none());
        drop(permit);
        assert_eq!(gate.free.get(), 1);
    }

    #[test]
    fn a_peer_cannot_take_the_places_of_others() {
        let gates = Gates::new(3, 2);
        let [a, b] = [[1; 32], [2; 32]].map(PeerId::from_public_key);
        let first = gates.try_enter(a).unwrap();
        let second = gates.try_enter(a).unwrap();
        assert!(gates.try_enter(a).is_none());
        let other = gates.try_enter(b).unwrap();
        assert!(gates.try_enter(b).is_none());
        drop((first, second, other));
        assert_eq!(gates.total.free.get(), 3);
    }
}
