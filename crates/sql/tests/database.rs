//! Databases as their users see them: statements, transactions, snapshots, other databases.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{count, integer, open, open_with, text};
use craftec_platform::sim::{Damage, SimDisk};
use craftec_sql::{
    DatabaseOptions, MemoryStore, Reader, ReaderOptions, Sql, SqlError, Value,
    log::{LogError, LogOptions},
};
use futures::{FutureExt, executor::block_on};

#[test]
fn what_was_committed_is_there_after_a_crash() {
    let disk = SimDisk::new();
    block_on(async {
        let db = open(&disk, "app").await;
        db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)").await.unwrap();
        let changed =
            db.execute("INSERT INTO t (b) VALUES (?), (?)", &[text("x"), text("y")]).await;
        assert_eq!(changed.unwrap(), 2);
        drop(db);
        disk.crash(Damage::Lost);
        let db = open(&disk, "app").await;
        let rows = db.query("SELECT a, b FROM t ORDER BY a", &[]).await.unwrap();
        assert_eq!(rows.columns, ["a", "b"]);
        assert_eq!(rows.rows[1], [integer(2), text("y")]);
        assert_eq!(
            db.query("PRAGMA integrity_check", &[]).await.unwrap().value(),
            Some(&text("ok"))
        );
        assert_eq!(db.query("PRAGMA page_size", &[]).await.unwrap().value(), Some(&integer(4096)));
        db.close().unwrap();
    });
}

#[test]
fn no_journal_is_written_and_a_commit_is_one_flush() {
    let disk = SimDisk::new();
    block_on(async {
        let db = open(&disk, "app").await;
        db.execute_batch("CREATE TABLE t (a)").await.unwrap();
        for n in 0..20 {
            db.execute("INSERT INTO t VALUES (?)", &[integer(n)]).await.unwrap();
        }
        let changes = disk.changes();
        for n in 0..20 {
            db.execute("INSERT INTO t VALUES (?)", &[integer(n)]).await.unwrap();
        }
        // A write and a flush for each, and now and then zeros ahead.
        assert!((40..=46).contains(&(disk.changes() - changes)), "{}", disk.changes() - changes);
        assert_eq!(craftec_platform::Folder::list(&disk).await.unwrap().len(), 1);
    });
}

#[test]
fn a_transaction_that_fails_leaves_nothing() {
    let disk = SimDisk::new();
    block_on(async {
        let db = open(&disk, "app").await;
        db.execute_batch("CREATE TABLE t (a UNIQUE)").await.unwrap();
        let failed = db.transaction(|tx| {
            tx.execute("INSERT INTO t VALUES (1)", &[])?;
            tx.execute("INSERT INTO t VALUES (1)", &[])
        });
        assert!(matches!(failed.await, Err(SqlError::Sqlite { code: 2067, .. })));
        let count = db.transaction(|tx| {
            tx.execute("INSERT INTO t VALUES (2)", &[])?;
            Ok(tx.query("SELECT count(*) FROM t", &[])?.value().cloned())
        });
        assert_eq!(count.await.unwrap(), Some(integer(1)));
        let nested = db.transaction(|_| {
            assert!(matches!(db.snapshot(), Err(SqlError::Log(LogError::Transaction))));
            db.execute("BEGIN", &[]).now_or_never().unwrap()
        });
        assert!(nested.await.is_err());
        assert_eq!(common::count(&db, "t").await, 1);
    });
}

#[test]
fn a_transaction_larger_than_the_cache_commits_or_goes_whole() {
    let disk = SimDisk::new();
    let options = DatabaseOptions { cache_bytes: 64 << 10, ..DatabaseOptions::default() };
    block_on(async {
        let db = open_with(&disk, "app", options.clone()).await;
        db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)").await.unwrap();
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                    INSERT INTO t (b) SELECT randomblob(1000) FROM n";
        db.execute(fill, &[]).await.unwrap();
        db.execute_batch("BEGIN; UPDATE t SET b = zeroblob(1000)").await.unwrap();
        assert_eq!(
            db.query("SELECT count(*) FROM t WHERE b = zeroblob(1000)", &[]).await.unwrap().value(),
            Some(&integer(3000))
        );
        db.execute_batch("SAVEPOINT s; DELETE FROM t WHERE a > 100; ROLLBACK TO s").await.unwrap();
        assert_eq!(common::count(&db, "t").await, 3000);
        let units = db.units();
        db.execute_batch("ROLLBACK").await.unwrap();
        assert_eq!(db.units(), units, "a rollback is no commit");
        let zeros = "SELECT count(*) FROM t WHERE b = zeroblob(1000)";
        assert_eq!(db.query(zeros, &[]).await.unwrap().value(), Some(&integer(0)));
        db.execute_batch("BEGIN; UPDATE t SET b = zeroblob(1000); COMMIT").await.unwrap();
        db.execute_batch("DELETE FROM t WHERE a % 2; VACUUM").await.unwrap();
        drop(db);
        disk.crash(Damage::Lost);
        let db = open_with(&disk, "app", options).await;
        assert_eq!(db.query(zeros, &[]).await.unwrap().value(), Some(&integer(1500)));
        assert_eq!(
            db.query("PRAGMA integrity_check", &[]).await.unwrap().value(),
            Some(&text("ok"))
        );
        assert!(db.pages() < 600, "{} pages after a vacuum", db.pages());
    });
}

