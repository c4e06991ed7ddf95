//! Databases that lie: roots, nodes and pages from a store that wants to do harm.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use bytes::Bytes;
use common::{Dice, count, integer, open};
use craftec_core::{
    Cid, Codec,
    database::{PAGE_BYTES, Root, TableError},
};
use craftec_platform::sim::SimDisk;
use craftec_sql::{PageStore, Reader, ReaderOptions, SqlError, Stored, table::PageTable};
use futures::{executor::block_on, future::LocalBoxFuture};

/// Blocks that may be anything, and how often they were asked for.
#[derive(Default)]
struct Liar {
    blocks: RefCell<HashMap<Cid, Bytes>>,
    asked: Cell<usize>,
    most: Cell<usize>,
}

impl PageStore for Liar {
    fn get<'a>(
        &'a self,
        _root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        self.asked.set(self.asked.get() + 1);
        self.most.set(self.most.get().max(wanted.len()));
        let blocks = self.blocks.borrow();
        let found = wanted.iter().map(|cid| blocks.get(cid).cloned()).collect();
        Box::pin(async move { Ok(found) })
    }

    fn put<'a>(&'a self, blocks: &'a [(Cid, Bytes)]) -> LocalBoxFuture<'a, Stored<()>> {
        self.blocks.borrow_mut().extend(blocks.iter().cloned());
        Box::pin(async { Ok(()) })
    }
}

/// A database with a large table and an index.
async fn published() -> (Rc<Liar>, Cid) {
    let db = open(&SimDisk::new(), "app").await;
    db.execute_batch(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO t SELECT i, 'key ' || (i * 7919 % 20000), hex(zeroblob(40)) FROM n;
         CREATE INDEX i ON t (b)",
    )
    .await
    .unwrap();
    let root = db.snapshot().unwrap();
    let store = Rc::new(Liar::default());
    let _ = db.publish(&*store, root, None).await;
    (store, root)
}

#[test]
fn a_query_fetches_little_more_than_it_touches() {
    block_on(async {
        let (store, root) = published().await;
        let reader = Reader::open(store.clone(), root, ReaderOptions::default()).await.unwrap();
        assert!(reader.root().1.pages > 500);
        let sql = "SELECT a FROM t WHERE b = ?";
        let row = reader.query(sql, &[common::text("key 77")]).await.unwrap();
        assert!(row.value().is_some());
        let fetched = reader.fetched();
        assert!(fetched.pages <= 64 && fetched.runs < 12, "{fetched:?}");
        let before = reader.fetched();
        let sum = "SELECT count(*), sum(length(c)) FROM t";
        let row = reader.query(sql, &[common::text("key 77")]).await.unwrap();
        assert!(row.value().is_some());
        assert_eq!(reader.fetched().pages, before.pages, "it stays");
        let all = reader.query(sum, &[]).await.unwrap();
        assert_eq!(all.rows[0], [integer(20_000), integer(1_600_000)]);
        let scan = reader.fetched().runs - before.runs;
        assert!(scan < 20, "{scan} runs for a scan");
        reader.hydrate().await.unwrap();
        let check = reader.query("PRAGMA integrity_check", &[]).await.unwrap();
        assert_eq!(check.value(), Some(&common::text("ok")));
        assert!(store.most.get() <= 2048);
    });
}

#[test]
fn a_statement_that_outgrows_the_cache_says_so() {
    block_on(async {
        let (store, root) = published().await;
        let options = ReaderOptions { cache_bytes: 64 << 10, ..ReaderOptions::default() };
        let reader = Reader::open(store, root, options).await.unwrap();
        let many = "SELECT sum(length(x.c)) FROM t x JOIN t y ON y.b = x.b";
        let outgrown = reader.query(many, &[]).await;
        assert!(matches!(outgrown, Err(SqlError::CacheTooSmall { .. })), "{outgrown:?}");
        assert!(matches!(reader.hydrate().await, Err(SqlError::CacheTooSmall { .. })));
    });
}

/// A store that keeps what it gave, as a node does on its disk; or forgets every so many of them.
struct Keeping {
    store: Rc<Liar>,
    given: RefCell<HashMap<Cid, Bytes>>,
    forgets: Option<usize>,
}

