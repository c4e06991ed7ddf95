//! Fetching what lies below one root: local blocks first, then whoever has them, several peers at
//! once, each kept busy within its window. What is asked of whom is decided by the plan; this
//! module sends, verifies, hands out and keeps time.
//!
//! Every wait ends: a block that nobody delivers in time becomes
//! [`ObjError::Unavailable`], and dropping the stream that wants it withdraws it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{Cid, Codec, PeerId, cbor};
use craftec_p2p::{NetError, Role};
use futures::{
    StreamExt,
    channel::oneshot,
    stream::{self, LocalBoxStream},
};

use super::{
    Shared,
    ahead::Ahead,
    ask::{Ask, AskKind, Failure},
    coded::Recovery,
    plan::{Plan, REQUEST_TIMEOUT},
    provider_key,
    wire::{self, Answer, Blocks, Have, PROTOCOL, Request, Want},
};
use crate::{
    block::Block,
    error::ObjError,
    event::{Moved, ObjEvent, Way},
    read::BlockSource,
};

/// How often a session with open wants looks at its clock.
const TICK: Duration = Duration::from_millis(100);
/// Holders named by records that are asked besides connected peers.
const HINTS: usize = 32;
/// How long connected peers have to deliver before the DHT is asked who else could: small objects
/// come sooner, and a search costs more than they do.
const SEARCH_AFTER: Duration = Duration::from_millis(30);
/// A search for providers is repeated after this time while something is still wanted.
pub(super) const SEARCH_AGAIN: Duration = Duration::from_secs(5);

type Waiter = oneshot::Sender<Result<Block, ObjError>>;
pub(super) type Coming = oneshot::Receiver<Result<Block, ObjError>>;

/// Fetches blocks below one root. Cloning shares it.
#[derive(Clone)]
pub struct Session {
    pub(super) shared: Rc<Shared>,
    pub(super) inner: Rc<Inner>,
    /// Nobody here waits for what it fetches.
    pub(super) errand: bool,
}

pub(super) struct Inner {
    shared: Weak<Shared>,
    root: Cid,
    pub(super) plan: RefCell<Plan>,
    waiters: RefCell<BTreeMap<Cid, Vec<Waiter>>>,
    received: RefCell<BTreeMap<PeerId, u64>>,
    total: Cell<Option<u64>>,
    searched: Cell<Option<Duration>>,
    ticking: Cell<bool>,
    /// Bytes arrived since the last news that the transfer rests.
    moved: Cell<bool>,
    pub(super) recovery: Recovery,
}

impl Session {
    /// What this session fetches.
    pub fn root(&self) -> Cid {
        self.inner.root
    }

    /// The same for what is fetched for others: it gives way to what somebody here waits for.
    pub fn errand(self) -> Self {
        Self { errand: true, ..self }
    }

    /// A block that is here, which is not asked for elsewhere. Does not count as a use of it.
    pub fn at_hand(&self, cid: &Cid) -> Result<Option<Block>, crate::StoreError> {
        self.shared.peek(cid)
    }

    /// Names peers that should have the root, for instance by a placement record.
    pub fn hint(&self, holders: impl IntoIterator<Item = PeerId>) {
        for peer in holders.into_iter().take(HINTS) {
            self.inner.add_peer(&self.shared, peer, true);
        }
    }

    /// Says how many bytes are expected in all, for the news of its progress.
    pub fn expect_bytes(&self, total: u64) {
        self.inner.total.set(Some(total));
    }

    /// Fetches one block.
    pub async fn block(&self, cid: Cid) -> Result<Block, ObjError> {
        if let Some(block) = self.shared.local(&cid)? {
            return Ok(block);
        }
        let coming = self.inner.want(&self.shared, cid, self.errand);
        self.inner.clone().pump(&self.shared);
        received(cid, self, coming).await
    }

    /// Blocks in the order asked, fetched ahead of the reader within bounds.
    pub fn blocks(&self, wants: Vec<Cid>) -> LocalBoxStream<'static, Result<Block, ObjError>> {
        let ahead = Ahead::new(self.clone(), wants);
        Box::pin(stream::unfold(ahead, |mut ahead| async move {
            let block = ahead.next().await?;
            Some((block, ahead))
        }))
    }
}

