//! The holder's side: decides whether there is room, pulls, pins, promises, and lets go in time.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{
    Cid, PeerId, cbor,
    placement::{Promise, SignedPromise},
};
use craftec_p2p::Rpc;
use craftec_platform::{Clock, timeout};
use futures::{
    FutureExt,
    future::{Either, LocalBoxFuture, select},
    stream::{self, LocalBoxStream},
};

use super::{
    LentRecord, Signer, Surroundings, TERM_MS,
    wire::{ASK_BYTES, Ask, HEADS, Hold, PROTOCOL, REASON_CHARS, Refusal, Release, Told},
};
use crate::{
    ObjError, Objects, StoreError,
    ledger::policy::{Space, Unwanted},
    read::WalkLimits,
};

/// Copies pulled at one time: each takes read-ahead memory and a share of the link.
const PULLS: usize = 4;
/// How often an owner hears of progress, at most.
const PROGRESS: Duration = Duration::from_millis(250);
/// How often it hears something, at least.
const ALIVE: Duration = Duration::from_secs(5);
/// A pull slower than this on average is ended: it would keep others out.
const SLOWEST_BYTES_PER_SECOND: u64 = 8 << 10;
/// How long an unfinished copy is kept for its owner to ask again, in milliseconds.
const UNFINISHED_MS: u64 = 60 * 60 * 1000;
/// How often promises are looked through for those that ended.
const LOOK: Duration = Duration::from_secs(10 * 60);
/// Most blocks of one copy: what a walk holds in memory.
const BLOCKS: u64 = 1 << 20;

/// Keeps copies for others. Cloning shares it.
#[derive(Clone)]
pub struct Holder(Rc<Inner>);

struct Inner {
    objects: Objects,
    clock: Rc<dyn Clock>,
    signer: Signer,
    around: Rc<dyn Surroundings>,
    running: RefCell<BTreeSet<(Cid, PeerId)>>,
    /// Bytes that running pulls may still take.
    reserved: Cell<u64>,
}

/// Ends a running pull, however it ends.
struct Running {
    inner: Rc<Inner>,
    key: (Cid, PeerId),
    bytes: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.running.borrow_mut().remove(&self.key);
        self.inner.reserved.set(self.inner.reserved.get() - self.bytes);
    }
}

impl Holder {
    /// Answers owners over `rpc` from now on.
    pub fn start(
        rpc: &Rpc,
        objects: Objects,
        clock: Rc<dyn Clock>,
        signer: Signer,
        around: Rc<dyn Surroundings>,
    ) -> Self {
        let (running, reserved) = (RefCell::default(), Cell::new(0));
        let inner = Rc::new(Inner { objects, clock, signer, around, running, reserved });
        let weak = Rc::downgrade(&inner);
        let handler = move |peer: PeerId, _version: u16, body: Bytes| {
            let told: LocalBoxStream<'static, Bytes> = match weak.upgrade() {
                Some(inner) => inner.answer(peer, &body),
                None => Box::pin(stream::empty()),
            };
            told
        };
        rpc.serve_subscriptions(PROTOCOL, Rc::new(handler));
        let holder = Self(inner);
        holder.announce();
        holder.watch_terms();
        holder
    }

    /// Bytes kept for others.
    pub fn lent_bytes(&self) -> Result<u64, StoreError> {
        LentRecord::lent_bytes(self.0.objects.store())
    }

    /// Announces every whole copy.
    fn announce(&self) {
        let records = LentRecord::all(self.0.objects.store());
        match records {
            Ok(records) => {
                for record in records.into_iter().filter(|record| record.complete) {
                    self.0.objects.here(record.root);
                }
            }
            Err(error) => tracing::warn!(%error, "copies could not be announced"),
        }
    }

    /// Lets go of copies whose time is over, from time to time.
    fn watch_terms(&self) {
        let (weak, clock) = (Rc::downgrade(&self.0), self.0.clock.clone());
        self.0.clock.spawn(Box::pin(async move {
            loop {
                let Some(inner) = weak.upgrade() else { return };
                if let Err(error) = inner.end_terms().await {
                    tracing::warn!(%error, "copies whose time is over could not be dropped");
                }
                drop(inner);
                clock.sleep(LOOK).await;
            }
        }));
    }
}

impl Inner {
    async fn end_terms(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.now().0;
        for record in LentRecord::all(self.objects.store())? {
            let running = self.running.borrow().contains(&(record.root, record.asker));
            if record.until_ms <= now_ms && !running {
                record.drop(self.objects.store())?;
                self.objects.let_go(record.root).await?;
            }
        }
        Ok(())
    }

