//! Reading what is stored to find what rotted, a part at a time. It never decides when, and it never
//! fetches: the layers above do.

use craftec_core::{Cid, cid::CID_BYTES};

use super::{
    Store, StoreError,
    commit::Added,
    entry::Entry,
    index::{BLOCKS, WORK},
    successor,
};

/// Entries looked at in one step even where they have few bytes.
const STEP_BLOCKS: usize = 256;
/// Pages of the index compared in one step: 1 MiB.
const STEP_PAGES: usize = 256;

/// What a step of a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// The last block looked at; none at the end.
    pub next: Option<Cid>,
    /// Blocks read.
    pub blocks: u64,
    /// The sum of their lengths.
    pub bytes: u64,
    /// Blocks whose bytes were wrong or could not be read. They are no longer stored.
    pub rotten: Vec<Cid>,
}

impl Store {
    /// Reads and verifies the blocks after `after`, at least one and about `most_bytes` of them, and
    /// drops those that are rotten.
    pub fn scrub_step(&self, after: Option<&Cid>, most_bytes: u64) -> Result<Scrubbed, StoreError> {
        let mut found = Scrubbed::default();
        let mut unreadable = None;
        {
            let failed = |e| self.0.index.failure("scrubbing", e);
            let blocks = self.0.table(BLOCKS)?;
            let first = after.map_or([0; CID_BYTES], |cid| successor(cid.to_bytes()));
            let range = blocks.range::<&[u8; CID_BYTES]>(&first..).map_err(failed)?;
            for entry in range.take(STEP_BLOCKS) {
                let (key, value) = entry.map_err(failed)?;
                let cid = Cid::from_bytes(key.value());
                let cid = cid.map_err(|e| StoreError::damaged(format!("a block's key: {e}")))?;
                found.next = Some(cid);
                match self.0.verified(&cid, value.value()) {
                    Ok(Some(_)) => found.blocks += 1,
                    Ok(None) => found.rotten.push(cid),
                    Err(error) => unreadable = Some((error, cid)),
                }
                found.bytes += Entry::decode(value.value()).map_or(0, |entry| entry.length());
                if found.bytes >= most_bytes {
                    break;
                }
            }
        }
        if let Some((error, cid)) = unreadable {
            // Where others can be read it is this block's place that is bad, and not the disk.
            if found.blocks == 0 {
                return Err(error);
            }
            found.rotten.push(cid);
        }
        if !found.rotten.is_empty() {
            self.delete(&found.rotten)?;
        }
        Ok(found)
    }

    /// Compares the next pages of the index with what was written, from page `first` on: bytes read,
    /// and where to go on. Rot there is [`StoreError::Corrupt`]: the next start rebuilds the index
    /// from what is left of it.
    pub fn scrub_index(&self, first: usize) -> Result<(u64, Option<usize>), StoreError> {
        self.0.recover()?;
        let (read, wrong, next) = self.0.index.compare(first, STEP_PAGES)?;
        match wrong {
            0 => Ok((read, next)),
            wrong => Err(StoreError::damaged(format!("{wrong} of its pages changed on the disk"))),
        }
    }

    /// Remembers the state of work that goes on after a restart, without a flush.
    pub fn set_work(&self, name: &str, state: &[u8]) -> Result<(), StoreError> {
        self.0.change(false, |work| {
            let table = work.transaction.open_table(WORK);
            let mut table = table.map_err(|e| self.0.index.failure("noting work", e))?;
            let inserted = table.insert(name, state);
            inserted.map_err(|e| self.0.index.failure("noting work", e))?;
            Ok(Added::new())
        })
    }

    /// Forgets it.
    pub(super) fn end_work(&self, name: &str) -> Result<(), StoreError> {
        self.0.change(true, |work| {
            let table = work.transaction.open_table(WORK);
            let mut table = table.map_err(|e| self.0.index.failure("ending work", e))?;
            let removed = table.remove(name);
            removed.map_err(|e| self.0.index.failure("ending work", e))?;
            Ok(Added::new())
        })
    }

    /// The state that was remembered.
    pub fn work(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.0.table(WORK)?;
        let state = table.get(name).map_err(|e| self.0.index.failure("reading work", e))?;
        Ok(state.map(|state| state.value().to_vec()))
    }
}
