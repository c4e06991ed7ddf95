//! The one way by which the store changes: a [`Batch`], durable as a whole or not at all.

use std::collections::BTreeSet;

use craftec_core::{Cid, cid::CID_BYTES};
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    Batch, Inner, META_KEY_BYTES, META_VALUE_BYTES, Store, StoreError,
    batch::PinChange,
    entry::{Entry, INLINE_BYTES},
    index::{BLOCKS, BYTES, COUNT, FREE, META, NUMBERS, PACK_END, PINS},
    pin::{pin_key, pin_keys},
    space::Space,
};
use crate::block::Block;

type BlockTable<'t> = Table<'t, &'static [u8; CID_BYTES], &'static [u8]>;

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
        self.change(batch, true)
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
        self.change(batch, self.0.redo.is_full())
    }

    /// Makes everything durable that was stored without a flush.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.commit(Batch::new())
    }

    fn change(&self, batch: Batch, durable: bool) -> Result<(), StoreError> {
        self.0.recover()?;
        let transaction = self.0.index.write(durable)?;
        // Taken out while the commit runs: after an error it is read from the index again.
        let space = self.0.space.borrow_mut().take();
        let mut space = match space {
            Some(space) => space,
            None => self.0.recorded_space()?,
        };
        let before = space.end();
        let added = match self.apply(&transaction, batch, &mut space, durable) {
            Ok(added) => added,
            Err(error) => {
                // What was written of it would otherwise keep a full disk full.
                self.trim_pack(before);
                return Err(error);
            }
        };
        transaction.commit().map_err(|e| self.0.index.failure("committing", e))?;
        match durable {
            true => self.0.redo.clear(),
            false => self.0.redo.remember(added),
        }
        if space.end() < before {
            self.trim_pack(space.end());
        }
        *self.0.space.borrow_mut() = Some(space);
        Ok(())
    }

    fn apply(
        &self,
        transaction: &WriteTransaction,
        batch: Batch,
        space: &mut Space,
        durable: bool,
    ) -> Result<Added, StoreError> {
        let doing = "writing the index";
        let mut tally = Tally::default();
        let (released, added);
        {
            let blocks = transaction.open_table(BLOCKS);
            let mut blocks = blocks.map_err(|e| self.0.index.failure(doing, e))?;
            released = self.remove_blocks(&mut blocks, batch.deleted, &mut tally)?;
            let packed;
            (added, packed) = self.add_blocks(&mut blocks, batch.blocks, space, &mut tally)?;
            // The index must never durably name bytes that are not: what was stored without a
            // flush goes with this commit.
            if durable && (packed || !self.0.redo.is_empty()) {
                self.0.pack.sync().map_err(|e| StoreError::io("flushing blocks", e))?;
            }
        }
        for (offset, length) in released {
            space.release(offset, length);
        }
        self.change_pins(transaction, batch.pins)?;
        self.change_meta(transaction, batch.meta)?;
        self.0.record(transaction, space, &tally)?;
        Ok(added)
    }

    fn remove_blocks(
        &self,
        blocks: &mut BlockTable<'_>,
        deleted: Vec<Cid>,
        tally: &mut Tally,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut released = Vec::new();
        for cid in deleted {
            let removed = blocks.remove(&cid.to_bytes());
            let removed = removed.map_err(|e| self.0.index.failure("deleting a block", e))?;
            let Some(value) = removed else { continue };
            let entry = Entry::decode(value.value())?;
            tally.blocks_out += 1;
            tally.bytes_out += entry.length();
            if let Entry::Packed { offset, length } = entry {
                released.push((offset, u64::from(length)));
            }
        }
        Ok(released)
    }

    /// What was added, and whether bytes of it went to the pack.
    fn add_blocks(
        &self,
        blocks: &mut BlockTable<'_>,
        added: Vec<Block>,
        space: &mut Space,
        tally: &mut Tally,
    ) -> Result<(Added, bool), StoreError> {
        let (mut entries, mut packed) = (Added::new(), false);
        let mut seen = BTreeSet::new();
        for block in added {
            let key = block.cid().to_bytes();
            if !seen.insert(key) || self.0.lookup(blocks, &key)?.is_some() {
                continue;
            }
            let entry = if block.len() <= INLINE_BYTES {
                Entry::Inline(block.bytes())
            } else {
                let offset = space.take(block.len() as u64);
                let written = self.0.pack.write_at(offset, block.bytes());
                written.map_err(|e| StoreError::io("writing a block", e))?;
                packed = true;
                Entry::Packed { offset, length: block.len() as u32 }
            };
            let entry = entry.encode();
            let inserted = blocks.insert(&key, entry.as_slice());
            inserted.map_err(|e| self.0.index.failure("writing the index", e))?;
            tally.add(block.len() as u64);
            entries.push((key, entry));
        }
        Ok((entries, packed))
    }

    fn change_pins(
        &self,
        transaction: &WriteTransaction,
        changes: Vec<PinChange>,
    ) -> Result<(), StoreError> {
        let failed = |e| self.0.index.failure("writing pins", e);
        if changes.is_empty() {
            return Ok(());
        }
        let table = transaction.open_table(PINS);
        let mut pins = table.map_err(|e| self.0.index.failure("writing pins", e))?;
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
        let failed = |e| self.0.index.failure("writing metadata", e);
        if changes.is_empty() {
            return Ok(());
        }
        let table = transaction.open_table(META);
        let mut meta = table.map_err(|e| self.0.index.failure("writing metadata", e))?;
        for (key, value) in changes {
            match value {
                Some(value) => meta.insert(key.as_slice(), value.as_ref()).map_err(failed)?,
                None => meta.remove(key.as_slice()).map_err(failed)?,
            };
        }
        Ok(())
    }
}

impl Inner {
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
