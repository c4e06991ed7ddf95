//! Small objects that are put together are kept together by their holders, are found and read one by one,
//! and are deleted one by one.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use common::{World, bytes, get, put, run, run_for};
use craftec_api::{Command, Reply, Role};
use craftec_core::Cid;
use craftec_node::{Config, Node};
use craftec_obj::{
    pack::Pack,
    replicate::LentRecord,
    store::{Meta, PACK_FILE},
};
use craftec_platform::sim::SimDisk;

/// Turns of those who look after copies.
const SLOT: Duration = Duration::from_secs(20);
const OBJECTS: u64 = 200;

fn config() -> Config {
    Config { mend_slot: Some(SLOT), ..Config::new(Role::Relay) }
}

/// A node that knows `others`.
async fn node(world: &World, seed: u64, disk: &SimDisk, others: &[Rc<Node>]) -> Rc<Node> {
    let node = world.node_on(seed, disk, config()).await;
    others.iter().for_each(|other| world.link(node.keys().peer_id(), other.keys().peer_id()));
    node
}

async fn nodes(world: &World, count: u64) -> Vec<Rc<Node>> {
    let mut nodes = Vec::new();
    for seed in 0..count {
        nodes.push(node(world, 100 + seed, &SimDisk::new(), &nodes).await);
    }
    nodes
}

/// What a node keeps for others.
fn lent(node: &Node) -> Vec<LentRecord> {
    let rows = node.store().meta_scan(Meta::Lent).expect("reads");
    let read = |value: &[u8]| craftec_core::cbor::decode(value, 512).expect("a record");
    rows.iter().map(|(_, value)| read(value)).collect()
}

/// The objects of packs that a node keeps for others.
fn packed(node: &Node) -> BTreeSet<Cid> {
    let pack = |record: LentRecord| {
        let block = node.store().get(&record.root).expect("reads")?;
        Some(Pack::read(&block)?.members().to_vec())
    };
    lent(node).into_iter().filter_map(pack).flatten().collect()
}

fn content(n: u64) -> Vec<u8> {
    bytes(n, 1000 + n as usize)
}

async fn put_all(node: &Rc<Node>, objects: std::ops::Range<u64>) -> Vec<Cid> {
    let session = node.session();
    let mut cids = Vec::new();
    for n in objects {
        cids.push(put(&session, &content(n), 3).await);
    }
    cids
}

async fn signed(node: &Rc<Node>, cid: Cid) -> (u16, u16) {
    match node.session().call(Command::Stat { cid }).await {
        Ok(Reply::Stat(stat)) => (stat.health.signed, stat.health.wanted),
        other => panic!("stat: {other:?}"),
    }
}

async fn unpin(node: &Rc<Node>, cid: Cid) {
    assert_eq!(node.session().call(Command::Unpin { cid }).await, Ok(Reply::Done));
}

#[test]
fn many_small_objects_cost_like_one_and_outlive_their_author() {
    run_for(Duration::from_secs(8 * 3600), |world| async move {
        let mut all = nodes(&world, 8).await;
        let author = all.remove(0);
        let cids = put_all(&author, 0..OBJECTS).await;
        world.sleep(10).await;
        for cid in &cids {
            assert_eq!(signed(&author, *cid).await, (3, 3));
        }
        // One placement record, and one promise of each holder.
        assert_eq!(author.store().meta_scan(Meta::Placement).expect("reads").len(), 1);
        let promises: Vec<usize> = all.iter().map(|node| lent(node).len()).collect();
        assert_eq!(promises.iter().sum::<usize>(), 3, "{promises:?}");
        world.leave(author.keys().peer_id());
        author.stop().await;
        // Whoever promised one is replaced, until none of the first is left.
        for round in 0..5 {
            let at = all.iter().position(|node| !lent(node).is_empty()).expect("a holder");
            let gone = all.remove(at);
            world.leave(gone.keys().peer_id());
            gone.stop().await;
            let new = node(&world, 200 + round, &SimDisk::new(), &all).await;
            all.push(new);
            world.sleep(2 * SLOT.as_secs()).await;
        }
        let reader = node(&world, 1000, &SimDisk::new(), &all).await;
        for (n, cid) in cids.iter().enumerate() {
            assert!(get(&reader.session(), *cid, "").await == Ok(content(n as u64)), "object {n}");
        }
        let holders = all.iter().filter(|node| packed(node).len() == cids.len()).count();
        assert!((2..=4).contains(&holders), "{holders} holders");
    });
}

