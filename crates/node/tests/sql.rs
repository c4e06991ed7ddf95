//! Databases over nodes: kept over restarts, published, read from elsewhere page by page; whoever asks
//! for too much, or lies.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{rc::Rc, time::Duration};

use common::{
    lie_as, run,
    sql::{config, open, own, query, script, snapshot},
};
use craftec_api::{ApiError, Command, ErrorCode, Reply, SnapshotRow, SqlStatement, SqlValue};
use craftec_core::{Cid, Codec, PeerId};
use craftec_node::Session;
use craftec_platform::sim::SimDisk;

async fn snapshots(session: &Session, name: &str) -> Result<Vec<SnapshotRow>, ApiError> {
    match session.call(Command::SqlSnapshots { name: name.to_owned() }).await? {
        Reply::Snapshots { snapshots } => Ok(snapshots),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

/// Some 4 MB: 20,000 rows with an index.
const FILL: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, body TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO t SELECT i, 'word-' || i, hex(zeroblob(80)) FROM n;
    CREATE INDEX words ON t (word);";

#[test]
fn every_type_goes_in_and_comes_out() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let handle = own(&session, "shop").await;
        let made = script(&session, handle, "CREATE TABLE v (a, b, c, d, e)").await;
        assert_eq!(made, Ok((0, 0)));
        let values = [
            SqlValue::Null,
            SqlValue::Integer(i64::MIN),
            SqlValue::Real(0.1),
            text("größe ☃"),
            SqlValue::Blob(vec![0, 255, 7]),
        ];
        let put = query(&session, handle, "INSERT INTO v VALUES (?, ?, ?, ?, ?)", &values).await;
        let put = put.expect("it is inserted");
        assert_eq!((put.changes, put.last_rowid), (1, 1));
        let got = query(&session, handle, "SELECT * FROM v", &[]).await.expect("rows");
        assert_eq!((got.columns.join(""), &got.rows), ("abcde".to_owned(), &vec![values.to_vec()]));
        let infinite = query(&session, handle, "SELECT 9e999, -9e999", &[]).await.expect("a row");
        assert_eq!(infinite.rows, [[text("Inf"), text("-Inf")]]);
        // Another session finds what one wrote, at once.
        let other = a.session();
        let same = own(&other, "shop").await;
        let count = query(&other, same, "SELECT count(*) FROM v", &[]).await.expect("a row");
        assert_eq!(count.rows, [[SqlValue::Integer(1)]]);
        let listed = session.call(Command::SqlDatabases).await;
        let Ok(Reply::Databases { databases }) = listed else { panic!("{listed:?}") };
        assert_eq!(databases.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["shop"]);
    });
}

#[test]
fn a_long_result_comes_in_parts() {
    run(|world| async move {
        let disk = SimDisk::new();
        let session = world.node_on(1, &disk, config(&disk)).await.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, FILL).await.expect("it is filled");
        let mut rows = query(&session, handle, "SELECT * FROM t ORDER BY id", &[]).await;
        let (mut ids, mut parts) = (Vec::new(), 0);
        loop {
            let part = rows.expect("rows");
            let bytes = craftec_core::cbor::encode(&part).expect("it encodes").len();
            assert!(bytes < 256 << 10, "{bytes}");
            ids.extend(part.rows.iter().map(|row| row[0].clone()));
            parts += 1;
            let Some(handle) = part.more else { break };
            rows = match session.call(Command::SqlRows { handle }).await {
                Ok(Reply::Rows(rows)) => Ok(rows),
                other => panic!("{other:?}"),
            };
        }
        assert!(parts > 10, "{parts}");
        assert!(ids.into_iter().eq((1..=20_000).map(SqlValue::Integer)));
        // Who never asks for the rest runs into a limit of its own.
        for _ in 0..8 {
            let some = query(&session, handle, "SELECT * FROM t", &[]).await.expect("rows");
            assert!(some.more.is_some());
        }
        let full = query(&session, handle, "SELECT * FROM t", &[]).await.unwrap_err();
        assert_eq!(full.code, ErrorCode::Full, "{full}");
        let long = query(&session, handle, "SELECT zeroblob(1100000)", &[]).await.unwrap_err();
        assert!(long.message.contains("1000000 fit one answer"), "{long}");
    });
}

