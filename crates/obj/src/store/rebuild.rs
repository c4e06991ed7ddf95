//! A store whose index rotted opens with what is left of it.
//!
//! What [`salvage`] reads is written to a second index, [`REBUILT_FILE`], in one commit; then that is
//! copied over the damaged one and removed. Whatever a crash leaves, the next start goes on: a
//! second index that is whole is copied again, one that is not is made anew. Free space and counters
//! follow from the blocks. Blocks prove themselves by their CIDs, so those below a lost page are looked
//! for in pages that nothing names any more, and checked; what is not found is fetched again from
//! peers when it is missed. Pins follow from the records of objects and copies (see
//! [`crate::Objects`]). A lost record itself (a setting, a head, the identity) is not made up:
//! [`Store::has_lost_records`] says so, for good.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use craftec_core::{Cid, cid::CID_BYTES};
use craftec_platform::{File, Folder};
use redb::WriteTransaction;

use super::{
    INDEX_FILE, Store, StoreError,
    entry::Entry,
    index::{self, BLOCKS, BYTES, COUNT, FREE, Index, META, NUMBERS, PACK_END, PINS, SEEN, WORK},
    pin::PIN_KEY_BYTES,
    salvage::{self, Salvaged},
    space::{Space, rounded},
};

/// Name of the second index while a damaged one is replaced.
pub const REBUILT_FILE: &str = "blocks.rebuilt";
/// Bytes copied at one time.
const COPY_BYTES: usize = 1 << 20;

/// How a damaged index was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What was wrong with it.
    pub reason: String,
    /// Pages that could not be read, each with up to a hundred entries or everything below it.
    pub unreadable_pages: u64,
    /// The tables to which they belonged.
    pub damaged_tables: Vec<String>,
    /// Blocks that are still known.
    pub blocks: u64,
}

/// Under which the names of tables are noted that lost something.
const WORK_LOST: &str = "lost";
/// Under which it is noted that pins are to be restored.
const WORK_PINS: &str = "pins";

/// Ends a replacement that a crash interrupted.
pub(super) async fn resume(folder: &dyn Folder, cache_bytes: usize) -> Result<(), StoreError> {
    let names = folder.list().await.map_err(|e| StoreError::io("opening the store", e))?;
    if !names.iter().any(|name| name == REBUILT_FILE) {
        return Ok(());
    }
    let file = open(folder, REBUILT_FILE).await?;
    let whole = match Index::open_existing(file.clone(), cache_bytes) {
        Ok(found) => found.is_some(),
        Err(StoreError::Corrupt { .. }) => false,
        Err(error) => return Err(error),
    };
    if whole {
        replace(folder, &file).await?;
    }
    drop(file);
    remove(folder).await
}

/// Replaces the damaged index of `folder` by what is left of it.
pub(super) async fn rebuild(
    folder: &dyn Folder,
    pack: &dyn File,
    cache_bytes: usize,
    reason: String,
) -> Result<Rebuilt, StoreError> {
    let salvaged = {
        let damaged = open(folder, INDEX_FILE).await?;
        let mut salvaged = salvage::read(&*damaged).map_err(|error| match error {
            StoreError::Corrupt { reason: found } => {
                StoreError::damaged(format!("{reason}; {found}"))
            }
            error => error,
        })?;
        if salvaged.damaged.iter().any(|table| table.is_empty() || table == "blocks") {
            find_blocks(&*damaged, pack, &mut salvaged)?;
        }
        salvaged
    };
    tracing::error!(
        %reason,
        unreadable_pages = salvaged.unreadable,
        damaged_tables = ?salvaged.damaged,
        rows = salvaged.rows.len(),
        "the store's index is damaged: it is rebuilt from what can be read of it"
    );
    remove(folder).await?;
    let file = open(folder, REBUILT_FILE).await?;
    let blocks = {
        let index = Index::open(file.clone(), cache_bytes)?;
        let transaction = index.write(true)?;
        let blocks = fill(&index, &transaction, &salvaged)?;
        transaction.commit().map_err(|e| index.failure("rebuilding the index", e))?;
        blocks
    };
    replace(folder, &file).await?;
    drop(file);
    remove(folder).await?;
    Ok(Rebuilt {
        reason,
        unreadable_pages: salvaged.unreadable,
        damaged_tables: salvaged.damaged,
        blocks,
    })
}

/// Adds blocks that nothing names any more and whose bytes are right. Some may have been deleted
/// lately: they are cache.
fn find_blocks(
    damaged: &dyn File,
    pack: &dyn File,
    salvaged: &mut Salvaged,
) -> Result<(), StoreError> {
    let known = salvaged.rows.iter().filter(|(table, ..)| table == "blocks");
    let mut known: BTreeSet<Vec<u8>> = known.map(|(_, key, _)| key.clone()).collect();
    salvage::loose(damaged, CID_BYTES, |key, value| {
        let (Ok(cid), Ok(entry)) = (Cid::from_bytes(key), Entry::decode(value)) else { return };
        if known.contains(key) {
            return;
        }
        let is_right = match entry {
            Entry::Inline(bytes) => cid.matches(bytes),
            Entry::Packed { offset, length } => {
                let mut bytes = vec![0; length as usize];
                pack.read_at(offset, &mut bytes).is_ok() && cid.matches(&bytes)
            }
        };
        if is_right {
            known.insert(key.to_vec());
            salvaged.rows.push(("blocks".to_owned(), key.to_vec(), value.to_vec()));
        }
    })
}

