//! The databases of a node: those that it writes, by name, and snapshots of anybody's, read lazily.
//!
//! A database of this node is open once, whoever uses it: sessions share it, and no session leaves a
//! transaction open in it. It closes with the last of its handles.
//!
//! On disk: the logs of `craftec-sql` in the folder of the store, and what `record` describes.

mod desk;
mod import;
mod keys;
mod pages;
mod publish;
mod record;
mod transaction;
mod turn;
mod watch;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use craftec_api::{ApiError, ErrorCode};
use craftec_core::{Cid, head::check_name};
use craftec_obj::{Store, store::Meta};
use craftec_platform::{Clock, Entropy, Folder};
use craftec_sql::{
    Database, DatabaseOptions, Merged, Other, Ran, Reader, ReaderOptions, Slices, SqlError,
    Strategy, Value, log::LogError, page::PageNo,
};
use futures::lock::Mutex;

use self::{
    desk::Writer,
    turn::{Next, Using},
};
pub(crate) use self::{
    desk::{Desk, check_range},
    import::Import,
    pages::Pages,
    publish::{Outcome, base_of, base_of_branch},
    record::{Branch, DatabaseRecord},
    transaction::Transaction,
};
use crate::{Config, Keys, Ports, SLICED_STATEMENT, STATEMENT, bell::Bell, fault};

/// Longest result of one statement: it is held until its last row was asked for.
pub(crate) const RESULT_BYTES: usize = 16 << 20;
/// Page cache of one database, filled as far as pages are read.
const CACHE_BYTES: usize = 4 << 20;
/// The same of a snapshot that is read from elsewhere: what one statement touches must fit.
const READER_CACHE_BYTES: usize = 32 << 20;
/// Databases of this node that are open at one time.
const OPEN: usize = 128;
/// Snapshots that are open at one time.
const SNAPSHOTS: usize = 16;
/// How long a snapshot that is taken in waits for transactions of others, and how often it looks.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// How long a merge may compute at least: it is made rarely.
const MERGE: Duration = Duration::from_secs(30);
/// Memory of SQLite, of all that is open together: 512 MiB. A statement that needs more fails.
const MEMORY: &str = "PRAGMA hard_heap_limit = 536870912";
/// Databases of one node.
const DATABASES: usize = 4096;

/// A database of this node that is open.
pub(crate) struct Own {
    pub(crate) name: String,
    pub(crate) database: Database,
    /// Held while one statement, a script or a transaction runs.
    turn: Arc<Mutex<()>>,
    /// What is read meanwhile.
    asides: Cell<usize>,
    /// Held while a snapshot is taken and put.
    pub(crate) publishing: Mutex<()>,
    limit: Duration,
    /// When it was created (ms since 1970).
    made_ms: u64,
    /// The client with an SQLite of its own that is about to write it.
    writer: Cell<Option<Writer>>,
    /// Rings after each commit.
    pub(crate) changed: Bell,
    /// The state at which it rang last.
    rang: Cell<u64>,
    clock: Rc<dyn Clock>,
    keys: Rc<Keys>,
}

impl Own {
    pub(crate) async fn run(&self, sql: &str, params: &[Value]) -> Result<Ran, ApiError> {
        let mut turn = match self.turn_or_aside(sql).await? {
            Next::Turn(turn) => turn,
            Next::Aside(aside, _counted) => {
                let read = aside.run(sql, params, Some(self.limit)).await;
                match read.map_err(fault::sql)? {
                    Some(read) => return Ok(read),
                    None => self.turn().await?,
                }
            }
        };
        if self.other_writer(0) && self.database.may_write(sql) {
            drop(turn);
            self.no_writer().await?;
            turn = self.turn().await?;
        }
        let _using = Using::new(self, turn);
        self.database.run(sql, params, Some(self.limit)).await.map_err(fault::sql)
    }

    pub(crate) async fn script(&self, sql: &str) -> Result<Ran, ApiError> {
        let _using = self.write().await?;
        self.database.run_script(sql, Some(self.limit)).await.map_err(fault::sql)
    }

    pub(crate) async fn batch(
        &self,
        statements: Vec<(String, Vec<Value>)>,
    ) -> Result<(Vec<u64>, Ran), ApiError> {
        let _using = self.write().await?;
        self.database.run_transaction(statements, Some(self.limit)).await.map_err(fault::sql)
    }