#[test]
fn a_transaction_is_one_batch_and_none_stays_open() {
    run(|world| async move {
        let disk = SimDisk::new();
        let session = world.node_on(1, &disk, config(&disk)).await.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, "CREATE TABLE t (a PRIMARY KEY)").await.expect("a table");
        let batch = |values: &[i64]| {
            let statement = |value: &i64| SqlStatement {
                sql: "INSERT INTO t VALUES (?1)".to_owned(),
                params: vec![SqlValue::Integer(*value)],
            };
            Command::SqlBatch { handle, statements: values.iter().map(statement).collect() }
        };
        let done = session.call(batch(&[1, 2])).await;
        assert_eq!(done, Ok(Reply::Executed { changes: vec![1, 1], last_rowid: 2 }));
        let twice = session.call(batch(&[3, 3])).await.unwrap_err();
        assert!(twice.message.contains("UNIQUE constraint failed: t.a"), "{twice}");
        let begun = query(&session, handle, "BEGIN", &[]).await.unwrap_err();
        assert!(begun.message.contains("rolled back"), "{begun}");
        let begun = script(&session, handle, "BEGIN; INSERT INTO t VALUES (9)").await.unwrap_err();
        assert!(begun.message.contains("rolled back"), "{begun}");
        let whole = script(&session, handle, "BEGIN; INSERT INTO t VALUES (4); COMMIT").await;
        assert_eq!(whole, Ok((1, 3)));
        let rows = query(&session, handle, "SELECT a FROM t ORDER BY a", &[]).await.expect("rows");
        assert_eq!(rows.rows, [1, 2, 4].map(|a| vec![SqlValue::Integer(a)]));
    });
}

#[test]
fn a_restart_keeps_what_was_written_and_a_dropped_one_is_gone() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, FILL).await.expect("it is filled");
        let root = snapshot(&session, handle, None, 0).await.cid;
        script(&session, handle, "DELETE FROM t WHERE id > 10").await.expect("deleted");
        a.stop().await;
        drop((session, a));
        let a = world.node_on(9, &disk, config(&disk)).await;
        let session = a.session();
        let handle = own(&session, "shop").await;
        let count = "SELECT count(*) FROM t";
        let rows = query(&session, handle, count, &[]).await.expect("a row");
        assert_eq!(rows.rows, [[SqlValue::Integer(10)]]);
        assert_eq!(session.call(Command::SqlRestore { handle, cid: root }).await, Ok(Reply::Done));
        let rows = query(&session, handle, count, &[]).await.expect("a row");
        assert_eq!(rows.rows, [[SqlValue::Integer(20_000)]]);
        let listed = snapshots(&session, "shop").await.expect("a list");
        let row = listed.iter().find(|row| row.cid == root).expect("it is listed");
        assert!(row.bytes > 0, "{row:?}");
        assert!(listed.is_sorted_by(|a, b| a.time_ms >= b.time_ms), "{listed:?}");
        let none = snapshots(&session, "no such").await.unwrap_err();
        assert_eq!(none.code, ErrorCode::NotFound, "{none}");
        let other = Cid::of(Codec::DagCbor, b"no snapshot");
        let unknown = session.call(Command::SqlRestore { handle, cid: other }).await.unwrap_err();
        assert_eq!(unknown.code, ErrorCode::Unavailable, "{unknown}");

        let exported = session.call(Command::SqlExport { handle }).await;
        let Ok(Reply::Opened(file)) = exported else { panic!("{exported:?}") };
        let (mut bytes, handle_of_file) = (Vec::new(), file.handle);
        while let Ok(Reply::Bytes { bytes: more }) =
            session.call(Command::GetRead { handle: handle_of_file }).await
        {
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        assert_eq!(bytes.len() as u64, file.size);
        assert!(bytes.starts_with(b"SQLite format 3\0"));
        session.call(Command::Close { handle: handle_of_file }).await.expect("closes");

        let drop_it = || Command::SqlDrop { name: "shop".to_owned() };
        let used = session.call(drop_it()).await.unwrap_err();
        assert_eq!(used.code, ErrorCode::Refused, "{used}");
        session.call(Command::Close { handle }).await.expect("it closes");
        assert_eq!(session.call(drop_it()).await, Ok(Reply::Done));
        assert_eq!(session.call(drop_it()).await.unwrap_err().code, ErrorCode::NotFound);
        let handle = own(&session, "shop").await;
        let gone = query(&session, handle, count, &[]).await.unwrap_err();
        assert_eq!(gone.message, "no such table: t");
    });
}