impl PageStore for Keeping {
    fn get<'a>(
        &'a self,
        root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        Box::pin(async move {
            let found = self.store.get(root, wanted).await?;
            let given = wanted.iter().zip(&found);
            let given = given.filter_map(|(cid, block)| Some((*cid, block.clone()?)));
            self.given.borrow_mut().extend(given);
            Ok(found)
        })
    }

    fn at_hand(&self, cid: &Cid) -> Option<Bytes> {
        let every = self.forgets.unwrap_or(usize::MAX);
        let place = usize::from(cid.hash()[0]) + 1;
        (!place.is_multiple_of(every)).then(|| self.given.borrow().get(cid).cloned())?
    }
}

#[test]
fn what_the_store_keeps_needs_no_room_in_memory() {
    block_on(async {
        for (forgets, sql) in [(None, false), (Some(3), false), (None, true)] {
            let (store, root) = published().await;
            let kept = Keeping { store: store.clone(), given: RefCell::default(), forgets };
            let options = ReaderOptions { cache_bytes: 64 << 10, ..ReaderOptions::default() };
            let reader = Reader::open(Rc::new(kept), root, options).await.unwrap();
            if sql {
                let find = "SELECT count(*) FROM t x JOIN t y ON y.b = x.b WHERE x.a % 20 = 0";
                let found = reader.query(find, &[]).await.unwrap();
                assert_eq!(found.value(), Some(&integer(1_000)), "read here and there");
            } else {
                let all = reader.query("SELECT count(*), sum(length(c)) FROM t", &[]).await;
                match forgets {
                    None => assert_eq!(all.unwrap().rows[0], [integer(20_000), integer(1_600_000)]),
                    // What is gone from both can't be read, and that ends.
                    Some(_) => {
                        assert!(matches!(all, Err(SqlError::CacheTooSmall { .. })), "{all:?}")
                    }
                }
            }
            let fetched = reader.fetched();
            assert!(fetched.runs < 25, "{fetched:?}");
            assert!(fetched.pages <= u64::from(reader.root().1.pages) * 2, "{fetched:?}");
        }
    });
}

#[test]
fn what_is_missing_or_wrong_is_named_and_costs_nothing_for_good() {
    block_on(async {
        let (store, root) = published().await;
        let reader = Reader::open(store.clone(), root, ReaderOptions::default()).await.unwrap();
        let pages: Vec<Cid> =
            store.blocks.borrow().keys().filter(|c| c.codec() == Codec::Raw).copied().collect();
        let whole = store.blocks.borrow().clone();
        store.blocks.borrow_mut().retain(|cid, _| cid.codec() != Codec::Raw);
        let missing = reader.query("SELECT count(c) FROM t", &[]).await;
        assert!(matches!(missing, Err(SqlError::Missing { .. })), "{missing:?}");
        for cid in pages {
            store.blocks.borrow_mut().insert(cid, Bytes::from(vec![0; PAGE_BYTES]));
        }
        let wrong = reader.query("SELECT count(c) FROM t", &[]).await;
        assert!(matches!(wrong, Err(SqlError::WrongBytes { .. })), "{wrong:?}");
        store.blocks.replace(whole);
        assert_eq!(count(&reader, "t").await, 20_000);
    });
}

/// Puts a database of these pages together, whatever they are.
fn forge(store: &Liar, pages: &[Vec<u8>], claim: Option<u32>) -> Cid {
    let mut table = PageTable::default();
    for (number, bytes) in (1..).zip(pages) {
        let page = craftec_sql::page::PageNo::new(number).unwrap();
        let digest = craftec_sql::page::Digest::of(bytes);
        store.blocks.borrow_mut().insert(digest.cid(), Bytes::from(bytes.clone()));
        table.set(page, digest);
    }
    let made = table.materialise(None).unwrap();
    store.blocks.borrow_mut().extend(made.nodes);
    let root = Root::new(claim.unwrap_or(pages.len() as u32), made.top);
    let (cid, bytes) = root.block().unwrap();
    store.blocks.borrow_mut().insert(cid, bytes.into());
    cid
}

