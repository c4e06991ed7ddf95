//! Freeing space: what nothing reaches is cache, and its oldest part goes when there is too much of
//! it or when the pin that reached it was taken away.
//!
//! Mark and sweep over what is here. Blocks of puts in progress are kept; pulls and sweeps exclude
//! each other, so that a pull never finds a hole where it had looked. Where a node below a kept root
//! is missing (it rotted, say), what lies below it can't be known: until it is here again only blocks
//! go that were fetched as cache and never kept.

use std::{collections::BTreeSet, time::Duration};

use craftec_core::Cid;

use super::{
    Inner, Objects,
    mark::{Kept, Marker},
};
use crate::{
    StoreError,
    store::{Batch, Swept},
};

/// Pause between the steps of a sweep, for everything else on this thread.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// How often the size of the cache is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// Nodes marked and blocks freed between two pauses.
pub(super) const STEP: usize = 256;
/// Looks between two times that uses are written down: ten minutes of uses are lost in a crash.
const NOTE_LOOKS: u64 = 20;
/// Uses after which they are written down at once.
const NOTE_USES: usize = 16_384;
/// After a sweep that could free too little, nothing is tried until so much more is stored, or so
/// many looks went by: marking reads every node that is kept.
const FUTILE_BYTES: u64 = 64 << 20;
const FUTILE_LOOKS: u64 = 20;

/// Blocks of puts that were given up which are remembered as such; others go as cache does.
const ABANDONED: usize = 1 << 16;

/// How much cache a sweep leaves: a fifth less than allowed, so that the next one is not due at once.
const fn low_water(cache_bytes: u64) -> u64 {
    cache_bytes / 5 * 4
}

/// A block that may go.
type Candidate = (u32, Cid, u64);

impl Objects {
    /// Frees the oldest of the cache whenever it has outgrown its budget.
    pub(super) fn watch_cache(&self) {
        let (weak, clock) = (std::rc::Rc::downgrade(&self.0), self.0.clock.clone());
        self.0.clock.spawn(Box::pin(async move {
            let (mut looks, mut futile) = (0_u64, None);
            loop {
                let Some(inner) = weak.upgrade() else { return };
                let objects = Objects(inner);
                objects.note_uses(looks);
                if let Err(error) = objects.look(looks, &mut futile).await {
                    tracing::warn!(%error, "the cache could not be freed");
                }
                drop(objects);
                looks += 1;
                clock.sleep(LOOK).await;
            }
        }));
    }

    fn note_uses(&self, looks: u64) {
        let store = &self.0.store;
        store.set_minute(u32::try_from(self.0.clock.now().0 / 60_000).unwrap_or(u32::MAX));
        if (looks % NOTE_LOOKS == NOTE_LOOKS - 1 || store.noted_uses() >= NOTE_USES)
            && let Err(error) = store.note_uses()
        {
            tracing::warn!(%error, "what was used could not be noted");
        }
    }

    async fn look(&self, looks: u64, futile: &mut Option<(u64, u64)>) -> Result<(), StoreError> {
        let used = self.0.store.used_bytes()?;
        let cached = used.saturating_sub(self.0.kept_bytes.get());
        let full = self.0.exchange.ran_full();
        if !full && cached <= self.0.cache_bytes {
            return Ok(());
        }
        let waiting = futile.is_some_and(|(bytes, at)| {
            used < bytes.saturating_add(FUTILE_BYTES) && looks < at + FUTILE_LOOKS
        });
        if waiting {
            return Ok(());
        }
        match full {
            true => self.shrink_cache(self.room(cached)).await?,
            false => self.shrink_cache(low_water(self.0.cache_bytes)).await?,
        };
        let left = self.0.store.used_bytes()?;
        let still = left.saturating_sub(self.0.kept_bytes.get()) > self.0.cache_bytes;
        *futile = (still || left == used).then_some((left, looks));
        Ok(())
    }

    /// How much cache to leave on a full disk: half, and nothing of puts that were given up.
    fn room(&self, cached: u64) -> u64 {
        cached.saturating_sub(self.0.abandoned_bytes.get()) / 2
    }

    /// The disk is full: frees the older half of the cache soon, so that the next try may have room.
    pub(super) fn make_room(&self) {
        if self.0.making_room.replace(true) {
            return;
        }
        let objects = self.clone();
        self.0.clock.spawn(Box::pin(async move {
            let used = objects.0.store.used_bytes().unwrap_or_default();
            let cached = used.saturating_sub(objects.0.kept_bytes.get());
            if let Err(error) = objects.shrink_cache(objects.room(cached)).await {
                tracing::warn!(%error, "the cache could not be freed");
            }
            objects.0.making_room.set(false);
        }));
    }

    /// Deletes everything that nothing reaches.
    pub async fn free_cache(&self) -> Result<Swept, StoreError> {
        self.shrink_cache(0).await
    }

