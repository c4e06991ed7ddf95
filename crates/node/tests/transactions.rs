//! Transactions that stay open between two commands: alone with the database, and not for ever.

#![cfg(feature = "sql")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{cell::Cell, time::Duration};

use common::{
    World, run,
    sql::{config, own, query, script, snapshot},
};
use craftec_api::{ApiError, Command, ErrorCode, Reply, SqlTurn, SqlValue};
use craftec_node::Session;
use craftec_platform::{Clock as _, sim::SimDisk};

async fn begin(session: &Session, handle: u64) -> Result<u64, ApiError> {
    match session.call(Command::SqlTransaction { handle }).await? {
        Reply::Handle { handle } => Ok(handle),
        other => panic!("{other:?}"),
    }
}

async fn finish(session: &Session, handle: u64, commit: bool) -> Result<(), ApiError> {
    match session.call(Command::SqlFinish { handle, commit }).await? {
        Reply::Done => Ok(()),
        other => panic!("{other:?}"),
    }
}

async fn count(session: &Session, handle: u64) -> Result<i64, ApiError> {
    let rows = query(session, handle, "SELECT count(*) FROM t", &[]).await?.rows;
    match rows[0][0] {
        SqlValue::Integer(count) => Ok(count),
        _ => panic!("{rows:?}"),
    }
}

async fn fresh(world: &World) -> (Session, Session, u64, u64) {
    two_sessions(world, None).await
}

/// Sessions of a node whose statements pause.
async fn pausing(world: &World) -> (Session, Session, u64, u64) {
    two_sessions(world, Some(Duration::from_millis(1))).await
}

async fn two_sessions(world: &World, slice: Option<Duration>) -> (Session, Session, u64, u64) {
    let disk = SimDisk::new();
    let mut config = config(&disk);
    config.statement_slice = slice;
    let node = world.node_on(1, &disk, config).await;
    let (one, other) = (node.session(), node.session());
    let (mine, theirs) = (own(&one, "shop").await, own(&other, "shop").await);
    script(&one, mine, "CREATE TABLE t (a UNIQUE)").await.expect("made");
    (one, other, mine, theirs)
}

