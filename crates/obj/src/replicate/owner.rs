//! The owner's side: keeps as many holders as are wanted, collects their promises in the placement
//! record, and says how it goes.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{
    Cid, PeerId, cbor,
    placement::{Placement, PlacementRecord, SignedPromise, placement_key},
    record::Record as Signed,
};
use craftec_p2p::{Key, NetError, NetEvent, Record, Role, Rpc};
use craftec_platform::{Clock, timeout};
use futures::StreamExt;

use super::{
    Copies, Copy, Signer, Surroundings,
    placed::{Candidate, Now, Placed, place},
    wire::{Ask, HEADS, Hold, PROTOCOL, Release, TOLD_BYTES, Told},
};
use crate::{
    Objects, StoreError,
    event::{Moved, ObjEvent, Way},
    feed::Feed,
    ledger::KeptByOthers,
    objects::ObjectRecord,
    store::Meta,
};

/// Holders asked at one time, over all roots.
const AT_ONCE: usize = 8;
/// Pause in which changes are gathered before anybody is asked.
const GATHER: Duration = Duration::from_millis(100);
/// How often every root is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A holder that tells nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A peer that does not know the protocol is asked again after this time.
const UNSUPPORTED: Duration = Duration::from_secs(60 * 60);
/// How long a holder may take to answer a release.
const RELEASE: Duration = Duration::from_secs(10);

/// Keeps copies of our objects on other nodes. Cloning shares it.
#[derive(Clone)]
pub struct Replicator(Rc<Inner>);

struct Inner {
    objects: Objects,
    rpc: Rpc,
    clock: Rc<dyn Clock>,
    signer: Signer,
    around: Rc<dyn Surroundings>,
    news: Feed<ObjEvent>,
    roots: RefCell<BTreeMap<Cid, Placed>>,
    running: Cell<usize>,
    woken: Cell<bool>,
    stopped: Cell<bool>,
}

impl Replicator {
    /// Looks after every object that wants copies, from now on.
    pub fn start(
        rpc: Rpc,
        objects: Objects,
        clock: Rc<dyn Clock>,
        signer: Signer,
        around: Rc<dyn Surroundings>,
        news: Feed<ObjEvent>,
    ) -> Result<Self, StoreError> {
        let inner = Rc::new(Inner {
            objects,
            rpc,
            clock,
            signer,
            around,
            news,
            roots: RefCell::default(),
            running: Cell::new(0),
            woken: Cell::new(false),
            stopped: Cell::new(false),
        });
        for (root, record) in inner.objects.records()? {
            if record.wanted > 0 {
                inner.adopt(root, &record)?;
            }
        }
        inner.follow_peers();
        inner.keep_looking();
        Ok(Self(inner))
    }

    /// Wants copies of an object that was put here.
    pub fn place(&self, root: Cid, record: &ObjectRecord) -> Result<(), StoreError> {
        if record.wanted > 0 {
            self.0.adopt(root, record)?;
        }
        self.0.news.tell(ObjEvent::Copies { root });
        self.0.wake();
        Ok(())
    }

    /// No longer wants copies: tells the holders, and says so in the DHT.
    pub fn release(&self, root: Cid) -> Result<(), StoreError> {
        let placed = self.0.roots.borrow_mut().remove(&root);
        let Some(mut placed) = placed else { return Ok(()) };
        let holders: Vec<PeerId> =
            placed.promises(self.0.now()).iter().map(|p| p.promise.holder).collect();
        placed.wanted = 0;
        placed.epoch += 1;
        self.0.objects.announcer().forget_record(self.0.key(&root));
        self.0.objects.store().meta_delete(Meta::Placement, root.to_bytes())?;
        match self.0.record(&root, &placed, Vec::new()) {
            Ok(record) => {
                let last = self.0.rpc.network().put_record(record);
                self.0.clock.spawn(Box::pin(async move { drop(last.await) }));
            }
            Err(error) => tracing::warn!(%error, %root, "no last placement record"),
        }
        for holder in holders {
            self.0.send_release(root, holder);
        }
        self.0.news.tell(ObjEvent::Copies { root });
        Ok(())
    }

    /// How many copies of `root` there are.
    pub fn copies(&self, root: &Cid) -> Copies {
        let roots = self.0.roots.borrow();
        roots
            .get(root)
            .map_or_else(Copies::default, |placed| placed.copies(&self.0.connected(), self.0.now()))
    }

