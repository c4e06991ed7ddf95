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

use crate::Prefix;

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

/// Gates by key, all of one width.
struct Places<K> {
    gates: RefCell<BTreeMap<K, Rc<Gate>>>,
    each: usize,
}

/// Gates of one kind kept before the unused ones are dropped.
const BEFORE_SWEEP: usize = 256;

impl<K: Ord> Places<K> {
    fn new(each: usize) -> Self {
        Self { gates: RefCell::default(), each }
    }

    fn of(&self, key: K) -> Rc<Gate> {
        let mut gates = self.gates.borrow_mut();
        if gates.len() > BEFORE_SWEEP {
            // A permit and whoever waits hold the gate too.
            gates.retain(|_, gate| Rc::strong_count(gate) > 1);
        }
        gates.entry(key).or_insert_with(|| Gate::new(self.each)).clone()
    }
}

/// A gate in total, one for each peer, and one for each prefix of addresses.
pub(crate) struct Gates {
    total: Rc<Gate>,
    peers: Places<PeerId>,
    prefixes: Places<Prefix>,
}

/// Passage through all gates.
pub(crate) struct Pass {
    _peer: Permit,
    _prefix: Option<Permit>,
    _total: Permit,
}

impl Gates {
    /// Without limits by prefix.
    pub(crate) fn new(total: usize, per_peer: usize) -> Rc<Self> {
        Self::by_prefix(total, per_peer, usize::MAX)
    }

    /// With all three.
    pub(crate) fn by_prefix(total: usize, per_peer: usize, per_prefix: usize) -> Rc<Self> {
        let (peers, prefixes) = (Places::new(per_peer), Places::new(per_prefix));
        Rc::new(Self { total: Gate::new(total), peers, prefixes })
    }

    /// Waits for a place, first among the peer's own, then among its neighbours', then among all.
    pub(crate) async fn enter(&self, peer: PeerId, prefix: Option<Prefix>) -> Pass {
        let gate = self.peers.of(peer);
        let of_peer = gate.enter().await;
        let of_prefix = match prefix.map(|prefix| self.prefixes.of(prefix)) {
            Some(gate) => Some(gate.enter().await),
            None => None,
        };
        Pass { _peer: of_peer, _prefix: of_prefix, _total: self.total.enter().await }
    }

    /// A place if there is one now.
    pub(crate) fn try_enter(&self, peer: PeerId, prefix: Option<Prefix>) -> Option<Pass> {
        let of_peer = self.peers.of(peer).try_enter()?;
        let of_prefix = match prefix.map(|prefix| self.prefixes.of(prefix)) {
            Some(gate) => Some(gate.try_enter()?),
            None => None,
        };
        Some(Pass { _peer: of_peer, _prefix: of_prefix, _total: self.total.try_enter()? })
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
        let first = gates.try_enter(a, None).unwrap();
        let second = gates.try_enter(a, None).unwrap();
        assert!(gates.try_enter(a, None).is_none());
        let other = gates.try_enter(b, None).unwrap();
        assert!(gates.try_enter(b, None).is_none());
        drop((first, second, other));
        assert_eq!(gates.total.free.get(), 3);
    }

    #[test]
    fn neighbours_cannot_take_the_places_of_others() {
        let gates = Gates::by_prefix(4, 2, 3);
        let peers = [1, 2, 3].map(|n| PeerId::from_public_key([n; 32]));
        let [street, town] = [Prefix::V4([192, 0, 2]), Prefix::V4([198, 51, 100])];
        let enter = |n: usize, prefix| gates.try_enter(peers[n], Some(prefix));
        let held = [enter(0, street), enter(0, street), enter(1, street)];
        assert!(held.iter().all(Option::is_some));
        assert!(enter(1, street).is_none(), "three places for one street");
        let last = enter(2, town);
        assert!(last.is_some());
        assert!(enter(2, town).is_none(), "four in all");
        drop((held, last));
        assert_eq!(gates.total.free.get(), 4);
        assert!(enter(1, street).is_some());
    }
}
