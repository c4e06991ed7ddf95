//! Long statements pause: others go on meanwhile, whoever no longer waits ends them, and what they did is
//! what it would have been at one go.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{cell::Cell, rc::Rc, time::Duration};

use common::{count, integer, text};
use craftec_platform::{Clock, native::NativeClock, sim::SimDisk, timeout};
use craftec_sql::{
    Aside, Database, DatabaseOptions, Other, Reader, ReaderOptions, Slices, SqlError, Strategy,
    log::LogError,
};

const SLICE: Duration = Duration::from_millis(2);
/// Some hundreds of milliseconds in an unoptimised build.
const LONG: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400000) \
                    SELECT count(*) FROM n";
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

fn slices(clock: &NativeClock) -> Option<Slices> {
    Some(Slices { clock: Rc::new(clock.clone()), each: SLICE })
}

async fn open(disk: &SimDisk, clock: &NativeClock) -> Rc<Database> {
    let options = DatabaseOptions { slices: slices(clock), ..DatabaseOptions::default() };
    let db = Database::open_with(Rc::new(disk.clone()), "app", options).await.unwrap();
    db.execute_batch("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)").await.unwrap();
    Rc::new(db)
}

fn run(test: impl AsyncFnOnce(NativeClock)) {
    NativeClock::run(test(NativeClock::new())).unwrap();
}

/// Counts how often another task of this thread runs.
fn tick(clock: &NativeClock) -> Rc<Cell<u32>> {
    let ticks = Rc::new(Cell::new(0));
    let (ticking, counted) = (clock.clone(), ticks.clone());
    clock.spawn(Box::pin(async move {
        loop {
            ticking.sleep(Duration::from_millis(1)).await;
            counted.set(counted.get() + 1);
        }
    }));
    ticks
}

#[test]
fn others_go_on_while_a_statement_computes() {
    run(async |clock| {
        let db = open(&SimDisk::new(), &clock).await;
        let ticks = tick(&clock);
        let begun = clock.monotonic();
        let ran = db.run(LONG, &[], None).await.unwrap();
        let took = clock.monotonic() - begun;
        assert_eq!(ran.rows.value(), Some(&integer(400_000)));
        let slices = took.as_millis() / SLICE.as_millis();
        assert!(u128::from(ticks.get()) > slices / 8, "{} ticks in {took:?}", ticks.get());
    });
}

