//! Coded objects between nodes: spread, read with many holders gone, mended when the author is.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{rc::Rc, time::Duration};

use common::{World, bytes, get, run};
use craftec_api::{Command, ObjectHealth, Reply, Role};
use craftec_core::Cid;
use craftec_node::{Config, Node};
use craftec_platform::sim::SimDisk;
use serde_bytes::ByteBuf;

/// Turns of healers in these tests.
const SLOT: Duration = Duration::from_secs(20);

/// Puts an object as the defaults say.
async fn put(node: &Rc<Node>, content: &[u8]) -> Cid {
    let session = node.session();
    let open = Command::PutOpen { replicas: None, redundancy: None, name: None };
    let Ok(Reply::Handle { handle }) = session.call(open).await else { panic!("put_open") };
    for chunk in content.chunks(1 << 20) {
        let chunk = Command::PutChunk { handle, bytes: ByteBuf::from(chunk) };
        assert_eq!(session.call(chunk).await, Ok(Reply::Done));
    }
    match session.call(Command::PutClose { handle }).await {
        Ok(Reply::Stored { cid, .. }) => cid,
        other => panic!("put_close: {other:?}"),
    }
}

async fn health(node: &Rc<Node>, cid: Cid) -> ObjectHealth {
    match node.session().call(Command::Stat { cid }).await {
        Ok(Reply::Stat(stat)) => stat.health,
        other => panic!("stat: {other:?}"),
    }
}

async fn node(world: &World, seed: u64) -> Rc<Node> {
    let config = Config { mend_slot: Some(SLOT), ..Config::new(Role::Relay) };
    world.node_on(seed, &SimDisk::new(), config).await
}

fn link_all(world: &World, new: &Rc<Node>, others: &[Rc<Node>]) {
    others.iter().for_each(|other| world.link(new.keys().peer_id(), other.keys().peer_id()));
}

/// Nodes that all know each other.
async fn nodes(world: &World, count: u64) -> Vec<Rc<Node>> {
    let mut nodes = Vec::new();
    for seed in 0..count {
        let new = node(world, 100 + seed).await;
        link_all(world, &new, &nodes);
        nodes.push(new);
    }
    nodes
}

/// Waits until every shard has a holder.
async fn placed(world: &World, author: &Rc<Node>, cid: Cid) -> ObjectHealth {
    for _ in 0..300 {
        let health = health(author, cid).await;
        if health.needed > 1 && health.signed == health.wanted {
            return health;
        }
        world.sleep(1).await;
    }
    panic!("not placed: {:?}", health(author, cid).await);
}

async fn kill(world: &World, node: &Rc<Node>) {
    world.leave(node.keys().peer_id());
    node.stop().await;
}

#[test]
fn a_file_is_read_from_any_shards_that_suffice() {
    run(|world| async move {
        let all = nodes(&world, 11).await;
        let content = bytes(1, 5_000_000);
        let cid = put(&all[0], &content).await;
        let health = placed(&world, &all[0], cid).await;
        assert_eq!(health.wanted, 20);
        assert!((8..=9).contains(&health.needed), "{health:?}");
        kill(&world, &all[0]).await;
        // Each of ten has two shards of twenty; five are enough.
        for gone in &all[1..6] {
            kill(&world, gone).await;
        }
        let reader = node(&world, 1).await;
        link_all(&world, &reader, &all[6..]);
        let began = world.seconds();
        assert!(get(&reader.session(), cid, "").await == Ok(content));
        assert!(world.seconds() - began <= 5, "{} s", world.seconds() - began);
    });
}

#[test]
fn holders_mend_what_is_lost_when_the_author_is_gone() {
    run(|world| async move {
        let mut all = nodes(&world, 13).await;
        let content = bytes(2, 3 << 20);
        let cid = put(&all[0], &content).await;
        placed(&world, &all[0], cid).await;
        kill(&world, &all.remove(0)).await;
        for gone in all.drain(..6) {
            kill(&world, &gone).await;
        }
        // Every minute one is replaced, until none of the first is left, and once more.
        for turn in 0..14 {
            let new = node(&world, 200 + turn).await;
            link_all(&world, &new, &all);
            all.push(new);
            world.sleep(60).await;
            kill(&world, &all.remove(0)).await;
            let reader = node(&world, 1000 + turn).await;
            link_all(&world, &reader, &all);
            assert!(get(&reader.session(), cid, "").await == Ok(content.clone()), "turn {turn}");
            kill(&world, &reader).await;
        }
    });
}

#[test]
fn few_nodes_keep_copies_and_small_objects_too() {
    run(|world| async move {
        let all = nodes(&world, 5).await;
        let large = put(&all[0], &bytes(3, 2 << 20)).await;
        world.sleep(20).await;
        let copies = health(&all[0], large).await;
        assert_eq!((copies.wanted, copies.signed, copies.needed), (3, 3, 1));
        let all = nodes(&world, 9).await;
        let small = put(&all[0], &bytes(4, 500_000)).await;
        world.sleep(20).await;
        let copies = health(&all[0], small).await;
        assert_eq!((copies.wanted, copies.signed, copies.needed), (3, 3, 1));
    });
}

#[test]
fn a_restarted_author_knows_its_shards_and_replaces_the_lost() {
    run(|world| async move {
        let mut all = nodes(&world, 9).await;
        let disk = SimDisk::new();
        let config = || Config { mend_slot: Some(SLOT), ..Config::new(Role::Relay) };
        let author = world.node_on(1, &disk, config()).await;
        link_all(&world, &author, &all);
        let content = bytes(5, 2_500_000);
        let cid = put(&author, &content).await;
        let before = placed(&world, &author, cid).await;
        author.stop().await;
        drop(author);
        let author = world.node_on(1, &disk, config()).await;
        assert_eq!(health(&author, cid).await.signed, before.signed);
        kill(&world, &all.remove(0)).await;
        link_all(&world, &author, &all);
        // Longer than a holder may be away.
        world.sleep(700).await;
        let after = health(&author, cid).await;
        assert_eq!((after.wanted, after.reachable), (before.wanted, before.wanted), "{after:?}");
        for gone in all.drain(..4) {
            kill(&world, &gone).await;
        }
        kill(&world, &author).await;
        let reader = node(&world, 7).await;
        link_all(&world, &reader, &all);
        assert!(get(&reader.session(), cid, "").await == Ok(content));
    });
}