    pub(crate) async fn restore(&self, root: Cid) -> Result<(), ApiError> {
        let _using = self.write().await?;
        self.database.restore(root).await.map(drop).map_err(fault::sql)
    }

    /// Takes a snapshot in that was made elsewhere, to be kept under `name`.
    pub(crate) async fn take(&self, pages: &Pages, root: Cid, name: &str) -> Result<(), ApiError> {
        let end = self.clock.monotonic() + TAKEN_WITHIN;
        loop {
            match self.database.take(pages, root, name, &*self.keys).await {
                // What came so far is here.
                Err(SqlError::Log(LogError::Transaction)) if self.clock.monotonic() < end => {
                    self.clock.sleep(PAUSE).await;
                }
                taken => return taken.map_err(|error| pages.told(error)),
            }
        }
    }

    /// Merges a state that was taken in.
    pub(crate) async fn merge(&self, other: Other, strategy: Strategy) -> Result<Merged, ApiError> {
        let _using = self.write().await?;
        let limit = MERGE.max(self.limit);
        self.database.merge(other, strategy, Some(limit)).await.map_err(fault::sql)
    }

    /// Wakes those who wait for a change, if there is one.
    fn ring(&self) {
        let state = self.database.state().number;
        if self.rang.replace(state) != state {
            self.changed.ring();
        }
    }
}

/// A snapshot that is open, or the latest of a name.
pub(crate) struct Snapshot {
    /// Statements run one after the other: each may run several times, as its pages come.
    reading: Mutex<Reading>,
    limit: Duration,
    slices: Option<Slices>,
    /// Where a name led here: the name, and its head then.
    pub(crate) named: Option<Named>,
    keys: Rc<Keys>,
    _counted: Counted,
}

/// One root that is read.
struct Reading {
    reader: Reader,
    pages: Rc<Pages>,
}

/// The name of a snapshot.
pub(crate) struct Named {
    /// Key of its record.
    pub(crate) key: [u8; 32],
    /// The record that was looked at last.
    pub(crate) seen: RefCell<Option<Bytes>>,
}

impl Reading {
    async fn open(
        root: Cid,
        pages: Pages,
        keys: &Keys,
        slices: Option<Slices>,
    ) -> Result<Self, ApiError> {
        let pages = Rc::new(pages);
        let options = ReaderOptions {
            cache_bytes: READER_CACHE_BYTES,
            result_bytes: RESULT_BYTES,
            slices,
            ..ReaderOptions::default()
        };
        let reader = Reader::open_with(pages.clone(), root, options, keys).await;
        let reader = reader.map_err(|error| pages.told(error))?;
        reader.query(MEMORY, &[]).await.map_err(fault::sql)?;
        Ok(Self { reader, pages })
    }
}

impl Snapshot {
    pub(crate) async fn run(&self, sql: &str, params: &[Value]) -> Result<Ran, ApiError> {
        let reading = self.reading.lock().await;
        let ran = reading.reader.run(sql, params, Some(self.limit)).await;
        ran.map_err(|error| reading.pages.told(error))
    }

    /// At most `count` pages from `first` on, one after the other.
    pub(crate) async fn pages(&self, first: PageNo, count: u32) -> Result<Vec<u8>, ApiError> {
        let reading = self.reading.lock().await;
        reading.reader.pages(first, count).await.map_err(|error| reading.pages.told(error))
    }

    /// How many pages it has.
    pub(crate) async fn length(&self) -> u32 {
        self.reading.lock().await.reader.root().1.pages
    }

    /// Whether it is read with a key.
    pub(crate) async fn is_encrypted(&self) -> bool {
        self.reading.lock().await.reader.is_encrypted()
    }

    /// Its root, and the bytes of the SQLite file that it is.
    pub(crate) async fn root(&self) -> (Cid, u64) {
        let (cid, root) = self.reading.lock().await.reader.root();
        (cid, u64::from(root.pages) * u64::from(root.page_bytes))
    }

    /// Reads another root from now on. What did not change is here already, since it has the same CID.
    pub(crate) async fn advance(&self, root: Cid, pages: Pages) -> Result<(), ApiError> {
        let next = Reading::open(root, pages, &self.keys, self.slices.clone()).await?;
        *self.reading.lock().await = next;
        Ok(())
    }
}

