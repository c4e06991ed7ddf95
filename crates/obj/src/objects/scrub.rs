//! Reading everything stored now and then, to find what rotted before somebody needs it, and fetching
//! again what is missing of what must stay.
//!
//! It goes round within a budget of bytes per hour, remembers where it was over restarts, and never
//! decides what is kept. What is rotten and only cache is dropped; what a pin, a copy for somebody
//! else, a name or a placement needs is asked for where copies are: holders of the placement, who
//! asked us to hold it, connected peers, and whoever the DHT names.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_core::{Cid, PeerId, cbor, limits, record::Record as Signed};
use serde::{Deserialize, Serialize};

use super::{Objects, mark::Kept, sweep::PAUSE};
use crate::{
    ObjError, StoreError,
    replicate::LentRecord,
    store::{Meta, PinReason},
};

/// Most bytes read in an hour unless the configuration says otherwise: a tab of 1 GiB is read in an
/// hour, at some 300 KiB/s, and 100 GiB in four days.
pub const SCRUB_BYTES_PER_HOUR: u64 = 1 << 30;
/// How long one round should take: rot that hits all copies of a block within a week is rare.
const ROUND_HOURS: u64 = 7 * 24;
/// Fewest bytes in an hour, so that a small store is not read byte by byte.
const LEAST_BYTES_PER_HOUR: u64 = 16 << 20;
/// How often it reads.
const TICK: Duration = Duration::from_secs(60);
/// Bytes read between two pauses: some milliseconds.
const SLICE_BYTES: u64 = 2 << 20;
/// How long after a start before what is missing is looked for, and again after it was not found:
/// doubled each time.
const REPAIR_AFTER: Duration = Duration::from_secs(30);
/// Longest time between two tries.
const REPAIR_MOST: Duration = Duration::from_secs(6 * 60 * 60);
/// Blocks asked for at one time.
const REPAIRS: usize = 32;
/// Rounds of looking for what a fetched node names, in one try.
const DEPTH: usize = limits::DAG_DEPTH;
/// Blocks moved in one minute to give the pack's free space back, and when that is worth it: a
/// quarter of the pack, and at least so many bytes.
const MOVED_BYTES: u64 = 32 << 20;
const LOOSE_BYTES: u64 = 16 << 20;
/// Bytes moved by one commit.
const MOVE_BYTES: u64 = 4 << 20;
/// Where its state is kept.
const WORK: &str = "scrub";
/// Ticks between two times that the state is written down.
const NOTE_TICKS: u32 = 10;

/// What scrubbing has found since the store was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// Version of this structure on disk: 1.
    v: u8,
    /// The last block looked at; none at the beginning of a round.
    after: Option<Cid>,
    /// Rounds ended.
    pub rounds: u64,
    /// Blocks read.
    pub scanned_blocks: u64,
    /// Their bytes.
    pub scanned_bytes: u64,
    /// Blocks that were rotten or could not be read, and were dropped.
    pub rotten: u64,
    /// Blocks that were missing or rotten and are here again.
    pub repaired: u64,
    /// Blocks still missing after the last try, of what should be here whole.
    pub missing: u64,
    /// Pages of the index changed on the disk: the next start rebuilds it.
    pub index_damaged: bool,
    /// Bytes of blocks that were moved to give free space back.
    pub moved_bytes: u64,
}

/// Largest encoded state.
const STATE_BYTES: usize = 512;

/// The state of the running scrubber.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    pub(super) report: ScrubReport,
    /// Roots below which something is missing.
    pub(super) damaged: BTreeSet<Cid>,
    /// The store's count of rotten blocks that was seen last.
    rotten_seen: u64,
    repair_at: Option<Duration>,
    pause: Duration,
    /// The next page of the index to compare.
    page: usize,
    ticks: u32,
}

impl Objects {
    /// What scrubbing has found.
    pub fn scrub_report(&self) -> ScrubReport {
        self.0.scrubber.borrow().report.clone()
    }

    /// Most bytes that scrubbing may read in an hour; 0 ends it.
    pub fn set_scrub_bytes_per_hour(&self, bytes: u64) {
        self.0.scrub_bytes_per_hour.set(bytes);
    }

    /// Whether something below `root` was missing when that was last looked at.
    pub fn is_damaged(&self, root: &Cid) -> bool {
        self.0.scrubber.borrow().damaged.contains(root)
    }

