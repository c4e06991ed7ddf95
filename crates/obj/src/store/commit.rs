//! The one way by which the store changes: a [`Batch`], durable as a whole or not at all.

use std::collections::BTreeSet;

use craftec_core::{Cid, cid::CID_BYTES};
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    Batch, Inner, META_KEY_BYTES, META_VALUE_BYTES, Store, StoreError,
    batch::PinChange,
    entry::{Entry, INLINE_BYTES},
    index::{BLOCKS, BYTES, COUNT, FREE, META, NUMBERS, PACK_END, PINS, SEEN, TURN},
    pin::{pin_key, pin_keys},
    run::Run,
    space::Space,
};
use crate::block::Block;

pub(super) type BlockTable<'t> = Table<'t, &'static [u8; CID_BYTES], &'static [u8]>;

/// How the counters move.
#[derive(Default)]
pub(super) struct Tally {
    blocks_in: u64,
    blocks_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Tally {
    /// One block of `bytes` more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.blocks_in += 1;
        self.bytes_in += bytes;
    }
}

/// Keys and entries of blocks that a change added.
pub(super) type Added = Vec<([u8; CID_BYTES], Vec<u8>)>;

impl Store {
    /// Applies `batch`: when this returns, all of it survives a crash. After an error none of it
    /// took effect, except that a disk which fails the very last flush may have kept all of it.
    pub fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        check_lengths(&batch)?;
        if batch.is_empty() && self.0.redo.is_empty() {
            return Ok(());
        }
        self.0.change(true, |work| self.0.apply(work, batch, false))
    }

    /// Stores `blocks` without a flush: they can be read at once, and survive a crash only after the
    /// next [`Store::commit`], which flushes them too, or [`Store::flush`]. For what can be fetched
    /// again, and for all but the last part of a large put.
    pub fn cache(&self, blocks: &[Block]) -> Result<(), StoreError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.put_all(blocks.iter().cloned());
        self.0.change(self.0.redo.is_full(), |work| self.0.apply(work, batch, true))
    }

    /// Makes everything durable that was stored without a flush.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.commit(Batch::new())
    }
}

/// A change of the index under way.
pub(super) struct Work<'a> {
    pub(super) transaction: &'a WriteTransaction,
    pub(super) space: &'a mut Space,
    pub(super) tally: Tally,
    /// Bytes were written to the pack, and must be durable before the index names them.
    pub(super) packed: bool,
    /// Extents that are free once the change is made.
    pub(super) released: Vec<(u64, u64)>,
}

