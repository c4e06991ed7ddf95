//! Random SQL on ours and on stock SQLite, side by side: the same answers, the same pages.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use common::{Dice, open_with, text};
use craftec_core::database::PAGE_BYTES;
use craftec_platform::sim::{Damage, SimDisk};
use craftec_sql::{Database, DatabaseOptions, Rows, Sql, SqlError, log::LogOptions, page::PageNo};
use futures::executor::block_on;

/// Small enough that large transactions outgrow it.
const CACHE_KIB: usize = 96;

fn options() -> DatabaseOptions {
    let log = LogOptions { slack_bytes: 256 << 10, ..LogOptions::default() };
    DatabaseOptions { log, cache_bytes: CACHE_KIB << 10, ..DatabaseOptions::default() }
}

/// Stock SQLite on an ordinary file.
fn open_stock(path: &std::path::Path) -> rusqlite::Connection {
    let stock = rusqlite::Connection::open(path).unwrap();
    // As many as ours keeps: a kept statement that no longer fits the schema fails after it has begun, and
    // FTS5 then writes what it held back.
    stock.set_prepared_statement_cache_capacity(64);
    let set_up = format!(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF;
         PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{CACHE_KIB};"
    );
    stock.execute_batch(&set_up).unwrap();
    stock
}

fn value(dice: &mut Dice) -> String {
    match dice.roll(9) {
        0 => "NULL".to_owned(),
        1..=3 => (dice.roll(2_000) as i64 - 1_000).to_string(),
        4 => format!("{}.5", dice.roll(1_000)),
        5 => format!("x'{:0width$x}'", dice.roll(1 << 30), width = 8),
        6 => format!("hex(zeroblob({}))", dice.roll(3_000)),
        _ => format!("'{}'", dice.pick(&["a", "Ärger", "", "page", "0", "9e9", "it''s"])),
    }
}

fn condition(dice: &mut Dice) -> String {
    let column = dice.pick(&["a", "b", "c", "rowid"]);
    let op = dice.pick(&["<", ">", "=", "<>", "IS NOT", "LIKE"]);
    let low = dice.roll(100);
    match dice.roll(4) {
        0 => format!("{column} BETWEEN {low} AND {}", low + dice.roll(200)),
        1 => format!("{column} IN (SELECT {column} FROM {} LIMIT 5)", table(dice)),
        _ => format!("{column} {op} {}", value(dice)),
    }
}

fn table(dice: &mut Dice) -> &'static str {
    let names: [&str; 4] = ["t0", "t1", "t2", "temp.s"];
    names[dice.roll(4) as usize]
}

fn schema(dice: &mut Dice) -> String {
    let table = dice.pick(&["t0", "t1", "t2"]);
    match dice.roll(12) {
        0 => format!("DROP TABLE IF EXISTS {table}"),
        1..=4 => format!("CREATE TABLE IF NOT EXISTS {table} (a INTEGER PRIMARY KEY, b, c TEXT)"),
        5 => format!("CREATE TABLE {table} (a, b, c, UNIQUE (a, b))"),
        6 => format!("CREATE INDEX IF NOT EXISTS i{} ON {table} (b, c)", dice.roll(3)),
        7 => format!("DROP INDEX IF EXISTS i{}", dice.roll(3)),
        8 => format!("ALTER TABLE {table} ADD COLUMN d DEFAULT {}", dice.roll(9)),
        9 => "CREATE TEMP TABLE IF NOT EXISTS s (a, b, c)".to_owned(),
        10 => format!(
            "CREATE TRIGGER IF NOT EXISTS g AFTER DELETE ON {table} BEGIN
             INSERT INTO t2 (b, c) VALUES (old.b, 'gone'); END"
        ),
        _ => "DROP TRIGGER IF EXISTS g".to_owned(),
    }
}

fn write(dice: &mut Dice) -> String {
    let table = table(dice);
    match dice.roll(10) {
        0..=3 => format!(
            "INSERT OR {} INTO {table} (a, b, c) VALUES ({}, {}, {})",
            dice.pick(&["REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK"]),
            dice.roll(300),
            value(dice),
            value(dice)
        ),
        4 => format!(
            "INSERT INTO {table} (b, c) WITH RECURSIVE n(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, hex(zeroblob(i)) FROM n",
            dice.roll(400)
        ),
        5 | 6 => {
            format!("UPDATE {table} SET b = {}, c = c || 'x' WHERE {}", value(dice), condition(dice))
        }
        7 | 8 => format!("DELETE FROM {table} WHERE {}", condition(dice)),
        _ => format!(
            "INSERT INTO {table} (a, b) VALUES ({}, {}) ON CONFLICT DO UPDATE SET b = excluded.b",
            dice.roll(300),
            value(dice)
        ),
    }
}

fn read(dice: &mut Dice) -> String {
    let table = table(dice);
    match dice.roll(6) {
        0 => format!("SELECT * FROM {table} WHERE {} ORDER BY 1, 2, 3 LIMIT 50", condition(dice)),
        1 => format!("SELECT count(*), sum(a), min(b), max(c), total(b) FROM {table}"),
        2 => format!("SELECT b, count(*) FROM {table} GROUP BY b ORDER BY 2 DESC, 1 LIMIT 20"),
        3 => format!(
            "SELECT x.a, y.b FROM {table} x JOIN t1 y ON x.a = y.a WHERE x.{} ORDER BY 1, 2 LIMIT 20",
            condition(dice)
        ),
        4 => "SELECT * FROM sqlite_schema ORDER BY name".to_owned(),
        _ => {
            format!("SELECT length(c), row_number() OVER (ORDER BY a, b, c) FROM {table} LIMIT 30")
        }
    }
}