    /// Scrubs for as long as these objects live.
    pub(super) fn scrub(&self) -> Result<(), StoreError> {
        {
            let mut scrubber = self.0.scrubber.borrow_mut();
            let state = self.0.store.work(WORK)?;
            if let Some(state) = &state {
                // A state that is not readable is worth no more than a new round.
                scrubber.report = cbor::decode(state, STATE_BYTES).unwrap_or_default();
            }
            (scrubber.report.v, scrubber.report.index_damaged) = (1, false);
            scrubber.pause = REPAIR_AFTER;
            // What the last run knew to be missing; without a state it may have been lost with a
            // damaged index.
            if scrubber.report.missing > 0 || state.is_none() {
                scrubber.repair_at = Some(self.0.clock.monotonic() + REPAIR_AFTER);
            }
        }
        let (weak, clock) = (std::rc::Rc::downgrade(&self.0), self.0.clock.clone());
        self.0.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(TICK).await;
                let Some(inner) = weak.upgrade() else { return };
                if let Err(error) = Objects(inner).tick().await {
                    tracing::warn!(%error, "the store could not be scrubbed");
                }
            }
        }));
        Ok(())
    }

    async fn tick(&self) -> Result<(), StoreError> {
        let per_hour = self.0.scrub_bytes_per_hour.get();
        let rotten = if per_hour > 0 { self.read_on(per_hour).await } else { Ok(()) };
        let now = self.0.clock.monotonic();
        let due = {
            let mut scrubber = self.0.scrubber.borrow_mut();
            let found = self.0.store.rotten();
            // Readers find rot too, and drop it.
            if found > scrubber.rotten_seen {
                scrubber.report.rotten += found - scrubber.rotten_seen;
                scrubber.rotten_seen = found;
                (scrubber.repair_at, scrubber.pause) = (Some(now), REPAIR_AFTER);
            }
            scrubber.repair_at.is_some_and(|at| at <= now)
        };
        rotten?;
        if due {
            self.repair().await?;
        }
        self.give_back().await?;
        self.note_state()
    }

    fn note_state(&self) -> Result<(), StoreError> {
        let state = {
            let mut scrubber = self.0.scrubber.borrow_mut();
            scrubber.ticks += 1;
            if !scrubber.ticks.is_multiple_of(NOTE_TICKS) {
                return Ok(());
            }
            cbor::encode(&scrubber.report)?
        };
        self.0.store.set_work(WORK, &state)
    }

    /// Reads what a tick allows, in slices.
    async fn read_on(&self, per_hour: u64) -> Result<(), StoreError> {
        let used = self.0.store.used_bytes()?;
        let pace = (used / ROUND_HOURS).max(LEAST_BYTES_PER_HOUR).min(per_hour);
        let mut credit = pace / (3600 / TICK.as_secs());
        let mut read = 0;
        while credit > 0 {
            let after = self.0.scrubber.borrow().report.after;
            let slice = credit.min(SLICE_BYTES);
            let step = self.0.store.scrub_step(after.as_ref(), slice)?;
            {
                let report = &mut self.0.scrubber.borrow_mut().report;
                report.after = step.next;
                report.scanned_blocks += step.blocks + step.rotten.len() as u64;
                report.scanned_bytes += step.bytes;
            }
            read += step.blocks;
            if step.next.is_none() {
                let mut scrubber = self.0.scrubber.borrow_mut();
                scrubber.report.rounds += 1;
                tracing::info!(rounds = scrubber.report.rounds, "everything stored was read");
                // Once a round: is everything here that should be?
                let due = scrubber.repair_at.unwrap_or_else(|| self.0.clock.monotonic());
                scrubber.repair_at = Some(due);
                break;
            }
            credit = credit.saturating_sub(step.bytes.max(1));
            self.0.clock.sleep(PAUSE).await;
        }
        tracing::debug!(blocks = read, "scrubbed");
        self.read_index_on()
    }

    fn read_index_on(&self) -> Result<(), StoreError> {
        let page = self.0.scrubber.borrow().page;
        let compared = self.0.store.scrub_index(page);
        let mut scrubber = self.0.scrubber.borrow_mut();
        scrubber.page = match compared {
            Ok((_, next)) => next.unwrap_or_default(),
            Err(error @ StoreError::Corrupt { .. }) => {
                if !std::mem::replace(&mut scrubber.report.index_damaged, true) {
                    tracing::error!(%error, "the index rotted; it is rebuilt at the next start");
                }
                0
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Fetches what is missing of what must stay: the number of blocks that are here again.
    pub async fn repair(&self) -> Result<u64, StoreError> {
        let (mut repaired, mut tried) = (0, BTreeSet::new());
        let mut kept = self.mark().await?;
        for _ in 0..DEPTH {
            let missing = kept.missing().iter().filter(|(_, cid)| !tried.contains(cid));
            let wanted: Vec<(Cid, Cid)> = missing.copied().collect();
            if wanted.is_empty() {
                break;
            }
            tried.extend(wanted.iter().map(|(_, cid)| *cid));
            for step in wanted.chunks(REPAIRS) {
                repaired += self.fetch_again(step).await?;
            }
            // A node that is here again names more.
            kept = self.mark().await?;
        }
        self.repaired(&kept, repaired);
        Ok(repaired)
    }

    async fn fetch_again(&self, wanted: &[(Cid, Cid)]) -> Result<u64, StoreError> {
        let (shards, others): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|(root, _)| self.0.exchange.shard_at(root).is_some());
        let mut by_shard: BTreeMap<Cid, BTreeSet<Cid>> = BTreeMap::new();
        for (root, cid) in shards {
            by_shard.entry(root).or_default().insert(cid);
        }
        let mut here = Vec::new();
        for (root, missing) in by_shard {
            match self.restore_shard(root, &missing).await {
                Ok(found) => here.extend(found),
                Err(ObjError::Store(error)) => return Err(error),
                Err(error) => tracing::debug!(%root, %error, "a shard is not to be mended now"),
            }
        }
        let fetches = others.iter().map(|(root, cid)| async move {
            let session = self.reader(*root);
            session.hint(self.likely_holders(root));
            session.block(*cid).await.map(|_| *cid)
        });
        for fetched in futures::future::join_all(fetches).await {
            match fetched {
                Ok(cid) => here.push(cid),
                Err(ObjError::Store(error)) => return Err(error),
                Err(error) => tracing::debug!(%error, "a missing block is not to be had now"),
            }
        }
        if here.is_empty() {
            return Ok(0);
        }
        self.0.exchange.flush()?;
        self.0.store.promote(&here)?;
        tracing::info!(blocks = here.len(), "missing blocks were fetched again");
        Ok(here.len() as u64)
    }

    /// Notes how a try ended.
    fn repaired(&self, kept: &Kept, repaired: u64) {
        let mut scrubber = self.0.scrubber.borrow_mut();
        scrubber.report.repaired += repaired;
        scrubber.report.missing = kept.missing().len() as u64;
        scrubber.damaged = kept.missing().iter().map(|(root, _)| *root).collect();
        if kept.missing().is_empty() {
            (scrubber.repair_at, scrubber.pause) = (None, REPAIR_AFTER);
            return;
        }
        let roots = scrubber.damaged.len();
        tracing::warn!(
            blocks = kept.missing().len(),
            roots,
            "blocks are missing; tried again later"
        );
        scrubber.repair_at = Some(self.0.clock.monotonic() + scrubber.pause);
        scrubber.pause = (scrubber.pause * 2).min(REPAIR_MOST);
    }

    /// Who signed for a copy of `root`, or asked us to keep one.
    fn likely_holders(&self, root: &Cid) -> Vec<PeerId> {
        let store = &self.0.store;
        let mut peers = Vec::new();
        let placed = store.meta_get(Meta::Placement, root.to_bytes()).ok().flatten();
        let placed = placed.and_then(|bytes| cbor::decode(&bytes, limits::RECORD_BYTES).ok());
        if let Some(Signed::Placement(record)) = placed {
            peers.extend(record.placement.holders.iter().map(|signed| signed.promise.holder));
        }
        let lent = LentRecord::of(store, root).unwrap_or_default();
        peers.extend(lent.into_iter().map(|record| record.asker));
        peers
    }

    /// Moves blocks from the end of the pack into its free extents, where that is worth it.
    async fn give_back(&self) -> Result<(), StoreError> {
        let (free, end) = self.0.store.pack_bytes()?;
        if free < LOOSE_BYTES || free < end / 4 {
            return Ok(());
        }
        let mut places = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.0.store.iterate(cursor.as_ref(), 1024)?;
            let Some(last) = page.last() else { break };
            cursor = Some(*last);
            for cid in &page {
                places.extend(self.0.store.place_of(cid)?);
            }
            // Only the last ones matter.
            places.sort_unstable_by(|a, b| b.cmp(a));
            let mut sum = 0;
            places.retain(|place| {
                sum += place.bytes;
                sum <= MOVED_BYTES
            });
            self.0.clock.sleep(PAUSE).await;
        }
        let (mut step, mut bytes, mut moved) = (Vec::new(), 0, 0);
        for place in &places {
            step.push(place.cid);
            bytes += place.bytes;
            if bytes >= MOVE_BYTES || place == places.last().unwrap_or(place) {
                moved += self.0.store.relocate(&step)?;
                (step, bytes) = (Vec::new(), 0);
                self.0.clock.sleep(PAUSE).await;
            }
        }
        self.0.scrubber.borrow_mut().report.moved_bytes += moved;
        if moved > 0 {
            tracing::info!(moved, free, end, "blocks moved to give free space back");
        }
        Ok(())
    }

    /// After an index was rebuilt: pins that were lost follow from the records of objects and copies.
    pub(super) fn restore_pins(&self) -> Result<(), StoreError> {
        let store = &self.0.store;
        if !store.has_lost_pins()? {
            return Ok(());
        }
        let mut restored = 0_u64;
        for (root, record) in self.records()? {
            if store.pins_of(&root)?.iter().all(|pin| pin.reason == PinReason::Lent) {
                let name = record.name.unwrap_or_default();
                let pin = crate::store::Pin::new(PinReason::Own, record.time_ms, name, record.size);
                store.pin(&root, pin)?;
                restored += 1;
            }
        }
        for record in LentRecord::all(store)? {
            if store.pins_of(&record.root)?.iter().all(|pin| pin.reason != PinReason::Lent) {
                record.keep(store, self.0.clock.now().0)?;
                restored += 1;
            }
        }
        store.restored_pins()?;
        tracing::warn!(restored, "pins were restored from the records of what is kept");
        Ok(())
    }
}
