//! Keeping objects alive when their author may be gone: holders look after them in turns, and make what
//! is lost again for new holders: shards of coded files, or whole copies (`copies`).
//!
//! Time is cut into slots, and in each slot the holders of a file wait for times of their own before
//! they look; whoever hears that another looked rests, mostly (see [`care::regardless`]). Who sees so
//! many holders go that the file is nearly unreadable does not wait for the slot. To look is to ask
//! every holder which shards it has. What follows is decided by [`crate::heal`], and by how near
//! to unreadable the file is now. Shards are made again under the names that they had; whoever had to
//! read the file for it keeps it whole from then on, so that the next repair reads nothing.
//!
//! A holder may say that it has what it hasn't. So whoever looks also audits one of the holders, the
//! one that waited longest; who failed is no holder here. Nothing here trusts a byte: what is read is
//! checked by its name.

pub mod care;
mod copies;
mod owner;
mod placing;
mod survey;
mod turn;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use craftec_core::{Cid, PeerId, limits::BLOCK_BYTES};
use craftec_p2p::Rpc;
use craftec_platform::{Clock, Entropy};

use self::care::{Answers, Care, Plan, Reading};
use crate::{
    ObjError, Objects,
    audit::{Auditor, Promised, Standing},
    coded::Coding,
    exchange::{Session, Told, provider_key},
    heal::{budget::Budget, history::Kind},
    read::WalkLimits,
    replicate::{LentRecord, Surroundings, TERM_MS, wire::Hold},
};

/// How long a slot is, unless the configuration says otherwise: a file is looked after some hundred
/// times a day, by one of its holders.
pub const SLOT: Duration = Duration::from_secs(10 * 60);
/// Files looked after at one time.
const AT_ONCE: usize = 2;
/// Bytes that a node spends on repairs in an hour, and at once: a gigabyte keeps some hundred
/// gigabytes of others alive at a half-life of holders of a month.
const HOUR_BYTES: u64 = 1 << 30;
const MOST_BYTES: u64 = 8 << 30;

/// Looks after the files of which shards are here. Cloning shares it.
#[derive(Clone)]
pub struct Mender(Rc<Inner>);

struct Inner {
    rpc: Rpc,
    objects: Objects,
    clock: Rc<dyn Clock>,
    around: Rc<dyn Surroundings>,
    auditor: Auditor,
    slot_ms: u64,
    cares: RefCell<BTreeMap<Cid, Care>>,
    kind: RefCell<Kind>,
    budget: RefCell<Budget>,
    running: RefCell<BTreeSet<Cid>>,
    /// Files whose promises are being looked after.
    late: Cell<usize>,
    /// The last one whose turn was considered.
    last: Cell<Option<Cid>>,
    /// Files that must not wait for their turn, since too many holders are gone.
    hurried: RefCell<BTreeSet<Cid>>,
    stopped: Cell<bool>,
    mended: Cell<Mended>,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Files looked after.
    pub looks: u64,
    /// Shards made again and placed.
    pub shards: u64,
    /// Whole copies placed.
    pub copies: u64,
    /// Bytes read from others for it.
    pub read_bytes: u64,
    /// Bytes written to new holders.
    pub written_bytes: u64,
}

impl Mender {
    /// Looks after files from now on, in slots of `slot`.
    pub fn start(
        rpc: Rpc,
        objects: Objects,
        clock: Rc<dyn Clock>,
        entropy: Rc<dyn Entropy>,
        around: Rc<dyn Surroundings>,
        slot: Duration,
    ) -> Self {
        let now_ms = clock.now().0;
        let inner = Rc::new(Inner {
            auditor: Auditor::new(rpc.clone(), clock.clone(), entropy),
            rpc,
            objects,
            clock,
            around,
            slot_ms: u64::try_from(slot.as_millis()).unwrap_or(u64::MAX).max(1000),
            cares: RefCell::default(),
            kind: RefCell::default(),
            budget: RefCell::new(Budget::new(HOUR_BYTES, MOST_BYTES, now_ms)),
            running: RefCell::default(),
            late: Cell::new(0),
            last: Cell::new(None),
            hurried: RefCell::default(),
            stopped: Cell::new(false),
            mended: Cell::default(),
        });
        turn::start(&inner);
        Self(inner)
    }

    /// What was done so far.
    pub fn mended(&self) -> Mended {
        self.0.mended.get()
    }

    /// What is known of a file's holders since they were last asked.
    pub fn outlook(&self, object: &Cid) -> Option<care::Outlook> {
        self.0.cares.borrow().get(object).and_then(Care::outlook)
    }

    /// Ends all of it.
    pub fn stop(&self) {
        self.0.stopped.set(true);
    }
}

