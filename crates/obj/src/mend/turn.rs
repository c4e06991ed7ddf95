//! When this node looks after which file.

use std::{
    rc::{Rc, Weak},
    time::Duration,
};

use craftec_core::{Cid, PeerId};
use craftec_p2p::NetEvent;
use craftec_platform::Clock;
use futures::StreamExt;

use super::{AT_ONCE, Inner, care};
use crate::heal::turn::{Slot, own_delay_ms};

/// Within how long somebody looks after a file whose holders went, in milliseconds: long enough that
/// one asks before the others begin, short beside the seconds in which the next holder may go.
const HURRY_MS: u64 = 1_000;
/// The same holder does so once in a sixteenth of a slot, and in half a minute at most: links also end
/// for other reasons.
const HURRY_AGAIN: u64 = 16;
const HURRY_AGAIN_MS: u64 = 30_000;
/// Files looked after at one time when it is urgent: each may be read whole.
const HURRIED: usize = 4;

/// Begins to keep time, and to hear of the turns of others.
pub(super) fn start(inner: &Rc<Inner>) {
    let weak = Rc::downgrade(inner);
    inner.objects.exchange().hear_turns(Rc::new(move |peer, object, slot| {
        if let Some(inner) = weak.upgrade() {
            inner.heard(peer, object, slot);
        }
    }));
    watch(inner);
    let (weak, clock) = (Rc::downgrade(inner), inner.clock.clone());
    let tick = Duration::from_millis((inner.slot_ms / 32).clamp(100, 60_000));
    inner.clock.spawn(Box::pin(async move {
        loop {
            clock.sleep(tick).await;
            let Some(inner) = weak.upgrade() else { return };
            if inner.stopped.get() {
                return;
            }
            inner.due();
        }
    }));
}

/// Hears of holders that go.
fn watch(inner: &Rc<Inner>) {
    let (weak, mut events) = (Rc::downgrade(inner), inner.rpc.network().events());
    inner.clock.spawn(Box::pin(async move {
        while let Some(event) = events.next().await {
            let Some(inner) = weak.upgrade() else { return };
            if let NetEvent::Disconnected(peer) = event {
                inner.gone(&peer);
            }
        }
    }));
}

/// Looks after a file soon, unless somebody else does.
async fn hurry(weak: Weak<Inner>, clock: Rc<dyn Clock>, object: Cid) {
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let (slot, me) = (inner.slot(&object), inner.rpc.network().local_peer());
        drop(inner);
        let delay_ms = own_delay_ms(&object.to_bytes(), slot, me.public_key(), HURRY_MS).max(50);
        clock.sleep(Duration::from_millis(delay_ms)).await;
        let Some(inner) = weak.upgrade() else { return };
        if inner.stopped.get() || !inner.hurried.borrow().contains(&object) {
            return;
        }
        // A look that began before they went does not know it: another one follows.
        let free = {
            let running = inner.running.borrow();
            running.len() < HURRIED && !running.contains(&object)
        };
        if free {
            inner.hurried.borrow_mut().remove(&object);
            return inner.take_turn(object, slot);
        }
    }
}

impl Inner {
    fn slot(&self, object: &Cid) -> Slot {
        Slot::at(&object.to_bytes(), self.clock.now().0, self.slot_ms)
    }

    /// A peer is gone: files that depended on it do not wait for their turn.
    fn gone(self: &Rc<Self>, peer: &PeerId) {
        let now_ms = self.clock.now().0;
        let again_ms = (self.slot_ms / HURRY_AGAIN).min(HURRY_AGAIN_MS);
        let mut lost: Vec<Cid> = Vec::new();
        for (object, care) in self.cares.borrow_mut().iter_mut() {
            let rested = now_ms.saturating_sub(care.at_ms()) >= again_ms;
            if care.lost_sight(peer) && rested && self.hurried.borrow_mut().insert(*object) {
                lost.push(*object);
            }
        }
        for object in lost {
            tracing::debug!(%object, "too many of its holders are gone");
            self.clock.spawn(Box::pin(hurry(Rc::downgrade(self), self.clock.clone(), object)));
        }
    }

    /// A peer takes its turn: ours is not needed, if it is in the present slot.
    fn heard(&self, peer: PeerId, object: Cid, slot: u64) {
        let now = self.slot(&object);
        if slot == now.0 {
            tracing::trace!(%peer, %object, slot, "it looks after it");
            self.hurried.borrow_mut().remove(&object);
            let me = self.rpc.network().local_peer();
            // Whoever never looked does so once, whatever it hears: so all know whom they depend on.
            let new = self.cares.borrow().get(&object).is_none_or(|care| care.at_ms() == 0);
            if !new && !care::regardless(&object, now, &me) {
                self.objects.exchange().took_turn(object, slot);
            }
        }
    }

    /// Looks after what is due.
    fn due(self: &Rc<Self>) {
        let exchange = self.objects.exchange();
        let (now_ms, me) = (self.clock.now().0, self.rpc.network().local_peer());
        let mut objects = exchange.kept_objects();
        self.cares.borrow_mut().retain(|object, _| objects.binary_search(object).is_ok());
        // From where it stopped: the first ones must not keep the last ones from their turn.
        let first = objects.partition_point(|object| Some(*object) <= self.last.get());
        objects.rotate_left(first);
        for object in objects {
            if self.running.borrow().len() >= AT_ONCE {
                return;
            }
            self.last.set(Some(object));
            let root = object.to_bytes();
            let slot = Slot::at(&root, now_ms, self.slot_ms);
            // Whoever has it whole mends for the least, and so comes first.
            let told = exchange.told_of(&object);
            let delay_ms = match told.whole && !told.codes.is_empty() {
                true => 0,
                false => own_delay_ms(&root, slot, me.public_key(), self.slot_ms),
            };
            let due = now_ms >= slot.begins_ms(&root, self.slot_ms) + delay_ms;
            if due && exchange.turn(&object) < slot.0 {
                self.take_turn(object, slot);
            }
        }
    }

    /// Looks after one file, unless that is going on.
    fn take_turn(self: &Rc<Self>, object: Cid, slot: Slot) {
        if !self.running.borrow_mut().insert(object) {
            return;
        }
        self.objects.exchange().took_turn(object, slot.0);
        let weak: Weak<Self> = Rc::downgrade(self);
        self.clock.spawn(Box::pin(async move {
            let Some(inner) = weak.upgrade() else { return };
            if let Err(error) = inner.look(object, slot.0).await {
                tracing::info!(%object, %error, "it could not be looked after");
            }
            inner.running.borrow_mut().remove(&object);
        }));
    }
}