impl BlockSource for Session {
    fn blocks(&self, wants: Vec<Cid>) -> LocalBoxStream<'static, Result<Block, ObjError>> {
        Session::blocks(self, wants)
    }
}

pub(super) async fn received(
    cid: Cid,
    session: &Session,
    coming: Coming,
) -> Result<Block, ObjError> {
    let _waiting = (!session.errand).then(|| session.shared.waits());
    let stopped = || ObjError::Unavailable { cid, asked: session.inner.plan.borrow().asked() };
    coming.await.unwrap_or_else(|_| Err(stopped()))
}

impl Inner {
    pub(super) fn new(shared: &Rc<Shared>, root: Cid) -> Rc<Self> {
        Rc::new(Self {
            shared: Rc::downgrade(shared),
            root,
            plan: RefCell::new(Plan::new(root, shared.clock.monotonic())),
            waiters: RefCell::default(),
            received: RefCell::default(),
            total: Cell::new(None),
            searched: Cell::new(None),
            ticking: Cell::new(false),
            moved: Cell::new(false),
            recovery: Recovery::default(),
        })
    }

    pub(super) fn root(&self) -> Cid {
        self.root
    }

    /// Registers a want; one of an errand comes after all others.
    pub(super) fn want(self: &Rc<Self>, shared: &Rc<Shared>, cid: Cid, errand: bool) -> Coming {
        let (waiter, coming) = oneshot::channel();
        if !shared.stopped.get() {
            self.waiters.borrow_mut().entry(cid).or_default().push(waiter);
            self.plan.borrow_mut().want(cid, shared.clock.monotonic(), errand);
            self.search(shared);
            self.tick(shared);
            if cid.codec() == Codec::Raw {
                self.survey(shared);
            }
        }
        coming
    }

    pub(super) fn joined(self: &Rc<Self>, peer: PeerId) {
        let Some(shared) = self.shared.upgrade() else { return };
        self.plan.borrow_mut().revive(&peer);
        if self.searched.get().is_some() {
            self.add_peer(&shared, peer, false);
            self.clone().pump(&shared);
        }
    }

    pub(super) fn left(self: &Rc<Self>, peer: &PeerId) {
        let Some(shared) = self.shared.upgrade() else { return };
        self.plan.borrow_mut().left(peer);
        self.recover(&shared);
    }

    pub(super) fn drop_peer(&self, peer: &PeerId) {
        self.plan.borrow_mut().drop_peer(peer);
    }

    /// Ends every wait.
    pub(super) fn stop(&self) {
        let waiting = std::mem::take(&mut *self.waiters.borrow_mut());
        waiting.keys().for_each(|cid| self.plan.borrow_mut().forget(cid));
    }

    pub(super) fn add_peer(self: &Rc<Self>, shared: &Rc<Shared>, peer: PeerId, hinted: bool) {
        if peer != shared.network().local_peer() && !shared.is_banned(&peer) {
            let window = shared.network().in_flight_bytes(peer);
            self.plan.borrow_mut().add_peer(peer, window, hinted);
            self.ask_shards(shared, peer);
        }
    }

    /// A wanted block came about in another way than by a want.
    pub(super) fn found(&self, block: &Block) {
        self.plan.borrow_mut().forget(block.cid());
        self.hand_out(block.cid(), || Ok(block.clone()));
    }

    /// Looks for peers: those connected now, and those that the DHT knows.
    fn search(self: &Rc<Self>, shared: &Rc<Shared>) {
        let now = shared.clock.monotonic();
        let due = self.searched.get().is_none_or(|last| {
            now.saturating_sub(last) >= SEARCH_AGAIN && self.plan.borrow().is_stuck(now)
        });
        if !due {
            return;
        }
        if self.searched.replace(Some(now)).is_some() {
            self.plan.borrow_mut().doubt();
        }
        self.survey_again(shared, now);
        let mut peers = shared.network().peers();
        peers.retain(|info| info.role != Role::Foreign);
        peers.iter().for_each(|info| self.add_peer(shared, info.peer, false));
        self.plan.borrow_mut().set_searching(true);
        let pause = if peers.is_empty() { Duration::ZERO } else { SEARCH_AFTER };
        let (weak, clock) = (Rc::downgrade(self), shared.clock.clone());
        shared.clock.spawn(Box::pin(async move {
            if !pause.is_zero() {
                clock.sleep(pause).await;
            }
            let Some((inner, shared)) = live(&weak) else { return };
            if inner.plan.borrow().is_idle() {
                // Whoever wants more later begins anew.
                inner.searched.set(None);
                inner.plan.borrow_mut().set_searching(false);
                return;
            }
            let mut found = shared.network().providers(provider_key(&inner.root));
            drop((inner, shared));
            while let Some(peer) = found.next().await {
                let Some((inner, shared)) = live(&weak) else { return };
                inner.add_peer(&shared, peer, true);
                inner.pump(&shared);
            }
            if let Some(inner) = weak.upgrade() {
                inner.plan.borrow_mut().set_searching(false);
            }
        }));
    }

