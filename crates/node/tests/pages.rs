//! Databases by their pages, as a program with an SQLite of its own uses them: states, turns, commits.
//! Pages of one database stand for what that program makes for another.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::time::Duration;

use common::{
    run,
    sql::{config, open, own, query, script},
};
use craftec_api::{ApiError, Command, ErrorCode, Reply, SqlState, SqlTurn, SqlValue};
use craftec_node::Session;
use craftec_platform::sim::SimDisk;
use serde_bytes::ByteBuf;

const PAGE: usize = 4096;

async fn rows(session: &Session, handle: u64) -> i64 {
    let found = query(session, handle, "SELECT count(*) FROM t", &[]).await.expect("a row");
    match found.rows.first().and_then(|row| row.first()) {
        Some(SqlValue::Integer(count)) => *count,
        other => panic!("{other:?}"),
    }
}

async fn begin(session: &Session, handle: u64) -> SqlState {
    match session.call(Command::SqlBegin { handle }).await {
        Ok(Reply::State(state)) => state,
        other => panic!("{other:?}"),
    }
}

async fn turn(session: &Session, handle: u64, state: SqlState) -> SqlTurn {
    match session.call(Command::SqlReserve { handle, state: state.number }).await {
        Ok(Reply::Turn { turn }) => turn,
        other => panic!("{other:?}"),
    }
}

async fn part(session: &Session, handle: u64, state: u64, first: u32) -> Result<Vec<u8>, ApiError> {
    match session.call(Command::SqlPages { handle, state, first, count: 100 }).await? {
        Reply::Bytes { bytes } => Ok(bytes.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// All pages of the state that is read.
async fn image(session: &Session, handle: u64, state: SqlState) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() / PAGE < state.length as usize {
        let first = (bytes.len() / PAGE) as u32 + 1;
        bytes.extend(part(session, handle, state.number, first).await.expect("pages"));
    }
    bytes
}

/// Commits all of `image`, in parts.
async fn give(
    session: &Session,
    handle: u64,
    state: SqlState,
    image: &[u8],
) -> Result<Option<SqlState>, ApiError> {
    let length = (image.len() / PAGE) as u32;
    let numbers: Vec<u32> = (1..=length).collect();
    let mut parts: Vec<(Vec<u32>, ByteBuf)> = numbers
        .chunks(200)
        .zip(image.chunks(200 * PAGE))
        .map(|(numbers, bytes)| (numbers.to_vec(), ByteBuf::from(bytes)))
        .collect();
    let (pages, bytes) = parts.pop().unwrap_or_default();
    for (pages, bytes) in parts {
        session.call(Command::SqlStage { handle, pages, bytes }).await?;
    }
    let state = state.number;
    match session.call(Command::SqlCommit { handle, state, length, pages, bytes }).await? {
        Reply::State(state) => Ok(Some(state)),
        Reply::Turn { turn: SqlTurn::Stale } => Ok(None),
        other => panic!("{other:?}"),
    }
}

const FILL: &str = "CREATE TABLE t (a, b);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
    INSERT INTO t SELECT i, hex(zeroblob(100)) FROM n;";

#[test]
fn a_large_transaction_comes_in_parts_and_counts_as_one() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let (one, two) = (a.session(), a.session());
        let model = own(&one, "model").await;
        script(&one, model, FILL).await.expect("it is filled");
        let made = begin(&one, model).await;
        let pages = image(&one, model, made).await;
        assert!(pages.len() / PAGE > 400, "several frames");

        let (mine, theirs) = (own(&one, "shop").await, own(&two, "shop").await);
        let state = begin(&one, mine).await;
        assert_eq!(turn(&one, mine, state).await, SqlTurn::Granted);
        let new = give(&one, mine, state, &pages).await.expect("it is taken").expect("in time");
        assert!(new.number > state.number && new.length == made.length);
        assert_eq!(rows(&two, theirs).await, 8000);
        assert_eq!(image(&one, mine, new).await, pages, "the new state is read from now on");
        // What waited is gone.
        script(&one, model, "DELETE FROM t WHERE a > 10").await.expect("deleted");
        let stale = give(&one, mine, state, &pages[..PAGE]).await;
        assert_eq!(stale, Ok(None));
        assert_eq!(rows(&two, theirs).await, 8000);
    });
}

#[test]
fn a_reader_keeps_its_state_and_a_stale_writer_is_told() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let (one, two) = (own(&session, "shop").await, own(&session, "shop").await);
        script(&session, one, "CREATE TABLE t (a); INSERT INTO t VALUES (1)").await.expect("made");
        let (old, other) = (begin(&session, one).await, begin(&session, two).await);
        assert_eq!(old, other);
        let before = image(&session, one, old).await;
        assert_eq!(turn(&session, one, old).await, SqlTurn::Granted);
        assert_eq!(turn(&session, two, old).await, SqlTurn::Taken);
        session.call(Command::SqlEnd { handle: one, state: old.number }).await.expect("ends");
        script(&session, one, "INSERT INTO t VALUES (2)").await.expect("inserted");
        assert_eq!(turn(&session, two, old).await, SqlTurn::Stale);
        assert_eq!(image(&session, two, old).await, before, "pinned");
        assert_eq!(give(&session, two, old, &before).await, Ok(None));
        assert_eq!(rows(&session, one).await, 2);
        // Ended, it can't be read; nor is an end of before the end of what was begun since.
        let gone = part(&session, one, old.number, 1).await.expect_err("it ended");
        assert_eq!(gone.code, ErrorCode::Aborted);
        let new = begin(&session, two).await;
        session.call(Command::SqlEnd { handle: two, state: old.number }).await.expect("ends");
        part(&session, two, new.number, 1).await.expect("it is read");
        assert_eq!(new.made_ms, old.made_ms);
    });
}