#[test]
fn everything_that_an_app_may_use_is_built_in() {
    let disk = SimDisk::new();
    block_on(async {
        let db = open(&disk, "app").await;
        db.execute_batch(
            "CREATE VIRTUAL TABLE words USING fts5(text);
             INSERT INTO words VALUES ('content addressed pages'), ('something else');
             CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
             INSERT INTO boxes VALUES (1, 0, 2, 0, 2), (2, 5, 6, 5, 6);
             PRAGMA temp_store = FILE; CREATE TEMP TABLE scratch AS SELECT 7 AS n;",
        )
        .await
        .unwrap();
        let value = async |sql: &str| db.query(sql, &[]).await.unwrap().value().cloned().unwrap();
        assert_eq!(value("SELECT rowid FROM words WHERE text MATCH 'pages'").await, integer(1));
        assert_eq!(value("SELECT id FROM boxes WHERE x1 > 4").await, integer(2));
        assert_eq!(value("SELECT json_extract('{\"a\":[1,5]}', '$.a[1]')").await, integer(5));
        assert_eq!(value("SELECT scratch.n FROM scratch").await, integer(7));
        let session = "SELECT count(*) FROM pragma_compile_options
                       WHERE compile_options IN ('ENABLE_SESSION', 'ENABLE_BATCH_ATOMIC_WRITE')";
        assert_eq!(value(session).await, integer(2));
        assert_eq!(value("PRAGMA journal_mode = WAL").await, text("memory"));
        assert_eq!(value("PRAGMA locking_mode = EXCLUSIVE").await, text("normal"));
        db.execute_batch("PRAGMA synchronous = OFF; PRAGMA page_size = 8192; VACUUM")
            .await
            .unwrap();
        assert_eq!(value("PRAGMA page_size").await, integer(4096));
        assert_eq!(value("PRAGMA synchronous").await, integer(2));
    });
}

