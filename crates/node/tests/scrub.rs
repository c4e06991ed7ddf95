//! Bits rot on one node's disk: scrubbing finds them and fetches the blocks again from others.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::rc::Rc;

use common::{World, bytes, get, put, run};
use craftec_api::{Command, Reply, Role};
use craftec_core::{Cid, Codec};
use craftec_node::{Config, Node};
use craftec_obj::store::{INDEX_FILE, PACK_FILE, PinReason, Placed};
use craftec_platform::sim::SimDisk;
use serde_bytes::ByteBuf;

/// A node that reads everything within minutes.
async fn eager(world: &World, seed: u64, disk: &SimDisk) -> Rc<Node> {
    let config = Config { scrub_bytes_per_hour: Some(u64::MAX), ..Config::new(Role::Relay) };
    world.node_on(seed, disk, config).await
}

/// Where the blocks of a node are in its pack.
fn places(node: &Node) -> Vec<Placed> {
    let cids = node.store().iterate(None, 10_000).expect("a list");
    cids.iter().filter_map(|cid| node.store().place_of(cid).expect("a place")).collect()
}

fn rot(disk: &SimDisk, place: &Placed) {
    assert!(disk.rot(PACK_FILE, place.offset + place.bytes / 2, 0x20));
}

/// Two nodes with a copy each of one object: the owner and the holder.
async fn pair(world: &World, disks: &[SimDisk; 2]) -> (Rc<Node>, Rc<Node>, Cid, Vec<u8>) {
    let (a, b) = (eager(world, 1, &disks[0]).await, eager(world, 2, &disks[1]).await);
    world.link(a.keys().peer_id(), b.keys().peer_id());
    let content = bytes(7, 3_000_000);
    let cid = put(&a.session(), &content, 1).await;
    for _ in 0..600 {
        if b.store().pins().expect("pins").iter().any(|(_, pin)| pin.reason == PinReason::Lent)
            && b.store().blocks().expect("a count") == a.store().blocks().expect("a count")
        {
            break;
        }
        world.sleep(1).await;
    }
    assert_eq!(a.store().blocks().expect("a count"), b.store().blocks().expect("a count"));
    (a, b, cid, content)
}

#[test]
fn what_rots_at_the_owner_or_at_a_holder_is_found_and_fetched_again() {
    run(|world| async move {
        let disks = [SimDisk::new(), SimDisk::new()];
        let (a, b, cid, content) = pair(&world, &disks).await;
        let places = [places(&a), places(&b)];
        // A leaf here and there, never the same on both, and a node that names leaves.
        for (n, place) in places[0].iter().enumerate().filter(|(n, _)| n % 3 == 0) {
            assert!(place.cid.codec() == Codec::DagPb || n % 3 == 0);
            rot(&disks[0], place);
        }
        for (_, place) in places[1].iter().enumerate().filter(|(n, _)| n % 3 == 1) {
            rot(&disks[1], place);
        }
        let rotten =
            |places: &[Placed], which| (0..places.len()).filter(|n| n % 3 == which).count();
        let expected = [rotten(&places[0], 0) as u64, rotten(&places[1], 1) as u64];
        assert!(expected[0] > 5 && expected[1] > 5);
        for _ in 0..60 {
            world.sleep(60).await;
            let missing = a.objects().scrub_report().missing + b.objects().scrub_report().missing;
            let rounds = a.objects().scrub_report().rounds.min(b.objects().scrub_report().rounds);
            if rounds > 1 && missing == 0 {
                break;
            }
        }
        for (node, expected) in [(&a, expected[0]), (&b, expected[1])] {
            let report = node.objects().scrub_report();
            assert_eq!((report.rotten, report.repaired, report.missing), (expected, expected, 0));
            assert!(report.scanned_bytes > content.len() as u64, "{report:?}");
        }
        // Each has everything, alone.
        let (first, second) = (a.keys().peer_id(), b.keys().peer_id());
        world.leave(second);
        assert!(get(&a.session(), cid, "").await == Ok(content.clone()));
        world.come_back(second);
        world.leave(first);
        assert!(get(&b.session(), cid, "").await == Ok(content));
    });
}

