//! A database of this node.

mod merge;
mod pages;
mod run;
mod sealing;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{Cid, database::Seal, sign::Hash};
use craftec_platform::Folder;
use rusqlite::{Connection, TransactionBehavior, types::Value};
use web_time::Instant;

use super::{
    Reader, ReaderOptions, Rows,
    bounds::{Slices, Watch},
    connection::{self, Granted},
};
use crate::{
    error::SqlError,
    keys::{Keys, NoKeys},
    log::{Kept, Log, LogError, LogOptions, LogSize},
    page::{Page, PageNo},
    store::{LocalStore, PageStore},
    vfs::{LocalPages, Mount},
};

/// Blocks handed to a store at one time: what travels together to one set of holders.
const PUBLISHED_AT_ONCE: usize = 64;
/// So long a compaction waits for transactions that still read an older state; then they lose it.
const READERS_WAITED_FOR: Duration = Duration::from_secs(60);

pub use merge::Other;
pub use pages::State;
use sealing::Held;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Its log.
    pub log: LogOptions,
    /// Memory for SQLite's page cache. Filled only as far as pages are read.
    pub cache_bytes: usize,
    /// Longest result that [`Database::query`] gives.
    pub result_bytes: usize,
    /// How statements that somebody else wrote ([`Database::run`] and its like) pause; with none they run at
    /// one go.
    pub slices: Option<Slices>,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        let log = LogOptions::default();
        Self { log, cache_bytes: 8 << 20, result_bytes: 64 << 20, slices: None }
    }
}

/// A database that this node writes.
pub struct Database {
    // Closed before what it reads from.
    connection: Rc<Connection>,
    granted: Granted,
    watch: Watch,
    mount: Mount,
    pages: Rc<RefCell<LocalPages>>,
    folder: Rc<dyn Folder>,
    options: DatabaseOptions,
    /// Since when a compaction waits for readers.
    waiting: Cell<Option<Instant>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({:?})", self.pages.borrow().log)
    }
}

impl Database {
    /// Opens the database `name` in `folder`, creating it if there is none. It is exactly what the
    /// last acknowledged commit left, or the one that was in flight when power failed.
    pub async fn open(folder: Rc<dyn Folder>, name: &str) -> Result<Self, SqlError> {
        Self::open_with(folder, name, DatabaseOptions::default()).await
    }

    /// The same, with options.
    pub async fn open_with(
        folder: Rc<dyn Folder>,
        name: &str,
        options: DatabaseOptions,
    ) -> Result<Self, SqlError> {
        Self::open_sealed(folder, name, options, Vec::new(), &NoKeys).await
    }

    /// The same of a database that is encrypted, or was once: with the keys of what is in it. A new one
    /// is encrypted with the first of them.
    pub async fn open_sealed(
        folder: Rc<dyn Folder>,
        name: &str,
        options: DatabaseOptions,
        seals: Vec<Seal>,
        keys: &dyn Keys,
    ) -> Result<Self, SqlError> {
        let mut log = Log::open(&*folder, name, options.log).await?;
        log.unlock(seals, keys)?;
        let pages = Rc::new(RefCell::new(LocalPages::new(log)));
        let mount = Mount::new(pages.clone());
        let (mut connection, granted) = connection::open(&mount)?;
        let watch = Watch::new(options.slices.clone());
        watch.over(&mut connection)?;
        connection::set_up(&connection, options.cache_bytes)?;
        let (connection, waiting) = (Rc::new(connection), Cell::default());
        let opened = Self { connection, granted, watch, mount, pages, folder, options, waiting };
        if opened.key().is_some() {
            opened.reserve()?;
        }
        Ok(opened)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.pages.borrow().log.name().to_owned()
    }