#[test]
fn another_node_reads_a_published_database_page_by_page() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let (b, c) = (world.node(2).await, world.node(3).await);
        let ids = [&a, &b, &c].map(|node| node.keys().peer_id());
        world.link(ids[0], ids[1]);
        let session = a.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, FILL).await.expect("it is filled");
        let first = snapshot(&session, handle, Some("shop"), 1).await;
        assert!(first.blocks > 900 && first.new_blocks == first.blocks, "{first:?}");
        let uri = first.uri.clone().expect("an address");
        world.sleep(5).await;

        let stat = |node: Rc<craftec_node::Node>, cid| async move {
            match node.session().call(Command::Stat { cid }).await {
                Ok(Reply::Stat(stat)) => stat,
                other => panic!("{other:?}"),
            }
        };
        let here = stat(a.clone(), first.cid).await;
        assert_eq!((here.local_blocks, here.blocks), (first.blocks, first.blocks));
        assert!(here.pinned && here.health.signed == 1, "{here:?}");

        // The author is gone; whoever took a copy has all of it.
        world.leave(ids[0]);
        world.link(ids[1], ids[2]);
        let reader = c.session();
        let opened = open(&reader, &uri).await.expect("it opens");
        assert_eq!((opened.cid, opened.writable), (Some(first.cid), false));
        let (sql, word) = ("SELECT id FROM t WHERE word = ?", [text("word-777")]);
        let found = query(&reader, opened.handle, sql, &word).await.expect("a row");
        assert_eq!(found.rows, [[SqlValue::Integer(777)]]);
        let there = stat(c.clone(), first.cid).await;
        assert_eq!(there.blocks, first.blocks);
        assert!(there.local_blocks < 40, "{} of {}", there.local_blocks, there.blocks);
        let whole = query(&reader, opened.handle, "SELECT count(*), sum(id) FROM t", &[]).await;
        let sum = SqlValue::Integer(20_000 * 20_001 / 2);
        assert_eq!(whole.expect("a row").rows, [[SqlValue::Integer(20_000), sum]]);
        let written = query(&reader, opened.handle, "DELETE FROM t", &[]).await.unwrap_err();
        assert!(written.message.contains("reading only"), "{written}");
        let written = script(&reader, opened.handle, "DELETE FROM t").await.unwrap_err();
        assert!(written.message.contains("only be read"), "{written}");
    });
}

#[test]
fn a_later_snapshot_brings_what_changed_and_sweeps_free_what_no_one_keeps() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, FILL).await.expect("it is filled");
        let first = snapshot(&session, handle, Some("shop"), 0).await;
        script(&session, handle, "UPDATE t SET body = '' WHERE id = 5").await.expect("changed");
        let second = snapshot(&session, handle, Some("shop"), 0).await;
        assert!(second.cid != first.cid && second.new_blocks < 12, "{second:?}");
        a.objects().free_cache().await.expect("it sweeps");
        for (root, body) in [(first.cid, 160), (second.cid, 0)] {
            let opened = open(&session, &format!("craftobj://{root}")).await.expect("it opens");
            let sql = "SELECT length(body) FROM t WHERE id = 5";
            let rows = query(&session, opened.handle, sql, &[]).await.expect("a row");
            assert_eq!(rows.rows, [[SqlValue::Integer(body)]]);
            session.call(Command::Close { handle: opened.handle }).await.expect("closes");
        }
        let mine = open(&session, "craftobj://me/shop").await.expect("it opens");
        assert_eq!(mine.cid, Some(second.cid));
        let used = a.store().used_bytes().expect("a number");
        session.call(Command::Unpin { cid: first.cid }).await.expect("let go");
        let left = a.store().used_bytes().expect("a number");
        assert!(left < used && used - left < 100_000, "{used} {left}");
        let local = a.objects().local_blocks(second.cid).await.expect("a number");
        assert_eq!(local, second.blocks);
    });
}

#[test]
fn what_is_wrong_is_said_in_sqlites_words() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let handle = own(&session, "shop").await;
        let wrong = [
            ("SELEKT 1", "near \"SELEKT\": syntax error"),
            ("SELECT * FROM nowhere", "no such table: nowhere"),
            ("ATTACH '/etc/passwd' AS x", "not authorized"),
            ("VACUUM INTO '/tmp/x'", "authorization denied"),
            ("SELECT load_extension('x')", "not authorized"),
            ("SELECT 1; SELECT 2", "Multiple statements provided"),
            ("SELECT ?1", "Wrong number of parameters"),
            ("SELECT length(zeroblob(600000000) || 'x')", "out of memory"),
        ];
        for (sql, words) in wrong {
            let error = query(&session, handle, sql, &[]).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadInput, "{sql}: {error}");
            assert!(error.message.contains(words), "{sql}: {error}");
        }
        let long = "-".repeat(600 << 10);
        let error = query(&session, handle, &long, &[]).await.unwrap_err();
        assert!(error.message.contains("524288 are the most"), "{error}");
        for name in ["", "a\nb", &"x".repeat(300)] {
            let error = open(&session, name).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadInput, "{name}: {error}");
        }
        let bare = world.node(5).await.session();
        assert_eq!(open(&bare, "shop").await.unwrap_err().code, ErrorCode::Refused);
        let remote = a.session_with(craftec_node::Access::Remote);
        for command in [
            Command::SqlDatabases,
            Command::SqlOpen { database: "shop".to_owned(), encrypt: false },
            Command::SqlDrop { name: "shop".to_owned() },
        ] {
            assert_eq!(remote.call(command).await.unwrap_err().code, ErrorCode::Refused);
        }
    });
}