impl Inner {
    /// Makes one change of the index, durable or not, and of the pack with it.
    pub(super) fn change(
        &self,
        durable: bool,
        act: impl FnOnce(&mut Work<'_>) -> Result<Added, StoreError>,
    ) -> Result<(), StoreError> {
        self.recover()?;
        let transaction = self.index.write(durable)?;
        // Taken out while the commit runs: after an error it is read from the index again.
        let space = self.space.borrow_mut().take();
        let mut space = match space {
            Some(space) => space,
            None => self.recorded_space()?,
        };
        let before = space.end();
        let added = match self.prepare(&transaction, &mut space, durable, act) {
            Ok(added) => added,
            Err(error) => {
                // What was written of it would otherwise keep a full disk full.
                self.trim_pack(before);
                return Err(error);
            }
        };
        transaction.commit().map_err(|e| self.index.failure("committing", e))?;
        match durable {
            true => self.redo.clear(),
            false => self.redo.remember(added),
        }
        if space.end() < before {
            self.trim_pack(space.end());
        }
        *self.space.borrow_mut() = Some(space);
        Ok(())
    }

    fn prepare(
        &self,
        transaction: &WriteTransaction,
        space: &mut Space,
        durable: bool,
        act: impl FnOnce(&mut Work<'_>) -> Result<Added, StoreError>,
    ) -> Result<Added, StoreError> {
        let (tally, packed, released) = (Tally::default(), false, Vec::new());
        let mut work = Work { transaction, space, tally, packed, released };
        let added = act(&mut work)?;
        let Work { tally, packed, released, .. } = work;
        // The index must never durably name bytes that are not: what was stored without a flush
        // goes with this commit.
        if durable && (packed || !self.redo.is_empty()) {
            self.sync_pack()?;
        }
        for (offset, length) in released {
            space.release(offset, length);
        }
        self.record(transaction, space, &tally)?;
        if durable && !self.redo.is_empty() {
            let table = transaction.open_table(NUMBERS);
            let mut numbers = table.map_err(|e| self.index.failure("writing the index", e))?;
            let inserted = numbers.insert(TURN, self.redo.next_turn());
            inserted.map_err(|e| self.index.failure("writing the index", e))?;
        }
        Ok(added)
    }

    fn apply(&self, work: &mut Work<'_>, batch: Batch, cached: bool) -> Result<Added, StoreError> {
        let doing = "writing the index";
        let added = {
            let blocks = work.transaction.open_table(BLOCKS);
            let mut blocks = blocks.map_err(|e| self.index.failure(doing, e))?;
            self.remove_blocks(work, &mut blocks, batch.deleted)?;
            self.add_blocks(work, &mut blocks, batch.blocks)?
        };
        if cached {
            self.note_cached(work.transaction, &added)?;
        }
        self.change_pins(work.transaction, batch.pins)?;
        self.change_meta(work.transaction, batch.meta)?;
        Ok(added)
    }

    fn remove_blocks(
        &self,
        work: &mut Work<'_>,
        blocks: &mut BlockTable<'_>,
        deleted: Vec<Cid>,
    ) -> Result<(), StoreError> {
        if deleted.is_empty() {
            return Ok(());
        }
        let failed = |e| self.index.failure("deleting a block", e);
        let seen = work.transaction.open_table(SEEN);
        let mut seen = seen.map_err(|e| self.index.failure("deleting a block", e))?;
        for cid in deleted {
            let key = cid.to_bytes();
            seen.remove(&key).map_err(failed)?;
            let removed = blocks.remove(&key).map_err(failed)?;
            let Some(value) = removed else { continue };
            let entry = Entry::decode(value.value())?;
            work.tally.blocks_out += 1;
            work.tally.bytes_out += entry.length();
            if let Entry::Packed { offset, length } = entry {
                work.released.push((offset, u64::from(length)));
            }
        }
        Ok(())
    }

    fn add_blocks(
        &self,
        work: &mut Work<'_>,
        blocks: &mut BlockTable<'_>,
        added: Vec<Block>,
    ) -> Result<Added, StoreError> {
        let mut entries = Added::new();
        let mut seen = BTreeSet::new();
        let mut run = Run::new(&*self.pack);
        for block in added {
            let key = block.cid().to_bytes();
            if !seen.insert(key) || self.lookup(blocks, &key)?.is_some() {
                continue;
            }
            let entry = if block.len() <= INLINE_BYTES {
                Entry::Inline(block.bytes())
            } else {
                let offset = work.space.take(block.len() as u64);
                run.push(offset, block.bytes())?;
                work.packed = true;
                Entry::Packed { offset, length: block.len() as u32 }
            };
            let entry = entry.encode();
            let inserted = blocks.insert(&key, entry.as_slice());
            inserted.map_err(|e| self.index.failure("writing the index", e))?;
            work.tally.add(block.len() as u64);
            entries.push((key, entry));
        }
        run.write()?;
        Ok(entries)
    }

    fn change_pins(
        &self,
        transaction: &WriteTransaction,
        changes: Vec<PinChange>,
    ) -> Result<(), StoreError> {
        let failed = |e| self.index.failure("writing pins", e);
        if changes.is_empty() {
            return Ok(());
        }
        let table = transaction.open_table(PINS);
        let mut pins = table.map_err(|e| self.index.failure("writing pins", e))?;
        for change in changes {
            match change {
                PinChange::Set(root, pin) => {
                    let value = pin.to_bytes()?;
                    pins.insert(&pin_key(&root, pin.reason), value.as_slice()).map_err(failed)?;
                }
                PinChange::Gone(root, Some(reason)) => {
                    pins.remove(&pin_key(&root, reason)).map_err(failed)?;
                }
                PinChange::Gone(root, None) => {
                    for key in pin_keys(&root) {
                        pins.remove(&key).map_err(failed)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn change_meta(
        &self,
        transaction: &WriteTransaction,
        changes: Vec<(Vec<u8>, Option<bytes::Bytes>)>,
    ) -> Result<(), StoreError> {
        let failed = |e| self.index.failure("writing metadata", e);
        if changes.is_empty() {
            return Ok(());
        }
        let table = transaction.open_table(META);
        let mut meta = table.map_err(|e| self.index.failure("writing metadata", e))?;
        for (key, value) in changes {
            match value {
                Some(value) => meta.insert(key.as_slice(), value.as_ref()).map_err(failed)?,
                None => meta.remove(key.as_slice()).map_err(failed)?,
            };
        }
        Ok(())
    }

    /// Records what changed in the free list and the counters.
    pub(super) fn record(
        &self,
        transaction: &WriteTransaction,
        space: &mut Space,
        tally: &Tally,
    ) -> Result<(), StoreError> {
        let failed = |e| self.index.failure("writing the index", e);
        let changes = space.take_changes();
        if !changes.is_empty() {
            let table = transaction.open_table(FREE);
            let mut free = table.map_err(|e| self.index.failure("writing the index", e))?;
            for (offset, length) in changes {
                match length {
                    Some(length) => free.insert(offset, length).map_err(failed)?,
                    None => free.remove(offset).map_err(failed)?,
                };
            }
        }
        if tally.blocks_in == 0 && tally.blocks_out == 0 {
            return Ok(());
        }
        let table = transaction.open_table(NUMBERS);
        let mut numbers = table.map_err(|e| self.index.failure("writing the index", e))?;
        let moves =
            [(COUNT, tally.blocks_in, tally.blocks_out), (BYTES, tally.bytes_in, tally.bytes_out)];
        for (name, more, less) in moves {
            let held = numbers.get(name).map_err(failed)?.map_or(0, |number| number.value());
            let held = (held + more).checked_sub(less);
            let held = held.ok_or_else(|| StoreError::damaged(format!("`{name}` below zero")))?;
            numbers.insert(name, held).map_err(failed)?;
        }
        numbers.insert(PACK_END, space.end()).map_err(failed)?;
        Ok(())
    }
}

fn check_lengths(batch: &Batch) -> Result<(), StoreError> {
    for (key, value) in &batch.meta {
        let value = value.as_ref().map_or(0, bytes::Bytes::len);
        let lengths = [
            ("a metadata key", key.len() - 1, META_KEY_BYTES),
            ("a metadata value", value, META_VALUE_BYTES),
        ];
        for (what, bytes, limit) in lengths {
            if bytes > limit {
                return Err(StoreError::TooLong { what, bytes, limit });
            }
        }
    }
    Ok(())
}
