//! The owner's side: keeps as many holders as are wanted, codes what is to be coded, collects the
//! promises in the placement record, and says how it goes. Whom to ask for what is decided by the
//! roster; this module reads, sends, checks and keeps time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{
    Cid, PeerId,
    placement::{Placement, PlacementRecord, SignedPromise, placement_key},
    record::Record as Signed,
    sign::Hash,
};
use craftec_p2p::{Key, NetEvent, Record, Role, Rpc};
use craftec_platform::Clock;
use futures::StreamExt;

mod homes;

use super::{
    Copies, Copy, Signer, Surroundings,
    ask::Asker,
    packs::Packs,
    placed::{Candidate, Now, place},
    roster::Roster,
    wire::{HEADS, Hold},
};
use crate::{
    ObjError, Objects, StoreError,
    event::{Moved, ObjEvent, Way},
    feed::Feed,
    ledger::KeptByOthers,
    objects::{Made, ObjectRecord},
    store::Meta,
};

/// Holders asked at one time, over all roots.
const AT_ONCE: usize = 8;
/// Pause in which changes are gathered before anybody is asked.
const GATHER: Duration = Duration::from_millis(100);
/// How often every root is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Shards of one object: as many as there are holders, within these. Fewer would put too much of it in
/// one place, more would ask a reader for as many connections.
const FEWEST_SHARDS: u8 = 20;
const MOST_SHARDS: u8 = 40;
/// How long a node meets others after the first one: only then those that are there count as all, unless
/// they are as many as there are shards. What is spread sooner would lie with the few that came first.
const MEETING: Duration = Duration::from_secs(3);
/// Objects that are coded at one time: each takes some 40 MiB of memory and the processor.
const CODING: usize = 1;
/// A holder that doesn't answer at all for so long, or that tells nothing more for so long, is given up:
/// nobody hurries here.
const FIRST: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

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
    roster: RefCell<Roster>,
    packs: RefCell<Packs>,
    /// Shards that wait here for their holders, by file; `None` while they are being made.
    made: RefCell<BTreeMap<Cid, Option<Made>>>,
    running: Cell<usize>,
    /// Holders that are to hear that they may let go, and of what.
    releases: RefCell<VecDeque<(Cid, PeerId)>>,
    releasing: Cell<usize>,
    /// When the first of those who are there was met.
    met: Cell<Option<Duration>>,
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
            roster: RefCell::default(),
            packs: RefCell::default(),
            made: RefCell::default(),
            running: Cell::new(0),
            releases: RefCell::default(),
            releasing: Cell::new(0),
            met: Cell::new(None),
            woken: Cell::new(false),
            stopped: Cell::new(false),
        });
        for (root, record) in inner.objects.records()? {
            if record.wanted > 0 {
                inner.adopt(root, &record)?;
            }
        }
        inner.restore_homes()?;
        inner.follow_peers();
        inner.keep_looking();
        Ok(Self(inner))
    }

    /// Wants copies of an object that was put here.
    pub fn place(&self, root: Cid, record: &ObjectRecord) -> Result<(), StoreError> {
        if record.wanted > 0 {
            self.0.adopt(root, record)?;
        }
        self.0.news.tell(ObjEvent::Copies { roots: vec![root] });
        self.0.wake();
        Ok(())
    }

    /// No longer wants copies: tells the holders, and says so in the DHT, unless they keep it together
    /// with others that are wanted.
    pub fn release(&self, root: Cid) -> Result<(), StoreError> {
        self.0.release(root)?;
        self.0.news.tell(ObjEvent::Copies { roots: vec![root] });
        Ok(())
    }

    /// How many copies of `root` there are, or shards of it.
    pub fn copies(&self, root: &Cid) -> Copies {
        self.0.copies(root)
    }

    /// Each holder of `root`, and each peer that was asked.
    pub fn holders(&self, root: &Cid) -> Vec<Copy> {
        self.0.holders(root, &self.0.connected())
    }

    /// Those who signed for a copy of `root`, or for a shard of it.
    pub fn signers(&self, root: &Cid) -> Vec<PeerId> {
        let copies = self.0.holders(root, &BTreeSet::new());
        copies.into_iter().filter(|copy| copy.signed).map(|copy| copy.peer).collect()
    }

    /// Says how many bytes each peer keeps for us, for as long as this lives.
    pub fn kept_by_others(&self) -> KeptByOthers {
        let weak = Rc::downgrade(&self.0);
        let kept = |inner: Rc<Inner>| inner.roster.borrow().kept(inner.now());
        Rc::new(move || weak.upgrade().map(kept).unwrap_or_default())
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
        if self.waits_for_others(root, record) {
            return Ok(());
        }
        if self.roster.borrow().has(&root) {
            self.roster.borrow_mut().want(&root, record.wanted);
            return Ok(());
        }
        // What the graph holds at most: blocks that are there twice are taken once.
        let size = (record.block_bytes, record.blocks);
        self.roster.borrow_mut().copy(root, record.wanted, record.percent_coded(), size);
        self.restore(root)
    }

    /// Takes over the placement that an earlier run recorded.
    fn restore(&self, root: Cid) -> Result<(), StoreError> {
        if let Some(bytes) = self.objects.store().meta_get(Meta::Placement, root.to_bytes())? {
            match Signed::verify(&self.key(&root).0, &bytes, self.now().unix_ms) {
                Ok(Signed::Placement(old)) => {
                    self.roster.borrow_mut().restore(old.placement, self.now());
                    let record = Record { key: self.key(&root), value: bytes.to_vec() };
                    self.objects.announcer().put_record(record);
                }
                Ok(Signed::Head(_)) => tracing::warn!(%root, "a head in a placement's place"),
                Err(error) => tracing::warn!(%root, %error, "the placement was not readable"),
            }
        }
        Ok(())
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
                        inner.roster.borrow_mut().revive(&info.peer, now);
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

    /// Tells about every object of which `peer` holds something.
    fn holder_moved(&self, peer: &PeerId) {
        let held = self.roster.borrow().held_by(peer, self.now());
        held.iter().for_each(|object| self.tell_of(object));
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
        if !candidates.is_empty() {
            self.gather();
        }
        let most = AT_ONCE.saturating_sub(self.running.get());
        let meeting = self.is_meeting(candidates.len());
        let next = self.roster.borrow_mut().next(&candidates, most, meeting, self.now());
        for object in next.code {
            self.code(object, candidates.len());
        }
        for (unit, candidate) in next.asks {
            self.running.set(self.running.get() + 1);
            let inner = self.clone();
            self.clock.spawn(Box::pin(async move {
                inner.ask(unit, candidate.peer).await;
                inner.running.set(inner.running.get() - 1);
                inner.wake();
            }));
        }
    }

    /// Whether more may be there in a moment.
    fn is_meeting(&self, candidates: usize) -> bool {
        let now = self.clock.monotonic();
        let met = self.met.get().filter(|_| candidates > 0).unwrap_or(now);
        self.met.set(Some(met));
        candidates < usize::from(FEWEST_SHARDS) && now.saturating_sub(met) < MEETING
    }

    /// Makes the shards of an object, for as many holders as there are.
    fn code(self: &Rc<Self>, object: Cid, holders: usize) {
        let busy = self.made.borrow().values().filter(|made| made.is_none()).count();
        if self.made.borrow().contains_key(&object) || busy >= CODING {
            return;
        }
        self.made.borrow_mut().insert(object, None);
        let (percent, known) = {
            let roster = self.roster.borrow();
            (roster.percent(&object), roster.shards(&object))
        };
        let most = u8::try_from(holders).unwrap_or(u8::MAX).clamp(FEWEST_SHARDS, MOST_SHARDS);
        let shards = match u8::try_from(known) {
            // As it was coded first: its shards keep their names.
            Ok(known) if known > 0 => known..=known,
            _ => FEWEST_SHARDS..=most,
        };
        let inner = self.clone();
        self.clock.spawn(Box::pin(async move {
            let made = inner.objects.make_shards(object, shards, percent).await;
            inner.coded(object, made);
            inner.wake();
        }));
    }

    fn coded(&self, object: Cid, made: Result<Made, ObjError>) {
        let mut roster = self.roster.borrow_mut();
        match made {
            Ok(made) if roster.has(&object) => {
                roster.code(object, made.coding.spread().needed(), &made.shards);
                self.made.borrow_mut().insert(object, Some(made));
            }
            Ok(_) => drop(self.made.borrow_mut().remove(&object)),
            Err(error) => {
                tracing::warn!(%object, %error, "it is kept in copies, because it was not coded");
                roster.keep_copies(&object);
                self.made.borrow_mut().remove(&object);
            }
        }
    }

    async fn ask(self: &Rc<Self>, unit: Cid, peer: PeerId) {
        let Some(hold) = self.question(unit) else { return };
        let _offered = match self.offer(unit, &peer) {
            Ok(offered) => offered,
            Err(error) => return self.failed(unit, peer, &error.to_string(), None),
        };
        let (clock, exchange) = (self.clock.clone(), self.objects.exchange().clone());
        let asker = Asker { rpc: &self.rpc, clock, exchange, first: FIRST, silence: SILENCE };
        let wanted = || !self.stopped.get() && self.roster.borrow().object_of(&unit).is_some();
        let progress = |bytes| {
            let wanted = wanted();
            if wanted && bytes > 0 {
                self.progress(unit, peer, bytes);
            }
            wanted
        };
        match asker.hold(peer, hold, progress).await {
            Ok(promise) if wanted() => self.signed(unit, peer, promise),
            Err(no) if wanted() => self.failed(unit, peer, &no.reason, no.pause),
            _ => {}
        }
    }

    fn question(&self, unit: Cid) -> Option<Hold> {
        let roster = self.roster.borrow();
        let (bytes, blocks, epoch) = roster.size(&unit)?;
        let mut heads = self.around.heads_of(&roster.object_of(&unit)?);
        heads.truncate(HEADS);
        Some(Hold { root: unit, bytes, blocks, owner: self.signer.did, epoch: epoch + 1, heads })
    }

    fn progress(&self, unit: Cid, peer: PeerId, bytes: u64) {
        self.roster.borrow_mut().with(&unit, |placed| placed.progress(&peer, bytes));
        self.moved(unit, peer, bytes, None, false);
    }

    fn failed(&self, unit: Cid, peer: PeerId, reason: &str, pause: Option<Duration>) {
        tracing::debug!(%peer, %unit, reason, "no copy");
        let now = self.now();
        let mut bytes = 0;
        self.roster.borrow_mut().with(&unit, |placed| {
            placed.failed(&peer, reason, pause, now);
            let copies = placed.list(&BTreeSet::new(), now);
            bytes = copies.iter().find(|c| c.peer == peer).map_or(0, |c| c.bytes);
        });
        if bytes > 0 {
            self.moved(unit, peer, bytes, None, true);
        }
        self.tell(&unit);
    }

    fn tell(&self, unit: &Cid) {
        let object = self.roster.borrow().object_of(unit);
        object.iter().for_each(|object| self.tell_of(object));
    }

    fn signed(self: &Rc<Self>, unit: Cid, peer: PeerId, signed: SignedPromise) {
        let now = self.now();
        let bytes = signed.promise.bytes;
        self.roster.borrow_mut().promised(&unit, signed, now);
        let Some(object) = self.roster.borrow().object_of(&unit) else { return };
        if let Err(error) = self.write(&object) {
            tracing::warn!(%object, %error, "the placement could not be recorded");
        }
        if self.roster.borrow().is_placed(&object, now) {
            // Made again when a holder is lost.
            self.made.borrow_mut().remove(&object);
            self.roster.borrow_mut().let_shards_go(&object);
        }
        // What is there twice was announced twice and taken once.
        self.moved(unit, peer, bytes, Some(bytes), true);
        self.tell(&unit);
        self.let_go_of_empty();
    }

    /// Makes the placement durable and announces it.
    fn write(&self, root: &Cid) -> Result<(), StoreError> {
        let Some(said) = self.roster.borrow().record(root, self.now()) else { return Ok(()) };
        let record = self.record(root, said).map_err(|reason| StoreError::Corrupt { reason })?;
        let value = Bytes::from(record.value.clone());
        self.objects.store().meta_put(Meta::Placement, root.to_bytes(), value)?;
        self.objects.announcer().put_record(record);
        Ok(())
    }

    fn record(
        &self,
        root: &Cid,
        (epoch, n, holders, pieces): (u64, u16, Vec<SignedPromise>, Vec<Hash>),
    ) -> Result<Record, String> {
        let placement = Placement {
            v: 1,
            root: *root,
            owner: self.signer.did,
            epoch,
            n,
            holders,
            pieces,
            writer: self.signer.writer.public(),
            time_ms: self.clock.now().0,
        };
        let record = PlacementRecord::sign(placement, &self.signer.writer, self.signer.log.clone());
        let record = Signed::Placement(Box::new(record.map_err(|error| error.to_string())?));
        let value = record.encode().map_err(|error| error.to_string())?;
        Ok(Record { key: self.key(root), value })
    }

    fn moved(&self, unit: Cid, peer: PeerId, bytes: u64, total: Option<u64>, done: bool) {
        let (object, announced) = {
            let roster = self.roster.borrow();
            (roster.object_of(&unit), roster.size(&unit).map(|(bytes, ..)| bytes))
        };
        // Of a pack nobody asked: its objects have their copies when it is there.
        let Some(root) = object.filter(|root| !self.packs.borrow().is_pack(root)) else { return };
        let total = total.or(announced);
        let moved = Moved { root, way: Way::Replicate, peer, bytes, total, done };
        self.news.tell(ObjEvent::Moved(moved));
    }
}
