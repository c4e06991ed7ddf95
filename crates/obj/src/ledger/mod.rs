//! Reciprocity: who did what for whom, and what follows from it. Nothing global: each node believes
//! its own eyes, keeps its own book ([`book`]), and decides for itself whose copies it takes when
//! its space is short ([`policy`]) and who is served first when its upload is ([`shares`]).
//!
//! Receipts (`/craftec/receipt/1`) are exchanged hourly with whoever is connected. A receipt raises
//! nobody's standing but that of its holder with its signer: a node whose book is lost or older is
//! shown what it signed itself. What others sign for each other is of no consequence here.
//!
//! It never moves a block, and never breaks a promise: what was promised is kept.

pub mod book;
pub mod policy;
pub mod record;
pub mod shares;
mod swap;
pub mod wire;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use craftec_core::{Cid, PeerId, TransportKey};
use craftec_p2p::{NetEvent, PeerInfo, Prefix, Rpc};
use craftec_platform::Clock;
use futures::StreamExt;

use crate::{Store, StoreError, replicate::LentRecord};
use book::{Book, Entry};
use policy::{Lodger, Lodgers, Right, Space, Turns, Unwanted};
use shares::{Asker, Shares};
use swap::Swaps;

/// How often time with others is booked, and what changed made durable: a crash forgets so much.
const TICK: Duration = Duration::from_secs(10 * 60);
/// Longest time booked at once: a machine that slept has seen nobody.
const TICK_MOST: Duration = Duration::from_secs(20 * 60);

/// Says how many bytes each peer keeps for us, by the promises that hold.
pub type KeptByOthers = Rc<dyn Fn() -> BTreeMap<PeerId, u64>>;

/// The ledger of one node. Cloning shares it.
#[derive(Clone)]
pub struct Ledger(Rc<Inner>);

struct Inner {
    store: Store,
    clock: Rc<dyn Clock>,
    key: TransportKey,
    book: RefCell<Book>,
    shares: RefCell<Shares>,
    turns: Turns,
    /// Where connected peers are.
    places: RefCell<BTreeMap<PeerId, Option<Prefix>>>,
    /// Roots that are pulled for others, and how often.
    errands: RefCell<BTreeMap<Cid, usize>>,
    swaps: RefCell<Swaps>,
    ticked: Cell<Duration>,
    rpc: OnceCell<Rpc>,
}

impl Ledger {
    /// The book that an earlier run kept in `store`. `key` signs receipts.
    pub fn open(store: Store, clock: Rc<dyn Clock>, key: TransportKey) -> Result<Self, StoreError> {
        let book = RefCell::new(record::load(&store)?);
        let turns = Turns::new(blake3::derive_key("craftec ledger turns 1", key.seed()));
        let inner = Inner {
            ticked: Cell::new(clock.monotonic()),
            store,
            clock,
            key,
            book,
            shares: RefCell::default(),
            turns,
            places: RefCell::default(),
            errands: RefCell::default(),
            swaps: RefCell::default(),
            rpc: OnceCell::new(),
        };
        Ok(Self(Rc::new(inner)))
    }

    /// Books time with those who are connected, and exchanges receipts with them, from now on.
    /// Called once.
    pub fn start(&self, rpc: Rpc, kept_by_others: KeptByOthers) {
        swap::serve(&self.0, &rpc);
        self.0.follow_peers(&rpc);
        // The task must not keep alive what it serves.
        if self.0.rpc.set(rpc).is_err() {
            return;
        }
        let (weak, clock) = (Rc::downgrade(&self.0), self.0.clock.clone());
        self.0.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(TICK).await;
                let Some(inner) = weak.upgrade() else { return };
                inner.tick(&kept_by_others());
                swap::swap_all(&inner).await;
                inner.keep();
            }
        }));
    }

    /// `peer` sent block bytes below `root`. What is fetched for somebody else is no favour to us.
    pub fn received(&self, peer: PeerId, root: &Cid, bytes: u64) {
        if bytes > 0 && !self.0.errands.borrow().contains_key(root) {
            self.0.book.borrow_mut().received(peer, bytes, self.0.clock.now().0);
        }
    }

    /// `peer` was sent block bytes that it wanted to read. (What it took because we asked it to is no
    /// favour to it, and is not told here.)
    pub fn sent(&self, peer: PeerId, bytes: u64) {
        if bytes > 0 {
            self.0.book.borrow_mut().sent(peer, bytes, self.0.clock.now().0);
            self.0.shares.borrow_mut().spend(&self.0.asker(peer), bytes);
        }
    }

    /// `peer` was asked to prove that it has what it keeps for us.
    pub fn audited(&self, peer: PeerId, passed: bool) {
        self.0.book.borrow_mut().audited(peer, passed, self.0.clock.now().0);
    }

    /// Until this is dropped, what is fetched below `root` is fetched for somebody else.
    pub fn errand(&self, root: Cid) -> Errand {
        *self.0.errands.borrow_mut().entry(root).or_default() += 1;
        Errand { inner: self.0.clone(), root }
    }

    /// Whether `peer` may leave a copy of so many bytes here, where `lent` is what is kept for others.
    pub fn admit(
        &self,
        peer: PeerId,
        bytes: u64,
        space: &Space,
        lent: &[LentRecord],
    ) -> Result<Right, Unwanted> {
        let (lodgers, asker) = self.0.lodgers(peer, lent);
        let now_ms = self.0.clock.now().0;
        policy::hold(space, &lodgers, &asker, bytes, &self.0.turns, now_ms)
    }

    /// Whether a copy that is here for `peer` is kept for another term.
    pub fn renew(&self, peer: PeerId, space: &Space, lent: &[LentRecord]) -> Result<(), Unwanted> {
        let (lodgers, asker) = self.0.lodgers(peer, lent);
        policy::renew(space, &lodgers, &asker)
    }

    /// Whether `peer` is served now, of an upload of `rate` bytes per second that is short; else how
    /// long it should wait.
    pub fn may_send(&self, peer: PeerId, rate: u64) -> Result<(), Duration> {
        let (asker, now) = (self.0.asker(peer), self.0.clock.monotonic());
        self.0.shares.borrow_mut().ask(&asker, rate, now)
    }

    /// A peer's page.
    pub fn entry(&self, peer: &PeerId) -> Option<Entry> {
        self.0.book.borrow().entry(peer).cloned()
    }

    /// Makes what changed durable.
    pub fn keep(&self) {
        self.0.keep();
    }
}