#[test]
fn statements_wait_for_a_writer_and_not_for_ever() {
    run(|world| async move {
        let disk = SimDisk::new();
        let mut config = config(&disk);
        config.statement_time = Some(Duration::from_secs(5));
        let a = world.node_on(1, &disk, config).await;
        let (one, two) = (a.session(), a.session());
        let (mine, theirs) = (own(&one, "shop").await, own(&two, "shop").await);
        script(&one, mine, "CREATE TABLE t (a)").await.expect("made");
        let state = begin(&one, mine).await;
        assert_eq!(turn(&one, mine, state).await, SqlTurn::Granted);
        assert_eq!(rows(&two, theirs).await, 0, "reading goes on");
        let refused = script(&two, theirs, "INSERT INTO t VALUES (1)").await.expect_err("busy");
        assert!(refused.retryable && refused.message.contains("Another program"), "{refused}");
        // Half a minute later the writer is taken for gone, and finds out itself.
        world.sleep(30).await;
        script(&two, theirs, "INSERT INTO t VALUES (1)").await.expect("inserted");
        assert_eq!(turn(&one, mine, state).await, SqlTurn::Stale);
        // One that goes lets go.
        let state = begin(&one, mine).await;
        assert_eq!(turn(&one, mine, state).await, SqlTurn::Granted);
        drop(one);
        script(&two, theirs, "INSERT INTO t VALUES (2)").await.expect("inserted");
        assert_eq!(rows(&two, theirs).await, 2);
    });
}

#[test]
fn a_snapshot_is_read_by_its_pages_and_nothing_else() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let shop = own(&session, "shop").await;
        script(&session, shop, FILL).await.expect("it is filled");
        let taken = Command::SqlSnapshot { handle: shop, name: None, replicas: Some(0) };
        let Ok(Reply::Snapshot(taken)) = session.call(taken).await else { panic!() };
        let state = begin(&session, shop).await;
        let snapshot =
            open(&session, &format!("craftobj://{}", taken.cid)).await.expect("it opens").handle;
        let there = begin(&session, snapshot).await;
        assert_eq!((there.number, there.length), (0, state.length));
        let pages = image(&session, shop, state).await;
        assert_eq!(image(&session, snapshot, there).await, pages);
        assert!(give(&session, snapshot, there, &pages).await.is_err());
        let reserve = Command::SqlReserve { handle: snapshot, state: 0 };
        assert!(session.call(reserve).await.is_err());
    });
}

#[test]
fn what_is_no_page_is_refused_and_nothing_is_kept_of_it() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let session = a.session();
        let handle = own(&session, "shop").await;
        script(&session, handle, "CREATE TABLE t (a)").await.expect("made");
        let state = begin(&session, handle).await.number;
        for (pages, bytes) in [(vec![1], 4095), (vec![0], PAGE), (vec![1, 2], PAGE), (vec![], 1)] {
            let bytes = ByteBuf::from(vec![0; bytes]);
            let stage = Command::SqlStage { handle, pages, bytes };
            assert_eq!(session.call(stage).await.expect_err("refused").code, ErrorCode::BadInput);
        }
        for (first, count) in [(0, 1), (1, 129), (u32::MAX, 1)] {
            let pages = Command::SqlPages { handle, state, first, count };
            assert_eq!(session.call(pages).await.expect_err("refused").code, ErrorCode::BadInput);
        }
        // 128 MiB wait; more do not.
        let full = async || {
            for first in (1..=32_768_u32 + 255).step_by(255) {
                let pages: Vec<u32> = (first..first + 255).collect();
                let bytes = ByteBuf::from(vec![7; 255 * PAGE]);
                if let Err(error) = session.call(Command::SqlStage { handle, pages, bytes }).await {
                    return error;
                }
            }
            panic!("no end");
        };
        assert_eq!(full().await.code, ErrorCode::Full);
        session.call(Command::SqlEnd { handle, state }).await.expect("ends");
        let empty = Command::SqlCommit {
            handle,
            state,
            length: 9,
            pages: vec![9],
            bytes: ByteBuf::from(vec![7; PAGE]),
        };
        let wrong = session.call(empty).await.expect_err("no change is counted");
        assert!(wrong.message.contains("count of changes"), "{wrong}");
        assert_eq!(rows(&session, handle).await, 0);
    });
}