    fn answer(self: Rc<Self>, peer: PeerId, body: &[u8]) -> LocalBoxStream<'static, Bytes> {
        let done = Rc::new(Cell::new(0));
        let work: LocalBoxFuture<'static, Told> = match cbor::decode(body, ASK_BYTES) {
            Ok(Ask::Hold(hold)) => self.clone().hold(peer, hold, done.clone()).boxed_local(),
            Ok(Ask::Release(release)) => self.clone().release(peer, release).boxed_local(),
            Err(error) => {
                let refused = refused(error.to_string(), TERM_MS);
                Box::pin(std::future::ready(Told::Refused(refused)))
            }
        };
        let steps = Steps { work: Some(work), done, told: None, clock: self.clock.clone() };
        Box::pin(stream::unfold(steps, |mut steps| async move {
            let told = steps.next().await?;
            Some((Bytes::from(cbor::encode(&told).unwrap_or_default()), steps))
        }))
    }

    async fn hold(self: Rc<Self>, peer: PeerId, hold: Hold, done: Rc<Cell<u64>>) -> Told {
        if hold.heads.len() > HEADS {
            let reason = format!("more than {HEADS} heads for one root");
            return Told::Refused(refused(reason, TERM_MS));
        }
        let (root, heads) = (hold.root, hold.heads.clone());
        let result = self.clone().take(peer, hold, done).await;
        match result {
            Ok(promise) => {
                heads.into_iter().for_each(|head| self.around.keep_head(&root, &head));
                Told::Signed(promise)
            }
            Err(refusal) => Told::Refused(refusal),
        }
    }

    async fn take(
        self: Rc<Self>,
        peer: PeerId,
        hold: Hold,
        done: Rc<Cell<u64>>,
    ) -> Result<SignedPromise, Refusal> {
        let store = self.objects.store();
        let known = LentRecord::find(store, &hold.root, &peer).map_err(failed)?;
        // What rotted here is pulled again before it is promised again.
        let whole = !self.objects.is_damaged(&hold.root);
        if let Some(record) = known.as_ref().filter(|record| record.complete && whole) {
            self.may_renew(peer).await?;
            return self.renew(&hold, record.clone());
        }
        let _running = self.admit(peer, &hold, known.as_ref()).await?;
        let now_ms = self.clock.now().0;
        let mut record = LentRecord {
            v: 1,
            root: hold.root,
            owner: hold.owner,
            asker: peer,
            bytes: hold.bytes,
            epoch: hold.epoch,
            until_ms: now_ms + UNFINISHED_MS,
            complete: false,
        };
        record.keep(store, now_ms).map_err(failed)?;
        match self.pull(peer, &hold, done).await {
            Ok(bytes) => {
                self.objects.check_shard(&hold.root).map_err(|error| unpulled(&error))?;
                (record.bytes, record.complete) = (bytes, true);
                record.until_ms = self.clock.now().0 + TERM_MS;
                record.keep(store, now_ms).map_err(failed)?;
                self.objects.kept(hold.root, bytes);
                tracing::info!(root = %hold.root, bytes, owner = %hold.owner, "holding a copy");
                self.promise(&record)
            }
            Err(refusal) => {
                if let Some(damaged) = known.filter(|record| record.complete) {
                    // What is left of it is still promised, and repaired when that is possible.
                    damaged.keep(store, now_ms).map_err(failed)?;
                    return Err(refusal);
                }
                record.drop(store).map_err(failed)?;
                self.objects.let_go(hold.root).await.map_err(failed)?;
                Err(refusal)
            }
        }
    }

    /// Whether what is here for `peer` is kept for another term; if not, its promise still holds.
    async fn may_renew(&self, peer: PeerId) -> Result<(), Refusal> {
        let Some(ledger) = self.objects.exchange().ledger() else { return Ok(()) };
        let limit_bytes = self.around.lend().await.limit_bytes;
        let records = LentRecord::all(self.objects.store()).map_err(failed)?;
        let used_bytes = self.lent_bytes().map_err(failed)?;
        let space = Space { limit_bytes, used_bytes };
        ledger.renew(peer, &space, &records).map_err(unwanted)
    }

    /// Bytes of copies that are here, and of those on their way.
    fn lent_bytes(&self) -> Result<u64, StoreError> {
        let lent = LentRecord::lent_bytes(self.objects.store())?;
        Ok(lent.saturating_add(self.reserved.get()))
    }

    /// Signs again for what is here already.
    fn renew(&self, hold: &Hold, mut record: LentRecord) -> Result<SignedPromise, Refusal> {
        let now_ms = self.clock.now().0;
        record.owner = hold.owner;
        record.epoch = hold.epoch;
        record.until_ms = now_ms + TERM_MS;
        record.keep(self.objects.store(), now_ms).map_err(failed)?;
        self.promise(&record)
    }

    /// Whether there is room, and a place among the running pulls.
    async fn admit(
        self: &Rc<Self>,
        peer: PeerId,
        hold: &Hold,
        known: Option<&LentRecord>,
    ) -> Result<Running, Refusal> {
        let refuse = |reason: String, minutes: u64| Err(refused(reason, minutes * 60_000));
        if hold.bytes == 0 || hold.blocks == 0 || hold.blocks > BLOCKS {
            return refuse(format!("a copy has 1 to {BLOCKS} blocks"), 24 * 60);
        }
        let lend = self.around.lend().await;
        let used_bytes = self.lent_bytes().map_err(failed)?;
        let free = lend.limit_bytes.saturating_sub(used_bytes);
        // What is here for somebody else takes no more room.
        let records = LentRecord::all(self.objects.store()).map_err(failed)?;
        let is_here = records.iter().any(|record| record.complete && record.root == hold.root);
        if hold.bytes > free && !is_here {
            let limit = lend.limit_bytes;
            let bytes = hold.bytes;
            let reason = format!("it lends {limit} bytes, {free} are free, this needs {bytes}");
            return refuse(reason, 60);
        }
        if lend.free_bytes.is_some_and(|disk| disk / 10 * 9 < hold.bytes) {
            return refuse("its disk is nearly full".to_owned(), 60);
        }
        if let Some(ledger) = self.objects.exchange().ledger().filter(|_| !is_here) {
            let space = Space { limit_bytes: lend.limit_bytes, used_bytes };
            ledger.admit(peer, hold.bytes, &space, &records).map_err(unwanted)?;
        }
        let key = (hold.root, peer);
        let mut running = self.running.borrow_mut();
        if running.contains(&key) {
            return refuse("it is taking this copy already".to_owned(), 1);
        }
        if running.len() >= PULLS {
            // Whoever has begun comes back sooner.
            let retry_ms = if known.is_some() { 5_000 } else { 10_000 };
            return Err(refused(format!("it is taking {PULLS} copies now"), retry_ms));
        }
        running.insert(key);
        drop(running);
        self.reserved.set(self.reserved.get() + hold.bytes);
        Ok(Running { inner: self.clone(), key, bytes: hold.bytes })
    }

    async fn pull(&self, peer: PeerId, hold: &Hold, done: Rc<Cell<u64>>) -> Result<u64, Refusal> {
        let _errand = self.objects.exchange().ledger().map(|ledger| ledger.errand(hold.root));
        let session = self.objects.reader(hold.root).errand();
        session.hint([peer]);
        session.expect_bytes(hold.bytes);
        let limits = WalkLimits { blocks: hold.blocks, bytes: hold.bytes };
        let pull = self.objects.pull(session, limits, |pulled| done.set(pulled.bytes));
        let limit = Duration::from_secs(60 + hold.bytes / SLOWEST_BYTES_PER_SECOND);
        match timeout(&*self.clock, limit, pull).await {
            Ok(Ok(pulled)) => Ok(pulled.bytes),
            Ok(Err(error)) => Err(unpulled(&error)),
            Err(_) => Err(refused("the transfer was too slow".to_owned(), 10 * 60_000)),
        }
    }

    fn promise(&self, record: &LentRecord) -> Result<SignedPromise, Refusal> {
        let promise = Promise {
            v: 1,
            root: record.root,
            bytes: record.bytes,
            owner: record.owner,
            epoch: record.epoch,
            holder: self.signer.transport.peer_id(),
            until_ms: record.until_ms,
        };
        SignedPromise::sign(promise, &self.signer.transport)
            .map_err(|error| refused(error.to_string(), 60_000))
    }

    async fn release(self: Rc<Self>, peer: PeerId, release: Release) -> Told {
        let store = self.objects.store();
        match LentRecord::find(store, &release.root, &peer) {
            Ok(Some(record)) => {
                let dropped = match record.drop(store) {
                    Ok(()) => self.objects.let_go(release.root).await,
                    Err(error) => Err(error),
                };
                dropped.map_or_else(|error| Told::Refused(failed(error)), |()| Told::Released)
            }
            Ok(None) => Told::Released,
            Err(error) => Told::Refused(failed(error)),
        }
    }
}