#[test]
fn a_paused_statement_keeps_its_handle_to_itself() {
    run(async |clock| {
        let disk = SimDisk::new();
        let db = open(&disk, &clock).await;
        db.execute("INSERT INTO t VALUES (1, 'before')", &[]).await.unwrap();
        let root = db.snapshot().unwrap();
        let (writing, done) = (db.clone(), Rc::new(Cell::new(false)));
        let told = done.clone();
        clock.spawn(Box::pin(async move {
            let sql = format!("{ENDLESS} INSERT INTO t SELECT i + 1, i FROM n LIMIT 50000");
            writing.run(&sql, &[], None).await.unwrap();
            told.set(true);
        }));
        clock.give_way().await;
        clock.give_way().await;
        assert!(!done.get(), "it is under way");
        let busy = |error: SqlError| assert!(matches!(error, SqlError::Log(LogError::Transaction)));
        busy(db.snapshot().unwrap_err());
        busy(db.keep("name", root).unwrap_err());
        busy(db.restore(root).await.unwrap_err());
        busy(db.compact().await.unwrap_err());
        // What was committed can be read by others.
        let before = db.at(root, ReaderOptions::default()).await.unwrap();
        assert_eq!(count(&before, "t").await, 1);
        assert_eq!(
            db.pages_at(db.state().number, craftec_sql::page::PageNo::FIRST, 1).unwrap(),
            None
        );
        while !done.get() {
            clock.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(count(&*db, "t").await, 50_001);
        assert_ne!(db.snapshot().unwrap(), root);
    });
}

#[test]
fn what_nobody_waits_for_ends_and_leaves_nothing() {
    run(async |clock| {
        let disk = SimDisk::new();
        let db = open(&disk, &clock).await;
        let soon = Duration::from_millis(20);
        let endless = format!("{ENDLESS} INSERT INTO t SELECT i, i FROM n");
        assert!(timeout(&clock, soon, db.run(&endless, &[], None)).await.is_err());
        assert_eq!(count(&*db, "t").await, 0);

        // Also what it had begun; a script keeps what it had done before.
        let script = format!("INSERT INTO t VALUES (-1, ''); BEGIN; DELETE FROM t; {endless}");
        assert!(timeout(&clock, soon, db.run_script(&script, None)).await.is_err());
        assert!(!db.is_in_transaction());
        assert_eq!(count(&*db, "t").await, 1);

        let batch = vec![("DELETE FROM t".to_owned(), vec![]), (endless.clone(), vec![])];
        assert!(timeout(&clock, soon, db.run_transaction(batch, None)).await.is_err());
        assert!(!db.is_in_transaction());
        assert_eq!(count(&*db, "t").await, 1);

        // In a transaction that lasts, what reads goes and what was written stays.
        db.begin().unwrap();
        db.run_inside("INSERT INTO t VALUES (-2, '')", &[], None).await.unwrap();
        let reads = format!("{ENDLESS} SELECT count(*) FROM n");
        assert!(timeout(&clock, soon, db.run_inside(&reads, &[], None)).await.is_err());
        assert!(db.is_in_transaction());
        db.commit().await.unwrap();
        drop(db);
        assert_eq!(count(&*open(&disk, &clock).await, "t").await, 2);
    });
}

#[test]
fn a_limit_is_one_of_computing_and_an_interruption_is_told() {
    run(async |clock| {
        let db = open(&SimDisk::new(), &clock).await;
        let endless = format!("{ENDLESS} SELECT count(*) FROM n");
        let limit = Duration::from_millis(30);
        let error = db.run(&endless, &[], Some(limit)).await.unwrap_err();
        assert!(matches!(error, SqlError::TooLong { .. }), "{error}");

        let interrupting = db.clone();
        let later = clock.clone();
        clock.spawn(Box::pin(async move {
            later.sleep(Duration::from_millis(20)).await;
            interrupting.interrupt();
        }));
        let error = db.run(&endless, &[], None).await.unwrap_err();
        assert!(matches!(error, SqlError::Interrupted), "{error}");
        // Nothing runs: it means nothing to the next.
        db.interrupt();
        assert_eq!(db.run("SELECT 7", &[], None).await.unwrap().rows.value(), Some(&integer(7)));

        // Two of them share the thread; neither pays for what the other computes.
        let other = open(&SimDisk::new(), &clock).await;
        let limit = Some(Duration::from_secs(20));
        let both = futures::join!(db.run(LONG, &[], limit), other.run(LONG, &[], limit));
        assert_eq!(both.0.unwrap().rows, both.1.unwrap().rows);
    });
}

#[test]
fn readers_and_merges_pause_too() {
    run(async |clock| {
        let disk = SimDisk::new();
        let db = open(&disk, &clock).await;
        let fill = |from: u32| {
            format!("{ENDLESS} INSERT INTO t SELECT i + {from}, 'row ' || i FROM n LIMIT 20000")
        };
        db.execute("INSERT INTO t VALUES (0, 'base')", &[]).await.unwrap();
        let base = db.snapshot().unwrap();
        db.keep("base", base).unwrap();
        db.run(&fill(100_000), &[], None).await.unwrap();
        let theirs = db.snapshot().unwrap();
        db.keep("theirs", theirs).unwrap();
        db.restore(base).await.unwrap();
        db.run(&fill(300_000), &[], None).await.unwrap();

        let ticks = tick(&clock);
        let other = Other { root: theirs, base: Some(base), published: false };
        let merged = db.merge(other, Strategy::Stop, None).await.unwrap();
        assert!(merged.made);
        assert!(ticks.replace(0) > 5, "others went on");
        assert_eq!(count(&*db, "t").await, 40_001);

        let options = ReaderOptions { slices: slices(&clock), ..ReaderOptions::default() };
        let reader: Reader = db.at(theirs, options).await.unwrap();
        let sql = "SELECT count(*) FROM t AS x JOIN t AS y ON x.b < y.b AND x.a < 100400";
        assert!(reader.run(sql, &[], None).await.unwrap().rows.value().is_some());
        assert!(ticks.get() > 5, "others went on");
    });
}

#[test]
fn what_was_committed_last_is_read_while_more_is_written() {
    run(async |clock| {
        let disk = SimDisk::new();
        let db = open(&disk, &clock).await;
        let setup = "CREATE VIRTUAL TABLE words USING fts5(text); CREATE INDEX by_b ON t (b);
                     INSERT INTO words VALUES ('before it'); INSERT INTO t VALUES (1, 'before');";
        db.execute_batch(setup).await.unwrap();
        let value = async |aside: &Aside, sql: &str| {
            let ran = aside.run(sql, &[], None).await.unwrap();
            ran.and_then(|ran| ran.rows.value().cloned())
        };
        // An open transaction, more than fits SQLite's cache.
        db.begin().unwrap();
        let fill =
            format!("{ENDLESS} INSERT INTO t SELECT i + 1, zeroblob(500) FROM n LIMIT 30000");
        db.run_inside(&fill, &[], None).await.unwrap();
        db.run_inside("DELETE FROM words", &[], None).await.unwrap();
        let (before, unread) = (db.aside().unwrap(), db.aside().unwrap());
        let questions = [
            ("SELECT count(*) FROM t", 1),
            ("SELECT count(*) FROM words WHERE words MATCH 'before'", 1),
            ("SELECT a FROM t WHERE b = 'before'", 1),
            ("WITH x(a) AS (VALUES (3)) SELECT a FROM x", 3),
            ("SELECT count(*) FROM pragma_table_info('t')", 2),
        ];
        for (sql, wanted) in questions {
            assert!(before.reads(sql), "{sql}");
            assert_eq!(value(&before, sql).await, Some(integer(wanted)), "{sql}");
        }
        for sql in [
            "DELETE FROM t",
            "BEGIN",
            "PRAGMA user_version = 3",
            "SELECT changes()",
            "VACUUM",
            "CREATE TEMP TABLE x (a)",
            "ATTACH ':memory:' AS x",
            "SELEC",
            "SELECT 1; DELETE FROM t",
        ] {
            assert!(!before.reads(sql), "{sql}");
        }
        // It stays what it was, also while a statement of it pauses and the other one commits.
        let pairs = "SELECT count(*) FROM t AS x, t AS y";
        let (seen, committed) = futures::join!(value(&before, LONG), db.commit());
        committed.unwrap();
        assert_eq!(seen, Some(integer(400_000)));
        db.execute("UPDATE t SET b = 'after'", &[]).await.unwrap();
        assert_eq!(value(&before, pairs).await, Some(integer(1)));
        assert_eq!(value(&before, "SELECT b FROM t").await, Some(text("before")));
        let after = db.aside().unwrap();
        assert_eq!(value(&after, "SELECT count(*) FROM t").await, Some(integer(30_001)));
        // A compaction takes it away: it says so.
        drop(after);
        db.compact().await.unwrap();
        let fresh = db.aside().unwrap();
        assert_eq!(value(&fresh, "SELECT count(*) FROM words").await, Some(integer(0)));
        let gone = unread.run("SELECT sum(length(b)) FROM t", &[], None).await;
        assert!(matches!(gone, Err(SqlError::StateGone)), "{gone:?}");
        drop((before, unread, fresh));
        assert!(db.snapshot().is_ok());
    });
}

/// As deep as SQLite lets anything nest, on the stack that a statement has.
#[test]
fn the_deepest_statements_have_room() {
    run(async |clock| {
        let db = open(&SimDisk::new(), &clock).await;
        let deep = format!("SELECT {}1{}", "(1+".repeat(300), ")".repeat(300));
        db.run(&deep, &[], None).await.unwrap();
        let long = format!("SELECT {}", vec!["1"; 990].join("+"));
        assert_eq!(db.run(&long, &[], None).await.unwrap().rows.value(), Some(&integer(990)));
        let json = format!("SELECT json_valid('{}{}')", "[".repeat(1000), "]".repeat(1000));
        db.run(&json, &[], None).await.unwrap();
        let union = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(490));
        db.run(&union, &[], None).await.unwrap();
        let mut views = String::from("CREATE VIEW v0 AS SELECT a FROM t;");
        for n in 1..60 {
            views += &format!("CREATE VIEW v{n} AS SELECT a FROM v{} WHERE a > 0;", n - 1);
        }
        db.run_script(&views, None).await.unwrap();
        drop(db.run("SELECT count(*) FROM v59", &[], None).await);
        // Triggers that call themselves, and a table of text to be searched.
        db.run_script(
            "CREATE TABLE r (n); PRAGMA recursive_triggers = ON;
             CREATE TRIGGER again AFTER INSERT ON r WHEN new.n < 900
             BEGIN INSERT INTO r VALUES (new.n + 1); END;
             INSERT INTO r VALUES (0);
             CREATE VIRTUAL TABLE words USING fts5(text);
             INSERT INTO words SELECT 'some words of row ' || n FROM r;
             INSERT INTO words(words) VALUES ('optimize');",
            None,
        )
        .await
        .unwrap();
        assert_eq!(count(&*db, "r").await, 901);
    });
}
