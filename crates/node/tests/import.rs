//! An SQLite file into a database: whole or not at all, whatever was there, and whoever else asks.

#![cfg(feature = "sql")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use common::{
    run,
    sql::{config, open, own, query, script},
};
use craftec_api::{ApiError, Command, ErrorCode, Reply, SqlValue};
use craftec_node::Session;
use craftec_platform::sim::{Damage, SimDisk};
use serde_bytes::ByteBuf;

async fn exported(session: &Session, handle: u64) -> Vec<u8> {
    let opened = match session.call(Command::SqlExport { handle }).await {
        Ok(Reply::Opened(opened)) => opened,
        other => panic!("{other:?}"),
    };
    let mut file = Vec::new();
    loop {
        match session.call(Command::GetRead { handle: opened.handle }).await {
            Ok(Reply::Bytes { bytes, .. }) if bytes.is_empty() => return file,
            Ok(Reply::Bytes { bytes, .. }) => file.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
}

async fn begin(session: &Session, handle: u64) -> Result<u64, ApiError> {
    match session.call(Command::SqlImport { handle }).await? {
        Reply::Handle { handle } => Ok(handle),
        other => panic!("{other:?}"),
    }
}

async fn import(
    session: &Session,
    database: u64,
    file: &[u8],
    part: usize,
) -> Result<(), ApiError> {
    let handle = begin(session, database).await?;
    let sent = async {
        for part in file.chunks(part) {
            let bytes = ByteBuf::from(part.to_vec());
            session.call(Command::PutChunk { handle, bytes }).await?;
        }
        session.call(Command::PutClose { handle }).await
    };
    let done = sent.await;
    if done.is_err() {
        drop(session.call(Command::Close { handle }).await);
    }
    done.map(drop)
}

async fn rows(session: &Session, handle: u64, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    match query(session, handle, &sql, &[]).await.expect("rows").rows[..] {
        [ref row] => match row[..] {
            [SqlValue::Integer(count)] => count,
            _ => panic!("{row:?}"),
        },
        _ => panic!("no count"),
    }
}

/// A database with so many rows of 3 kB in `t`.
async fn filled(session: &Session, name: &str, count: u32) -> u64 {
    let handle = own(session, name).await;
    let sql = format!(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); CREATE INDEX i ON t (b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO t SELECT i, randomblob(3000) FROM n"
    );
    script(session, handle, &sql).await.expect("filled");
    handle
}

#[test]
fn a_file_takes_the_place_of_what_was_there() {
    run(|world| async move {
        let disk = SimDisk::new();
        let node = world.node_on(1, &disk, config(&disk)).await;
        let session = node.session();
        let large = filled(&session, "large", 1500).await;
        let small = filled(&session, "small", 3).await;
        let [large_file, small_file] =
            [exported(&session, large).await, exported(&session, small).await];
        let target = own(&session, "target").await;
        // Into an empty one, a longer one, a shorter one; in parts that are no whole pages.
        for (file, count, part) in [(&large_file, 1500, 100_000), (&small_file, 3, 1_000)] {
            import(&session, target, file, part).await.expect("imported");
            assert_eq!(rows(&session, target, "t").await, count);
            let check = query(&session, target, "PRAGMA integrity_check", &[]).await;
            assert_eq!(check.expect("checked").rows, [[SqlValue::Text("ok".to_owned())]]);
        }
        import(&session, target, &large_file, 1 << 20).await.expect("imported");
        assert_eq!(rows(&session, target, "t").await, 1500);
        script(&session, target, "CREATE TABLE other (a); DELETE FROM t WHERE a > 9")
            .await
            .expect("ok");
        // The statement that was prepared for one schema runs on another.
        import(&session, target, &small_file, 4096).await.expect("imported");
        assert!(query(&session, target, "SELECT * FROM other", &[]).await.is_err());
        assert_eq!(rows(&session, target, "t").await, 3);
        disk.crash(Damage::Lost);
        drop((session, node));
        let node = world.node_on(1, &disk, config(&disk)).await;
        let session = node.session();
        let target = own(&session, "target").await;
        assert_eq!(rows(&session, target, "t").await, 3, "it is durable");
    });
}

#[test]
fn what_is_no_such_file_changes_nothing() {
    run(|world| async move {
        let disk = SimDisk::new();
        let node = world.node_on(1, &disk, config(&disk)).await;
        let session = node.session();
        let source = filled(&session, "source", 200).await;
        let file = exported(&session, source).await;
        let target = filled(&session, "target", 7).await;
        let with = |at: usize, bytes: &[u8]| {
            let mut file = file.clone();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            file
        };
        for (bytes, words) in [
            (Vec::new(), "empty"),
            (b"-- a dump".repeat(1000), "not an SQLite file"),
            (file[..file.len() - 100].to_vec(), "within a page"),
            (file[..file.len() - 4096].to_vec(), "where the first says"),
            (with(16, &[0x20, 0]), "8192 bytes"),
            (with(16, &[0, 1]), "65536 bytes"),
        ] {
            let refused = import(&session, target, &bytes, 50_000).await.expect_err(words);
            assert_eq!(refused.code, ErrorCode::BadInput, "{refused:?}");
            assert!(refused.message.contains(words), "{words}: {refused:?}");
            assert_eq!(rows(&session, target, "t").await, 7);
        }
        // A mark of a WAL that was written back is no matter.
        import(&session, target, &with(18, &[2, 2]), 50_000).await.expect("imported");
        assert_eq!(rows(&session, target, "t").await, 200);
        // Nor does it get into a database that is encrypted: its pages have no room.
        let made = session.call(Command::SqlOpen { database: "sealed".to_owned(), encrypt: true });
        let Ok(Reply::Database(sealed)) = made.await else { panic!("it is not made") };
        let refused = import(&session, sealed.handle, &file, 50_000).await.expect_err("no room");
        assert_eq!(refused.code, ErrorCode::Conflict, "{refused:?}");
        let theirs = filled(&session, "theirs", 1).await;
        session
            .call(Command::SqlEncrypt { handle: theirs, readers: Vec::new() })
            .await
            .expect("ok");
        let with_room = exported(&session, theirs).await;
        import(&session, sealed.handle, &with_room, 50_000).await.expect("it has room");
        assert_eq!(rows(&session, sealed.handle, "t").await, 1);
    });
}

#[test]
fn other_writers_wait_and_what_pauses_is_dropped() {
    run(|world| async move {
        let disk = SimDisk::new();
        let node = world.node_on(1, &disk, config(&disk)).await;
        let (session, other) = (node.session(), node.session());
        let source = filled(&session, "source", 50).await;
        let file = exported(&session, source).await;
        let target = filled(&session, "target", 7).await;
        let same = own(&other, "target").await;
        let first = ByteBuf::from(file[..100_000].to_vec());
        let handle = begin(&session, target).await.expect("it begins");
        session.call(Command::PutChunk { handle, bytes: first.clone() }).await.expect("taken");
        let write = "INSERT INTO t SELECT * FROM t WHERE false";
        let refused = query(&other, same, write, &[]).await.expect_err("busy");
        assert_eq!((refused.code, refused.retryable), (ErrorCode::Refused, true), "{refused:?}");
        assert_eq!(rows(&other, same, "t").await, 7, "who only reads sees what there was");
        world.sleep(31).await;
        assert_eq!(rows(&other, same, "t").await, 7, "it went on without it");
        let late = session.call(Command::PutChunk { handle, bytes: first.clone() }).await;
        assert_eq!(late.expect_err("it ended").code, ErrorCode::Aborted);
        assert!(session.call(Command::PutClose { handle }).await.is_err());
        // A client that goes lets go of it.
        let handle = begin(&session, target).await.expect("it begins");
        session.call(Command::PutChunk { handle, bytes: first }).await.expect("taken");
        drop(session);
        assert_eq!(rows(&other, same, "t").await, 7);
        script(&other, same, "DELETE FROM t WHERE a = 1").await.expect("written");
        let opened = open(&other, "target").await.expect("opens");
        assert_eq!(rows(&other, opened.handle, "t").await, 6);
    });
}