impl Inner {
    /// Looks after one file: asks its holders, and does what is needed.
    async fn look(self: &Rc<Self>, object: Cid, slot: u64) -> Result<(), ObjError> {
        let exchange = self.objects.exchange();
        let Some(code) = most_named(&exchange.shards_of(&object)) else {
            return self.look_after_copies(object, slot).await;
        };
        let coding = self.objects.coding(object, code).await?;
        let answers = self.believed(object, slot).await;
        let me = self.rpc.network().local_peer();
        let own = exchange.told_of(&object);
        let now_ms = self.clock.now().0;
        let plan = {
            let mut cares = self.cares.borrow_mut();
            let care = cares.entry(object).or_default();
            care.heard(me, &own, &answers, code, &mut self.kind.borrow_mut(), now_ms);
            care.plan(&me, coding.spread(), &self.kind.borrow(), now_ms)
        };
        let asked = answers.len();
        tracing::debug!(%object, asked, silent = silent(&answers).len(), ?plan, "looked after");
        self.count(|mended| mended.looks += 1);
        let present = self.cares.borrow().get(&object).map(Care::present).unwrap_or_default();
        exchange.knows_holders(object, present.into_keys().filter(|peer| *peer != me).collect());
        self.objects.announcer().provide_again(provider_key(&object));
        match plan {
            Plan::Rest => {}
            Plan::DropWhole => self.drop_whole(object).await?,
            Plan::Mend { shards, read } => {
                self.mend(object, &coding, &shards, read, silent(&answers)).await?;
            }
        }
        self.later(object, coding);
        Ok(())
    }

    /// Does what is never urgent and may take minutes, while the next turn is free to begin.
    fn later(self: &Rc<Self>, object: Cid, coding: Coding) {
        if self.late.get() >= AT_ONCE {
            return;
        }
        self.late.set(self.late.get() + 1);
        let inner = self.clone();
        self.clock.spawn(Box::pin(async move {
            if let Err(error) = inner.upkeep(object, &coding).await {
                tracing::info!(%object, %error, "its promises could not be looked after");
            }
            inner.late.set(inner.late.get() - 1);
        }));
    }

    async fn upkeep(&self, object: Cid, coding: &Coding) -> Result<(), ObjError> {
        if let Some(lent) = self.lent_for(object)?
            && self.heed_owner(object, &lent).await?
        {
            self.renew(object, coding).await?;
            self.audit(object, coding).await;
        }
        Ok(())
    }

    /// What holders say that they have. Who failed an audit has nothing, whatever it says.
    async fn believed(&self, object: Cid, slot: u64) -> Answers {
        let mut answers = self.ask_holders(object, slot).await;
        answers.retain(|(peer, ..)| !self.is_evicted(peer));
        self.cares.borrow_mut().entry(object).or_default().evict(|peer| self.is_evicted(peer));
        answers
    }

    fn is_evicted(&self, peer: &PeerId) -> bool {
        matches!(self.auditor.standing(peer), Standing::Evicted { .. })
    }

    /// Audits the holder that waited longest for it, about what it says that it has of this file.
    async fn audit(&self, object: Cid, coding: &Coding) {
        let me = self.rpc.network().local_peer();
        let mut held =
            self.cares.borrow().get(&object).map(Care::held_by_others).unwrap_or_default();
        held.retain(|(peer, _)| *peer != me);
        let Some(holder) = self.auditor.next(held.iter().map(|(peer, _)| *peer)) else { return };
        let shards = held.into_iter().filter(|(peer, _)| *peer == holder);
        let pieces = shards.filter_map(|(_, index)| coding.shard(index)).flat_map(|s| s.pieces);
        let piece_bytes = u32::try_from(coding.spread().layout().piece_bytes).ok();
        let blocks: Vec<Promised> = pieces
            // The last leaf may be shorter, and is not asked for by length.
            .map(|cid| Promised { cid, bytes: piece_bytes.filter(|_| coding.is_long(&cid)) })
            .collect();
        let verdict = self.auditor.audit(holder, &blocks).await;
        if let Some(ledger) = self.objects.exchange().ledger()
            && verdict.passed as usize + verdict.failed.len() > 0
        {
            ledger.audited(holder, verdict.failed.is_empty());
        }
        tracing::debug!(%holder, %object, ?verdict, "audited");
    }

    /// Makes `shards` again and finds holders for them. A file that has to be read for it is kept.
    async fn mend(
        &self,
        object: Cid,
        coding: &Coding,
        shards: &[u8],
        read: Reading,
        silent: BTreeSet<PeerId>,
    ) -> Result<(), ObjError> {
        let size = coding.spread().layout().size;
        let bytes = size / u64::from(coding.spread().needed()) * shards.len() as u64;
        let cost = bytes + if read == Reading::Nothing { 0 } else { size };
        if let Err(wait) = self.budget.borrow_mut().spend(cost, self.clock.now().0) {
            tracing::info!(%object, cost, ?wait, "no repair now: its cost is above the budget");
            return Ok(());
        }
        let Some(lent) = self.lent_for(object)? else { return Ok(()) };
        if read != Reading::Nothing {
            let mut session = self.objects.reader(object);
            if read == Reading::GivingWay {
                session = session.errand();
            }
            self.keep_whole(session, &lent).await?;
            self.count(|mended| mended.read_bytes += size);
        }
        let made = self.objects.remake_shards(object, *coding.code(), shards).await?;
        self.place_all(object, &made.shards, &lent, silent).await;
        Ok(())
    }