    /// Keeps time while anything is wanted.
    fn tick(self: &Rc<Self>, shared: &Rc<Shared>) {
        if self.ticking.replace(true) {
            return;
        }
        let (weak, clock) = (Rc::downgrade(self), shared.clock.clone());
        shared.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(TICK).await;
                let Some((inner, shared)) = live(&weak) else { return };
                inner.withdraw();
                inner.give_up(&shared);
                if inner.plan.borrow().is_idle() {
                    inner.ticking.set(false);
                    inner.rest(&shared);
                    return;
                }
                inner.search(&shared);
                inner.recover(&shared);
                inner.pump(&shared);
            }
        }));
    }

    /// Forgets what nobody waits for any more.
    fn withdraw(&self) {
        let mut plan = self.plan.borrow_mut();
        self.waiters.borrow_mut().retain(|cid, waiters| {
            waiters.retain(|waiter| !waiter.is_canceled());
            if waiters.is_empty() {
                plan.forget(cid);
            }
            !waiters.is_empty()
        });
    }

    fn give_up(&self, shared: &Shared) {
        let lost = self.plan.borrow_mut().give_up(shared.clock.monotonic());
        let asked = self.plan.borrow().asked();
        for cid in lost {
            self.hand_out(&cid, || Err(ObjError::Unavailable { cid, asked }));
        }
    }

    fn hand_out(&self, cid: &Cid, what: impl Fn() -> Result<Block, ObjError>) {
        let waiting = self.waiters.borrow_mut().remove(cid).unwrap_or_default();
        for waiter in waiting {
            // Who no longer waits needs nothing.
            let _ = waiter.send(what());
        }
    }

    /// Sends what the plan wants sent.
    pub(super) fn pump(self: Rc<Self>, shared: &Rc<Shared>) {
        let asks = self.plan.borrow_mut().next(shared.clock.monotonic());
        for ask in asks {
            let task = send(Rc::downgrade(&self), shared.clone(), ask);
            shared.clock.spawn(Box::pin(task));
        }
    }

    fn answered(self: &Rc<Self>, shared: &Rc<Shared>, ask: &Ask, answer: Answer) {
        let now = shared.clock.monotonic();
        match (&ask.kind, answer) {
            (AskKind::Want { cids, .. }, Answer::Blocks(blocks)) => {
                self.take(shared, ask, cids, blocks);
            }
            (AskKind::Have { cids }, Answer::Held(bits)) => match wire::unpack(&bits, cids.len()) {
                Some(held) => self.plan.borrow_mut().held(ask.id, &held, now),
                None => self.plan.borrow_mut().failed(ask.id, Failure::Never, now),
            },
            (_, Answer::Busy(ms)) => {
                let wait = Duration::from_millis(ms.into());
                self.plan.borrow_mut().failed(ask.id, Failure::Busy(wait), now);
            }
            (_, answer) => {
                tracing::debug!(peer = %ask.peer, ?answer, "a peer refused a request");
                self.plan.borrow_mut().failed(ask.id, Failure::Never, now);
            }
        }
    }

    fn take(self: &Rc<Self>, shared: &Rc<Shared>, ask: &Ask, cids: &[Cid], blocks: Blocks) {
        let now = shared.clock.monotonic();
        if let Err(error) = blocks.check(cids.len()) {
            tracing::debug!(peer = %ask.peer, %error, "a peer broke the protocol");
            return self.plan.borrow_mut().failed(ask.id, Failure::Never, now);
        }
        let mut got = Vec::with_capacity(blocks.blocks.len());
        for item in blocks.blocks {
            let cid = cids[usize::from(item.at)];
            match Block::verified(cid, item.bytes) {
                Ok(block) => {
                    got.push((cid, block.len()));
                    if cid == self.root {
                        self.survey_of(shared, &block);
                    }
                    self.hand_out(&cid, || Ok(block.clone()));
                    if !self.recovery.is_passing(&cid) {
                        shared.keep(block);
                    }
                }
                Err(_) => {
                    self.plan.borrow_mut().answered(ask.id, &got, &[], now);
                    return shared.lied(self.root, ask.peer, cid);
                }
            }
        }
        let missing: Vec<Cid> = blocks.missing.iter().map(|at| cids[usize::from(*at)]).collect();
        self.plan.borrow_mut().answered(ask.id, &got, &missing, now);
        let bytes: usize = got.iter().map(|(_, bytes)| bytes).sum();
        shared.count(ask.peer, bytes, 0);
        if let Some(ledger) = shared.ledger() {
            ledger.received(ask.peer, &self.root, bytes as u64);
        }
        self.report(shared, ask.peer, bytes as u64);
    }

    fn report(&self, shared: &Shared, peer: PeerId, more: u64) {
        if more == 0 {
            return;
        }
        let bytes = {
            let mut received = self.received.borrow_mut();
            let bytes = received.entry(peer).or_default();
            *bytes += more;
            *bytes
        };
        self.moved.set(true);
        shared.feed.tell(ObjEvent::Moved(self.progress(peer, bytes, false)));
    }

    /// Says that nothing is wanted any more.
    fn rest(&self, shared: &Shared) {
        if self.moved.replace(false) {
            for (peer, bytes) in self.received.borrow().iter() {
                shared.feed.tell(ObjEvent::Moved(self.progress(*peer, *bytes, true)));
            }
        }
    }

    fn progress(&self, peer: PeerId, bytes: u64, done: bool) -> Moved {
        Moved { root: self.root, way: Way::Receive, peer, bytes, total: self.total.get(), done }
    }
}