/// Writes the rows of an old index into an empty one; the number of blocks.
fn fill(
    index: &Index,
    transaction: &WriteTransaction,
    salvaged: &Salvaged,
) -> Result<u64, StoreError> {
    let doing = "rebuilding the index";
    let failed = |e| index.failure(doing, e);
    let table = |e| index.failure(doing, e);
    let mut blocks = transaction.open_table(BLOCKS).map_err(table)?;
    let mut pins = transaction.open_table(PINS).map_err(table)?;
    let mut meta = transaction.open_table(META).map_err(table)?;
    let mut seen = transaction.open_table(SEEN).map_err(table)?;
    let mut work = transaction.open_table(WORK).map_err(table)?;
    let (mut count, mut sum) = (0, 0);
    let mut extents = BTreeMap::new();
    for (name, key, value) in &salvaged.rows {
        match name.as_str() {
            "blocks" => {
                let Ok(key) = <&[u8; CID_BYTES]>::try_from(key.as_slice()) else { continue };
                let Ok(entry) = Entry::decode(value) else { continue };
                if let Entry::Packed { offset, length } = entry {
                    extents.insert(offset, rounded(u64::from(length)));
                }
                blocks.insert(key, value.as_slice()).map_err(failed)?;
                (count, sum) = (count + 1, sum + entry.length());
            }
            "pins" => {
                if let Ok(key) = <&[u8; PIN_KEY_BYTES]>::try_from(key.as_slice()) {
                    pins.insert(key, value.as_slice()).map_err(failed)?;
                }
            }
            "meta" => drop(meta.insert(key.as_slice(), value.as_slice()).map_err(failed)?),
            "seen" => {
                let key = <&[u8; CID_BYTES]>::try_from(key.as_slice());
                let value = <[u8; 4]>::try_from(value.as_slice());
                if let (Ok(key), Ok(value)) = (key, value) {
                    seen.insert(key, u32::from_le_bytes(value)).map_err(failed)?;
                }
            }
            "work" if key == WORK_LOST.as_bytes() => {
                work.insert(WORK_LOST, value.as_slice()).map_err(failed)?;
            }
            // Free space and counters follow from the blocks; work begins anew.
            _ => {}
        }
    }
    let space = Space::around(&extents);
    let mut free = transaction.open_table(FREE).map_err(table)?;
    for (offset, length) in space.free_extents() {
        free.insert(offset, length).map_err(failed)?;
    }
    if salvaged.damaged.iter().any(|table| table.is_empty() || table == "meta") {
        work.insert(WORK_LOST, salvaged.damaged.join(",").as_bytes()).map_err(failed)?;
    }
    work.insert(WORK_PINS, &[][..]).map_err(failed)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(table)?;
    for (name, number) in [(COUNT, count), (BYTES, sum), (PACK_END, space.end())] {
        numbers.insert(name, number).map_err(failed)?;
    }
    Ok(count)
}

/// Copies a whole second index over the first. Cut short, it is done again by the next start.
async fn replace(folder: &dyn Folder, from: &Arc<dyn File>) -> Result<(), StoreError> {
    let doing = "replacing the damaged index";
    let to = open(folder, INDEX_FILE).await?;
    let copy = || {
        let length = from.len()?;
        to.set_len(length)?;
        let (mut bytes, mut at) = (vec![0; COPY_BYTES], 0);
        while at < length {
            let part = &mut bytes[..COPY_BYTES.min((length - at) as usize)];
            from.read_at(at, part)?;
            to.write_at(at, part)?;
            at += part.len() as u64;
        }
        to.sync()
    };
    copy().map_err(|e| StoreError::io(doing, e))
}

async fn open(folder: &dyn Folder, name: &str) -> Result<Arc<dyn File>, StoreError> {
    folder.open(name).await.map_err(|e| StoreError::io("rebuilding the index", e))
}

async fn remove(folder: &dyn Folder) -> Result<(), StoreError> {
    folder.remove(REBUILT_FILE).await.map_err(|e| StoreError::io("rebuilding the index", e))
}

impl Store {
    /// Whether records (settings, heads, the identity) were ever lost with a damaged index: what is
    /// not here may have been.
    pub fn has_lost_records(&self) -> Result<bool, StoreError> {
        Ok(self.work(WORK_LOST)?.is_some())
    }

    /// Whether the index was rebuilt, and pins were not yet restored from the records above.
    pub fn has_lost_pins(&self) -> Result<bool, StoreError> {
        Ok(self.work(WORK_PINS)?.is_some())
    }

    /// Says that they were.
    pub fn restored_pins(&self) -> Result<(), StoreError> {
        self.end_work(WORK_PINS)
    }
}

impl Index {
    /// The format of an index that is whole; none for one that was never filled.
    fn open_existing(file: Arc<dyn File>, cache_bytes: usize) -> Result<Option<u64>, StoreError> {
        if file.is_empty().map_err(|e| StoreError::io("rebuilding the index", e))? {
            return Ok(None);
        }
        let opened = Self::open(file, cache_bytes)?;
        let transaction = opened.read()?;
        let numbers = transaction.open_table(NUMBERS);
        let numbers = numbers.map_err(|e| opened.failure("rebuilding the index", e))?;
        // Written last, in one commit with everything else.
        let end = numbers.get(PACK_END).map_err(|e| opened.failure("rebuilding the index", e))?;
        Ok(end.map(|_| index::THIS_FORMAT))
    }
}