#[test]
fn what_is_deleted_goes_and_what_is_left_stays() {
    run(|world| async move {
        let all = nodes(&world, 6).await;
        let (author, others) = (&all[0], &all[1..]);
        let cids = put_all(author, 0..OBJECTS).await;
        world.sleep(10).await;
        let (deleted, left) = cids.split_at(OBJECTS as usize * 2 / 3);
        for cid in deleted {
            unpin(author, *cid).await;
            let here = author.store().get(cid).expect("reads");
            assert_eq!(here, None, "its space is free at once");
        }
        world.sleep(30).await;
        for cid in left {
            assert_eq!(signed(author, *cid).await, (3, 3));
        }
        let kept: BTreeSet<Cid> = left.iter().copied().collect();
        for holder in others.iter().filter(|node| !lent(node).is_empty()) {
            assert_eq!((lent(holder).len(), packed(holder)), (1, kept.clone()));
            for cid in deleted {
                assert_eq!(holder.store().get(cid).expect("reads"), None);
            }
        }
        // The rest goes as one.
        for cid in left {
            unpin(author, *cid).await;
        }
        world.sleep(10).await;
        assert!(others.iter().all(|node| lent(node).is_empty()));
        assert_eq!(author.store().meta_scan(Meta::Pack).expect("reads"), []);
        assert_eq!(author.store().meta_scan(Meta::Placement).expect("reads"), []);
    });
}

#[test]
fn nothing_is_placed_anew_after_a_restart() {
    run(|world| async move {
        let others = nodes(&world, 4).await;
        let disk = SimDisk::new();
        let author = node(&world, 1, &disk, &others).await;
        let mut cids = put_all(&author, 0..20).await;
        world.sleep(5).await;
        cids.extend(put_all(&author, 20..21).await);
        world.sleep(5).await;
        let before: Vec<Vec<LentRecord>> = others.iter().map(|node| lent(node)).collect();
        world.leave(author.keys().peer_id());
        author.stop().await;
        drop(author);
        world.sleep(1).await;
        let again = world.node_on(1, &disk, config()).await;
        world.come_back(again.keys().peer_id());
        others.iter().for_each(|n| world.link(n.keys().peer_id(), again.keys().peer_id()));
        world.sleep(30).await;
        for cid in &cids {
            assert_eq!(signed(&again, *cid).await, (3, 3));
        }
        let after: Vec<Vec<LentRecord>> = others.iter().map(|node| lent(node)).collect();
        assert_eq!(after, before);
        assert_eq!(before.iter().flatten().count(), 6);
        // Nobody else is wanted any more, and a few objects leave without the others.
        unpin(&again, cids[3]).await;
        unpin(&again, cids[20]).await;
        world.sleep(5).await;
        assert_eq!(others.iter().flat_map(|node| lent(node)).count(), 3);
        assert_eq!(signed(&again, cids[4]).await, (3, 3));
    });
}

#[test]
fn objects_that_came_one_by_one_are_packed_when_they_are_many() {
    run(|world| async move {
        let all = nodes(&world, 5).await;
        let (author, others) = (&all[0], &all[1..]);
        let mut cids = Vec::new();
        for n in 0..70 {
            cids.extend(put_all(author, n..n + 1).await);
            world.sleep(2).await;
        }
        world.sleep(20).await;
        for cid in &cids {
            assert_eq!(signed(author, *cid).await, (3, 3));
        }
        let promises = others.iter().flat_map(|node| lent(node)).count();
        assert!(promises <= 3 + 3 * 7, "{promises} promises");
        assert!(author.store().meta_scan(Meta::Placement).expect("reads").len() <= 8);
        // Each has its bytes, whoever is asked.
        let reader = node(&world, 1000, &SimDisk::new(), others).await;
        for (n, cid) in cids.iter().enumerate() {
            assert!(get(&reader.session(), *cid, "").await == Ok(content(n as u64)), "object {n}");
        }
    });
}

#[test]
fn what_is_deleted_or_rots_before_its_pack_is_placed_keeps_nothing_from_being_placed() {
    run_for(Duration::from_secs(8 * 3600), |world| async move {
        let disk = SimDisk::new();
        let others = nodes(&world, 4).await;
        let lend = async |bytes| {
            for other in &others {
                let lent = other.session().call(Command::LendSpace { bytes: Some(bytes) }).await;
                assert_eq!(lent, Ok(Reply::Done));
            }
        };
        lend(0).await;
        let author = node(&world, 1, &disk, &others).await;
        // Long enough that each is in the file of blocks.
        let mut cids = Vec::new();
        for n in 0..10 {
            cids.push(put(&author.session(), &bytes(n, 30_000), 3).await);
        }
        world.sleep(5).await;
        assert_eq!(author.store().meta_scan(Meta::Pack).expect("reads").len(), 1);
        unpin(&author, cids[3]).await;
        let place = author.store().place_of(&cids[7]).expect("reads").expect("in the pack");
        assert!(disk.rot(PACK_FILE, place.offset + place.bytes / 2, 0x20));
        assert!(get(&author.session(), cids[7], "").await.is_err(), "it is noticed");
        lend(1 << 30).await;
        // They asked not to be asked for an hour.
        world.sleep(2 * 3600).await;
        for (n, cid) in cids.iter().enumerate().filter(|(n, _)| ![3, 7].contains(n)) {
            assert_eq!(signed(&author, *cid).await, (3, 3), "object {n}");
        }
        assert_eq!(author.store().meta_scan(Meta::Pack).expect("reads").len(), 1);
    });
}