#[test]
fn what_is_written_counts_when_it_is_committed_and_other_writers_wait_for_that() {
    run(|world| async move {
        let (one, other, mine, theirs) = fresh(&world).await;
        let open = begin(&one, mine).await.expect("begun");
        query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect("written");
        script(&one, open, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")
            .await
            .expect("too");
        assert_eq!(count(&one, open).await, Ok(3), "it sees its own");
        // A statement that fails leaves the others in it.
        let failed = query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect_err("twice");
        assert_eq!(failed.code, ErrorCode::BadInput);
        let (wrote, seen, _) = futures::join!(
            query(&other, theirs, "UPDATE t SET a = a + 10", &[]),
            count(&other, theirs),
            async {
                world.sleep(2).await;
                query(&one, open, "DELETE FROM t WHERE a = 3", &[]).await.expect("deleted");
                assert_eq!(count(&other, theirs).await, Ok(0), "who only reads waits for nobody");
                finish(&one, open, true).await.expect("committed");
            }
        );
        assert_eq!(seen, Ok(0));
        assert_eq!(wrote.expect("its turn").changes, 2, "who waited sees all of it");
        let gone = count(&one, open).await.expect_err("it has ended");
        assert_eq!(gone.code, ErrorCode::NotFound);

        let open = begin(&other, theirs).await.expect("begun");
        query(&other, open, "DELETE FROM t", &[]).await.expect("deleted");
        finish(&other, open, false).await.expect("rolled back");
        assert_eq!(count(&one, mine).await, Ok(2));
        snapshot(&one, mine, None, 0).await;
    });
}

#[test]
fn it_does_not_outlive_its_client_nor_its_time() {
    run(|world| async move {
        let (one, other, mine, theirs) = fresh(&world).await;
        for ending in 0..4 {
            let open = begin(&one, mine).await.expect("begun");
            query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect("written");
            let begun = world.clock.monotonic();
            let word = match ending {
                // Nothing is said.
                0 => {
                    world.sleep(6).await;
                    finish(&one, open, true).await.expect_err("too late")
                }
                // It lasts too long.
                1 => loop {
                    world.sleep(3).await;
                    if let Err(error) = count(&one, open).await {
                        let lasted = (world.clock.monotonic() - begun).as_secs();
                        assert!((30..36).contains(&lasted), "{lasted}");
                        break error;
                    }
                },
                // A statement ends it.
                2 => {
                    query(&one, open, "ROLLBACK", &[]).await.expect("said");
                    count(&one, open).await.expect_err("ended")
                }
                // The handle is closed.
                _ => {
                    one.call(Command::Close { handle: open }).await.expect("closed");
                    ApiError::new(ErrorCode::Aborted, "")
                }
            };
            assert_eq!(word.code, ErrorCode::Aborted, "{ending}: {word:?}");
            assert_eq!(count(&other, theirs).await, Ok(0), "nothing of it happened");
            drop(one.call(Command::Close { handle: open }).await);
        }
        // A session that is gone, with a transaction open in it.
        let open = begin(&one, mine).await.expect("begun");
        query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect("written");
        drop(one);
        assert_eq!(count(&other, theirs).await, Ok(0));
    });
}

#[test]
fn who_waits_for_it_too_long_is_told() {
    run(|world| async move {
        let (one, other, mine, theirs) = fresh(&world).await;
        let open = begin(&one, mine).await.expect("begun");
        let insert = query(&other, theirs, "INSERT INTO t VALUES (1)", &[]);
        let (waited, _) = futures::join!(insert, async {
            for _ in 0..4 {
                world.sleep(2).await;
                count(&one, open).await.expect("it goes on");
            }
        });
        let busy = waited.expect_err("it waited for as long as a statement may take");
        assert!(busy.retryable && busy.code == ErrorCode::Refused, "{busy:?}");
        let twice = begin(&one, mine).await.expect_err("one at a time");
        assert!(twice.retryable, "{twice:?}");
        let reserve = Command::SqlReserve { handle: theirs, state: 0 };
        let taken = Ok(Reply::Turn { turn: SqlTurn::Taken });
        assert_eq!(other.call(reserve).await, taken, "a program with an SQLite of its own waits");
        finish(&one, open, true).await.expect("committed");
        let wrong = finish(&one, mine, true).await.expect_err("no transaction");
        assert_eq!(wrong.code, ErrorCode::BadInput);
    });
}

/// Counts for ever.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

/// Lets everything else have some turns.
async fn turns(world: &World, count: u32) {
    for _ in 0..count {
        world.clock.give_way().await;
    }
}

#[test]
fn while_a_statement_pauses_its_node_does_everything_else() {
    run(|world| async move {
        let (one, other, mine, _) = pausing(&world).await;
        let long = format!("{ENDLESS} INSERT INTO t SELECT i FROM n LIMIT 100000");
        let done = Cell::new(false);
        let writing = async {
            query(&one, mine, &long, &[]).await.expect("written");
            done.set(true);
        };
        let meanwhile = async {
            turns(&world, 3).await;
            let cid = common::put(&other, b"meanwhile", 0).await;
            let got = common::get(&other, cid, "").await.expect("it is here");
            assert_eq!(got, b"meanwhile");
            let another = own(&other, "another").await;
            script(&other, another, "CREATE TABLE t (a)").await.expect("made");
            assert!(!done.get(), "it goes on");
        };
        futures::join!(writing, meanwhile);
        assert_eq!(count(&one, mine).await, Ok(100_000));
    });
}

#[test]
fn who_only_reads_does_not_wait_for_a_transaction() {
    run(|world| async move {
        let (one, other, mine, theirs) = fresh(&world).await;
        let setup = "INSERT INTO t VALUES (-1); CREATE TEMP TABLE own (a);";
        script(&one, mine, setup).await.expect("made");
        let open = begin(&one, mine).await.expect("begun");
        query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect("written");
        let reads = async {
            let sums = (0..20).map(|_| query(&other, theirs, "SELECT sum(a) FROM t", &[]));
            let sums = futures::future::join_all(sums).await;
            sums.iter().all(|sum| sum.as_ref().expect("a sum").rows[0][0] == SqlValue::Integer(-1))
        };
        assert!(reads.await && !one_is_over(&world));
        // What only the first connection has, and what is wrong, waits for it.
        let (own, wrong, ()) = futures::join!(
            query(&other, theirs, "SELECT count(*) FROM own", &[]),
            query(&other, theirs, "SELECT nonsense FROM t", &[]),
            async {
                world.sleep(2).await;
                finish(&one, open, true).await.expect("committed");
            }
        );
        assert!(own.is_ok() && one_is_over(&world));
        assert_eq!(wrong.expect_err("there is no such column").code, ErrorCode::BadInput);
        assert_eq!(count(&other, theirs).await, Ok(2));
    });
}

/// Whether more than a second passed.
fn one_is_over(world: &World) -> bool {
    world.seconds() >= 1
}

#[test]
fn a_transaction_can_be_given_up_while_a_statement_of_it_pauses() {
    run(|world| async move {
        let (one, other, mine, theirs) = pausing(&world).await;
        let open = begin(&one, mine).await.expect("begun");
        query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect("written");
        let reads = format!("{ENDLESS} SELECT count(*) FROM n");
        let (ran, next, ()) = futures::join!(
            query(&one, open, &reads, &[]),
            // It waits for that, and then there is no transaction.
            query(&one, open, "INSERT INTO t VALUES (2)", &[]),
            async {
                turns(&world, 3).await;
                finish(&one, open, false).await.expect("given up");
            }
        );
        assert_eq!(ran.expect_err("ended").code, ErrorCode::Aborted);
        assert_eq!(next.expect_err("too late").code, ErrorCode::Aborted);
        assert_eq!(count(&other, theirs).await, Ok(0));
    });
}

#[test]
fn a_statement_that_nobody_waits_for_ends_its_transaction_if_it_wrote() {
    run(|world| async move {
        let (one, other, mine, theirs) = pausing(&world).await;
        let open = begin(&one, mine).await.expect("begun");
        query(&one, open, "INSERT INTO t VALUES (1)", &[]).await.expect("written");
        let dropped = async |sql: String| {
            let running = query(&one, open, &sql, &[]);
            let turns = turns(&world, 3);
            futures::pin_mut!(running, turns);
            let first = futures::future::select(running, turns).await;
            assert!(matches!(first, futures::future::Either::Right(_)), "it had an end");
        };
        dropped(format!("{ENDLESS} SELECT count(*) FROM n")).await;
        assert_eq!(count(&one, open).await, Ok(1), "what only read goes alone");
        dropped(format!("{ENDLESS} INSERT INTO t SELECT -i FROM n")).await;
        let late = query(&one, open, "INSERT INTO t VALUES (3)", &[]).await;
        assert_eq!(late.expect_err("SQLite took all of it back").code, ErrorCode::Aborted);
        assert_eq!(count(&other, theirs).await, Ok(0));
        script(&other, theirs, "INSERT INTO t VALUES (4)").await.expect("nobody has the turn");
    });
}
