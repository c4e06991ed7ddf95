//! The store: blocks, pins and metadata of one node, durable and verified, on any [`Folder`].
//!
//! It verifies every block that it reads and never serves one that does not match its CID. It never
//! decides what to keep: pins and [`Store::sweep`] are told by the layers above.
//!
//! # On disk (format 2)
//!
//! `blocks.redb`, a redb database with the tables
//! - `numbers`: `format`, `blocks` (count), `bytes` (sum of lengths), `pack_end`, `turn` (of the last
//!   change that made cached blocks durable);
//! - `blocks`: CID (36 bytes) → the bytes themselves up to 1 KiB, else length and offset in the
//!   pack (see `entry`);
//! - `free`: offset → length of the pack's free extents;
//! - `pins`: CID and reason → [`Pin`]; `meta`: namespace byte and key → value;
//! - `seen` (since format 2): CID of a cached block → u32, the minute since 1970 of its last use;
//! - `work` (since format 2): name → state of work that goes on after a restart.
//!
//! `blocks.pack`: the bytes of larger blocks in extents aligned to 512 bytes, nothing else.
//! `blocks.rebuilt`, while a damaged index is replaced (see `rebuild`). Format 1 lacks two tables; it
//! is taken over when it opens, and older versions then refuse the store by name.
//!
//! # When it is durable
//!
//! A commit writes new blocks into free extents of the pack, flushes it, and then commits the index
//! with one more flush; a crash between the two leaves bytes that nothing names. An extent is free
//! for reuse only once the index that no longer names it is durable. [`Store::cache`] leaves both
//! flushes to the next commit: a crash takes such blocks away, and never mixes them up.
//!
//! Of a disk nothing is assumed but that a flush that returned well flushed that file: not that
//! writes keep their order, nor that a sector is written whole (a browser's file system promises
//! neither), nor that after a flush that failed a second one writes what the first forgot.
//!
//! # What rots
//!
//! Blocks are checked against their CIDs at every read, pages of the index against checksums when it
//! opens and against what was written from then on. [`Store::scrub_step`] and [`Store::scrub_index`]
//! look before somebody needs it. An index that rotted is rebuilt when the store opens from what is
//! readable of it ([`Store::rebuilt`]); where even its list of tables is lost, opening fails.
//!
//! # Why an index and a pack
//!
//! Beside redb alone and append-only segments, on ext4 with two cores that were busy otherwise
//! (`cargo run --release --manifest-path benches/store/Cargo.toml`, medians of three runs in turn):
//!
//! | | this | redb alone | segments |
//! |---|---|---|---|
//! | ingest of 256 KiB blocks, MB/s | 162 | 97 | 76 |
//! | durable commits of one 4 KiB block, 1/s | 83 | 103 | 351 |
//! | verified reads of 256 KiB, MB/s | 1588 | 755 | 954 |
//! | verified reads of 4 KiB, 1/s | 62,289 | 42,414 | 48,721 |
//! | opening 2,524 blocks, ms | 26 | 20 | 104 |
//! | bytes on disk for each stored | 1.00 | 2.00 | 1.00 |
//!
//! redb alone rounds a 256 KiB value up to 512 KiB. Segments are four times as fast at small commits
//! and slower at the rest; what a node does most is large commits and reads, so this stays. Who needs
//! many small commits needs a log in front of the index, which is not written.
mod backend;
mod batch;
mod commit;
mod entry;
mod error;
mod index;
mod meta;
mod pages;
mod pin;
mod rebuild;
mod redo;
mod relocate;
mod run;
mod salvage;
mod scrub;
mod seen;
mod space;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use craftec_core::{Cid, cid::CID_BYTES};
use craftec_platform::{File, Folder};
use redb::{ReadOnlyTable, ReadableTable, TableDefinition};

use self::{entry::Entry, index::Index, pin::pinned_root, redo::Redo, seen::Seen, space::Space};
use crate::block::Block;

