//! Fetched blocks on their way to the disk: gathered for a moment, stored together, and flushed when
//! it is quiet, so that a reader never waits for a flush. They are readable and served meanwhile. A
//! crash loses at most what a session can fetch again; who needs them durable calls
//! [`Shared::flush`].

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use craftec_core::Cid;

use super::Shared;
use crate::{StoreError, block::Block};

/// Bytes gathered before they are committed: large commits are what a disk does best, and a tab
/// has the memory.
const GATHERED_BYTES: usize = 8 << 20;
/// How long a block waits for company.
const GATHER: Duration = Duration::from_millis(150);
/// How long nothing must come before what was stored is flushed.
const QUIET: Duration = Duration::from_secs(3);

/// Blocks not yet committed.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    blocks: BTreeMap<Cid, Block>,
    bytes: usize,
    /// Whether the timer runs that stores and flushes.
    timer: bool,
    /// Blocks kept so far.
    count: u64,
    /// Blocks that could not be written were dropped since the last [`Shared::flush`].
    failed: Option<StoreError>,
}

impl Shared {
    pub(super) fn local(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let fresh = self.fresh.borrow().blocks.get(cid).cloned();
        match fresh {
            Some(block) => Ok(Some(block)),
            None => self.store.get(cid),
        }
    }

    /// The same, without counting as a use.
    pub(super) fn peek(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let fresh = self.fresh.borrow().blocks.get(cid).cloned();
        match fresh {
            Some(block) => Ok(Some(block)),
            None => self.store.peek(cid),
        }
    }

    pub(super) fn len_of(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        let fresh = self.fresh.borrow().blocks.get(cid).map(|block| block.len() as u64);
        match fresh {
            Some(bytes) => Ok(Some(bytes)),
            None => self.store.len_of(cid),
        }
    }

    pub(super) fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        let fresh = self.fresh.borrow().blocks.contains_key(cid);
        Ok(fresh || self.store.has(cid)?)
    }

    /// Keeps a fetched block.
    pub(super) fn keep(self: &Rc<Self>, block: Block) {
        let full = {
            let mut fresh = self.fresh.borrow_mut();
            let bytes = block.len();
            fresh.count += 1;
            if fresh.blocks.insert(*block.cid(), block).is_none() {
                fresh.bytes += bytes;
            }
            fresh.bytes >= GATHERED_BYTES
        };
        if full {
            self.write_fresh();
        }
        if std::mem::replace(&mut self.fresh.borrow_mut().timer, true) {
            return;
        }
        let (weak, clock) = (Rc::downgrade(self), self.clock.clone());
        self.clock.spawn(Box::pin(async move {
            let (mut seen, mut quiet) = (0, Duration::ZERO);
            while quiet < QUIET {
                clock.sleep(GATHER).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.write_fresh();
                let count = shared.fresh.borrow().count;
                quiet = if count == seen { quiet + GATHER } else { Duration::ZERO };
                seen = count;
            }
            let Some(shared) = weak.upgrade() else { return };
            shared.fresh.borrow_mut().timer = false;
            if let Err(error) = shared.store.flush() {
                tracing::warn!(%error, "the cache could not be flushed");
            }
        }));
    }

    fn write_fresh(&self) {
        let blocks = {
            let mut fresh = self.fresh.borrow_mut();
            fresh.bytes = 0;
            std::mem::take(&mut fresh.blocks)
        };
        if blocks.is_empty() {
            return;
        }
        let blocks: Vec<Block> = blocks.into_values().collect();
        if let Err(error) = self.store.cache(&blocks) {
            tracing::warn!(%error, blocks = blocks.len(), "fetched blocks could not be kept");
            self.fresh.borrow_mut().failed = Some(error);
        }
    }

    pub(super) fn ran_full(&self) -> bool {
        matches!(self.fresh.borrow().failed, Some(StoreError::Full { .. }))
    }

    /// Makes everything durable; fails if anything fetched since the last call could not be kept.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.write_fresh();
        let failed = self.fresh.borrow_mut().failed.take();
        match failed {
            Some(error) => Err(error),
            None => self.store.flush(),
        }
    }
}
