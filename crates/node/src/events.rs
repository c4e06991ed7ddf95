//! What a node tells its clients, slowed down to what a person can read: peers at most four times a
//! second, a transfer at most ten times a second and at its end.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    time::Duration,
};

use craftec_api::{Event, Transfer, TransferKind};
use craftec_core::{Cid, PeerId};
use craftec_obj::{
    ObjEvent,
    event::{Moved, Way},
    feed::Heard,
};
use futures::{FutureExt, StreamExt, select_biased};

use crate::Node;

/// Pause between two `peers` events.
const PEERS: Duration = Duration::from_millis(250);
/// Pause between two events of one transfer.
const TRANSFER: Duration = Duration::from_millis(100);
/// Pause between two `health` events of one root.
const HEALTH: Duration = Duration::from_millis(100);
/// Transfers whose last event is remembered; beyond it they are forgotten and may tell once more.
const TRANSFERS: usize = 4096;
/// Unheard news of the object store; those of a pack are one.
const NEWS: usize = 1024;

/// When what was last told.
#[derive(Default)]
pub(crate) struct Told {
    transfers: RefCell<BTreeMap<(Cid, bool, PeerId), Duration>>,
    peers_due: Cell<bool>,
    health_due: RefCell<BTreeMap<Cid, ()>>,
}

/// Passes news on for as long as the node lives.
pub(crate) fn start(node: &Rc<Node>) {
    let weak = Rc::downgrade(node);
    let mut network = node.ports.network.events().fuse();
    let mut objects = node.news.listen(NEWS).fuse();
    node.ports.clock.spawn(Box::pin(async move {
        loop {
            select_biased! {
                event = network.next() => match (event, weak.upgrade()) {
                    (Some(_), Some(node)) => peers_changed(&node),
                    _ => return,
                },
                event = objects.next().fuse() => match (event, weak.upgrade()) {
                    (Some(Heard::News(event)), Some(node)) => tell(&node, event),
                    (Some(Heard::Lost(lost)), Some(_)) => tracing::debug!(lost, "news were lost"),
                    _ => return,
                },
            }
        }
    }));
}

fn tell(node: &Rc<Node>, event: ObjEvent) {
    match event {
        ObjEvent::Moved(moved) => transfer(node, moved),
        ObjEvent::Copies { roots } => {
            roots.into_iter().for_each(|root| health_changed(node, root));
        }
        // The session asks elsewhere by itself; who connected to it sees the peer go.
        ObjEvent::Lied { .. } => peers_changed(node),
    }
}

fn transfer(node: &Node, moved: Moved) {
    let now = node.ports.clock.monotonic();
    let key = (moved.root, moved.way == Way::Receive, moved.peer);
    {
        let mut told = node.told.transfers.borrow_mut();
        let last = told.get(&key).copied();
        if moved.done {
            told.remove(&key);
        } else if last.is_some_and(|last| now.saturating_sub(last) < TRANSFER) {
            return;
        } else {
            if told.len() >= TRANSFERS {
                told.clear();
            }
            told.insert(key, now);
        }
    }
    node.feed.tell(Event::Transfer(Transfer {
        cid: moved.root,
        kind: match moved.way {
            Way::Receive => TransferKind::Receive,
            Way::Replicate => TransferKind::Replicate,
        },
        peer: moved.peer,
        bytes: moved.bytes,
        total: moved.total,
        done: moved.done,
    }));
}

fn peers_changed(node: &Rc<Node>) {
    if node.told.peers_due.replace(true) {
        return;
    }
    later(node, PEERS, |node| {
        node.told.peers_due.set(false);
        node.feed.tell(Event::Peers { peers: node.peers() });
    });
}

fn health_changed(node: &Rc<Node>, root: Cid) {
    if node.told.health_due.borrow_mut().insert(root, ()).is_some() {
        return;
    }
    later(node, HEALTH, move |node| {
        node.told.health_due.borrow_mut().remove(&root);
        let (health, holders) = node.health(&root);
        node.feed.tell(Event::Health { cid: root, health, holders });
    });
}

fn later(node: &Rc<Node>, pause: Duration, act: impl FnOnce(Rc<Node>) + 'static) {
    let (weak, sleep): (Weak<Node>, _) = (Rc::downgrade(node), node.ports.clock.sleep(pause));
    node.ports.clock.spawn(Box::pin(async move {
        sleep.await;
        if let Some(node) = weak.upgrade() {
            act(node);
        }
    }));
}