    /// Asks holders to promise for longer, when half of the time is over: their author may be gone. Who
    /// was asked sees that its own promise is long enough, and asks nobody.
    async fn renew(&self, object: Cid, coding: &Coding) -> Result<(), ObjError> {
        let Some(lent) = self.renewed(object)? else { return Ok(()) };
        let me = self.rpc.network().local_peer();
        let held = self.cares.borrow().get(&object).map(Care::held_by_others).unwrap_or_default();
        for (peer, index) in held.into_iter().filter(|(peer, _)| *peer != me) {
            let Some(shard) = coding.shard(index) else { continue };
            let parts = shard.links().count() as u64 + 1;
            let hold = Hold {
                root: *shard.block()?.cid(),
                // It is there: no more than a bound is needed.
                bytes: parts * BLOCK_BYTES as u64,
                blocks: parts,
                owner: lent.owner,
                epoch: lent.epoch,
                heads: Vec::new(),
            };
            if let Err(no) = self.asker().hold(peer, hold, |_| !self.stopped.get()).await {
                tracing::debug!(%peer, reason = no.reason, "its promise was not renewed");
            }
        }
        Ok(())
    }

    /// The terms under which something is here, when half of their time is over: then what is here is
    /// kept for longer, because we want it, and the others are to be asked the same.
    fn renewed(&self, object: Cid) -> Result<Option<LentRecord>, ObjError> {
        let now_ms = self.clock.now().0;
        let Some(lent) = self.lent_for(object)? else { return Ok(None) };
        if lent.until_ms > now_ms + TERM_MS / 2 {
            return Ok(None);
        }
        let me = self.rpc.network().local_peer();
        for mut record in self.lent_all(object)? {
            (record.asker, record.until_ms) = (me, now_ms + TERM_MS);
            record.keep(self.objects.store(), now_ms)?;
        }
        Ok(Some(lent))
    }

    /// Under what terms this node holds a shard of the file: of all the ones that end last.
    fn lent_for(&self, object: Cid) -> Result<Option<LentRecord>, ObjError> {
        Ok(self.lent_all(object)?.into_iter().max_by_key(|lent| lent.until_ms))
    }

    /// Of each shard of the file that is here, and of the whole where it is kept for others, the
    /// promise that ends last.
    fn lent_all(&self, object: Cid) -> Result<Vec<LentRecord>, ObjError> {
        let shards = self.objects.exchange().shards_of(&object);
        let roots = shards.into_iter().map(|(_, _, root)| root).chain([object]);
        let mut all = Vec::new();
        for root in roots {
            let lent = LentRecord::of(self.objects.store(), &root)?;
            let whole = lent.into_iter().filter(|lent| lent.complete);
            all.extend(whole.max_by_key(|lent| lent.until_ms));
        }
        Ok(all)
    }

    /// Fetches the whole file and keeps it, if what this node lends has room for it.
    async fn keep_whole(&self, session: Session, lent: &LentRecord) -> Result<(), ObjError> {
        let limits = WalkLimits { bytes: u64::MAX, ..WalkLimits::default() };
        let object = session.root();
        let pulled = self.objects.pull(session, limits, |_| ()).await?;
        let lend = self.around.lend().await;
        let used = LentRecord::lent_bytes(self.objects.store())?;
        if lend.limit_bytes.saturating_sub(used) < pulled.bytes {
            // What was read stays as cache for as long as there is room.
            return Ok(());
        }
        let now_ms = self.clock.now().0;
        let record = LentRecord {
            v: 1,
            root: object,
            owner: lent.owner,
            asker: self.rpc.network().local_peer(),
            bytes: pulled.bytes,
            epoch: lent.epoch,
            until_ms: now_ms + TERM_MS,
            complete: true,
        };
        record.keep(self.objects.store(), now_ms)?;
        self.objects.kept(object, pulled.bytes);
        Ok(())
    }

    /// Lets go of the whole file, because somebody else has it too.
    async fn drop_whole(&self, object: Cid) -> Result<(), ObjError> {
        let me = self.rpc.network().local_peer();
        if let Some(record) = LentRecord::find(self.objects.store(), &object, &me)? {
            record.drop(self.objects.store())?;
            self.objects.let_go(object).await?;
        }
        Ok(())
    }

    fn count(&self, change: impl FnOnce(&mut Mended)) {
        let mut mended = self.mended.get();
        change(&mut mended);
        self.mended.set(mended);
    }
}

/// The code of which the most shards are here.
fn most_named(shards: &[(Cid, u8, Cid)]) -> Option<Cid> {
    let mut codes: BTreeMap<Cid, usize> = BTreeMap::new();
    for (code, ..) in shards {
        *codes.entry(*code).or_default() += 1;
    }
    codes.into_iter().max_by_key(|(_, shards)| *shards).map(|(code, _)| code)
}

/// Those that said nothing.
fn silent(answers: &Answers) -> BTreeSet<PeerId> {
    answers.iter().filter(|(.., told)| told.is_none()).map(|(peer, ..)| *peer).collect()
}

/// What a peer told, where it answered.
pub(crate) type Answer = (PeerId, Option<String>, Option<Told>);
