//! Two devices of one owner and one database: what each wrote while it did not see the other.

#![cfg(feature = "sql")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::rc::Rc;

use common::{
    World, run,
    sql::{config, device_of, open, own, query, script, snapshot},
};
use craftec_api::{
    ApiError, BranchRow, Command, ConflictKind, ErrorCode, MergeStrategy, Reply, SqlMerged,
    SqlValue,
};
use craftec_core::head::head_key;
use craftec_node::{Node, Session};
use craftec_platform::sim::SimDisk;

const SHOP: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INT);
    INSERT INTO item VALUES (1, 'tea', 3), (2, 'salt', 1);";

async fn publish(session: &Session, handle: u64) -> Result<bool, ApiError> {
    let name = Some("shop".to_owned());
    match session.call(Command::SqlSnapshot { handle, name, replicas: Some(1) }).await? {
        Reply::Snapshot(snapshot) => Ok(!snapshot.waits),
        other => panic!("{other:?}"),
    }
}

async fn branches(session: &Session, handle: u64) -> Vec<BranchRow> {
    match session.call(Command::SqlBranches { handle }).await {
        Ok(Reply::Branches { branches }) => branches,
        other => panic!("{other:?}"),
    }
}

async fn merge(
    session: &Session,
    handle: u64,
    branch: &str,
    strategy: MergeStrategy,
) -> Result<SqlMerged, ApiError> {
    let branch = branch.to_owned();
    match session.call(Command::SqlMerge { handle, branch, strategy }).await? {
        Reply::Merged(merged) => Ok(merged),
        other => panic!("{other:?}"),
    }
}

/// A device of the owner, with the database open.
struct Device {
    node: Rc<Node>,
    session: Session,
    handle: u64,
}

impl Device {
    async fn of(node: Rc<Node>) -> Self {
        let session = node.session();
        let handle = own(&session, "shop").await;
        Self { node, session, handle }
    }

    async fn write(&self, sql: &str) {
        script(&self.session, self.handle, sql).await.expect("written");
    }

    async fn publish(&self) -> Result<bool, ApiError> {
        publish(&self.session, self.handle).await
    }

    async fn branches(&self) -> Vec<String> {
        let rows = branches(&self.session, self.handle).await.into_iter();
        rows.map(|row| format!("{}{}", row.name, if row.merged { " merged" } else { "" })).collect()
    }

    async fn merge(&self, branch: &str, strategy: MergeStrategy) -> SqlMerged {
        merge(&self.session, self.handle, branch, strategy).await.expect("an answer")
    }

    async fn rows(&self) -> Vec<(i64, i64)> {
        rows(&self.session, self.handle).await
    }
}

async fn rows(session: &Session, handle: u64) -> Vec<(i64, i64)> {
    let sql = "SELECT id, price FROM item ORDER BY id";
    let rows = query(session, handle, sql, &[]).await.expect("rows").rows.into_iter();
    rows.map(|row| match row[..] {
        [SqlValue::Integer(id), SqlValue::Integer(price)] => (id, price),
        _ => panic!("{row:?}"),
    })
    .collect()
}

/// What a stranger reads, whom nobody contradicts.
async fn read(session: &Session, uri: &str) -> Vec<(i64, i64)> {
    let opened = open(session, uri).await.expect("it opens");
    assert!(!opened.equivocation);
    rows(session, opened.handle).await
}

/// Two devices that have the same database, and a stranger who keeps it.
async fn three(world: &Rc<World>) -> (Device, Device, Rc<Node>) {
    let disks = [SimDisk::new(), SimDisk::new()];
    let laptop = world.node_on(1, &disks[0], config(&disks[0])).await;
    let phone = device_of(world, &laptop, 2, &disks[1]).await;
    let keeper = world.node(3).await;
    assert_eq!(laptop.keys().did(), phone.keys().did());
    let (laptop, phone) = (Device::of(laptop).await, Device::of(phone).await);
    for device in [&laptop, &phone] {
        world.link(device.node.keys().peer_id(), keeper.keys().peer_id());
    }
    laptop.write(SHOP).await;
    assert_eq!(laptop.publish().await, Ok(true));
    world.sleep(20).await;
    assert!(phone.merge("craftobj://me/shop", MergeStrategy::Stop).await.made);
    assert_eq!(phone.rows().await, laptop.rows().await);
    (laptop, phone, keeper)
}