#[test]
fn what_rots_while_nobody_is_there_is_kept_in_mind_and_its_leaves_are_not_swept() {
    run(|world| async move {
        let disks = [SimDisk::new(), SimDisk::new()];
        let (a, b, cid, content) = pair(&world, &disks).await;
        let second = b.keys().peer_id();
        world.leave(second);
        let root = a.store().place_of(&cid).expect("a place").expect("in the pack");
        rot(&disks[0], &root);
        let before = a.store().blocks().expect("a count");
        world.sleep(900).await;
        let report = a.objects().scrub_report();
        assert_eq!((report.rotten, report.repaired, report.missing), (1, 0, 1), "{report:?}");
        assert!(a.objects().is_damaged(&cid));
        // Nothing names the leaves now, and yet they must stay.
        a.objects().free_cache().await.expect("a sweep");
        assert_eq!(a.store().blocks().expect("a count"), before - 1);
        world.come_back(second);
        world.link(a.keys().peer_id(), second);
        world.sleep(1200).await;
        let report = a.objects().scrub_report();
        assert_eq!((report.repaired, report.missing), (1, 0), "{report:?}");
        world.leave(second);
        assert!(get(&a.session(), cid, "").await == Ok(content));
    });
}

#[test]
fn a_node_whose_index_rotted_starts_and_fetches_what_it_lost() {
    run(|world| async move {
        let disks = [SimDisk::new(), SimDisk::new()];
        let (a, b, cid, content) = pair(&world, &disks).await;
        let (did, peer) = (a.keys().did(), a.keys().peer_id());
        a.stop().await;
        drop(a);
        world.sleep(60).await;
        let mut rebuilt = 0;
        let length = disks[0].len_of(INDEX_FILE).expect("an index");
        for at in (4096..length).step_by(4096) {
            let disk = disks[0].duplicate();
            disk.rot(INDEX_FILE, at + 40, 1);
            // Where the page held the identity the node says so and does not make another.
            let store = craftec_obj::Store::open(&disk).await;
            let Ok(store) = store else { continue };
            if store.rebuilt().is_none() {
                continue;
            }
            rebuilt += 1;
            let lost = store.has_lost_records().expect("an answer");
            drop(store);
            if lost {
                let store = craftec_obj::Store::open(&disk).await.expect("a store");
                let entropy = craftec_platform::sim::SimEntropy::new(99);
                let keys = craftec_node::Keys::load_or_create(&store, &entropy);
                assert!(keys.is_err() || keys.is_ok_and(|keys| keys.did() == did));
                continue;
            }
            let a = eager(&world, 99, &disk).await;
            assert_eq!((a.keys().did(), a.keys().peer_id()), (did, peer));
            world.link(peer, b.keys().peer_id());
            world.sleep(300).await;
            assert_eq!(a.objects().scrub_report().missing, 0, "page {at}");
            world.leave(b.keys().peer_id());
            let read = get(&a.session(), cid, "").await;
            let (read, pins) = (read.map(|read| read == content), a.store().pins());
            assert_eq!(read, Ok(true), "page {at}: {pins:?}");
            world.come_back(b.keys().peer_id());
            a.stop().await;
            drop(a);
            world.sleep(60).await;
        }
        assert!(rebuilt > 2, "{rebuilt} rebuilt");
    });
}

/// Every block of a shard that a holder keeps rots, one after the other: each is made again from what
/// the others have.
#[test]
fn what_rots_of_a_shard_is_made_again_from_others() {
    run(|world| async move {
        let disk = SimDisk::new();
        let holder = eager(&world, 50, &disk).await;
        let mut all = vec![holder.clone()];
        for seed in 0..9 {
            let new = world.node(60 + seed).await;
            all.iter().for_each(|other| world.link(new.keys().peer_id(), other.keys().peer_id()));
            all.push(new);
        }
        let open = Command::PutOpen { replicas: None, redundancy: None, name: None };
        let session = all[9].session();
        let Ok(Reply::Handle { handle }) = session.call(open).await else { panic!("put_open") };
        for chunk in bytes(8, 3_000_000).chunks(1 << 20) {
            let chunk = Command::PutChunk { handle, bytes: ByteBuf::from(chunk) };
            assert_eq!(session.call(chunk).await, Ok(Reply::Done));
        }
        assert!(session.call(Command::PutClose { handle }).await.is_ok());
        world.sleep(60).await;
        world.leave(all[9].keys().peer_id());
        let whole = places(&holder);
        assert!(whole.len() >= 10, "{} blocks of shards", whole.len());
        for place in &whole {
            rot(&disk, place);
        }
        for _ in 0..50 {
            world.sleep(60).await;
            if holder.objects().scrub_report().repaired >= whole.len() as u64 {
                break;
            }
        }
        let report = holder.objects().scrub_report();
        assert_eq!((report.rotten, report.missing), (whole.len() as u64, 0), "{report:?}");
        let mut again: Vec<Cid> = places(&holder).iter().map(|place| place.cid).collect();
        let mut before: Vec<Cid> = whole.iter().map(|place| place.cid).collect();
        again.sort_unstable();
        before.sort_unstable();
        assert!(before.iter().all(|cid| again.binary_search(cid).is_ok()));
    });
}
