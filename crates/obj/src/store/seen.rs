//! When cached blocks were last used, in minutes, so that the oldest go first.
//!
//! A read is noted in memory only; [`Store::note_uses`] writes what was gathered down in one change
//! without a flush, which goes with the next commit. A crash loses some minutes of it, which costs
//! nothing but a less wise choice.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use craftec_core::{Cid, cid::CID_BYTES};
use redb::{ReadableTable, WriteTransaction};

use super::{
    Inner, Store, StoreError,
    commit::Added,
    entry::Entry,
    index::{BLOCKS, SEEN},
    successor,
};

/// Blocks whose use is remembered until it is written down; the use of others is forgotten. Some
/// 3 MB, and 128 MiB of objects in 4 KiB blocks read within one batch.
const NOTED: usize = 32_768;

/// Uses that are not written down yet.
#[derive(Default)]
pub(super) struct Seen {
    minute: Cell<u32>,
    noted: RefCell<BTreeMap<[u8; CID_BYTES], u32>>,
}

impl Seen {
    /// A block was read.
    pub(super) fn note(&self, key: [u8; CID_BYTES]) {
        let mut noted = self.noted.borrow_mut();
        if noted.len() < NOTED || noted.contains_key(&key) {
            noted.insert(key, self.minute.get());
        }
    }
}

/// A block, as a sweep sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub cid: Cid,
    /// Its length.
    pub bytes: u64,
    /// The minute (since 1970, UTC) of its last use, for blocks that were cached; none for those
    /// that were put or pinned here.
    pub minute: Option<u32>,
}

impl Store {
    /// Says which minute (since 1970, UTC) it is. The store has no clock.
    pub fn set_minute(&self, minute: u32) {
        self.0.seen.minute.set(minute);
    }

    /// Uses that are remembered and not written down.
    pub fn noted_uses(&self) -> usize {
        self.0.seen.noted.borrow().len()
    }

    /// Writes down which cached blocks were used lately, without a flush.
    pub fn note_uses(&self) -> Result<(), StoreError> {
        let noted = self.0.seen.noted.take();
        if noted.is_empty() {
            return Ok(());
        }
        self.0.change(false, |work| {
            let doing = "noting uses";
            let failed = |e| self.0.index.failure(doing, e);
            let seen = work.transaction.open_table(SEEN);
            let mut seen = seen.map_err(|e| self.0.index.failure(doing, e))?;
            for (key, minute) in &noted {
                let known = seen.get(key).map_err(failed)?.map(|value| value.value());
                if known.is_some_and(|known| known < *minute) {
                    seen.insert(key, *minute).map_err(failed)?;
                }
            }
            Ok(Added::new())
        })
    }

    /// These blocks are kept from now on: they are no longer cache. Without a flush: it goes with
    /// the commit that pins them.
    pub fn promote(&self, cids: &[Cid]) -> Result<(), StoreError> {
        self.0.change(false, |work| {
            let doing = "keeping cached blocks";
            let seen = work.transaction.open_table(SEEN);
            let mut seen = seen.map_err(|e| self.0.index.failure(doing, e))?;
            for cid in cids {
                let removed = seen.remove(&cid.to_bytes());
                removed.map_err(|e| self.0.index.failure(doing, e))?;
            }
            Ok(Added::new())
        })
    }

    /// The next blocks after `after`, at most `limit`, with what a sweep needs to know of them.
    pub fn list(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let failed = |e| self.0.index.failure("listing blocks", e);
        let (blocks, seen) = (self.0.table(BLOCKS)?, self.0.table(SEEN)?);
        let first = after.map_or([0; CID_BYTES], |cid| successor(cid.to_bytes()));
        let range = blocks.range::<&[u8; CID_BYTES]>(&first..).map_err(failed)?;
        let mut page = Vec::new();
        for entry in range.take(limit) {
            let (key, value) = entry.map_err(failed)?;
            let cid = Cid::from_bytes(key.value());
            let cid = cid.map_err(|e| StoreError::damaged(format!("a block's key: {e}")))?;
            let bytes = Entry::decode(value.value())?.length();
            let noted = self.0.seen.noted.borrow().get(key.value()).copied();
            let known = seen.get(key.value()).map_err(failed)?.map(|minute| minute.value());
            let minute = known.map(|known| known.max(noted.unwrap_or_default()));
            page.push(Listed { cid, bytes, minute });
        }
        Ok(page)
    }
}

impl Inner {
    /// Blocks that were stored as cache: they begin as used now.
    pub(super) fn note_cached(
        &self,
        transaction: &WriteTransaction,
        added: &Added,
    ) -> Result<(), StoreError> {
        if added.is_empty() {
            return Ok(());
        }
        let doing = "noting cached blocks";
        let seen = transaction.open_table(SEEN).map_err(|e| self.index.failure(doing, e));
        let mut seen = seen?;
        for (key, _) in added {
            let inserted = seen.insert(key, self.seen.minute.get());
            inserted.map_err(|e| self.index.failure(doing, e))?;
        }
        Ok(())
    }
}