#[test]
fn the_second_who_publishes_is_refused_and_loses_nothing() {
    run(|world| async move {
        let (laptop, phone, keeper) = three(&world).await;
        laptop.write("UPDATE item SET price = 4 WHERE id = 1").await;
        phone.write("INSERT INTO item VALUES (3, 'oil', 9)").await;
        assert_eq!(laptop.publish().await, Ok(true));
        world.sleep(20).await;
        let refused = phone.publish().await.expect_err("the head moved on");
        assert_eq!(refused.code, ErrorCode::Conflict, "{refused:?}");
        assert!(refused.message.contains("is kept as `work-1`"), "{refused:?}");
        // Again is the same branch, with what was written since.
        phone.write("INSERT INTO item VALUES (4, 'rye', 2)").await;
        assert_eq!(phone.publish().await.expect_err("still").code, ErrorCode::Conflict);
        assert_eq!(phone.branches().await, ["published", "work-1"]);
        let merged = phone.merge("published", MergeStrategy::Stop).await;
        assert!(merged.made && merged.conflicts.is_empty());
        assert_eq!(phone.rows().await, [(1, 4), (2, 1), (3, 9), (4, 2)]);
        assert_eq!(phone.branches().await, ["work-1 merged"]);
        assert_eq!(phone.publish().await, Ok(true));
        assert_eq!(phone.branches().await, [""; 0]);
        world.sleep(20).await;
        // The first goes on from there, and a reader sees it.
        assert_eq!(laptop.branches().await, ["published"]);
        assert!(laptop.merge("published", MergeStrategy::Stop).await.made);
        assert_eq!(laptop.rows().await, phone.rows().await);
        let uri = format!("craftobj://{}/shop", laptop.node.keys().did());
        let reader = keeper.session();
        assert_eq!(read(&reader, &uri).await, phone.rows().await);
    });
}

#[test]
fn each_conflict_is_named_and_a_branch_can_be_merged_where_another_device_won() {
    run(|world| async move {
        let (laptop, phone, _keeper) = three(&world).await;
        laptop.write("UPDATE item SET price = 4 WHERE id = 1").await;
        phone.write("UPDATE item SET price = 5 WHERE id = 1; DELETE FROM item WHERE id = 2").await;
        assert_eq!(laptop.publish().await, Ok(true));
        world.sleep(20).await;
        assert!(phone.publish().await.is_err());
        let stopped = phone.merge("published", MergeStrategy::Stop).await;
        assert!(!stopped.made && stopped.conflicting == 1);
        let conflict = &stopped.conflicts[0];
        assert_eq!(conflict.kind, ConflictKind::Changed);
        assert_eq!(
            (conflict.table.as_str(), &conflict.key[..]),
            ("item", &[SqlValue::Integer(1)][..])
        );
        assert_eq!(phone.rows().await, [(1, 5)], "nothing happened");
        // The phone goes over to what is published, and takes its own work in again afterwards.
        let cid = stopped.cid.expect("the other");
        let restore = Command::SqlRestore { handle: phone.handle, cid };
        assert_eq!(phone.session.call(restore).await, Ok(Reply::Done));
        assert_eq!(phone.rows().await, [(1, 4), (2, 1)]);
        let merged = phone.merge("work-1", MergeStrategy::Theirs).await;
        assert_eq!((merged.made, merged.conflicting), (true, 1));
        assert_eq!(phone.rows().await, [(1, 5)]);
        assert!(phone.publish().await.is_err(), "it does not stand on the head yet");
        assert!(phone.merge("published", MergeStrategy::Ours).await.made);
        assert_eq!(phone.publish().await, Ok(true));
        world.sleep(20).await;
        assert!(laptop.merge("published", MergeStrategy::Stop).await.made);
        assert_eq!(laptop.rows().await, [(1, 5)]);
    });
}

#[test]
fn without_peers_a_publication_waits_and_no_number_is_signed_twice() {
    run(|world| async move {
        let (laptop, phone, keeper) = three(&world).await;
        let [laptop_id, phone_id, keeper_id] =
            [&laptop.node, &phone.node, &keeper].map(|node| node.keys().peer_id());
        world.leave(phone_id);
        world.leave(laptop_id);
        laptop.write("UPDATE item SET price = 4 WHERE id = 1").await;
        phone.write("UPDATE item SET price = 7 WHERE id = 2").await;
        assert_eq!(laptop.publish().await, Ok(false), "it waits");
        assert_eq!(phone.publish().await, Ok(false), "it waits");
        // Its owner reads it under its name all the same.
        let opened = open(&laptop.session, "craftobj://me/shop").await.expect("it opens");
        assert_eq!(rows(&laptop.session, opened.handle).await, [(1, 4), (2, 1)]);
        world.sleep(60).await;
        for id in [laptop_id, phone_id] {
            world.come_back(id);
            world.link(id, keeper_id);
            world.sleep(30).await;
        }
        assert_eq!(laptop.branches().await, [""; 0], "the first is published by itself");
        assert_eq!(phone.branches().await, ["published", "work-1"], "the second is kept");
        assert!(phone.merge("published", MergeStrategy::Stop).await.made);
        assert_eq!(phone.publish().await, Ok(true));
        world.sleep(20).await;
        let uri = format!("craftobj://{}/shop", laptop.node.keys().did());
        let reader = keeper.session();
        assert_eq!(read(&reader, &uri).await, [(1, 4), (2, 7)]);
    });
}