pub use batch::{Batch, META_KEY_BYTES, META_VALUE_BYTES, Meta};
pub use error::StoreError;
pub use pin::{PIN_BYTES, Pin, PinReason};
pub use rebuild::{REBUILT_FILE, Rebuilt};
pub use relocate::Placed;
pub use scrub::Scrubbed;
pub use seen::Listed;

/// Name of the index file in the store's folder.
pub const INDEX_FILE: &str = "blocks.redb";
/// Name of the pack file in the store's folder.
pub const PACK_FILE: &str = "blocks.pack";
/// Memory for index pages: some 100,000 blocks' entries, and small enough for a tab.
const CACHE_BYTES: usize = 8 << 20;
/// CIDs per step of a sweep: one commit each, short enough not to hold up a tab.
const SWEEP_CIDS: usize = 1024;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Memory for pages of the index.
    pub cache_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES }
    }
}

/// What a sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blocks deleted.
    pub blocks: u64,
    /// The sum of their lengths.
    pub bytes: u64,
}

/// The store of one node. Cloning shares it.
#[derive(Clone)]
pub struct Store(Rc<Inner>);

struct Inner {
    index: Index,
    pack: Arc<dyn File>,
    /// None after a failure, until it is read from the index again.
    space: RefCell<Option<Space>>,
    /// What was stored without a flush, to be done again if the index has to be reopened.
    redo: Redo,
    seen: Seen,
    /// Blocks that were dropped because they were rotten.
    rotten: Cell<u64>,
    rebuilt: Option<Rebuilt>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.0.pack)
    }
}

impl Store {
    /// Opens the store in `folder`, creating it if there is none.
    pub async fn open(folder: &dyn Folder) -> Result<Self, StoreError> {
        Self::open_with(folder, StoreOptions::default()).await
    }

    /// The same, with options.
    pub async fn open_with(folder: &dyn Folder, options: StoreOptions) -> Result<Self, StoreError> {
        let doing = "opening the store";
        let cache_bytes = options.cache_bytes;
        rebuild::resume(folder, cache_bytes).await?;
        let pack = folder.open(PACK_FILE).await.map_err(|e| StoreError::io(doing, e))?;
        let open = async || {
            let file = folder.open(INDEX_FILE).await.map_err(|e| StoreError::io(doing, e))?;
            Index::open(file, cache_bytes)
        };
        let (index, rebuilt) = match open().await {
            Ok(index) => (index, None),
            Err(StoreError::Corrupt { reason }) => {
                let rebuilt = rebuild::rebuild(folder, &*pack, cache_bytes, reason).await?;
                (open().await?, Some(rebuilt))
            }
            Err(error) => return Err(error),
        };
        let (space, redo, seen) = (RefCell::new(None), Redo::default(), Seen::default());
        let inner = Inner { index, pack, space, redo, seen, rotten: Cell::new(0), rebuilt };
        let store = Self(Rc::new(inner));
        store.0.redo.set_turn(store.0.number(index::TURN)?);
        store.0.trim_pack(store.0.recorded_space()?.end());
        Ok(store)
    }