/// What is told while a pull runs: first that the question was heard.
struct Steps {
    work: Option<LocalBoxFuture<'static, Told>>,
    done: Rc<Cell<u64>>,
    told: Option<u64>,
    clock: Rc<dyn Clock>,
}

impl Steps {
    async fn next(&mut self) -> Option<Told> {
        let Some(told) = self.told else {
            self.told = Some(0);
            return Some(Told::Progress(0));
        };
        let mut work = self.work.take()?;
        let mut silent = Duration::ZERO;
        loop {
            work = match select(work, self.clock.sleep(PROGRESS)).await {
                Either::Left((told, _)) => return Some(told),
                Either::Right(((), work)) => work,
            };
            silent += PROGRESS;
            let bytes = self.done.get();
            if bytes != told || silent >= ALIVE {
                self.told = Some(bytes);
                self.work = Some(work);
                return Some(Told::Progress(bytes));
            }
        }
    }
}

fn refused(reason: String, retry_ms: u64) -> Refusal {
    Refusal { reason: reason.chars().take(REASON_CHARS).collect(), retry_ms }
}

fn unwanted(why: Unwanted) -> Refusal {
    refused(why.to_string(), why.retry_ms())
}

/// The disk failed; its words are not for strangers.
fn failed(error: StoreError) -> Refusal {
    tracing::warn!(%error, "a copy could not be kept");
    refused("its disk failed".to_owned(), 10 * 60_000)
}

fn unpulled(error: &ObjError) -> Refusal {
    match error {
        ObjError::Store(_) => refused("its disk failed or is full".to_owned(), 60 * 60_000),
        error if error.is_retryable() => refused(error.to_string(), 10_000),
        error => refused(error.to_string(), 24 * 60 * 60_000),
    }
}