#[test]
fn what_waits_is_published_after_a_restart() {
    run(|world| async move {
        let disk = SimDisk::new();
        let device = Device::of(world.node_on(1, &disk, config(&disk)).await).await;
        device.write(SHOP).await;
        assert_eq!(device.publish().await, Ok(false));
        let id = device.node.keys().peer_id();
        device.node.stop().await;
        drop(device);
        let node = world.node_on(1, &disk, config(&disk)).await;
        let reader = world.node(2).await;
        world.link(id, reader.keys().peer_id());
        world.sleep(20).await;
        let uri = format!("craftobj://{}/shop", node.keys().did());
        let session = reader.session();
        let opened = open(&session, &uri).await.expect("it opens");
        assert_eq!(rows(&session, opened.handle).await, [(1, 3), (2, 1)]);
    });
}

#[test]
fn what_can_not_be_merged_is_said() {
    run(|world| async move {
        let (laptop, phone, keeper) = three(&world).await;
        let code = async |device: &Device, branch: &str| {
            let merged = merge(&device.session, device.handle, branch, MergeStrategy::Stop).await;
            merged.expect_err(branch).code
        };
        assert_eq!(code(&laptop, "nothing").await, ErrorCode::NotFound);
        assert_eq!(code(&laptop, "craftobj://me/other").await, ErrorCode::Unavailable);
        let theirs = format!("craftobj://{}/shop", keeper.keys().did());
        assert_eq!(code(&laptop, &theirs).await, ErrorCode::NotFound);
        assert_eq!(code(&laptop, "craftobj://").await, ErrorCode::NotFound);
        let drop = Command::SqlDropBranch { handle: laptop.handle, branch: "work-1".to_owned() };
        let dropped = laptop.session.call(drop).await.expect_err("there is none");
        assert_eq!(dropped.code, ErrorCode::NotFound);
        // A schema of each: nothing is merged, and nothing is lost.
        laptop.write("ALTER TABLE item ADD COLUMN a").await;
        phone.write("ALTER TABLE item ADD COLUMN b").await;
        snapshot(&laptop.session, laptop.handle, Some("shop"), 1).await;
        world.sleep(20).await;
        assert_eq!(code(&phone, "published").await, ErrorCode::Conflict);
        assert!(query(&phone.session, phone.handle, "SELECT b FROM item", &[]).await.is_ok());
        assert!(phone.publish().await.is_err());
        assert_eq!(phone.branches().await, ["published", "work-1"]);
        let drop = Command::SqlDropBranch { handle: phone.handle, branch: "work-1".to_owned() };
        assert_eq!(phone.session.call(drop).await, Ok(Reply::Done));
        assert_eq!(phone.branches().await, ["published"]);
    });
}

#[test]
fn what_is_published_beside_it_does_not_undo_what_a_device_published() {
    run(|world| async move {
        let (laptop, phone, _keeper) = three(&world).await;
        let key = head_key(&laptop.node.keys().did(), "shop");
        let before = world.records(key);
        laptop.write("INSERT INTO item VALUES (10, 'oil', 9)").await;
        assert_eq!(laptop.publish().await, Ok(true));
        // The DHT has two minds: where the phone asks, nobody has heard of that.
        world.set_records(key, before);
        for id in [11, 12] {
            phone.write(&format!("INSERT INTO item VALUES ({id}, 'rye', 2)")).await;
            assert_eq!(phone.publish().await, Ok(true));
        }
        world.sleep(20).await;
        assert_eq!(laptop.branches().await, ["published"]);
        assert!(laptop.merge("published", MergeStrategy::Stop).await.made);
        assert_eq!(laptop.rows().await, [(1, 3), (2, 1), (10, 9), (11, 2), (12, 2)]);
    });
}