    /// Deletes what nothing reaches, beginning with what was used longest ago, until at most
    /// `most_bytes` of it are left.
    pub async fn shrink_cache(&self, most_bytes: u64) -> Result<Swept, StoreError> {
        let Some(_guard) = self.begin_sweep().await else { return Ok(Swept::default()) };
        let kept = self.mark().await?;
        let (mut cached, mut candidates) = (0, Vec::new());
        let mut cursor = None;
        loop {
            let page = self.0.store.list(cursor.as_ref(), 4 * STEP)?;
            let Some(last) = page.last() else { break };
            cursor = Some(last.cid);
            for block in page.into_iter().filter(|block| !kept.holds(&block.cid)) {
                cached += block.bytes;
                if block.minute.is_some() || !kept.has_holes() {
                    let abandoned = self.0.abandoned.borrow().contains(&block.cid);
                    let minute = block.minute.filter(|_| !abandoned).unwrap_or_default();
                    candidates.push((minute, block.cid, block.bytes));
                }
            }
            self.0.clock.sleep(PAUSE).await;
        }
        self.0.abandoned.take();
        self.0.abandoned_bytes.set(0);
        // Oldest first; of one minute in a fixed order.
        candidates.sort_unstable();
        self.evict(candidates, cached, most_bytes).await
    }

    async fn evict(
        &self,
        candidates: Vec<Candidate>,
        mut cached: u64,
        most_bytes: u64,
    ) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for step in candidates.chunks(STEP) {
            // A put may have begun that needs one of them.
            let mut batch = Batch::new();
            for (_, cid, bytes) in step.iter().filter(|(_, cid, _)| !self.0.is_fresh(cid)) {
                if cached <= most_bytes {
                    break;
                }
                batch.delete(*cid);
                cached = cached.saturating_sub(*bytes);
                swept.blocks += 1;
                swept.bytes += bytes;
            }
            if batch.is_empty() && cached <= most_bytes {
                break;
            }
            self.0.store.commit(batch)?;
            self.0.clock.sleep(PAUSE).await;
        }
        tracing::info!(blocks = swept.blocks, bytes = swept.bytes, "freed cached blocks");
        Ok(swept)
    }

    /// Deletes what lies below `root` and nothing reaches.
    pub(super) async fn free_below(&self, root: Cid) -> Result<(), StoreError> {
        let Some(_guard) = self.begin_sweep().await else { return Ok(()) };
        let kept = self.mark().await?;
        if kept.has_holes() {
            // What is shared with a root whose node is missing can't be known. It is cache now.
            return Ok(());
        }
        let mut below = Marker::new(self);
        below.reach(root, false).await?;
        let doomed: Vec<Cid> = below.end().cids().filter(|cid| !kept.holds(cid)).copied().collect();
        for step in doomed.chunks(STEP) {
            // A put may have begun that needs one of them.
            let step: Vec<Cid> = step.iter().filter(|cid| !self.0.is_fresh(cid)).copied().collect();
            self.0.store.delete(&step)?;
            self.0.clock.sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits for pulls to end; `None` if another sweep runs or a pull takes very long.
    async fn begin_sweep(&self) -> Option<SweepGuard> {
        for _ in 0..5_000 {
            if !self.0.sweeping.get() && self.0.pulls.get() == 0 {
                self.0.sweeping.set(true);
                return Some(SweepGuard(self.clone()));
            }
            self.0.clock.sleep(PAUSE * 2).await;
        }
        None
    }

    /// Everything here that must stay, and what is missing of it.
    pub(super) async fn mark(&self) -> Result<Kept, StoreError> {
        let mut marker = Marker::new(self);
        for (root, whole) in self.kept_roots()? {
            marker.reach(root, whole).await?;
        }
        let kept = marker.end();
        self.0.kept_bytes.set(kept.bytes());
        Ok(kept)
    }
}

/// Ends a sweep, however it ends.
struct SweepGuard(Objects);

impl Drop for SweepGuard {
    fn drop(&mut self) {
        self.0.0.sweeping.set(false);
        self.0.0.forget_ended();
    }
}

/// Key of the list of puts that ended while a sweep ran.
const ENDED: u64 = u64::MAX;

impl Inner {
    /// A list for the blocks of a put.
    pub(super) fn begin_fresh(&self) -> u64 {
        let id = self.next_fresh.get();
        self.next_fresh.set(id + 1);
        self.fresh.borrow_mut().insert(id, BTreeSet::new());
        id
    }

    pub(super) fn add_fresh(&self, id: u64, cids: impl Iterator<Item = Cid>) {
        if let Some(list) = self.fresh.borrow_mut().get_mut(&id) {
            list.extend(cids);
        }
    }

    /// Its put ended; with `left_bytes` it was given up, and so many bytes are of no use.
    pub(super) fn end_fresh(&self, id: u64, left_bytes: u64) {
        let mut fresh = self.fresh.borrow_mut();
        let list = fresh.remove(&id).unwrap_or_default();
        let mut abandoned = self.abandoned.borrow_mut();
        if left_bytes > 0 && abandoned.len() < ABANDONED {
            abandoned.extend(list.iter().copied());
            self.abandoned_bytes.set(self.abandoned_bytes.get().saturating_add(left_bytes));
        }
        // A sweep that runs has marked before this put was pinned.
        if self.sweeping.get() {
            fresh.entry(ENDED).or_default().extend(list);
        }
    }

    fn forget_ended(&self) {
        self.fresh.borrow_mut().remove(&ENDED);
    }

    fn is_fresh(&self, cid: &Cid) -> bool {
        self.fresh.borrow().values().any(|list| list.contains(cid))
    }
}
