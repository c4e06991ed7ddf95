//! Giving space in the middle of the pack back: blocks at its end move into free extents before them,
//! and the end is cut.
//!
//! A hole can't be punched everywhere (a browser's files have none), and rewriting the pack would need
//! its size again. So the last blocks move, one commit at a time: their bytes are written to a free
//! extent and flushed, then the index names the new place, and only then is the old one free. A crash
//! leaves either place named, and the bytes are in it.

use craftec_core::Cid;

use super::{Store, StoreError, commit::Added, entry::Entry, index::BLOCKS, space::rounded};

/// A block in the pack, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// Its offset.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Which.
    pub cid: Cid,
}

impl Store {
    /// Bytes of the pack that are free, and its length.
    pub fn pack_bytes(&self) -> Result<(u64, u64), StoreError> {
        self.0.recover()?;
        if let Some(space) = &*self.0.space.borrow() {
            return Ok((space.free_bytes(), space.end()));
        }
        let space = self.0.recorded_space()?;
        let figures = (space.free_bytes(), space.end());
        *self.0.space.borrow_mut() = Some(space);
        Ok(figures)
    }

    /// Where a block is in the pack; none for one that is not there.
    pub fn place_of(&self, cid: &Cid) -> Result<Option<Placed>, StoreError> {
        let blocks = self.0.table(BLOCKS)?;
        let Some(value) = self.0.lookup(&blocks, &cid.to_bytes())? else { return Ok(None) };
        Ok(match Entry::decode(&value)? {
            Entry::Packed { offset, length } => {
                Some(Placed { offset, bytes: u64::from(length), cid: *cid })
            }
            Entry::Inline(_) => None,
        })
    }

    /// Moves blocks into free extents before them, in one durable commit; those that fit nowhere, or
    /// are rotten, stay. Returns the bytes moved.
    pub fn relocate(&self, cids: &[Cid]) -> Result<u64, StoreError> {
        let mut moved = 0;
        self.0.change(true, |work| {
            let doing = "moving blocks";
            let blocks = work.transaction.open_table(BLOCKS);
            let mut blocks = blocks.map_err(|e| self.0.index.failure(doing, e))?;
            for cid in cids {
                let key = cid.to_bytes();
                let Some(value) = self.0.lookup(&blocks, &key)? else { continue };
                let Entry::Packed { offset, length } = Entry::decode(&value)? else { continue };
                let Some(block) = self.0.verified(cid, &value)? else { continue };
                let Some(to) = work.space.take_below(u64::from(length), offset) else { continue };
                let written = self.0.pack.write_at(to, block.bytes());
                written.map_err(|e| StoreError::io(doing, e))?;
                work.packed = true;
                let entry = Entry::Packed { offset: to, length }.encode();
                let inserted = blocks.insert(&key, entry.as_slice());
                inserted.map_err(|e| self.0.index.failure(doing, e))?;
                work.released.push((offset, u64::from(length)));
                moved += rounded(u64::from(length));
            }
            Ok(Added::new())
        })?;
        Ok(moved)
    }
}