pub(super) fn live(weak: &Weak<Inner>) -> Option<(Rc<Inner>, Rc<Shared>)> {
    let inner = weak.upgrade()?;
    let shared = inner.shared.upgrade()?;
    (!shared.stopped.get()).then_some((inner, shared))
}

async fn send(weak: Weak<Inner>, shared: Rc<Shared>, ask: Ask) {
    let Some(root) = weak.upgrade().map(|inner| inner.root) else { return };
    let request = match &ask.kind {
        AskKind::Want { cids, budget } => {
            Request::Want(Want { root, cids: cids.clone(), budget: *budget })
        }
        AskKind::Have { cids } => Request::Have(Have { cids: cids.clone() }),
    };
    let answer = match cbor::encode(&request) {
        Ok(body) => shared.rpc.request(ask.peer, PROTOCOL, body, REQUEST_TIMEOUT).await,
        Err(error) => Err(NetError::Protocol { peer: ask.peer, reason: error.to_string() }),
    };
    drop(shared);
    let Some((inner, shared)) = live(&weak) else { return };
    match answer {
        Ok(body) => inner.decoded(&shared, &ask, body),
        Err(error) => {
            tracing::debug!(peer = %ask.peer, %error, "a request for blocks failed");
            let failure = match error {
                error if error.is_retryable() => Failure::Retry,
                _ => Failure::Never,
            };
            inner.plan.borrow_mut().failed(ask.id, failure, shared.clock.monotonic());
        }
    }
    inner.pump(&shared);
}

impl Inner {
    fn decoded(self: &Rc<Self>, shared: &Rc<Shared>, ask: &Ask, body: Bytes) {
        match Answer::read(&body) {
            Ok(answer) => self.answered(shared, ask, answer),
            Err(error) => {
                tracing::debug!(peer = %ask.peer, %error, "a peer broke the protocol");
                let now = shared.clock.monotonic();
                self.plan.borrow_mut().failed(ask.id, Failure::Never, now);
            }
        }
    }
}
