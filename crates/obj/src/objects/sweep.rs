//! Freeing space: what no pin reaches is cache, and goes when there is too much of it or when the
//! pin that reached it was taken away.
//!
//! Mark and sweep over what is here. Blocks of puts in progress are kept; pulls and sweeps exclude
//! each other, so that a pull never finds a hole where it had looked.

use std::{collections::BTreeSet, time::Duration};

use craftec_core::{Cid, Codec};

use super::{Inner, Objects};
use crate::{StoreError, store::Swept, unixfs::PbNode};

/// Pause between the steps of a sweep, for everything else on this thread.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// How often the size of the cache is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// Nodes marked and blocks freed between two pauses.
const STEP: usize = 256;

impl Objects {
    /// Frees the cache whenever it has outgrown its budget.
    pub(super) fn watch_cache(&self) {
        let (weak, clock) = (std::rc::Rc::downgrade(&self.0), self.0.clock.clone());
        self.0.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(LOOK).await;
                let Some(inner) = weak.upgrade() else { return };
                let objects = Objects(inner);
                let used = objects.0.store.used_bytes().unwrap_or_default();
                let cached = used.saturating_sub(objects.0.kept_bytes.get());
                let full = objects.0.exchange.ran_full();
                if (full || cached > objects.0.cache_bytes)
                    && let Err(error) = objects.free_cache().await
                {
                    tracing::warn!(%error, "the cache could not be freed");
                }
            }
        }));
    }

    /// The disk is full: frees the cache soon, so that the next try may have room.
    pub(super) fn make_room(&self) {
        let objects = self.clone();
        self.0.clock.spawn(Box::pin(async move {
            if let Err(error) = objects.free_cache().await {
                tracing::warn!(%error, "the cache could not be freed");
            }
        }));
    }

    /// Deletes everything that no pin reaches.
    pub async fn free_cache(&self) -> Result<Swept, StoreError> {
        let Some(_guard) = self.begin_sweep().await else { return Ok(Swept::default()) };
        let (kept, kept_bytes) = self.mark().await?;
        self.0.kept_bytes.set(kept_bytes);
        let (mut swept, mut cursor) = (Swept::default(), None);
        loop {
            let keep = |cid: &Cid| kept.contains(cid) || self.0.is_fresh(cid);
            let (next, step) = self.0.store.sweep_step(cursor.as_ref(), keep)?;
            swept.blocks += step.blocks;
            swept.bytes += step.bytes;
            cursor = next;
            if cursor.is_none() {
                tracing::info!(blocks = swept.blocks, bytes = swept.bytes, "freed cached blocks");
                return Ok(swept);
            }
            self.0.clock.sleep(PAUSE).await;
        }
    }

    /// Deletes what lies below `root` and no pin reaches.
    pub(super) async fn free_below(&self, root: Cid) -> Result<(), StoreError> {
        let Some(_guard) = self.begin_sweep().await else { return Ok(()) };
        let (kept, kept_bytes) = self.mark().await?;
        self.0.kept_bytes.set(kept_bytes);
        let mut below = BTreeSet::new();
        self.reach(root, &mut below).await?;
        let doomed: Vec<Cid> =
            below.into_iter().filter(|cid| !kept.contains(cid) && !self.0.is_fresh(cid)).collect();
        for step in doomed.chunks(STEP) {
            self.0.store.delete(step)?;
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

    /// Everything here that a pin reaches, and its bytes.
    async fn mark(&self) -> Result<(BTreeSet<Cid>, u64), StoreError> {
        let mut kept = BTreeSet::new();
        for (root, _) in self.0.store.pins()? {
            self.reach(root, &mut kept).await?;
        }
        let mut bytes = 0;
        for (n, cid) in kept.iter().enumerate() {
            bytes += self.0.store.len_of(cid)?.unwrap_or_default();
            if n % (16 * STEP) == 0 {
                self.0.clock.sleep(PAUSE).await;
            }
        }
        Ok((kept, bytes))
    }

    /// Adds every block that is named below `root` as far as nodes are here.
    async fn reach(&self, root: Cid, seen: &mut BTreeSet<Cid>) -> Result<(), StoreError> {
        let mut open = vec![root];
        let mut nodes = 0_usize;
        while let Some(cid) = open.pop() {
            if !seen.insert(cid) || cid.codec() != Codec::DagPb {
                continue;
            }
            let block = match self.0.exchange.local(&cid) {
                Ok(Some(block)) => block,
                Ok(None) | Err(StoreError::Rotten { .. }) => continue,
                Err(error) => return Err(error),
            };
            if let Ok(node) = PbNode::decode(block.bytes()) {
                open.extend(node.links.iter().map(|link| link.cid).filter(|c| !seen.contains(c)));
            }
            nodes += 1;
            if nodes.is_multiple_of(STEP) {
                self.0.clock.sleep(PAUSE).await;
            }
        }
        Ok(())
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

    pub(super) fn end_fresh(&self, id: u64) {
        let mut fresh = self.fresh.borrow_mut();
        let list = fresh.remove(&id).unwrap_or_default();
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