    /// Stores `blocks` in one durable commit. Those already there cost a look-up.
    pub fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put_all(blocks.iter().cloned());
        self.commit(batch)
    }

    /// Reads a block and verifies it. Bytes that don't match are dropped from the store and
    /// reported once as [`StoreError::Rotten`]; from then on the block is missing. Counts as a use.
    pub fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let block = self.peek(cid)?;
        if block.is_some() {
            self.0.seen.note(cid.to_bytes());
        }
        Ok(block)
    }

    /// The same, without counting as a use.
    pub fn peek(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let blocks = self.0.table(index::BLOCKS)?;
        let Some(value) = self.0.lookup(&blocks, &cid.to_bytes())? else { return Ok(None) };
        if let Some(block) = self.0.verified(cid, &value)? {
            return Ok(Some(block));
        }
        drop(blocks);
        self.delete(&[*cid])?;
        Err(StoreError::Rotten { cid: *cid })
    }

    /// How the index was rebuilt when the store was opened, if it was damaged.
    pub fn rebuilt(&self) -> Option<&Rebuilt> {
        self.0.rebuilt.as_ref()
    }

    /// How many blocks were dropped because they were rotten since the store was opened.
    pub fn rotten(&self) -> u64 {
        self.0.rotten.get()
    }

    /// Whether the block is stored (without reading it).
    pub fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.len_of(cid)?.is_some())
    }

    /// The same for many, in their order.
    pub fn has_many(&self, cids: &[Cid]) -> Result<Vec<bool>, StoreError> {
        let blocks = self.0.table(index::BLOCKS)?;
        let has = |cid: &Cid| Ok(self.0.lookup(&blocks, &cid.to_bytes())?.is_some());
        cids.iter().map(has).collect()
    }

    /// The block's length in bytes, if it is stored (without reading it).
    pub fn len_of(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        let blocks = self.0.table(index::BLOCKS)?;
        let value = self.0.lookup(&blocks, &cid.to_bytes())?;
        value.map(|value| Ok(Entry::decode(&value)?.length())).transpose()
    }

    /// Deletes blocks in one durable commit; those not there are skipped.
    pub fn delete(&self, cids: &[Cid]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for cid in cids {
            batch.delete(*cid);
        }
        self.commit(batch)
    }

    /// The next CIDs after `after` (from the beginning without it), at most `limit`, in a fixed
    /// order. The last one is the cursor for the next page; an empty page is the end.
    pub fn iterate(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Cid>, StoreError> {
        let doing = "listing blocks";
        let blocks = self.0.table(index::BLOCKS)?;
        // Keys have one length, so this is the smallest key above `after`.
        let first = after.map_or([0; CID_BYTES], |cid| successor(cid.to_bytes()));
        let range = blocks.range::<&[u8; CID_BYTES]>(&first..);
        let mut page = Vec::new();
        for entry in range.map_err(|e| self.0.index.failure(doing, e))?.take(limit) {
            let (key, _) = entry.map_err(|e| self.0.index.failure(doing, e))?;
            let cid = Cid::from_bytes(key.value());
            page.push(cid.map_err(|e| StoreError::damaged(format!("a block's key: {e}")))?);
        }
        Ok(page)
    }

    /// How many blocks are stored.
    pub fn blocks(&self) -> Result<u64, StoreError> {
        self.0.number(index::COUNT)
    }

    /// The sum of their lengths in bytes.
    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        self.0.number(index::BYTES)
    }

    /// Pins `root`, replacing a pin for the same reason.
    pub fn pin(&self, root: &Cid, pin: Pin) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.pin(*root, pin);
        self.commit(batch)
    }

    /// Takes the pin of `root` for `reason` away, or all of its pins. Its blocks stay until a sweep.
    pub fn unpin(&self, root: &Cid, reason: Option<PinReason>) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.unpin(*root, reason);
        self.commit(batch)
    }

    /// All pins, in the order of their roots.
    pub fn pins(&self) -> Result<Vec<(Cid, Pin)>, StoreError> {
        let doing = "listing pins";
        let pins = self.0.table(index::PINS)?;
        let entries = pins.iter().map_err(|e| self.0.index.failure(doing, e))?;
        entries
            .map(|entry| {
                let (key, value) = entry.map_err(|e| self.0.index.failure(doing, e))?;
                Ok((pinned_root(key.value())?, Pin::from_bytes(value.value())?))
            })
            .collect()
    }

    /// The pins of `root`.
    pub fn pins_of(&self, root: &Cid) -> Result<Vec<Pin>, StoreError> {
        let doing = "looking a pin up";
        let pins = self.0.table(index::PINS)?;
        let mut found = Vec::new();
        for key in pin::pin_keys(root) {
            if let Some(value) = pins.get(&key).map_err(|e| self.0.index.failure(doing, e))? {
                found.push(Pin::from_bytes(value.value())?);
            }
        }
        Ok(found)
    }

    /// Deletes every block that `keep` does not want, some hundred per commit.
    pub fn sweep(&self, keep: impl Fn(&Cid) -> bool) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let mut cursor = None;
        loop {
            let (next, step) = self.sweep_step(cursor.as_ref(), &keep)?;
            swept.blocks += step.blocks;
            swept.bytes += step.bytes;
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(swept),
            }
        }
    }

    /// One step of a sweep, from `after` on, for a caller that has other work in between. Returns
    /// where to go on, or none at the end.
    pub fn sweep_step(
        &self,
        after: Option<&Cid>,
        keep: impl Fn(&Cid) -> bool,
    ) -> Result<(Option<Cid>, Swept), StoreError> {
        let page = self.iterate(after, SWEEP_CIDS)?;
        let before = (self.blocks()?, self.used_bytes()?);
        let doomed: Vec<Cid> = page.iter().filter(|cid| !keep(cid)).copied().collect();
        self.delete(&doomed)?;
        let swept =
            Swept { blocks: before.0 - self.blocks()?, bytes: before.1 - self.used_bytes()? };
        Ok((page.last().copied(), swept))
    }
}