/// Counts what there is of something.
#[derive(Default)]
struct Tally(Cell<usize>);

impl Tally {
    fn count(&self) -> usize {
        self.0.get()
    }

    fn add(&self, more: usize) {
        self.0.set(self.0.get() + more);
    }

    fn sub(&self, less: usize) {
        self.0.set(self.0.get().saturating_sub(less));
    }
}

/// Counts what is open, down when it is dropped.
struct Counted(Rc<Tally>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// The databases of one node.
pub(crate) struct Databases {
    store: Store,
    folder: Option<Rc<dyn Folder>>,
    limit: Duration,
    open: RefCell<BTreeMap<String, Weak<Own>>>,
    /// Opening and removing files takes turns: a file is open once.
    opening: Mutex<()>,
    slices: Option<Slices>,
    snapshots: Rc<Tally>,
    /// Pages that clients have changed and not committed yet.
    staged: Rc<Tally>,
    /// Clients that were given numbers.
    desks: Cell<u64>,
    /// Somebody looks whether what waits can be published.
    publishes: Cell<bool>,
    clock: Rc<dyn Clock>,
    entropy: Rc<dyn Entropy>,
    keys: Rc<Keys>,
}

impl Databases {
    pub(crate) fn new(store: Store, config: &Config, ports: &Ports, keys: &Keys) -> Self {
        let slices = config.statement_slice;
        let slices = slices.map(|each| Slices { clock: ports.clock.clone(), each });
        let limit = if slices.is_some() { SLICED_STATEMENT } else { STATEMENT };
        Self {
            store,
            folder: config.folder.clone(),
            limit: config.statement_time.unwrap_or(limit),
            slices,
            open: RefCell::default(),
            opening: Mutex::default(),
            snapshots: Rc::default(),
            staged: Rc::default(),
            desks: Cell::default(),
            publishes: Cell::default(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            keys: Rc::new(keys.clone()),
        }
    }

    /// The database `name` of this node, created if there is none. With `encrypt` it is encrypted, or an
    /// error.
    pub(crate) async fn open(
        &self,
        name: &str,
        now_ms: u64,
        encrypt: bool,
    ) -> Result<Rc<Own>, ApiError> {
        let own = self.open_any(name, now_ms, encrypt).await?;
        if encrypt && own.database.key().is_none() {
            let message = format!("The database `{name}` is there and is not encrypted.");
            let hint = "Encrypt it with `.encrypt` in the shell, or `encrypt()` of the SDK.";
            return Err(ApiError::new(ErrorCode::Refused, message).hint(hint));
        }
        Ok(own)
    }

    async fn open_any(&self, name: &str, now_ms: u64, encrypt: bool) -> Result<Rc<Own>, ApiError> {
        check_name(name).map_err(fault::head)?;
        let folder = self.folder.clone().ok_or_else(nowhere)?;
        let _opening = self.opening.lock().await;
        if let Some(own) = self.is_open(name) {
            return Ok(own);
        }
        self.open.borrow_mut().retain(|_, own| own.strong_count() > 0);
        if self.open.borrow().len() >= OPEN {
            return Err(too_many("databases are open on this node", OPEN));
        }
        let known = self.record(name)?;
        let mut record = known.clone().unwrap_or_else(|| DatabaseRecord::new(now_ms));
        if known.is_none() {
            if self.records()?.len() >= DATABASES {
                return Err(too_many("databases are on this node", DATABASES));
            }
            record.key = encrypt.then(|| self.fresh_id());
            self.keep(name, &record)?;
        }
        let options = DatabaseOptions {
            cache_bytes: CACHE_BYTES,
            result_bytes: RESULT_BYTES,
            slices: self.slices.clone(),
            ..DatabaseOptions::default()
        };
        let seals = self.seals(&record);
        let opened = Database::open_sealed(folder, name, options, seals, &*self.keys).await;
        let database = match (opened, known) {
            (Ok(database), _) => database,
            (Err(error), known) => {
                if known.is_none() {
                    self.store.meta_delete(Meta::Database, name).map_err(fault::store)?;
                }
                return Err(fault::sql(error));
            }
        };
        database.query(MEMORY, &[]).await.map_err(fault::sql)?;
        let own = Rc::new(Own {
            name: name.to_owned(),
            database,
            turn: Arc::default(),
            asides: Cell::default(),
            publishing: Mutex::default(),
            limit: self.limit,
            made_ms: record.time_ms,
            writer: Cell::default(),
            changed: Bell::default(),
            rang: Cell::default(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
        });
        self.note_key(&own)?;
        self.open.borrow_mut().insert(name.to_owned(), Rc::downgrade(&own));
        Ok(own)
    }

    /// What one more client holds of a database.
    pub(crate) fn desk(&self, own: Rc<Own>) -> Desk {
        self.desks.set(self.desks.get() + 1);
        Desk::new(own, self.desks.get(), self.staged.clone())
    }

    /// A snapshot whose blocks come from `pages`.
    pub(crate) async fn read(
        &self,
        root: Cid,
        pages: Pages,
        named: Option<Named>,
    ) -> Result<Rc<Snapshot>, ApiError> {
        if self.snapshots.count() >= SNAPSHOTS {
            return Err(too_many("snapshots are open on this node", SNAPSHOTS));
        }
        self.snapshots.add(1);
        let counted = Counted(self.snapshots.clone());
        let slices = self.slices.clone();
        let reading = Reading::open(root, pages, &self.keys, slices.clone()).await?;
        let (reading, limit, keys) = (Mutex::new(reading), self.limit, self.keys.clone());
        Ok(Rc::new(Snapshot { reading, limit, slices, named, keys, _counted: counted }))
    }

    /// Removes a database. What was taken of it as a snapshot stays.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ApiError> {
        let _opening = self.opening.lock().await;
        if self.record(name)?.is_none() {
            let message = format!("There is no database `{name}` on this node.");
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        if self.is_open(name).is_some() {
            let message = format!("The database `{name}` is in use.");
            let hint = "Close it in every session first.";
            return Err(ApiError::new(ErrorCode::Refused, message).hint(hint));
        }
        let folder = self.folder.clone().ok_or_else(nowhere)?;
        let removed = craftec_sql::log::remove(&*folder, name).await;
        removed.map_err(|error| fault::sql(SqlError::Log(error)))?;
        self.store.meta_delete(Meta::Database, name).map_err(fault::store)
    }

    fn is_open(&self, name: &str) -> Option<Rc<Own>> {
        self.open.borrow().get(name).and_then(Weak::upgrade)
    }

    /// What is remembered of `name`.
    pub(crate) fn record(&self, name: &str) -> Result<Option<DatabaseRecord>, ApiError> {
        let value = self.store.meta_get(Meta::Database, name).map_err(fault::store)?;
        value.map(|value| DatabaseRecord::decode(&value)).transpose().map_err(fault::store)
    }

    /// All of them, by name.
    pub(crate) fn records(&self) -> Result<Vec<(String, DatabaseRecord)>, ApiError> {
        let rows = self.store.meta_scan(Meta::Database).map_err(fault::store)?;
        let read = |(name, value): (Vec<u8>, bytes::Bytes)| {
            let record = DatabaseRecord::decode(&value).map_err(fault::store)?;
            Ok((String::from_utf8_lossy(&name).into_owned(), record))
        };
        rows.into_iter().map(read).collect()
    }

    /// The database that is published under `name`, if one is.
    pub(crate) fn published_as(&self, name: &str) -> Result<Option<String>, ApiError> {
        let mut records = self.records()?.into_iter();
        let found = records.find(|(_, record)| record.of_name(name).is_some());
        Ok(found.map(|(database, _)| database))
    }

    /// Remembers it so.
    pub(crate) fn keep(&self, name: &str, record: &DatabaseRecord) -> Result<(), ApiError> {
        let value = record.encode().map_err(fault::store)?;
        self.store.meta_put(Meta::Database, name, value).map_err(fault::store)
    }
}

fn too_many(what: &str, limit: usize) -> ApiError {
    let message = format!("{limit} {what}, which is the most.");
    ApiError::new(ErrorCode::Full, message).hint("Close or remove one of them first.")
}

fn nowhere() -> ApiError {
    ApiError::new(ErrorCode::Refused, "This node has no folder for databases.")
}
