//! Which snapshots of a database stay: a rule lets the others go, and never what something else holds.

#![cfg(feature = "sql")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{
    run_for,
    sql::{config, open, own, query, script, snapshot},
};
use craftec_api::{Command, ErrorCode, Reply, Retention, SqlValue};
use craftec_core::Cid;
use craftec_node::Session;
use craftec_platform::sim::SimDisk;

const DAY_S: u64 = 24 * 60 * 60;
const MONTH: Duration = Duration::from_secs(30 * DAY_S);

async fn retain(session: &Session, handle: u64, rule: Option<Retention>) -> u64 {
    match session.call(Command::SqlRetain { handle, rule }).await {
        Ok(Reply::Retained { rule: now, dropped }) => {
            assert_eq!(now, rule);
            dropped
        }
        other => panic!("{other:?}"),
    }
}

async fn listed(session: &Session) -> Vec<Cid> {
    match session.call(Command::SqlSnapshots { name: "log".to_owned() }).await {
        Ok(Reply::Snapshots { snapshots }) => snapshots.iter().map(|row| row.cid).collect(),
        other => panic!("{other:?}"),
    }
}

/// One more line, and a snapshot of that.
async fn line(session: &Session, handle: u64, name: Option<&str>) -> Cid {
    script(session, handle, "INSERT INTO t VALUES (randomblob(3000))").await.expect("written");
    snapshot(session, handle, name, 1).await.cid
}

async fn lines(session: &Session, address: &str) -> Option<i64> {
    let opened = open(session, address).await.ok()?;
    let rows = query(session, opened.handle, "SELECT count(*) FROM t", &[]).await.ok()?.rows;
    session.call(Command::Close { handle: opened.handle }).await.ok()?;
    match rows.first()?.first()? {
        SqlValue::Integer(count) => Some(*count),
        _ => None,
    }
}

fn last(last: u32, days: u32) -> Option<Retention> {
    Some(Retention { last, days })
}

#[test]
fn old_snapshots_go_and_what_is_held_stays() {
    run_for(MONTH, |world| async move {
        let disk = SimDisk::new();
        let node = world.node_on(1, &disk, config(&disk)).await;
        let keeper = world.node(2).await;
        world.link(node.keys().peer_id(), keeper.keys().peer_id());
        let session = node.session();
        let handle = own(&session, "log").await;
        script(&session, handle, "CREATE TABLE t (body BLOB)").await.expect("made");
        let mut taken = Vec::new();
        for at in 0..12 {
            // The third is what a name says.
            taken.push(line(&session, handle, (at == 2).then_some("log")).await);
            world.sleep(60).await;
        }
        let blocks = |root: &Cid| node.store().has(root).expect("reads");
        assert!(taken.iter().all(blocks));
        let nothing = session.call(Command::SqlRetain { handle, rule: last(0, 0) }).await;
        assert_eq!(nothing.expect_err("one stays").code, ErrorCode::BadInput);
        assert_eq!(retain(&session, handle, last(4, 0)).await, 7);
        let now: BTreeSet<Cid> = listed(&session).await.into_iter().collect();
        let stays: BTreeSet<Cid> = taken[8..].iter().chain([&taken[2]]).copied().collect();
        assert_eq!(now, stays);
        // What went is gone, but for what the log still has; what stays is whole.
        assert!(!blocks(&taken[0]) && blocks(&taken[2]) && blocks(&taken[8]));
        for (at, root) in taken.iter().enumerate().filter(|(_, root)| stays.contains(root)) {
            assert_eq!(lines(&session, &format!("craftobj://{root}")).await, Some(at as i64 + 1));
        }
        // It holds for those that follow, also after a restart.
        let next = line(&session, handle, None).await;
        assert_eq!(listed(&session).await[..2], [next, taken[11]]);
        assert_eq!(listed(&session).await.len(), 5);
        assert_eq!(lines(&session, "craftobj://me/log").await, Some(3), "the name's");
        node.stop().await;
        drop((session, node));
        let node = world.node_on(1, &disk, config(&disk)).await;
        let session = node.session();
        let handle = own(&session, "log").await;
        // The name moves on: what it said before is not held any more.
        world.link(node.keys().peer_id(), keeper.keys().peer_id());
        let moved = line(&session, handle, Some("log")).await;
        // It may have waited for others, and so did what the name said before.
        world.sleep(60).await;
        let newest = line(&session, handle, None).await;
        let now = listed(&session).await;
        assert_eq!((now.len(), &now[..2]), (4, &[newest, moved][..]));
        assert!(!now.contains(&taken[2]));
    });
}

#[test]
fn young_snapshots_stay_for_their_days() {
    run_for(MONTH, |world| async move {
        let disk = SimDisk::new();
        let node = world.node_on(1, &disk, config(&disk)).await;
        let session = node.session();
        let handle = own(&session, "log").await;
        script(&session, handle, "CREATE TABLE t (body BLOB)").await.expect("made");
        assert_eq!(retain(&session, handle, last(1, 2)).await, 0);
        for _ in 0..4 {
            line(&session, handle, None).await;
            world.sleep(600).await;
        }
        assert_eq!(listed(&session).await.len(), 4);
        let days = |days: u64| world.sleep(days * DAY_S);
        days(1).await;
        line(&session, handle, None).await;
        assert_eq!(listed(&session).await.len(), 5);
        days(2).await;
        world.sleep(1).await;
        line(&session, handle, None).await;
        assert_eq!(listed(&session).await.len(), 1, "all others are older than two days");
        assert_eq!(retain(&session, handle, None).await, 0);
        line(&session, handle, None).await;
        days(9).await;
        line(&session, handle, None).await;
        assert_eq!(listed(&session).await.len(), 3);
    });
}