#[test]
fn databases_meet_only_where_a_handle_attaches_them() {
    let disk = SimDisk::new();
    let stranger = tempfile::NamedTempFile::new().unwrap();
    let path = stranger.path().display().to_string();
    block_on(async {
        let (one, two) = (open(&disk, "one").await, open(&disk, "two").await);
        two.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (5)").await.unwrap();
        for sql in [
            "ATTACH 'craft-1' AS x".to_owned(),
            "ATTACH 'craft-2' AS x".to_owned(),
            "ATTACH 'craft' || '-2' AS x".to_owned(),
            format!("ATTACH '{path}' AS x"),
            format!("ATTACH 'file:{path}?vfs=unix' AS x"),
            format!("VACUUM INTO '{path}'"),
            "SELECT load_extension('x')".to_owned(),
        ] {
            assert!(one.execute(&sql, &[]).await.is_err(), "{sql}");
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        one.attach("other \"one\"", &two).unwrap();
        one.execute_batch("CREATE TABLE u AS SELECT a FROM \"other \"\"one\"\"\".t").await.unwrap();
        one.execute_batch(
            "BEGIN; INSERT INTO u VALUES (1); INSERT INTO \"other \"\"one\"\"\".t VALUES (6); COMMIT",
        )
        .await
        .unwrap();
        assert_eq!(common::count(&two, "t").await, 2, "the other handle sees it");
        let busy = two.transaction(|_| {
            one.detach("nothing").unwrap_err();
            let insert = "INSERT INTO \"other \"\"one\"\"\".t VALUES (7)";
            let written = one.execute(insert, &[]).now_or_never().unwrap();
            assert!(written.unwrap_err().is_retryable());
            Ok(())
        });
        busy.await.unwrap();
        one.detach("other \"one\"").unwrap();
        assert!(one.query("SELECT * FROM t", &[]).await.is_err());
        assert_eq!(common::count(&one, "u").await, 2);
    });
}

#[test]
fn snapshots_are_read_restored_and_published() {
    let disk = SimDisk::new();
    block_on(async {
        let db = open(&disk, "app").await;
        db.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").await.unwrap();
        let first = db.snapshot().unwrap();
        db.keep("before", first).unwrap();
        db.execute_batch("INSERT INTO t VALUES (2); CREATE TABLE u (b)").await.unwrap();
        let second = db.snapshot().unwrap();
        let then = db.at(first, ReaderOptions::default()).await.unwrap();
        assert_eq!(common::count(&then, "t").await, 1);
        assert!(then.execute("INSERT INTO t VALUES (9)", &[]).await.is_err());

        let store = MemoryStore::default();
        let all = db.publish(&store, first, None).await.unwrap();
        let more = db.publish(&store, second, Some(first)).await.unwrap();
        assert!(more <= all + 2, "{more} after {all}");
        let again = db.publish(&store, second, Some(first)).await;
        assert!(matches!(again, Err(SqlError::Store(_))), "compare and swap");
        assert_eq!(store.root("app"), Some(second));
        let reader =
            Reader::open(std::rc::Rc::new(store), second, ReaderOptions::default()).await.unwrap();
        assert_eq!(common::count(&reader, "t").await, 2);
        let root = reader.root().1;
        assert_eq!(root.parent, Some(first));
        assert_ne!(root.schema, then.root().1.schema);

        assert!(db.restore(first).await.unwrap());
        assert_eq!(common::count(&db, "t").await, 1);
        assert!(db.query("SELECT * FROM u", &[]).await.is_err());
        db.execute_batch("INSERT INTO t VALUES (3)").await.unwrap();
        assert_eq!(common::count(&reader, "t").await, 2, "for ever");
        assert_eq!(
            db.query("PRAGMA integrity_check", &[]).await.unwrap().value(),
            Some(&text("ok"))
        );
        assert!(db.drop_kept("before").unwrap());
    });
}

#[test]
fn a_schema_that_was_changed_as_often_is_read_anew_after_a_restore() {
    block_on(async {
        let db = open(&SimDisk::new(), "app").await;
        let seen = open(&SimDisk::new(), "other").await;
        db.execute_batch("CREATE TABLE t (a)").await.unwrap();
        let first = db.snapshot().unwrap();
        db.execute_batch("CREATE TABLE x (a); INSERT INTO x VALUES (1)").await.unwrap();
        // A second connection remembers this schema.
        seen.attach("app", &db).unwrap();
        assert_eq!(count(&seen, "app.x").await, 1);
        assert!(db.restore(first).await.unwrap());
        db.execute_batch("CREATE TABLE y (a); INSERT INTO y VALUES (1), (2)").await.unwrap();
        assert_eq!(count(&seen, "app.y").await, 2);
        assert!(seen.query("SELECT * FROM app.x", &[]).await.is_err());
    });
}

#[test]
fn a_database_compacts_itself_and_gives_no_more_than_its_limit() {
    let disk = SimDisk::new();
    let log = LogOptions { slack_bytes: 64 << 10, ..LogOptions::default() };
    let options = DatabaseOptions { log, result_bytes: 10_000, ..DatabaseOptions::default() };
    block_on(async {
        let db = open_with(&disk, "app", options).await;
        db.execute_batch("CREATE TABLE t (a)").await.unwrap();
        for n in 0..300 {
            db.execute("INSERT INTO t VALUES (?)", &[integer(n)]).await.unwrap();
        }
        assert!(db.size().used_bytes < 128 << 10, "{:?}", db.size());
        assert_eq!(common::count(&db, "t").await, 300);
        let long = db.query("SELECT zeroblob(20000)", &[]).await;
        assert!(matches!(long, Err(SqlError::TooMuch { limit: 10_000 })));
        assert!(db.query("SELECT 1; SELECT 2", &[]).await.is_err(), "one statement at a time");
    });
}

#[test]
fn plain_sqlite_is_a_database_too() {
    let plain: Box<dyn Sql> = Box::new(rusqlite::Connection::open_in_memory().unwrap());
    block_on(async {
        plain.execute("CREATE TABLE t (a)", &[]).await.unwrap();
        assert_eq!(
            plain.execute("INSERT INTO t VALUES (?)", &[Value::Real(0.5)]).await.unwrap(),
            1
        );
        let rows = plain.query("SELECT a FROM t", &[]).await.unwrap();
        assert_eq!(rows.value(), Some(&Value::Real(0.5)));
    });
}