/// The DHT has two minds for a moment: neither device sees what the other writes.
async fn two_minds(world: &World, one: &Device, other: &Device) {
    let key = head_key(&one.node.keys().did(), "shop");
    let before = world.records(key);
    assert_eq!(one.publish().await, Ok(true));
    let first = world.records(key);
    world.set_records(key, before);
    assert_eq!(other.publish().await, Ok(true));
    let second = world.records(key);
    world.set_records(key, [first, second].concat());
}

#[test]
fn two_that_publish_in_one_moment_go_on_once_both_are_merged() {
    run(|world| async move {
        let (laptop, phone, keeper) = three(&world).await;
        laptop.write("UPDATE item SET price = 4 WHERE id = 1").await;
        phone.write("UPDATE item SET price = 7 WHERE id = 2").await;
        two_minds(&world, &laptop, &phone).await;
        let uri = format!("craftobj://{}/shop", laptop.node.keys().did());
        let reader = keeper.session();
        assert!(open(&reader, &uri).await.expect("it opens").equivocation, "readers are told");

        laptop.write("UPDATE item SET price = 5 WHERE id = 1").await;
        let refused = laptop.publish().await.expect_err("nothing was merged");
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert!(refused.message.contains("contradict each other"), "{refused}");
        assert!(laptop.merge("published", MergeStrategy::Stop).await.made);
        assert_eq!(laptop.publish().await, Ok(true));
        world.sleep(20).await;
        assert_eq!(read(&reader, &uri).await, [(1, 5), (2, 7)]);

        phone.write("UPDATE item SET price = 9 WHERE id = 2").await;
        assert_eq!(phone.publish().await.map_err(|error| error.code), Err(ErrorCode::Conflict));
        assert!(phone.merge("published", MergeStrategy::Stop).await.made);
        assert_eq!(phone.publish().await, Ok(true));
        world.sleep(20).await;
        assert_eq!(read(&reader, &uri).await, [(1, 5), (2, 9)]);
    });
}

#[test]
fn a_third_device_settles_what_two_that_are_lost_have_published() {
    run(|world| async move {
        let (laptop, phone, keeper) = three(&world).await;
        laptop.write("UPDATE item SET price = 4 WHERE id = 1").await;
        phone.write("UPDATE item SET price = 7 WHERE id = 2").await;
        two_minds(&world, &laptop, &phone).await;
        world.sleep(20).await;
        let disk = SimDisk::new();
        let tablet = Device::of(device_of(&world, &laptop.node, 4, &disk).await).await;
        world.link(tablet.node.keys().peer_id(), keeper.keys().peer_id());
        for device in [&laptop, &phone] {
            world.leave(device.node.keys().peer_id());
        }
        assert!(tablet.merge("craftobj://me/shop", MergeStrategy::Theirs).await.made);
        assert!(tablet.publish().await.is_err(), "one of them is not in it");
        assert!(tablet.merge("craftobj://me/shop", MergeStrategy::Theirs).await.made);
        assert_eq!(tablet.publish().await, Ok(true));
        world.sleep(20).await;
        let reader = keeper.session();
        let uri = format!("craftobj://{}/shop", tablet.node.keys().did());
        assert_eq!(read(&reader, &uri).await, [(1, 4), (2, 7)]);
    });
}

/// A device that reads a name of its own sees what another device made of it.
#[test]
fn a_site_that_another_device_moved_is_the_newer_one_here_too() {
    run(|world| async move {
        let (desk, phone) = (SimDisk::new(), SimDisk::new());
        let one = world.node_on(1, &desk, config(&desk)).await;
        let other = device_of(&world, &one, 2, &phone).await;
        world.link(one.keys().peer_id(), other.keys().peer_id());
        let (author, reader) = (one.session(), other.session());
        let site = async |body: &[u8]| {
            let (cid, label) =
                common::publish(&author, &[("index.html", body)], Some("blog"), 0).await;
            world.sleep(2).await;
            (cid, label.expect("a label"))
        };
        let seen = async |name: &str| match reader
            .call(Command::Resolve { name: name.to_owned() })
            .await
        {
            Ok(Reply::Resolved { cid, seq, .. }) => (cid, seq),
            found => panic!("{found:?}"),
        };
        let (first, label) = site(b"one").await;
        assert_eq!(seen(&label).await, (first, 0));
        let (second, _) = site(b"two").await;
        world.sleep(31).await;
        assert_eq!(seen(&label).await, (second, 1));
        // And goes on from it.
        let (third, _) =
            common::publish(&reader, &[("index.html", b"three")], Some("blog"), 0).await;
        assert_eq!(seen(&label).await, (third, 2));
        // With nobody there, it is what is known.
        world.leave(one.keys().peer_id());
        assert_eq!(seen(&label).await, (third, 2));
    });
}
