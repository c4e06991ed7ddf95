//! Names as they move: whoever follows one asks the peers that are connected, and each tells of every newer
//! head that it comes to know.
//!
//! Wire, protocol `heads`, version 1: the body of the subscription is the record's key (32 bytes); each item
//! is a record as the DHT has it, the first at once if there is one. Only the newest counts, so that what
//! changed twice while an item was on its way is told once.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{PeerId, record::Record as Signed};
use craftec_p2p::{Protocol, Rpc};
use futures::{
    StreamExt,
    future::{AbortHandle, abortable},
    stream::{self, LocalBoxStream},
};

use super::{Names, newest};
use crate::bell::Bell;

const PROTOCOL: Protocol = Protocol { name: "heads", versions: &[1] };
/// Names that are followed at one time.
const FOLLOWED: usize = 64;
/// Peers that are asked about one name: its author, if connected, is likely among them, and so is a holder.
const TELLERS: usize = 8;
/// How often is looked for peers to ask.
const LOOK: Duration = Duration::from_secs(1);
/// How often the DHT is searched, for an author who is not connected.
const SEARCH: Duration = Duration::from_secs(30);
/// A name that nobody waits for is followed for so long: who waits asks again and again.
const LINGER: Duration = Duration::from_secs(60);
/// Least time between two heads from one peer: each costs the check of its signatures.
const PACE: Duration = Duration::from_millis(20);

type Key = [u8; 32];

/// What is known of changes.
#[derive(Default)]
pub(crate) struct Changes {
    /// Of names that anybody waits for.
    bells: RefCell<BTreeMap<Key, Rc<Bell>>>,
    /// Of names that are followed: until when.
    followed: RefCell<BTreeMap<Key, Rc<Cell<Duration>>>>,
}

impl Changes {
    /// There is another head than before.
    pub(super) fn ring(&self, key: &Key) {
        if let Some(bell) = self.bell_of(key) {
            bell.ring();
        }
    }

    fn bell_of(&self, key: &Key) -> Option<Rc<Bell>> {
        self.bells.borrow().get(key).cloned()
    }

    fn bell(&self, key: Key) -> Rc<Bell> {
        let mut bells = self.bells.borrow_mut();
        bells.retain(|_, bell| bell.is_heard() || Rc::strong_count(bell) > 1);
        bells.entry(key).or_default().clone()
    }
}

impl Names {
    /// Tells peers of heads, from now on.
    pub(super) fn tell_followers(self: &Rc<Self>) {
        let names = Rc::downgrade(self);
        self.rpc.serve_subscriptions(
            PROTOCOL,
            Rc::new(move |_, _, body| match <Key>::try_from(&*body) {
                Ok(key) => told(names.clone(), key),
                Err(_) => stream::empty().boxed_local(),
            }),
        );
    }

    /// Waits until another head of a name is known than the one that `seen` had; at most for `limit`. Follows
    /// the name meanwhile, and a little longer.
    pub(crate) async fn changed(self: &Rc<Self>, key: Key, seen: &Option<Bytes>, limit: Duration) {
        self.follow(key);
        let end = self.clock.monotonic() + limit;
        loop {
            let bell = self.changes.bell(key);
            if !self.held_bytes(&key).is_ok_and(|held| held == *seen) {
                return;
            }
            let left = end.saturating_sub(self.clock.monotonic());
            let rang = craftec_platform::timeout(&*self.clock, left, bell.wait()).await;
            if rang.is_err() {
                return;
            }
        }
    }

    /// Follows a name for a while from now on.
    fn follow(self: &Rc<Self>, key: Key) {
        let until = self.clock.monotonic() + LINGER;
        let mut followed = self.changes.followed.borrow_mut();
        if let Some(known) = followed.get(&key) {
            return known.set(until);
        }
        if followed.len() >= FOLLOWED {
            tracing::debug!("{FOLLOWED} names are followed already; this one is looked up only");
            return;
        }
        let known = Rc::new(Cell::new(until));
        followed.insert(key, known.clone());
        drop(followed);
        let (names, clock) = (Rc::downgrade(self), self.clock.clone());
        self.clock.spawn(Box::pin(async move {
            let mut asked = Asked::default();
            let mut search = clock.monotonic() + SEARCH;
            while let Some(names) = names.upgrade() {
                let now = clock.monotonic();
                if now > known.get() {
                    names.changes.followed.borrow_mut().remove(&key);
                    break;
                }
                asked.look(&names, key);
                if now > search {
                    search = now + SEARCH;
                    names.search(key);
                }
                drop(names);
                clock.sleep(LOOK).await;
            }
            asked.end();
        }));
    }

