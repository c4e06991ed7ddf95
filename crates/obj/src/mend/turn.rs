//! When this node looks after which file.

use std::{
    rc::{Rc, Weak},
    time::Duration,
};

use craftec_core::{Cid, PeerId};

use super::{AT_ONCE, Inner, care};
use crate::heal::turn::{Slot, own_delay_ms};

/// Begins to keep time, and to hear of the turns of others.
pub(super) fn start(inner: &Rc<Inner>) {
    let weak = Rc::downgrade(inner);
    inner.objects.exchange().hear_turns(Rc::new(move |peer, object, slot| {
        if let Some(inner) = weak.upgrade() {
            inner.heard(peer, object, slot);
        }
    }));
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

impl Inner {
    /// A peer takes its turn: ours is not needed, if it is in the present slot.
    fn heard(&self, peer: PeerId, object: Cid, slot: u64) {
        let now = Slot::at(&object.to_bytes(), self.clock.now().0, self.slot_ms);
        if slot == now.0 {
            tracing::trace!(%peer, %object, slot, "it looks after it");
            let me = self.rpc.network().local_peer();
            if !care::regardless(&object, now, &me) {
                self.objects.exchange().took_turn(object, slot);
            }
        }
    }

    /// Looks after what is due.
    fn due(self: &Rc<Self>) {
        let exchange = self.objects.exchange();
        let (now_ms, me) = (self.clock.now().0, self.rpc.network().local_peer());
        let objects = exchange.coded_objects();
        self.cares.borrow_mut().retain(|object, _| objects.binary_search(object).is_ok());
        for object in objects {
            if self.running.borrow().len() >= AT_ONCE {
                return;
            }
            let root = object.to_bytes();
            let slot = Slot::at(&root, now_ms, self.slot_ms);
            // Whoever has it whole mends for the least, and so comes first.
            let delay_ms = match exchange.told_of(&object).whole {
                true => 0,
                false => own_delay_ms(&root, slot, me.public_key(), self.slot_ms),
            };
            let due = now_ms >= slot.begins_ms(&root, self.slot_ms) + delay_ms;
            if !due || exchange.turn(&object) >= slot.0 || !self.running.borrow_mut().insert(object)
            {
                continue;
            }
            exchange.took_turn(object, slot.0);
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
}