    /// Each holder of `root`, and each peer that was asked.
    pub fn holders(&self, root: &Cid) -> Vec<Copy> {
        let roots = self.0.roots.borrow();
        roots
            .get(root)
            .map_or_else(Vec::new, |placed| placed.list(&self.0.connected(), self.0.now()))
    }

    /// Those who signed for a copy of `root`.
    pub fn signers(&self, root: &Cid) -> Vec<PeerId> {
        let (roots, now) = (self.0.roots.borrow(), self.0.now());
        let promises = roots.get(root).map(|placed| placed.promises(now)).unwrap_or_default();
        promises.iter().map(|signed| signed.promise.holder).collect()
    }

    /// Says how many bytes each peer keeps for us, for as long as this lives.
    pub fn kept_by_others(&self) -> KeptByOthers {
        let weak = Rc::downgrade(&self.0);
        Rc::new(move || weak.upgrade().map(|inner| inner.kept()).unwrap_or_default())
    }

    /// Asks nobody any more.
    pub fn stop(&self) {
        self.0.stopped.set(true);
    }
}

impl Inner {
    fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), unix_ms: self.clock.now().0 }
    }

    fn key(&self, root: &Cid) -> Key {
        Key(placement_key(root, &self.signer.did))
    }

    fn connected(&self) -> BTreeSet<PeerId> {
        self.rpc.network().peers().into_iter().map(|info| info.peer).collect()
    }

    /// Looks after `root`, with what an earlier run recorded.
    fn adopt(&self, root: Cid, record: &ObjectRecord) -> Result<(), StoreError> {
        let known = {
            let mut roots = self.roots.borrow_mut();
            roots.get_mut(&root).map(|placed| placed.wanted = record.wanted).is_some()
        };
        if known {
            return Ok(());
        }
        // What the graph holds at most: blocks that are there twice are taken once.
        let mut placed =
            Placed::new(record.wanted, record.block_bytes.max(1), record.blocks.max(1));
        if let Some(bytes) = self.objects.store().meta_get(Meta::Placement, root.to_bytes())? {
            match Signed::verify(&self.key(&root).0, &bytes, self.now().unix_ms) {
                Ok(Signed::Placement(old)) => {
                    placed.restore(old.placement.epoch, old.placement.holders, self.now());
                    let record = Record { key: self.key(&root), value: bytes.to_vec() };
                    self.objects.announcer().put_record(record);
                }
                Ok(Signed::Head(_)) => tracing::warn!(%root, "a head in a placement's place"),
                Err(error) => tracing::warn!(%root, %error, "the placement was not readable"),
            }
        }
        self.roots.borrow_mut().insert(root, placed);
        Ok(())
    }

    /// Bytes that each peer keeps for us, by the promises that hold.
    fn kept(&self) -> BTreeMap<PeerId, u64> {
        let (roots, now) = (self.roots.borrow(), self.now());
        let mut kept: BTreeMap<PeerId, u64> = BTreeMap::new();
        for signed in roots.values().flat_map(|placed| placed.promises(now)) {
            let sum = kept.entry(signed.promise.holder).or_default();
            *sum = sum.saturating_add(signed.promise.bytes);
        }
        kept
    }

    fn follow_peers(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let mut events = self.rpc.network().events();
        self.clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                let Some(inner) = weak.upgrade() else { return };
                let now = inner.now();
                match event {
                    NetEvent::Connected(info) => {
                        let mut roots = inner.roots.borrow_mut();
                        roots.values_mut().for_each(|placed| placed.revive(&info.peer, now));
                        drop(roots);
                        inner.holder_moved(&info.peer);
                        inner.wake();
                    }
                    // What it is may be known only now.
                    NetEvent::Changed(info) if info.role != Role::Foreign => inner.wake(),
                    NetEvent::Disconnected(peer) => inner.holder_moved(&peer),
                    NetEvent::Changed(_) | NetEvent::Addresses(_) => {}
                }
            }
        }));
    }

    /// Tells about every root of which `peer` has a copy.
    fn holder_moved(&self, peer: &PeerId) {
        let now = self.now();
        let roots = self.roots.borrow();
        let held = roots.iter().filter(|(_, placed)| {
            placed.promises(now).iter().any(|promise| promise.promise.holder == *peer)
        });
        let held: Vec<Cid> = held.map(|(root, _)| *root).collect();
        drop(roots);
        held.into_iter().for_each(|root| self.news.tell(ObjEvent::Copies { root }));
    }

    fn keep_looking(self: &Rc<Self>) {
        let (weak, clock) = (Rc::downgrade(self), self.clock.clone());
        self.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(LOOK).await;
                let Some(inner) = weak.upgrade() else { return };
                inner.ask_all();
            }
        }));
    }

    fn wake(self: &Rc<Self>) {
        if self.woken.replace(true) {
            return;
        }
        let (weak, sleep) = (Rc::downgrade(self), self.clock.sleep(GATHER));
        self.clock.spawn(Box::pin(async move {
            sleep.await;
            if let Some(inner) = weak.upgrade() {
                inner.woken.set(false);
                inner.ask_all();
            }
        }));
    }

    /// Asks whoever is to be asked, as far as places are free.
    fn ask_all(self: &Rc<Self>) {
        if self.stopped.get() {
            return;
        }
        let peers = self.rpc.network().peers();
        let candidates: Vec<Candidate> = peers
            .into_iter()
            .filter(|info| info.role != Role::Foreign)
            .map(|info| Candidate { place: place(&info.addr), peer: info.peer })
            .collect();
        let now = self.now();
        let mut asks = Vec::new();
        for (root, placed) in self.roots.borrow_mut().iter_mut() {
            if self.running.get() + asks.len() >= AT_ONCE {
                break;
            }
            // Also notes who is there, so it runs for roots with enough copies too.
            for peer in placed.next(root, &candidates, now) {
                if self.running.get() + asks.len() >= AT_ONCE {
                    break;
                }
                let at = candidates.iter().find(|c| c.peer == peer).and_then(|c| c.place.clone());
                placed.asking(peer, at, now);
                asks.push((*root, peer));
            }
        }
        for (root, peer) in asks {
            self.running.set(self.running.get() + 1);
            let inner = self.clone();
            self.clock.spawn(Box::pin(async move {
                inner.ask(root, peer).await;
                inner.running.set(inner.running.get() - 1);
                inner.wake();
            }));
        }
    }

    async fn ask(&self, root: Cid, peer: PeerId) {
        let Some(hold) = self.question(root) else { return };
        // It takes what we asked it to take: that is not held back.
        let _favoured = self.objects.exchange().favour(peer);
        let body = match cbor::encode(&Ask::Hold(hold)) {
            Ok(body) => body,
            Err(error) => return self.failed(root, peer, &error.to_string(), None),
        };
        let mut told = self.rpc.subscribe(peer, PROTOCOL, body);
        loop {
            let next = timeout(&*self.clock, SILENCE, told.next()).await;
            if self.stopped.get() || !self.roots.borrow().contains_key(&root) {
                return;
            }
            let bytes = match next {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(error))) => {
                    let pause = matches!(error, NetError::Unsupported { .. });
                    let pause = pause.then_some(UNSUPPORTED);
                    return self.failed(root, peer, &error.to_string(), pause);
                }
                Ok(None) => return self.failed(root, peer, "it ended without a promise", None),
                Err(_) => return self.failed(root, peer, "it fell silent", None),
            };
            match cbor::decode(&bytes, TOLD_BYTES) {
                Ok(Told::Progress(bytes)) => self.progress(root, peer, bytes),
                Ok(Told::Signed(promise)) => return self.signed(root, peer, promise),
                Ok(Told::Refused(refusal)) => {
                    let pause = Some(Duration::from_millis(refusal.retry_ms));
                    return self.failed(root, peer, &refusal.reason, pause);
                }
                Ok(Told::Released) => return self.failed(root, peer, "it let go", None),
                Err(error) => return self.failed(root, peer, &error.to_string(), None),
            }
        }
    }

    fn question(&self, root: Cid) -> Option<Hold> {
        let roots = self.roots.borrow();
        let placed = roots.get(&root)?;
        let mut heads = self.around.heads_of(&root);
        heads.truncate(HEADS);
        Some(Hold {
            root,
            bytes: placed.bytes,
            blocks: placed.blocks,
            owner: self.signer.did,
            epoch: placed.epoch + 1,
            heads,
        })
    }

    fn with(&self, root: &Cid, act: impl FnOnce(&mut Placed)) {
        if let Some(placed) = self.roots.borrow_mut().get_mut(root) {
            act(placed);
        }
    }

    fn progress(&self, root: Cid, peer: PeerId, bytes: u64) {
        self.with(&root, |placed| placed.progress(&peer, bytes));
        self.moved(root, peer, bytes, None, false);
    }

    fn failed(&self, root: Cid, peer: PeerId, reason: &str, pause: Option<Duration>) {
        tracing::debug!(%peer, %root, reason, "no copy");
        let now = self.now();
        let mut bytes = 0;
        self.with(&root, |placed| {
            placed.failed(&peer, reason, pause, now);
            let copies = placed.list(&BTreeSet::new(), now);
            bytes = copies.iter().find(|c| c.peer == peer).map_or(0, |c| c.bytes);
        });
        if bytes > 0 {
            self.moved(root, peer, bytes, None, true);
        }
        self.news.tell(ObjEvent::Copies { root });
    }

    fn signed(&self, root: Cid, peer: PeerId, signed: SignedPromise) {
        let now = self.now();
        let promise = &signed.promise;
        let fits = promise.root == root
            && promise.owner == self.signer.did
            && promise.holder == peer
            && promise.until_ms > now.unix_ms;
        if !fits || signed.verify().is_err() {
            return self.failed(root, peer, "its promise is not valid", None);
        }
        let (bytes, epoch) = (promise.bytes, promise.epoch);
        self.with(&root, |placed| {
            placed.promised(signed, now);
            placed.epoch = epoch.max(placed.epoch + 1);
        });
        if let Err(error) = self.write(&root) {
            tracing::warn!(%root, %error, "the placement could not be recorded");
        }
        // What is there twice was announced twice and taken once.
        self.moved(root, peer, bytes, Some(bytes), true);
        self.news.tell(ObjEvent::Copies { root });
    }

    /// Makes the placement durable and announces it.
    fn write(&self, root: &Cid) -> Result<(), StoreError> {
        let made = {
            let roots = self.roots.borrow();
            let Some(placed) = roots.get(root) else { return Ok(()) };
            self.record(root, placed, placed.promises(self.now()))
        };
        let record = made.map_err(|reason| StoreError::Corrupt { reason })?;
        let value = Bytes::from(record.value.clone());
        self.objects.store().meta_put(Meta::Placement, root.to_bytes(), value)?;
        self.objects.announcer().put_record(record);
        Ok(())
    }

    fn record(
        &self,
        root: &Cid,
        placed: &Placed,
        holders: Vec<SignedPromise>,
    ) -> Result<Record, String> {
        let placement = Placement {
            v: 1,
            root: *root,
            owner: self.signer.did,
            epoch: placed.epoch,
            n: placed.wanted,
            holders,
            pieces: Vec::new(),
            writer: self.signer.writer.public(),
            time_ms: self.clock.now().0,
        };
        let record = PlacementRecord::sign(placement, &self.signer.writer, self.signer.log.clone());
        let record = Signed::Placement(Box::new(record.map_err(|error| error.to_string())?));
        let value = record.encode().map_err(|error| error.to_string())?;
        Ok(Record { key: self.key(root), value })
    }

    fn moved(&self, root: Cid, peer: PeerId, bytes: u64, total: Option<u64>, done: bool) {
        let announced = || self.roots.borrow().get(&root).map(|placed| placed.bytes);
        let total = total.or_else(announced);
        let moved = Moved { root, way: Way::Replicate, peer, bytes, total, done };
        self.news.tell(ObjEvent::Moved(moved));
    }

    fn send_release(self: &Rc<Self>, root: Cid, holder: PeerId) {
        let release = Ask::Release(Release { root, owner: self.signer.did });
        let Ok(body) = cbor::encode(&release) else { return };
        let mut told = self.rpc.subscribe(holder, PROTOCOL, body);
        let clock = self.clock.clone();
        self.clock.spawn(Box::pin(async move {
            if timeout(&*clock, RELEASE, told.next()).await.is_err() {
                tracing::debug!(%holder, %root, "it lets go at the end of its promise");
            }
        }));
    }
}