    /// Looks in the DHT, beside what peers tell.
    fn search(self: &Rc<Self>, key: Key) {
        let names = self.clone();
        self.clock.spawn(Box::pin(async move {
            for record in names.found(key, SEARCH / 2).await {
                names.hear(&key, record);
            }
        }));
    }

    /// Keeps a valid head, if it is newer than what is held.
    fn hear(&self, key: &Key, record: craftec_core::head::HeadRecord) {
        let Ok(held) = self.held(key) else { return };
        // Our own names move by our own hand only.
        if record.head.head.did == self.keys.did() {
            return;
        }
        let known = held.clone();
        let Some(newest) = newest(held.into_iter().chain([record])) else { return };
        if known.as_ref() != Some(&newest)
            && let Err(error) = self.remember(key, &newest)
        {
            tracing::warn!(%error, "a head could not be kept");
        }
    }
}

/// The head of `key` that is held, and each that follows.
fn told(names: Weak<Names>, key: Key) -> LocalBoxStream<'static, Bytes> {
    let steps = stream::unfold((names, None::<Bytes>), move |(names, last)| async move {
        loop {
            let known = names.upgrade()?;
            let held = known.held_bytes(&key).ok()?;
            if let Some(bytes) = held.filter(|bytes| Some(bytes) != last.as_ref()) {
                return Some((bytes.clone(), (names, Some(bytes))));
            }
            let bell = known.changes.bell(key);
            drop(known);
            bell.wait().await.ok()?;
        }
    });
    steps.boxed_local()
}

/// The peers that are asked about one name.
#[derive(Default)]
struct Asked(BTreeMap<PeerId, (AbortHandle, Rc<Cell<bool>>)>);

impl Asked {
    /// Asks those who are connected, and forgets those who are not. One that lied or does not know the
    /// protocol stays, silent, and is not asked again.
    fn look(&mut self, names: &Rc<Names>, key: Key) {
        let peers: Vec<PeerId> = names.network.peers().iter().map(|info| info.peer).collect();
        self.0.retain(|peer, (task, _)| {
            let stays = peers.contains(peer);
            if !stays {
                task.abort();
            }
            stays
        });
        for peer in peers {
            let telling = self.0.values().filter(|(_, over)| !over.get()).count();
            if telling >= TELLERS {
                return;
            }
            if self.0.contains_key(&peer) {
                continue;
            }
            let over = Rc::new(Cell::new(false));
            let listening = listen(Rc::downgrade(names), names.rpc.clone(), peer, key);
            let ended = over.clone();
            let (task, handle) = abortable(async move {
                listening.await;
                ended.set(true);
            });
            names.clock.spawn(Box::pin(async move {
                // Aborted when it is no longer wanted.
                let _ended = task.await;
            }));
            self.0.insert(peer, (handle, over));
        }
    }

    fn end(self) {
        for (task, _) in self.0.into_values() {
            task.abort();
        }
    }
}

/// Takes what one peer tells.
async fn listen(names: Weak<Names>, rpc: Rpc, peer: PeerId, key: Key) {
    let mut items = rpc.subscribe(peer, PROTOCOL, key.to_vec());
    while let Some(item) = items.next().await {
        let (Ok(bytes), Some(names)) = (item, names.upgrade()) else { return };
        let clock = names.clock.clone();
        match Signed::verify(&key, &bytes, clock.now().0) {
            Ok(Signed::Head(record)) => names.hear(&key, *record),
            Ok(Signed::Placement(_)) => return,
            Err(error) => {
                tracing::debug!(%peer, %error, "a peer told of a bad head");
                return;
            }
        }
        drop(names);
        clock.sleep(PACE).await;
    }
}
