//! What was stored without a flush, kept in mind until it is flushed.
//!
//! When the index fails (a full disk, for instance) it has to be opened again, and what was
//! committed without a flush is gone from it; the bytes in the pack are still there. So the entries
//! are put back. Where even that fails they are lost, and [`Store::losses`] says so: whoever relies
//! on cached blocks compares it before it promises anything.

use std::{
    cell::{Cell, RefCell},
    io,
};

use craftec_core::Cid;

use super::{
    Batch, Inner, Store, StoreError,
    commit::{Added, Tally},
    entry::Entry,
    index::{BLOCKS, TURN},
};

/// Bytes of entries kept in mind; beyond it a commit is flushed. Some 100,000 packed blocks, or
/// 8,000 of the longest that live in the index.
const REDO_BYTES: usize = 8 << 20;

/// Entries in the order in which their extents were taken.
#[derive(Default)]
pub(super) struct Redo {
    entries: RefCell<Added>,
    bytes: Cell<usize>,
    /// The number of the last change that made entries durable.
    turn: Cell<u64>,
    losses: Cell<u64>,
    /// A flush of the pack failed: what it should have flushed may never be.
    unflushed: Cell<bool>,
}

impl Redo {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.get() >= REDO_BYTES
    }

    pub(super) fn remember(&self, added: Added) {
        let bytes: usize = added.iter().map(|(key, entry)| key.len() + entry.len()).sum();
        self.bytes.set(self.bytes.get() + bytes);
        self.entries.borrow_mut().extend(added);
    }

    /// The number of the change that is to make them durable.
    pub(super) fn next_turn(&self) -> u64 {
        self.turn.get() + 1
    }

    /// What the index says the last one was.
    pub(super) fn set_turn(&self, turn: u64) {
        self.turn.set(turn);
    }

    /// They are durable.
    pub(super) fn clear(&self) {
        if !self.is_empty() {
            self.turn.set(self.next_turn());
        }
        self.entries.borrow_mut().clear();
        self.bytes.set(0);
    }
}

impl Store {
    /// How often blocks that were stored without a flush were lost to a failing disk since the store
    /// was opened.
    pub fn losses(&self) -> u64 {
        self.0.redo.losses.get()
    }

    /// [`Store::commit`] for a batch that relies on cached blocks: refused where any were lost since
    /// there were `losses`.
    pub fn commit_since(&self, losses: u64, batch: Batch) -> Result<(), StoreError> {
        self.0.recover()?;
        if self.losses() != losses {
            return Err(lost("ending what began before a failure"));
        }
        self.commit(batch)
    }
}

fn lost(doing: &'static str) -> StoreError {
    let source = io::Error::other("blocks that were stored before it are lost; start again");
    StoreError::Io { doing, source }
}

/// Closing the index makes durable what was committed without a flush; the bytes it names must be so
/// before.
impl Drop for Inner {
    fn drop(&mut self) {
        if !self.redo.is_empty()
            && let Err(error) = self.sync_pack()
        {
            tracing::warn!(%error, "cached blocks could not be flushed and may have to be fetched");
        }
    }
}

impl Inner {
    /// Flushes the pack. After a flush that failed the system may believe that what it could not
    /// write is written, and would never write it: so it is written again first.
    pub(super) fn sync_pack(&self) -> Result<(), StoreError> {
        if self.redo.unflushed.get() {
            self.write_again()?;
        }
        let flushed = self.pack.sync();
        self.redo.unflushed.set(flushed.is_err());
        flushed.map_err(|e| StoreError::io("flushing blocks", e))
    }

    /// Writes every block of the pack that no flush has reached where it is.
    fn write_again(&self) -> Result<(), StoreError> {
        for (key, value) in self.redo.entries.borrow().iter() {
            let Entry::Packed { offset, .. } = Entry::decode(value)? else { continue };
            let bytes = self.bytes_of(Entry::decode(value)?)?;
            if !Cid::from_bytes(key).is_ok_and(|cid| cid.matches(&bytes)) {
                self.redo.losses.set(self.redo.losses.get() + 1);
                return Err(lost("flushing blocks"));
            }
            let written = self.pack.write_at(offset, &bytes);
            written.map_err(|e| StoreError::io("writing a block", e))?;
        }
        Ok(())
    }

    /// Opens a failed index again, with everything that was in it where the disk lets us.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        if !self.index.has_failed() {
            return Ok(());
        }
        self.index.reopen()?;
        self.space.take();
        if self.redo.is_empty() {
            return Ok(());
        }
        if self.number(TURN)? == self.redo.next_turn() {
            // The change that failed was durable all the same, and took the entries with it.
            self.redo.clear();
            return Ok(());
        }
        if let Err(error) = self.put_back() {
            tracing::warn!(%error, "blocks stored without a flush are lost");
            self.redo.losses.set(self.redo.losses.get() + 1);
            self.redo.clear();
            self.space.take();
            // What is durable stays readable.
            if self.index.has_failed() {
                self.index.reopen()?;
            }
        }
        Ok(())
    }

    fn put_back(&self) -> Result<(), StoreError> {
        let doing = "putting back what was stored without a flush";
        let transaction = self.index.write(false)?;
        let mut space = self.recorded_space()?;
        let (mut tally, mut put_back) = (Tally::default(), Added::new());
        {
            let blocks = transaction.open_table(BLOCKS);
            let mut blocks = blocks.map_err(|e| self.index.failure(doing, e))?;
            for (key, value) in self.redo.entries.borrow().iter() {
                // A commit that failed at its very end may have kept it.
                if self.lookup(&blocks, key)?.is_some() {
                    continue;
                }
                let entry = Entry::decode(value)?;
                if let Entry::Packed { offset, length } = entry
                    && space.take(u64::from(length)) != offset
                {
                    // Extents are taken in a fixed order, so this takes another index.
                    return Err(StoreError::damaged("the free list changed under the cache"));
                }
                let inserted = blocks.insert(key, value.as_slice());
                inserted.map_err(|e| self.index.failure(doing, e))?;
                tally.add(entry.length());
                put_back.push((*key, value.clone()));
            }
        }
        self.note_cached(&transaction, &put_back)?;
        self.record(&transaction, &mut space, &tally)?;
        transaction.commit().map_err(|e| self.index.failure(doing, e))?;
        *self.space.borrow_mut() = Some(space);
        Ok(())
    }
}