fn statement(dice: &mut Dice) -> String {
    match dice.roll(40) {
        0..=3 => schema(dice),
        4..=24 => write(dice),
        25..=32 => read(dice),
        33 => "BEGIN".to_owned(),
        34 | 35 => dice.pick(&["COMMIT", "ROLLBACK"]).to_string(),
        36 => format!("SAVEPOINT p{}", dice.roll(2)),
        37 => format!("{} p{}", dice.pick(&["RELEASE", "ROLLBACK TO"]), dice.roll(2)),
        38 => dice
            .pick(&[
                "VACUUM",
                "PRAGMA incremental_vacuum",
                "REINDEX",
                "ANALYZE",
                "PRAGMA user_version = 7",
                "PRAGMA auto_vacuum = INCREMENTAL",
            ])
            .to_string(),
        _ => format!(
            "INSERT INTO words VALUES ('{} {}')",
            dice.pick(&["content", "addressed"]),
            dice.roll(99)
        ),
    }
}

fn outcome(result: Result<Rows, SqlError>) -> Result<Vec<Vec<craftec_sql::Value>>, String> {
    result.map(|rows| rows.rows).map_err(|error| error.to_string())
}

/// Pages of the list of free ones, and how many bytes of each mean something: what a page held before it
/// was free is written or not as memory allows (SQLite file format, section 1.5).
fn free_pages(file: &[u8]) -> HashMap<u32, usize> {
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    let (mut free, mut trunk) = (HashMap::new(), word(32));
    while trunk > 0 {
        let at = (trunk as usize - 1) * PAGE_BYTES;
        let leaves = word(at + 4) as usize;
        free.extend((0..leaves).map(|leaf| (word(at + 8 + leaf * 4), 0)));
        free.insert(trunk, 8 + leaves * 4);
        trunk = word(at);
    }
    free
}

/// Pages are the same, but for what counts writers and what nobody reads.
fn same_pages(ours: &Database, path: &std::path::Path, case: &str) {
    let stock = std::fs::read(path).unwrap();
    assert_eq!(stock.len(), ours.pages() as usize * PAGE_BYTES, "{case}");
    let free = free_pages(&stock);
    let mut page = [0; PAGE_BYTES];
    for (number, stock) in (1..).zip(stock.chunks_exact(PAGE_BYTES)) {
        let means = free.get(&number).copied().unwrap_or(PAGE_BYTES);
        let number = PageNo::new(number).unwrap();
        ours.page(number, &mut page).unwrap();
        if number == PageNo::FIRST {
            page[24..28].copy_from_slice(&stock[24..28]);
            page[92..96].copy_from_slice(&stock[92..96]);
        }
        let (page, stock) = (&page[..means], &stock[..means]);
        let places = page.iter().zip(stock).enumerate().filter(|(_, (ours, stock))| ours != stock);
        let places: Vec<_> = places.take(20).collect();
        assert!(page == stock, "{case}: page {number:?} of kind {:?}: {places:?}", stock.first());
    }
}

/// Runs `statements` of them and says how many succeeded.
async fn life(seed: u64, statements: usize) -> usize {
    let (disk, folder) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("stock.sqlite");
    let mut stock = open_stock(&path);
    let mut ours = open_with(&disk, "fuzz", options()).await;
    let words = "CREATE VIRTUAL TABLE words USING fts5(text)";
    ours.execute(words, &[]).await.unwrap();
    stock.execute_batch(words).unwrap();
    let (mut dice, mut succeeded) = (Dice(seed), 0);
    for number in 0..statements {
        let sql = statement(&mut dice);
        let case = format!("seed {seed}, statement {number}: {sql}");
        let (a, b) = (ours.query(&sql, &[]).await, Sql::query(&stock, &sql, &[]).await);
        let (a, b) = (outcome(a), outcome(b));
        assert_eq!(a, b, "{case}");
        succeeded += usize::from(a.is_ok());
        if number % 100 == 99 {
            for end in ["ROLLBACK", "PRAGMA integrity_check"] {
                let a = outcome(ours.query(end, &[]).await);
                assert_eq!(a, outcome(Sql::query(&stock, end, &[]).await), "{case}");
                assert!(end == "ROLLBACK" || a == Ok(vec![vec![text("ok")]]), "{case}: {a:?}");
            }
            same_pages(&ours, &path, &case);
        }
        // Halfway both are closed and opened again, ours after a crash.
        if number == statements / 2 {
            drop(ours);
            disk.crash(Damage::Lost);
            ours = open_with(&disk, "fuzz", options()).await;
            drop(stock);
            stock = open_stock(&path);
        }
    }
    succeeded
}

#[test]
fn random_statements_do_what_they_do_in_stock_sqlite() {
    for seed in 0..4 {
        let succeeded = block_on(life(seed, 400));
        assert!(succeeded > 150, "seed {seed}: only {succeeded} did anything");
    }
}

/// `CRAFTEC_FUZZ_SECONDS=600 cargo test -p craftec-sql --test differential -- --ignored --nocapture`
#[test]
#[ignore = "as long as it is told"]
fn random_statements_do_what_they_do_in_stock_sqlite_for_long() {
    let told = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (seconds, first) = (told("CRAFTEC_FUZZ_SECONDS"), told("CRAFTEC_FUZZ_SEED"));
    let first = first.unwrap_or(1_000);
    let (begun, mut seed, mut statements) = (Instant::now(), first, 0);
    while begun.elapsed() < Duration::from_secs(seconds.unwrap_or(60)) {
        block_on(life(seed, 1_500));
        seed += 1;
        statements += 1_500;
    }
    println!("{statements} statements of {} lives in {:?}", seed - first, begun.elapsed());
}