    /// Runs one statement and gives its rows.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, SqlError> {
        let limit = self.options.result_bytes;
        let rows = self.said(connection::query(&self.connection, sql, params, limit))?;
        self.compact_if_wanted().await;
        rows.ok_or(SqlError::TooMuch { limit })
    }

    /// Runs one statement and says how many rows it changed. Outside a transaction it is durable
    /// when this returns.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, SqlError> {
        let changed = self.said(connection::execute(&self.connection, sql, params))?;
        self.compact_if_wanted().await;
        Ok(changed)
    }

    /// Runs several statements, separated by semicolons.
    pub async fn execute_batch(&self, sql: &str) -> Result<(), SqlError> {
        self.said(self.connection.execute_batch(sql))?;
        self.compact_if_wanted().await;
        Ok(())
    }

    /// Runs `work` in a transaction and commits it, durably; if `work` fails, nothing of it happened.
    /// It may be run more than once where pages come from elsewhere, and so must have no effect but
    /// in the database.
    pub async fn transaction<T>(
        &self,
        mut work: impl FnMut(&Transaction<'_>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let immediate = TransactionBehavior::Immediate;
        let begun = rusqlite::Transaction::new_unchecked(&self.connection, immediate);
        let begun = self.said(begun)?;
        let done = work(&Transaction { database: self })?;
        self.said(begun.commit())?;
        self.compact_if_wanted().await;
        Ok(done)
    }

    /// Makes the tables of another database reachable as `alias.table`, until it is detached. A
    /// transaction over both is atomic for each; after a crash one of them may have it alone, as with
    /// SQLite's WAL.
    pub fn attach(&self, alias: &str, other: &Self) -> Result<(), SqlError> {
        let attached = connection::attach(&self.connection, &self.granted, &other.mount, alias);
        attached.map_err(|error| self.explained(error))
    }

    /// Ends that.
    pub fn detach(&self, alias: &str) -> Result<(), SqlError> {
        let alias = connection::quoted(alias);
        self.said(self.connection.execute_batch(&format!("DETACH {alias}")))
    }

    /// Takes a snapshot: its root names this state for ever, and stays readable here until newer
    /// snapshots push it out; [`Database::keep`] holds on to it.
    pub fn snapshot(&self) -> Result<Cid, SqlError> {
        if self.watch.is_running() || !self.connection.is_autocommit() {
            return Err(LogError::Transaction.into());
        }
        let schema = self.schema()?;
        Ok(self.pages.borrow_mut().log.snapshot(schema)?)
    }

    /// Keeps a snapshot under a name, in the place of what that name kept before.
    pub fn keep(&self, name: &str, root: Cid) -> Result<(), SqlError> {
        self.outside_transactions()?;
        Ok(self.pages.borrow_mut().log.keep(name, root)?)
    }

    /// Gives a name up. Whether there was one.
    pub fn drop_kept(&self, name: &str) -> Result<bool, SqlError> {
        self.outside_transactions()?;
        Ok(self.pages.borrow_mut().log.drop_kept(name)?)
    }

    /// Snapshots that are kept, the oldest first; those without a name go by themselves.
    pub fn kept(&self) -> Vec<Kept> {
        self.pages.borrow().log.kept().to_vec()
    }

    /// Commits the content of a snapshot. What was committed since stays in its own snapshots, if
    /// there are any. Whether anything changed.
    pub async fn restore(&self, root: Cid) -> Result<bool, SqlError> {
        self.outside_transactions()?;
        let schema = self.schema()?;
        let restored = self.pages.borrow_mut().log.restore(&root, schema)?;
        self.compact_if_wanted().await;
        Ok(restored)
    }

    /// Opens a snapshot that is kept here, to be read only.
    pub async fn at(&self, root: Cid, options: ReaderOptions) -> Result<Reader, SqlError> {
        let keys = Held(&self.pages);
        Reader::open_with(Rc::new(LocalStore(self.pages.clone())), root, options, &keys).await
    }

    /// What must be published so that others can read `root`, given that they have `since`: pages,
    /// nodes of the page table, and the root itself.
    pub fn blocks(&self, root: Cid, since: Option<Cid>) -> Result<BTreeSet<Cid>, SqlError> {
        Ok(self.pages.borrow_mut().log.blocks_of(&root, since.as_ref())?)
    }

    /// One of these blocks.
    pub fn block(&self, cid: &Cid) -> Result<Bytes, SqlError> {
        let block = self.pages.borrow_mut().log.block(cid)?;
        block.ok_or(SqlError::Missing { cid: *cid })
    }

    /// Gives a store what it lacks of `root`, and then makes it the root there in the place of
    /// `since`. How many blocks were given.
    pub async fn publish(
        &self,
        store: &dyn PageStore,
        root: Cid,
        since: Option<Cid>,
    ) -> Result<usize, SqlError> {
        let cids: Vec<Cid> = self.blocks(root, since)?.into_iter().collect();
        for some in cids.chunks(PUBLISHED_AT_ONCE) {
            let blocks = some.iter().map(|cid| Ok((*cid, self.block(cid)?)));
            let blocks: Vec<(Cid, Bytes)> = blocks.collect::<Result<_, SqlError>>()?;
            store.put(&blocks).await?;
        }
        store.update_root(&self.name(), since, root).await?;
        Ok(cids.len())
    }

    /// How many pages the last commit left.
    pub fn pages(&self) -> u32 {
        self.pages.borrow().log.pages()
    }

    /// Reads a page as the last commit left it: one after the other, they are an ordinary SQLite
    /// file.
    pub fn page(&self, page: PageNo, out: &mut Page) -> Result<(), SqlError> {
        Ok(self.pages.borrow_mut().log.committed(page, out)?)
    }

    /// What it takes on disk.
    pub fn size(&self) -> LogSize {
        self.pages.borrow().log.size()
    }

    /// How many commits and snapshots there were in its life.
    pub fn units(&self) -> u64 {
        self.pages.borrow().log.units()
    }

    /// Gives space back that nothing needs any more. Also happens by itself after a statement.
    pub async fn compact(&self) -> Result<(), SqlError> {
        self.outside_transactions()?;
        let (old, new) = self.pages.borrow().log.file_names();
        let doing = LogError::io("compacting a database");
        let file = self.folder.open(&new).await.map_err(&doing)?;
        let compacted = self.pages.borrow_mut().log.compact(file);
        let gone = if compacted.is_ok() { old } else { new };
        // What can't be removed now goes when the database is opened next.
        drop(self.folder.remove(&gone).await);
        Ok(compacted?)
    }

    /// Closes it. Every commit is durable already; dropping the handle does the same.
    pub fn close(self) -> Result<(), SqlError> {
        let Self { connection, mount, pages, .. } = self;
        // A statement that runs has it too, and borrows this database.
        let closed = match Rc::try_unwrap(connection) {
            Ok(connection) => connection.close().map_err(|(_, error)| SqlError::from(error)),
            Err(_) => Err(LogError::Transaction.into()),
        };
        drop((mount, pages));
        closed
    }

    async fn compact_if_wanted(&self) {
        let wanted = self.pages.borrow().log.wants_compaction();
        if wanted && self.connection.is_autocommit() && !self.waits_for_readers() {
            // A disk that is too full for it has the old file still; it is tried again later.
            drop(self.compact().await);
        }
    }

    fn waits_for_readers(&self) -> bool {
        if !self.pages.borrow().log.has_older_pins() {
            self.waiting.set(None);
            return false;
        }
        let since = self.waiting.get().unwrap_or_else(Instant::now);
        self.waiting.set(Some(since));
        since.elapsed() < READERS_WAITED_FOR
    }

    fn outside_transactions(&self) -> Result<(), SqlError> {
        let is_used = self.watch.is_running() || self.mount.is_locked();
        if is_used || !self.connection.is_autocommit() {
            return Err(LogError::Transaction.into());
        }
        Ok(())
    }

    /// Hash of the schema, the same for two databases in which the same statements are valid.
    fn schema(&self) -> Result<Hash, SqlError> {
        let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";
        let rows = self.said(connection::query(&self.connection, sql, &[], usize::MAX))?;
        let mut hasher = blake3::Hasher::new_derive_key("craftec sql schema v1");
        for value in rows.unwrap_or_default().rows.iter().flatten() {
            let text = if let Value::Text(text) = value { text.as_bytes() } else { &[] };
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        Ok(Hash(*hasher.finalize().as_bytes()))
    }

    fn said<T>(&self, result: rusqlite::Result<T>) -> Result<T, SqlError> {
        result.map_err(|error| self.explained(error.into()))
    }

    /// The log's own words where it is the cause: SQLite passes only a number on.
    fn explained(&self, error: SqlError) -> SqlError {
        let fault = self.pages.try_borrow_mut().ok().and_then(|mut pages| pages.take_fault());
        fault.map_or(error, SqlError::Log)
    }
}

/// A transaction that is open.
pub struct Transaction<'d> {
    database: &'d Database,
}

impl Transaction<'_> {
    /// Runs one statement and gives its rows.
    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, SqlError> {
        let limit = self.database.options.result_bytes;
        let connection = &self.database.connection;
        let rows = self.database.said(connection::query(connection, sql, params, limit))?;
        rows.ok_or(SqlError::TooMuch { limit })
    }

    /// Runs one statement and says how many rows it changed.
    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, SqlError> {
        self.database.said(connection::execute(&self.database.connection, sql, params))
    }
}
