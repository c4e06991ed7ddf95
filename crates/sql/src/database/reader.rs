//! A snapshot of anybody's database, read lazily.
//!
//! A statement that touches a page which is not here is stopped (`SQLITE_INTERRUPT`, which leaves
//! everything as it was), the page is fetched, and the statement runs again. Pages behind it are
//! fetched too, twice as many each time that the next miss follows there, so that a scan of a whole
//! table takes few rounds and a look-up fetches little more than it needs.

use std::{cell::RefCell, collections::HashSet, rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_core::{
    Cid,
    database::{PAGE_BYTES, Root, SEALED_NODE_BYTES},
    limits,
};
use futures::future::LocalBoxFuture;
use rusqlite::{Connection, types::Value};

use super::{
    Ran, Rows, Sql,
    bounds::{Slices, Watch},
    connection::{self, Guarded},
};
use crate::{
    error::SqlError,
    keys::{Keys, NoKeys, unlocked},
    page::{Page, PageNo},
    store::PageStore,
    table::Step,
    vfs::{Mount, Paged, RemotePages},
};

/// A miss so close behind what was fetched counts as the same scan.
const SAME_SCAN_PAGES: u32 = 16;
/// After so many rounds of one statement more is fetched, wherever the misses are.
const PATIENT_ROUNDS: u32 = 6;
/// A statement that lacks pages runs again over what it had read, which is no more of its own work.
const RUNS: u32 = 12;
/// Most pages that are fetched ahead where the store keeps what was fetched: 64 MiB. Each time a statement
/// lacks something it runs anew, over all that it had read.
const AHEAD_PAGES: u32 = 16 << 10;
/// Nodes asked for at one time.
const NODES: usize = limits::WANT_CIDS;
/// Pages asked for at one time: 8 MiB, so that whoever fetches them waits for a round trip now and then
/// only, and few enough to hold twice.
const PAGES: usize = 2048;

/// How a snapshot is read.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Memory for pages: as much as one statement touches.
    pub cache_bytes: usize,
    /// Longest result.
    pub result_bytes: usize,
    /// Most pages that its root may claim.
    pub pages: u32,
    /// How statements pause; with none they run at one go.
    pub slices: Option<Slices>,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        // 64 GiB of database, of which a tab can hold 48 MiB.
        Self { cache_bytes: 48 << 20, result_bytes: 64 << 20, pages: 16 << 20, slices: None }
    }
}

/// What reading cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Pages that came.
    pub pages: u64,
    /// Nodes of the page table that came.
    pub nodes: u64,
    /// Times that the store was asked.
    pub asked: u64,
    /// Times that a statement ran.
    pub runs: u64,
}

/// A snapshot that is open for reading.
pub struct Reader {
    // Closed before what it reads from.
    connection: Rc<Connection>,
    watch: Watch,
    _mount: Mount,
    source: Source,
    options: ReaderOptions,
    /// Most pages fetched at one time.
    most_ahead: u32,
}

/// Where its pages come from.
struct Source {
    pages: Rc<RefCell<RemotePages>>,
    store: Rc<dyn PageStore>,
    cid: Cid,
    fetched: RefCell<Fetched>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.source.cid)
    }
}

impl Reader {
    /// Opens the snapshot `root` of a database that is not encrypted: fetches it, its first page and the
    /// schema.
    pub async fn open(
        store: Rc<dyn PageStore>,
        root: Cid,
        options: ReaderOptions,
    ) -> Result<Self, SqlError> {
        Self::open_with(store, root, options, &NoKeys).await
    }

    /// The same of any database whose key is in `keys`.
    pub async fn open_with(
        store: Rc<dyn PageStore>,
        root: Cid,
        options: ReaderOptions,
        keys: &dyn Keys,
    ) -> Result<Self, SqlError> {
        let bytes = one(&*store, &root, root, limits::BLOCK_BYTES).await?;
        let (decoded, keyring) = unlocked(&bytes, keys)?;
        if decoded.pages > options.pages {
            return Err(SqlError::TooLarge { pages: decoded.pages, limit: options.pages });
        }
        let pages = RemotePages::new(decoded, keyring, store.clone(), options.cache_bytes);
        let pages = Rc::new(RefCell::new(pages));
        let source = Source { pages: pages.clone(), store, cid: root, fetched: RefCell::default() };
        // SQLite reads it when it opens, before anything can be run again.
        source.fetch(PageNo::FIRST, 1).await?;
        let is_kept = pages.borrow_mut().is_kept(PageNo::FIRST);
        let most_ahead = if is_kept { AHEAD_PAGES } else { pages.borrow().room() as u32 / 2 };
        let mount = Mount::new(pages);
        let (mut connection, _) = connection::open(&mount)?;
        let watch = Watch::new(options.slices.clone());
        watch.over(&mut connection)?;
        let cache_bytes = options.cache_bytes;
        let connection = Rc::new(connection);
        let reader = Self { connection, watch, _mount: mount, source, options, most_ahead };
        reader
            .run_until(None, move |connection| {
                connection::set_up(connection, cache_bytes)?;
                // Not ours: its schema may call no function that does more than compute.
                connection.execute_batch(
                    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
                     PRAGMA query_only = ON; SELECT count(*) FROM sqlite_schema;",
                )
            })
            .await?;
        Ok(reader)
    }