impl Inner {
    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        self.recover()?;
        let transaction = self.index.read()?;
        transaction.open_table(table).map_err(|e| self.index.failure("reading the index", e))
    }

    fn lookup(
        &self,
        blocks: &impl ReadableTable<&'static [u8; CID_BYTES], &'static [u8]>,
        key: &[u8; CID_BYTES],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let value = blocks.get(key).map_err(|e| self.index.failure("looking a block up", e))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// The block of an entry; none if its bytes are not what they should be. An error where the disk
    /// does not say: that is no reason to drop it.
    fn verified(&self, cid: &Cid, value: &[u8]) -> Result<Option<Block>, StoreError> {
        let mut failed = None;
        // Once more before giving up: the first answer may have been a passing fault.
        for _ in 0..2 {
            match Entry::decode(value).and_then(|entry| self.bytes_of(entry)) {
                Ok(bytes) => match Block::verified(*cid, bytes) {
                    Ok(block) => return Ok(Some(block)),
                    Err(_) => failed = None,
                },
                // The pack ends before it, or the entry is none: the bytes are gone.
                Err(StoreError::Io { source, .. })
                    if source.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    failed = None;
                }
                Err(StoreError::Corrupt { .. }) => failed = None,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => {
                self.rotten.set(self.rotten.get() + 1);
                tracing::warn!(%cid, "the disk returned wrong bytes for a block");
                Ok(None)
            }
        }
    }

    /// Cuts what lies beyond the last extent: left by a crash, or freed. Not vital, so a failure
    /// only costs space.
    fn trim_pack(&self, end: u64) {
        if self.pack.len().is_ok_and(|bytes| bytes > end)
            && let Err(error) = self.pack.set_len(end)
        {
            tracing::warn!(%error, end, "the pack could not be cut to its used length");
        }
    }

    fn bytes_of(&self, entry: Entry<'_>) -> Result<Bytes, StoreError> {
        match entry {
            Entry::Inline(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Entry::Packed { offset, length } => {
                let mut bytes = vec![0; length as usize];
                let read = self.pack.read_at(offset, &mut bytes);
                read.map_err(|e| StoreError::io("reading a block", e))?;
                Ok(bytes.into())
            }
        }
    }

    fn number(&self, name: &'static str) -> Result<u64, StoreError> {
        let numbers = self.table(index::NUMBERS)?;
        let number = numbers.get(name).map_err(|e| self.index.failure("reading a counter", e))?;
        Ok(number.map_or(0, |number| number.value()))
    }

    fn recorded_space(&self) -> Result<Space, StoreError> {
        let doing = "reading the free list";
        let free = self.table(index::FREE)?;
        let entries = free.iter().map_err(|e| self.index.failure(doing, e))?;
        let free: Vec<(u64, u64)> = entries
            .map(|entry| entry.map(|(offset, length)| (offset.value(), length.value())))
            .collect::<Result<_, _>>()
            .map_err(|e| self.index.failure(doing, e))?;
        Space::recorded(free, self.number(index::PACK_END)?).map_err(|overlap| {
            StoreError::damaged(format!("the free extent at {} overlaps", overlap.offset))
        })
    }
}

/// The next key of the same length.
fn successor(mut key: [u8; CID_BYTES]) -> [u8; CID_BYTES] {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    key
}
