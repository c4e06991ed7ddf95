//! Databases in a browser's dedicated worker, on the origin private file system: the same code and
//! the same files as on a disk.
//!
//! Run by `wasm-bindgen-test-runner` in a browser; natively there is nothing to run.

#![cfg(target_arch = "wasm32")]
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

mod common;
mod random;

use std::{rc::Rc, time::Duration};

use craftec_platform::tab::OpfsFolder;
use craftec_sql::{Database, DatabaseOptions, MemoryStore, Reader, ReaderOptions, Value, log};
use random::{Place, life};
use rusqlite::Connection;
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};
use web_time::Instant;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

async fn open(folder: &str) -> Database {
    Database::open(Rc::new(OpfsFolder::open(folder).await.unwrap()), "app").await.unwrap()
}

async fn empty(folder: &str) {
    log::remove(&OpfsFolder::open(folder).await.unwrap(), "app").await.unwrap();
}

async fn value(db: &Database, sql: &str) -> Value {
    db.query(sql, &[]).await.unwrap().value().cloned().unwrap()
}

#[wasm_bindgen_test]
async fn what_was_committed_is_there_after_reopening() {
    empty("sql-reopen").await;
    let db = open("sql-reopen").await;
    db.execute_batch(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b);
         CREATE VIRTUAL TABLE w USING fts5(x); CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);
         INSERT INTO w VALUES ('content addressed pages');
         INSERT INTO t (b) VALUES (randomblob(8)), (datetime('now'))",
    )
    .await
    .unwrap();
    let root = db.snapshot().unwrap();
    db.execute_batch("DELETE FROM t; VACUUM").await.unwrap();
    drop(db);
    let db = open("sql-reopen").await;
    assert_eq!(value(&db, "PRAGMA page_size").await, Value::Integer(4096));
    assert_eq!(value(&db, "SELECT count(*) FROM t").await, Value::Integer(0));
    assert!(db.restore(root).await.unwrap());
    assert_eq!(value(&db, "SELECT count(*) FROM t").await, Value::Integer(2));
    assert_eq!(value(&db, "PRAGMA integrity_check").await, Value::Text("ok".to_owned()));
    let built = "SELECT count(*) FROM pragma_compile_options
                 WHERE compile_options IN ('ENABLE_SESSION', 'ENABLE_BATCH_ATOMIC_WRITE')";
    assert_eq!(value(&db, built).await, Value::Integer(2));
}

#[wasm_bindgen_test]
async fn a_snapshot_is_read_lazily() {
    empty("sql-lazy").await;
    let db = open("sql-lazy").await;
    let fill = "CREATE TABLE t AS WITH RECURSIVE n(i) AS
                (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                SELECT i, hex(i) AS h FROM n;
                CREATE INDEX i ON t (i)";
    db.execute_batch(fill).await.unwrap();
    let (store, root) = (MemoryStore::default(), db.snapshot().unwrap());
    db.publish(&store, root, None).await.unwrap();
    let reader = Reader::open(Rc::new(store), root, ReaderOptions::default()).await.unwrap();
    let found = reader.query("SELECT h FROM t WHERE i = 7000", &[]).await.unwrap();
    assert_eq!(found.value(), Some(&Value::Text("37303030".to_owned())));
    assert!(reader.fetched().pages < 64, "{:?}", reader.fetched());
}

#[wasm_bindgen_test]
async fn durable_commits_are_quick() {
    empty("sql-speed").await;
    let db = open("sql-speed").await;
    db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b)").await.unwrap();
    let begun = Instant::now();
    for n in 0..200 {
        db.execute("INSERT INTO t (b) VALUES (?)", &[Value::Integer(n)]).await.unwrap();
    }
    console_log!("a durable commit takes {:?}", begun.elapsed() / 200);
}

/// The origin private file system for ours; for stock SQLite files in memory, on the VFS that its build
/// for browsers begins with.
struct Worker {
    seed: u64,
}

impl Place for Worker {
    async fn ours(&mut self, options: DatabaseOptions) -> Database {
        let folder = OpfsFolder::open("sql-random").await.unwrap();
        Database::open_with(Rc::new(folder), "app", options).await.unwrap()
    }

    fn stock(&mut self) -> Connection {
        Connection::open(format!("stock-{}.sqlite", self.seed)).unwrap()
    }

    fn file(&self, stock: &mut Connection) -> Vec<u8> {
        stock.serialize("main").unwrap().to_vec()
    }
}

/// For as many seconds as `CRAFTEC_FUZZ_SECONDS` says when this is built, and for a few lives anyway.
#[wasm_bindgen_test]
async fn random_statements_do_what_they_do_in_stock_sqlite() {
    let told = option_env!("CRAFTEC_FUZZ_SECONDS").map(|text| text.parse().unwrap());
    let (lives, statements, first) = if told.is_some() { (1, 1_500, 5_000) } else { (2, 400, 0) };
    let (begun, mut seed) = (Instant::now(), first);
    while seed < first + lives || begun.elapsed() < Duration::from_secs(told.unwrap_or(0)) {
        empty("sql-random").await;
        let succeeded = life(&mut Worker { seed }, seed, statements).await;
        assert!(succeeded > statements / 3, "seed {seed}: only {succeeded} did anything");
        seed += 1;
    }
    let count = (seed - first) * statements as u64;
    console_log!("{count} random statements of {} lives in {:?}", seed - first, begun.elapsed());
}