    /// What it reads.
    pub fn root(&self) -> (Cid, Root) {
        (self.source.cid, self.source.pages.borrow().root().clone())
    }

    /// Whether it is read with a key.
    pub fn is_encrypted(&self) -> bool {
        self.source.pages.borrow().is_encrypted()
    }

    /// What that cost so far.
    pub fn fetched(&self) -> Fetched {
        *self.source.fetched.borrow()
    }

    /// Runs one statement and gives its rows.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, SqlError> {
        let limit = self.options.result_bytes;
        let (sql, params) = (Rc::<str>::from(sql), Rc::<[Value]>::from(params));
        let query =
            move |connection: &Connection| connection::query(connection, &sql, &params, limit);
        self.run_until(None, query).await?.ok_or(SqlError::TooMuch { limit })
    }

    /// Runs one statement that writes nothing. `limit` is the time that it may compute at one go: where it
    /// lacks pages it waits for them and runs anew.
    pub async fn run(
        &self,
        sql: &str,
        params: &[Value],
        limit: Option<Duration>,
    ) -> Result<Ran, SqlError> {
        let guarded = Guarded { limit: self.options.result_bytes, read_only: true };
        let (sql, params) = (Rc::<str>::from(sql), Rc::<[Value]>::from(params));
        let run =
            move |connection: &Connection| connection::run(connection, &sql, &params, guarded);
        self.run_until(limit, run).await
    }

    /// Fetches every page, for what can't tell a miss from damage (`PRAGMA integrity_check`). The
    /// cache must have room.
    pub async fn hydrate(&self) -> Result<(), SqlError> {
        let (pages, room) = {
            let pages = self.source.pages.borrow();
            (pages.root().pages, pages.room())
        };
        if pages as usize > room {
            return Err(SqlError::CacheTooSmall { cache_bytes: self.options.cache_bytes });
        }
        self.source.fetch(PageNo::FIRST, pages).await
    }

    /// At most `count` pages from `first` on, one after the other, each verified; fewer at the end.
    pub async fn pages(&self, first: PageNo, count: u32) -> Result<Vec<u8>, SqlError> {
        self.source.fetch(first, count).await?;
        self.source.read(first, count)
    }

    /// Runs `statement` until it lacks nothing: each time for at most `limit`, and for [`RUNS`] of those in
    /// all.
    async fn run_until<T: 'static, E: Into<SqlError> + 'static>(
        &self,
        limit: Option<Duration>,
        statement: impl Fn(&Connection) -> Result<T, E> + Clone + 'static,
    ) -> Result<T, SqlError> {
        let mut left = limit.map(|limit| limit * RUNS);
        let (mut ahead, mut rounds) = (1, 0);
        let mut next = 0;
        let mut seen = HashSet::new();
        loop {
            self.source.fetched.borrow_mut().runs += 1;
            let within = left.into_iter().chain(limit).min();
            let (statement, connection) = (statement.clone(), self.connection.clone());
            let (result, took) = self.watch.run(within, move || statement(&connection)).await;
            left = left.map(|left| left.saturating_sub(took));
            let missed = self.source.pages.borrow_mut().take_missed();
            // Also where SQLite went on without the page, as its checks of integrity do.
            let Some(page) = missed else {
                return result.map_err(|error| self.watch.told(error.into(), limit));
            };
            if left.is_some_and(|left| left.is_zero()) {
                return Err(SqlError::TooLong { limit: limit.unwrap_or_default() });
            }
            // It was here already and went for others, also from the store: the statement would never end.
            if !seen.insert(page) {
                return Err(SqlError::CacheTooSmall { cache_bytes: self.options.cache_bytes });
            }
            rounds += 1;
            let same_scan = (next..next + SAME_SCAN_PAGES).contains(&page.number());
            if same_scan || rounds > PATIENT_ROUNDS {
                ahead = (ahead * 2).min(self.most_ahead);
            } else {
                ahead = 1;
            }
            self.source.fetch(page, ahead).await?;
            next = page.number() + ahead;
        }
    }
}