#[test]
fn a_statement_without_an_end_is_ended() {
    run(|world| async move {
        let disk = SimDisk::new();
        let mut config = config(&disk);
        config.statement_time = Some(Duration::from_millis(100));
        let session = world.node_on(1, &disk, config).await.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, "CREATE TABLE t (a)").await.expect("a table");
        let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
        let begun = std::time::Instant::now();
        let sql = format!("{forever} SELECT count(*) FROM n");
        let error = query(&session, handle, &sql, &[]).await.unwrap_err();
        assert!(error.message.contains("longer than 100ms"), "{error}");
        let sql = format!(
            "BEGIN; INSERT INTO t VALUES (1); {forever} INSERT INTO t SELECT i FROM n; COMMIT"
        );
        let error = script(&session, handle, &sql).await.unwrap_err();
        assert!(error.message.contains("longer than 100ms"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let rows = query(&session, handle, "SELECT count(*) FROM t", &[]).await.expect("a row");
        assert_eq!(rows.rows, [[SqlValue::Integer(0)]]);
        let root = snapshot(&session, handle, None, 0).await.cid;
        let opened = open(&session, &format!("craftobj://{root}")).await.expect("it opens");
        let sql = format!("{forever} SELECT count(*) FROM n");
        let error = query(&session, opened.handle, &sql, &[]).await.unwrap_err();
        assert!(error.message.contains("longer than 100ms"), "{error}");
    });
}

#[test]
fn wrong_roots_and_liars_are_told_apart() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let b = world.node(2).await;
        let (session, reader) = (a.session(), b.session());
        let nobodys = Cid::of(Codec::DagCbor, b"nobody has this");
        let error = open(&reader, &format!("craftobj://{nobodys}")).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        let file = common::put(&session, b"hello", 0).await;
        let error = open(&session, &format!("craftobj://{file}")).await.unwrap_err();
        assert!(error.message.contains("not the root of a database"), "{error}");
        for address in ["craftobj://", "craftobj://nonsense", "craftobj://did:craftec:x/y"] {
            let error = open(&session, address).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadInput, "{address}: {error}");
        }
        let (site, _) = common::publish(&session, &[("index.html", b"x")], Some("blog"), 0).await;
        let handle = own(&session, "shop").await;
        script(&session, handle, FILL).await.expect("it is filled");
        let take =
            Command::SqlSnapshot { handle, name: Some("blog".to_owned()), replicas: Some(0) };
        let error = session.call(take).await.unwrap_err();
        assert!(error.message.contains(&site.to_string()), "{error}");

        let root = snapshot(&session, handle, None, 0).await.cid;
        let liar = PeerId::from_public_key([0; 32]);
        lie_as(&world, liar);
        world.provide(&root, liar);
        world.link(b.keys().peer_id(), liar);
        let error = open(&reader, &format!("craftobj://{root}")).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let opened = open(&reader, &format!("craftobj://{root}")).await.expect("it opens");
        let rows = query(&reader, opened.handle, "SELECT max(id) FROM t", &[]).await;
        assert_eq!(rows.expect("a row").rows, [[SqlValue::Integer(20_000)]]);
    });
}

#[test]
fn a_site_may_not_take_the_name_of_a_database() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let b = world.node(2).await;
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let session = a.session();
        let handle = own(&session, "stock").await;
        script(&session, handle, "CREATE TABLE t (a)").await.expect("a table");
        let shop = snapshot(&session, handle, Some("shop"), 0).await;
        let close = async |name: Option<&str>| {
            let opened = session.call(Command::FolderOpen).await;
            let Ok(Reply::Handle { handle: folder }) = opened else { panic!("{opened:?}") };
            let (path, bytes) = ("index.html".to_owned(), b"x".to_vec().into());
            session.call(Command::FolderAdd { folder, path, bytes }).await.expect("it is added");
            let name = name.map(str::to_owned);
            let close = Command::FolderClose { folder, replicas: Some(0), site: true, name };
            let closed = session.call(close.clone()).await;
            // What was refused is still there to be closed under another name.
            (closed, session.call(Command::Close { handle: folder }).await.is_ok())
        };
        let (refused, is_open) = close(Some("shop")).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Refused, "{refused}");
        assert!(refused.message.contains("database `stock`") && is_open, "{refused}");
        let mine = open(&session, "craftobj://me/shop").await.expect("it opens");
        assert_eq!(mine.cid, Some(shop.cid));
        assert!(close(Some("blog")).await.0.is_ok() && close(None).await.0.is_ok());
    });
}
