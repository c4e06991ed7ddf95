//! The index: redb's tables, and how they are opened again after a failure.
//!
//! After a failed write redb refuses everything until it is opened anew, reads included. That
//! happens here, so that a full disk never takes what is already stored with it.

use std::{
    cell::{Cell, Ref, RefCell},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use craftec_core::cid::CID_BYTES;
use craftec_platform::File;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use super::{StoreError, backend, pages::Pages, pin::PIN_KEY_BYTES};

/// CID → where its bytes are (see [`super::entry`]).
pub(super) const BLOCKS: TableDefinition<'_, &[u8; CID_BYTES], &[u8]> =
    TableDefinition::new("blocks");
/// Offset → length of the pack's free extents, in bytes.
pub(super) const FREE: TableDefinition<'_, u64, u64> = TableDefinition::new("free");
/// The five numbers below.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// CID and reason → [`super::Pin`].
pub(super) const PINS: TableDefinition<'_, &[u8; PIN_KEY_BYTES], &[u8]> =
    TableDefinition::new("pins");
/// CID → the minute (since 1970, UTC) in which a cached block was last used. Blocks that were put or
/// pinned here are not in it.
pub(super) const SEEN: TableDefinition<'_, &[u8; CID_BYTES], u32> = TableDefinition::new("seen");
/// Name → state of work that goes on after a restart.
pub(super) const WORK: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("work");
/// Namespace byte and key → value.
pub(super) const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

/// The format of both files.
pub(super) const FORMAT: &str = "format";
/// How many blocks are stored.
pub(super) const COUNT: &str = "blocks";
/// The sum of their lengths in bytes.
pub(super) const BYTES: &str = "bytes";
/// Where the pack ends.
pub(super) const PACK_END: &str = "pack_end";

/// Counts the durable changes that took cached blocks with them, so that one whose end was not
/// seen can be told from one that did not happen.
pub(super) const TURN: &str = "turn";

/// The format written by this version.
pub(super) const THIS_FORMAT: u64 = 2;

/// The index, open or to be opened again.
pub(super) struct Index {
    file: Arc<dyn File>,
    cache_bytes: usize,
    database: RefCell<Option<Database>>,
    pages: RefCell<Arc<Pages>>,
    failed: Cell<bool>,
    unflushed: Arc<AtomicBool>,
}

impl Index {
    pub(super) fn open(file: Arc<dyn File>, cache_bytes: usize) -> Result<Self, StoreError> {
        let unflushed = Arc::new(AtomicBool::new(false));
        let (database, pages) = backend::open(&file, cache_bytes, &unflushed)?;
        let (database, pages) = (RefCell::new(Some(database)), RefCell::new(pages));
        let index =
            Self { file, cache_bytes, database, pages, failed: Cell::new(false), unflushed };
        index.check_format()?;
        Ok(index)
    }

    /// Whether redb refuses to go on until it is opened again.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// Opens the index again: what was committed without a flush is gone.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        // redb must let go of the file before it is opened anew.
        self.database.replace(None);
        if self.unflushed.load(Ordering::Acquire) {
            backend::rewrite(&self.file).map_err(|e| StoreError::io("flushing the index", e))?;
            self.unflushed.store(false, Ordering::Release);
        }
        let opened = backend::open(&self.file, self.cache_bytes, &self.unflushed);
        let (database, pages) = opened?;
        self.database.replace(Some(database));
        self.pages.replace(pages);
        self.failed.set(false);
        Ok(())
    }

    pub(super) fn read(&self) -> Result<ReadTransaction, StoreError> {
        let database = self.opened()?;
        database.begin_read().map_err(|e| self.failure("reading the index", e))
    }

    pub(super) fn write(&self, durable: bool) -> Result<WriteTransaction, StoreError> {
        let database = self.opened()?;
        let doing = "writing the index";
        let mut transaction = database.begin_write().map_err(|e| self.failure(doing, e))?;
        transaction
            .set_durability(if durable { Durability::Immediate } else { Durability::None })
            .map_err(|e| StoreError::damaged(e.to_string()))?;
        Ok(transaction)
    }

    /// Notes a failure: the next use opens the index again.
    pub(super) fn failure(&self, doing: &'static str, error: impl Into<redb::Error>) -> StoreError {
        self.failed.set(true);
        StoreError::index(doing, error)
    }

    /// Compares pages of the index with what they should be, from page `first` on, at most `count`:
    /// bytes read, pages that rotted, and where to go on.
    pub(super) fn compare(
        &self,
        first: usize,
        count: usize,
    ) -> Result<(u64, u64, Option<usize>), StoreError> {
        let pages = self.pages.borrow();
        let compared = pages.compare(&*self.file, first, count);
        let (read, wrong) = compared.map_err(|e| StoreError::io("checking the index", e))?;
        let next = first + count;
        Ok((read, wrong, (next < pages.len()).then_some(next)))
    }

    fn opened(&self) -> Result<Ref<'_, Database>, StoreError> {
        Ref::filter_map(self.database.borrow(), Option::as_ref).map_err(|_| StoreError::Busy)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let doing = "reading the store's format";
        let transaction = self.write(true)?;
        {
            let mut numbers =
                transaction.open_table(NUMBERS).map_err(|e| self.failure(doing, e))?;
            let found = numbers.get(FORMAT).map_err(|e| self.failure(doing, e))?.map(|n| n.value());
            match found {
                Some(THIS_FORMAT) => return Ok(()),
                Some(found) if found > THIS_FORMAT => {
                    return Err(StoreError::Newer { found, known: THIS_FORMAT });
                }
                Some(0) => return Err(StoreError::damaged("format 0 never existed")),
                // Format 1 lacks the tables `seen` and `work`, which begin empty.
                Some(_) | None => {
                    let insert = numbers.insert(FORMAT, THIS_FORMAT);
                    insert.map_err(|e| self.failure(doing, e))?;
                }
            }
            transaction.open_table(BLOCKS).map_err(|e| self.failure(doing, e))?;
            transaction.open_table(FREE).map_err(|e| self.failure(doing, e))?;
            transaction.open_table(PINS).map_err(|e| self.failure(doing, e))?;
            transaction.open_table(META).map_err(|e| self.failure(doing, e))?;
            transaction.open_table(SEEN).map_err(|e| self.failure(doing, e))?;
            transaction.open_table(WORK).map_err(|e| self.failure(doing, e))?;
        }
        transaction.commit().map_err(|e| self.failure("creating the store", e))
    }
}