impl Source {
    /// Fetches `count` pages from `first` on, as far as they are not here.
    async fn fetch(&self, first: PageNo, count: u32) -> Result<(), SqlError> {
        let wanted = self.pages.borrow().lacking(first, count);
        for wanted in wanted.chunks(PAGES) {
            let cids = self.resolve(wanted).await?;
            let asked: Vec<Cid> = cids.iter().flatten().copied().collect();
            let mut blocks = self.ask(&asked, PAGE_BYTES).await?.into_iter();
            self.fetched.borrow_mut().pages += asked.len() as u64;
            for (page, cid) in wanted.iter().zip(cids) {
                let mut bytes: Box<Page> = Box::new([0; PAGE_BYTES]);
                if let Some(cid) = cid {
                    let block = blocks.next().filter(|block| block.len() == PAGE_BYTES);
                    bytes.copy_from_slice(&block.ok_or(SqlError::WrongBytes { cid })?);
                }
                self.pages.borrow_mut().take_page(*page, bytes, cid.is_none())?;
            }
        }
        Ok(())
    }

    /// Pages that are here, one after the other, up to the end.
    fn read(&self, first: PageNo, count: u32) -> Result<Vec<u8>, SqlError> {
        let mut pages = self.pages.borrow_mut();
        let count = count.min((pages.root().pages + 1).saturating_sub(first.number()));
        let mut bytes = Vec::with_capacity(count as usize * PAGE_BYTES);
        let mut page = [0; PAGE_BYTES];
        for number in (first.number()..).take(count as usize).map_while(PageNo::new) {
            let too_small = SqlError::CacheTooSmall { cache_bytes: pages.room() * PAGE_BYTES };
            pages.read(number, &mut page).map_err(|_| too_small)?;
            bytes.extend_from_slice(&page);
        }
        // What is missing here says nothing to the next statement.
        pages.take_missed();
        Ok(bytes)
    }

    /// CIDs of pages, fetching the nodes that say so.
    async fn resolve(&self, wanted: &[PageNo]) -> Result<Vec<Option<Cid>>, SqlError> {
        loop {
            let step = self.pages.borrow().resolve(wanted)?;
            let missing = match step {
                Step::Done(cids) => return Ok(cids),
                Step::Need(missing) => missing,
            };
            for some in missing.chunks(NODES) {
                let nodes = self.ask(some, SEALED_NODE_BYTES).await?;
                self.fetched.borrow_mut().nodes += nodes.len() as u64;
                for (cid, bytes) in some.iter().zip(nodes) {
                    self.pages.borrow_mut().take_node(*cid, &bytes)?;
                }
            }
        }
    }

    async fn ask(&self, cids: &[Cid], limit: usize) -> Result<Vec<Bytes>, SqlError> {
        if cids.is_empty() {
            return Ok(Vec::new());
        }
        self.fetched.borrow_mut().asked += 1;
        verified(&*self.store, &self.cid, cids, limit).await
    }
}

/// Blocks of a snapshot, each what its CID names and at most `limit` bytes long.
pub(super) async fn verified(
    store: &dyn PageStore,
    root: &Cid,
    cids: &[Cid],
    limit: usize,
) -> Result<Vec<Bytes>, SqlError> {
    let given = store.get(root, cids).await?;
    let mut blocks = Vec::with_capacity(cids.len());
    for (at, cid) in cids.iter().enumerate() {
        let bytes = given.get(at).cloned().flatten().ok_or(SqlError::Missing { cid: *cid })?;
        if bytes.len() > limit || !cid.matches(&bytes) {
            return Err(SqlError::WrongBytes { cid: *cid });
        }
        blocks.push(bytes);
    }
    Ok(blocks)
}

async fn one(store: &dyn PageStore, root: &Cid, cid: Cid, limit: usize) -> Result<Bytes, SqlError> {
    let mut blocks = verified(store, root, &[cid], limit).await?;
    blocks.pop().ok_or(SqlError::Missing { cid })
}

impl Sql for Reader {
    fn query<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<Rows, SqlError>> {
        Box::pin(self.query(sql, params))
    }

    fn execute<'a>(
        &'a self,
        sql: &'a str,
        params: &'a [Value],
    ) -> LocalBoxFuture<'a, Result<u64, SqlError>> {
        Box::pin(async move {
            self.query(sql, params).await?;
            Ok(0)
        })
    }
}