/// See [`Ledger::errand`].
pub struct Errand {
    inner: Rc<Inner>,
    root: Cid,
}

impl Drop for Errand {
    fn drop(&mut self) {
        let mut errands = self.inner.errands.borrow_mut();
        if let Some(count) = errands.get_mut(&self.root) {
            *count -= 1;
            if *count == 0 {
                errands.remove(&self.root);
            }
        }
    }
}

impl Inner {
    fn place(&self, peer: &PeerId) -> Option<Prefix> {
        self.places.borrow().get(peer).copied().flatten()
    }

    fn asker(&self, peer: PeerId) -> Asker {
        let now_ms = self.clock.now().0;
        let book = self.book.borrow();
        let earned_bytes = book.entry(&peer).map_or(0, |entry| entry.earned_bytes(now_ms));
        Asker { peer, earned_bytes, place: self.place(&peer) }
    }

    /// Everybody for whom `lent` is kept, and the one who asks among them.
    fn lodgers(&self, peer: PeerId, lent: &[LentRecord]) -> (Lodgers, Lodger) {
        let (book, now_ms) = (self.book.borrow(), self.clock.now().0);
        let lodger = |peer: &PeerId, kept_bytes| {
            let entry = book.entry(peer);
            // Where it is now, else where it was.
            let connected = self.places.borrow().get(peer).copied();
            let place = connected.unwrap_or_else(|| entry.and_then(|entry| entry.place));
            let keeps_bytes = entry.map_or(0, |entry| entry.keeps_bytes(now_ms));
            Lodger { kept_bytes, keeps_bytes, place }
        };
        let kept = kept_for(lent, &self.key.peer_id());
        let lodgers = kept.iter().map(|(peer, bytes)| (*peer, lodger(peer, *bytes))).collect();
        (lodgers, lodger(&peer, kept.get(&peer).copied().unwrap_or_default()))
    }

    /// Remembers where connected peers are.
    fn follow_peers(self: &Rc<Self>, rpc: &Rpc) {
        let mut events = rpc.network().events();
        rpc.network().peers().iter().for_each(|info| self.placed(info));
        let weak = Rc::downgrade(self);
        self.clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                let Some(inner) = weak.upgrade() else { return };
                match event {
                    NetEvent::Connected(info) | NetEvent::Changed(info) => inner.placed(&info),
                    NetEvent::Disconnected(peer) => {
                        inner.places.borrow_mut().remove(&peer);
                    }
                    NetEvent::Addresses(_) => {}
                }
            }
        }));
    }

    fn placed(&self, info: &PeerInfo) {
        let place = Prefix::of_addr(&info.addr);
        self.places.borrow_mut().insert(info.peer, place);
        self.book.borrow_mut().placed(&info.peer, place);
    }

    /// Books the time since the last tick with everyone who is connected.
    fn tick(&self, kept: &BTreeMap<PeerId, u64>) {
        let (now, now_ms) = (self.clock.monotonic(), self.clock.now().0);
        let passed = now.saturating_sub(self.ticked.replace(now)).min(TICK_MOST);
        let lent = match LentRecord::all(&self.store) {
            Ok(lent) => kept_for(&lent, &self.key.peer_id()),
            Err(error) => return tracing::warn!(%error, "what is kept for others is not known"),
        };
        let places = self.places.borrow();
        let mut book = self.book.borrow_mut();
        for (peer, place) in places.iter() {
            let of = |bytes: &BTreeMap<PeerId, u64>| bytes.get(peer).copied().unwrap_or_default();
            book.together(*peer, passed.as_millis() as u64, of(kept), of(&lent), now_ms);
            book.placed(peer, *place);
        }
    }

    fn keep(&self) {
        let changed = self.book.borrow_mut().take_changed();
        if let Err(error) = record::keep(&self.store, &changed) {
            // The disk is full, perhaps: it is tried again.
            tracing::warn!(%error, "the book of peers could not be kept");
            self.book.borrow_mut().put_back(changed);
        }
    }
}

/// Bytes that are kept for each peer. What several asked for is there once, and divided among them; what
/// `me` keeps by itself, so as to mend files from it, is at nobody's charge.
fn kept_for(lent: &[LentRecord], me: &PeerId) -> BTreeMap<PeerId, u64> {
    let mut askers: BTreeMap<Cid, u64> = BTreeMap::new();
    let lent = || lent.iter().filter(|record| record.asker != *me);
    for record in lent() {
        *askers.entry(record.root).or_default() += 1;
    }
    let mut kept: BTreeMap<PeerId, u64> = BTreeMap::new();
    for record in lent() {
        let bytes = record.bytes / askers.get(&record.root).copied().unwrap_or(1);
        let sum = kept.entry(record.asker).or_default();
        *sum = sum.saturating_add(bytes);
    }
    kept
}

#[cfg(test)]
mod tests;