/// The pages of a small database.
async fn pages() -> Vec<Vec<u8>> {
    let db = open(&SimDisk::new(), "app").await;
    db.execute_batch(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t (b);
         CREATE VIEW v AS SELECT a FROM t; CREATE VIRTUAL TABLE w USING fts5(x);
         INSERT INTO t SELECT value, hex(zeroblob(value * 3)) FROM json_each('[1,2,3,500,900]');
         INSERT INTO w VALUES ('some words')",
    )
    .await
    .unwrap();
    let mut page = [0; PAGE_BYTES];
    let numbers = (1..=db.pages()).filter_map(craftec_sql::page::PageNo::new);
    numbers
        .map(|number| {
            db.page(number, &mut page).unwrap();
            page.to_vec()
        })
        .collect()
}

const QUERIES: [&str; 6] = [
    "SELECT * FROM t ORDER BY b",
    "SELECT count(*) FROM t WHERE b > '0'",
    "SELECT * FROM v",
    "SELECT * FROM w WHERE w MATCH 'words'",
    "SELECT * FROM sqlite_schema",
    "PRAGMA integrity_check",
];

/// Opens a forged database and asks it everything; neither may hang nor panic.
async fn ask_all(store: Rc<Liar>, root: Cid) -> usize {
    let options = ReaderOptions { cache_bytes: 4 << 20, ..ReaderOptions::default() };
    let Ok(reader) = Reader::open(store.clone(), root, options).await else { return 0 };
    let mut answered = 0;
    for sql in QUERIES {
        answered += usize::from(reader.query(sql, &[]).await.is_ok());
    }
    assert!(store.asked.get() < 2_000, "unbounded work: {}", store.asked.get());
    answered
}

#[test]
fn damaged_pages_are_errors_or_other_answers_and_never_more_work() {
    block_on(async {
        let good = pages().await;
        let store = Rc::new(Liar::default());
        let root = forge(&store, &good, None);
        assert_eq!(ask_all(store, root).await, QUERIES.len());
        let mut dice = Dice(5);
        for round in 0..250 {
            let mut bad = good.clone();
            for _ in 0..=dice.roll(4) {
                // Headers of the file and of pages are where lies are worth most.
                let page = dice.roll(bad.len() as u64) as usize;
                let reach = *dice.pick(&[100, 112, 300, PAGE_BYTES as u64]);
                let at = dice.roll(reach) as usize;
                let some = dice.pick(&[0u8, 1, 2, 4, 16, 0x7f, 0x80, 0xff]);
                bad[page][at] = *some;
            }
            if round % 10 == 0 {
                bad.truncate(1 + dice.roll(good.len() as u64) as usize);
            }
            let store = Rc::new(Liar::default());
            let root = forge(&store, &bad, None);
            ask_all(store, root).await;
        }
    });
}

#[test]
fn roots_that_lie_about_their_pages_are_refused_or_end() {
    block_on(async {
        let good = pages().await;
        let store = Rc::new(Liar::default());
        let many = forge(&store, &good, Some(20_000_000));
        let refused = Reader::open(store.clone(), many, ReaderOptions::default()).await;
        assert!(matches!(refused, Err(SqlError::TooLarge { pages: 20_000_000, .. })));
        // One more than there are: a page of zeros. Another height: links of the wrong kind.
        let more = forge(&store, &good, Some(good.len() as u32 + 1));
        assert!(ask_all(store.clone(), more).await > 0);
        let higher = forge(&store, &good, Some(300));
        let refused = Reader::open(store.clone(), higher, ReaderOptions::default()).await;
        assert!(matches!(refused, Err(SqlError::Table(_))), "{refused:?}");
        let fewer = forge(&store, &good, Some(1));
        let refused = Reader::open(store.clone(), fewer, ReaderOptions::default()).await;
        assert!(matches!(refused, Err(SqlError::Table(TableError::Beyond { .. }))), "{refused:?}");
        // Not a root at all, and one that nobody has.
        let page = Cid::of(Codec::Raw, &good[0]);
        assert!(Reader::open(store.clone(), page, ReaderOptions::default()).await.is_err());
        let absent = Cid::of(Codec::DagCbor, b"absent");
        let refused = Reader::open(store, absent, ReaderOptions::default()).await;
        assert!(matches!(refused, Err(SqlError::Missing { cid }) if cid == absent));
    });
}
