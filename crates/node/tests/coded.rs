//! Coded objects between nodes: spread, read with many holders gone, mended when the author is.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use common::{World, bytes, get, lie_as, put_as, run, run_for};
use craftec_api::{Command, ObjectHealth, Reply, Role};
use craftec_core::{Cid, Codec, cbor};
use craftec_node::{Config, Node};
use craftec_obj::{
    Block,
    audit::wire as audits,
    coded::{Code, Coding, Generation, Spread, leaves},
    exchange::{CODE_PROTOCOL, wire::PROTOCOL},
    replicate::{LentRecord, TERM_MS},
    store::Meta,
    unixfs::FileBuilder,
};
use craftec_p2p::Rpc;
use craftec_platform::{Clock, sim::SimDisk};

/// Turns of healers in these tests.
const SLOT: Duration = Duration::from_secs(20);

/// Puts an object as the defaults say.
async fn put(node: &Rc<Node>, content: &[u8]) -> Cid {
    put_as(&node.session(), content, None).await
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

/// From now on streams to `id` are taken, and nothing comes of them.
fn fall_silent(world: &World, id: craftec_core::PeerId) {
    world.come_back(id);
    let rpc = Rpc::new(world.network(id, 8 << 20), Rc::new(world.clock.clone()));
    for protocol in [PROTOCOL, CODE_PROTOCOL] {
        rpc.serve(protocol, Rc::new(|_, _, _| Box::pin(std::future::pending())));
    }
}

/// What the dead had is computed at once, generation after generation, though the DHT still names them
/// and nothing answers where they were.
#[test]
fn the_dead_are_not_waited_for() {
    run(|world| async move {
        let all = nodes(&world, 25).await;
        let content = bytes(14, 34 << 20);
        let cid = put(&all[0], &content).await;
        let health = placed(&world, &all[0], cid).await;
        assert!(health.wanted >= 20, "{health:?}");
        for gone in &all[..13] {
            kill(&world, gone).await;
            fall_silent(&world, gone.keys().peer_id());
            world.provide(&cid, gone.keys().peer_id());
        }
        let reader = node(&world, 1).await;
        link_all(&world, &reader, &all[13..]);
        let began = world.clock.monotonic();
        assert!(get(&reader.session(), cid, "").await == Ok(content));
        let took = world.clock.monotonic() - began;
        assert!(took < Duration::from_millis(250), "{took:?}");
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

/// A code that says that it is of `object`, and is of other bytes: its block and its coded pieces.
fn false_code(object: Cid, other: &[u8]) -> (Block, Vec<Block>) {
    let mut builder = FileBuilder::new();
    let mut blocks = builder.push(other);
    let built = builder.finish();
    blocks.extend(built.blocks);
    let find = |cid: &Cid| blocks.iter().find(|block| block.cid() == cid).expect("a block").clone();
    let (size, leaves) = leaves(&[find(&built.cid)]).expect("leaves");
    let spread = Spread::new(size, 20, 250).expect("a spread");
    let sources: Vec<Bytes> = leaves.iter().map(|leaf| find(leaf).bytes().clone()).collect();
    let k = spread.sources(0);
    let shape = Generation::new(k, spread.layout().piece_bytes as usize);
    let indices: Vec<u8> = (k..spread.pieces(0) as u8).collect();
    let pieces = shape.encode(&sources, &indices).expect("encodes");
    let cids: Vec<Cid> = pieces.iter().map(|piece| *piece.cid()).collect();
    let code = Code::new(object, &spread, &cids).and_then(|code| code.block()).expect("a code");
    (code, pieces)
}

#[test]
fn a_code_of_something_else_is_found_out_and_set_aside() {
    run(|world| async move {
        let all = nodes(&world, 11).await;
        let content = bytes(6, 4_000_000);
        let cid = put(&all[0], &content).await;
        placed(&world, &all[0], cid).await;
        let (code, pieces) = false_code(cid, &bytes(7, 4_000_000));
        let root = all[0].objects().exchange().local(&cid).expect("reads").expect("is here");
        let lies = Coding::new(&code, std::slice::from_ref(&root))
            .expect("it looks like a code of the file");
        // More of those than of the others: theirs is tried first.
        let mut liars = Vec::new();
        for seed in 0..14 {
            let liar = node(&world, 500 + seed).await;
            let blocks = [&pieces[..], &[code.clone(), root.clone()]].concat();
            liar.store().cache(&blocks).expect("stores");
            for index in 0..20 {
                let shard = lies.shard(index).and_then(|s| s.block().ok()).expect("a shard");
                liar.objects().exchange().keeps_shard(cid, *code.cid(), index, *shard.cid());
            }
            world.provide(&cid, liar.keys().peer_id());
            liars.push(liar);
        }
        for gone in &all[..6] {
            kill(&world, gone).await;
        }
        let reader = node(&world, 1).await;
        link_all(&world, &reader, &liars);
        link_all(&world, &reader, &all[6..]);
        assert!(get(&reader.session(), cid, "").await == Ok(content));
    });
}

#[test]
fn polluters_are_dropped_while_enough_others_are_reached() {
    for polluters in [1, 3] {
        run(move |world| async move {
            let all = nodes(&world, 11).await;
            let content = bytes(8, 5_000_000);
            let cid = put(&all[0], &content).await;
            placed(&world, &all[0], cid).await;
            kill(&world, &all[0]).await;
            // Of ten holders some give wrong bytes, and three are gone: four honest ones are enough.
            for liar in &all[1..=polluters] {
                lie_as(&world, liar.keys().peer_id());
            }
            for gone in &all[8..] {
                kill(&world, gone).await;
            }
            let reader = node(&world, 1).await;
            link_all(&world, &reader, &all[1..8]);
            assert!(get(&reader.session(), cid, "").await == Ok(content), "{polluters}");
        });
    }
}

#[test]
fn with_fewer_shards_than_needed_it_is_said_and_not_waited_for_long() {
    run(|world| async move {
        let all = nodes(&world, 11).await;
        let cid = put(&all[0], &bytes(9, 5_000_000)).await;
        placed(&world, &all[0], cid).await;
        for gone in &all[..8] {
            kill(&world, gone).await;
        }
        let reader = node(&world, 1).await;
        link_all(&world, &reader, &all[8..]);
        let began = world.seconds();
        let error = get(&reader.session(), cid, "").await.unwrap_err();
        assert!(error.retryable, "{error}");
        assert!(world.seconds() - began <= 30, "{} s", world.seconds() - began);
    });
}

#[test]
fn a_holder_refuses_what_is_no_shard_of_its_code() {
    run(|world| async move {
        let (a, b) = (node(&world, 1).await, node(&world, 2).await);
        link_all(&world, &a, std::slice::from_ref(&b));
        let stray = Block::of(Codec::DagCbor, &b"\xa0"[..]).expect("a block");
        a.store().cache(std::slice::from_ref(&stray)).expect("stores");
        assert!(b.objects().check_shard(stray.cid()).is_err());
        let content = bytes(10, 2_000_000);
        let cid = put(&a, &content).await;
        let made = a.objects().make_shards(cid, 20..=20, 250).await.expect("made");
        assert_eq!(
            a.objects().check_shard(&made.shards[3].root).map_err(|e| e.to_string()),
            Ok(())
        );
        // The same pieces under another number.
        let mut other = made.coding.shard(3).expect("a shard");
        other.index = 4;
        let other = other.block().expect("a block");
        a.store().cache(std::slice::from_ref(&other)).expect("stores");
        assert!(a.objects().check_shard(other.cid()).is_err());
    });
}

/// What a node keeps for others, with the keys of its records.
fn lent(node: &Rc<Node>) -> Vec<(Vec<u8>, LentRecord)> {
    let rows = node.store().meta_scan(Meta::Lent).expect("reads");
    let read = |value: &[u8]| cbor::decode(value, 512).expect("a record");
    rows.into_iter().map(|(key, value)| (key, read(&value))).collect()
}

#[test]
fn promises_are_renewed_without_their_author() {
    run(|world| async move {
        let mut all = nodes(&world, 8).await;
        let cid = put(&all[0], &bytes(11, 2_000_000)).await;
        placed(&world, &all[0], cid).await;
        kill(&world, &all.remove(0)).await;
        // As if most of their time were over.
        let now_ms = Clock::now(&world.clock).0;
        for holder in &all {
            for (key, mut record) in lent(holder) {
                record.until_ms = now_ms + TERM_MS / 3;
                let value = cbor::encode(&record).expect("encodes");
                holder.store().meta_put(Meta::Lent, key, value).expect("writes");
            }
        }
        world.sleep(5 * SLOT.as_secs()).await;
        for holder in &all {
            let mut until = BTreeMap::new();
            for (_, record) in lent(holder) {
                let last = until.entry(record.root).or_insert(0);
                *last = record.until_ms.max(*last);
            }
            assert!(!until.is_empty());
            assert!(until.values().all(|until| *until > now_ms + TERM_MS * 9 / 10), "{until:?}");
        }
    });
}

#[test]
fn one_holder_is_enough_to_find_all() {
    run(|world| async move {
        let all = nodes(&world, 11).await;
        let content = bytes(12, 3_000_000);
        let cid = put(&all[0], &content).await;
        placed(&world, &all[0], cid).await;
        kill(&world, &all[0]).await;
        world.sleep(20 * SLOT.as_secs()).await;
        world.forget_providers();
        let reader = node(&world, 1).await;
        // Of the others it knows no more than the one that it is connected to.
        link_all(&world, &reader, &all[4..5]);
        assert!(get(&reader.session(), cid, "").await == Ok(content));
    });
}

/// Holders say that they have their shards and have nothing to show: audits find it out, and what they
/// had is made again elsewhere.
#[test]
fn who_says_that_it_has_what_it_has_not_is_replaced() {
    run_for(Duration::from_secs(12 * 3600), |world| async move {
        let mut all = nodes(&world, 9).await;
        let cid = put(&all[0], &bytes(13, 2_000_000)).await;
        placed(&world, &all[0], cid).await;
        kill(&world, &all.remove(0)).await;
        for liar in all.split_off(4) {
            show_nothing(&world, liar.keys().peer_id());
        }
        // Four holders are left, and are all that is left of the file: others come to help.
        for seed in 0..6 {
            let new = node(&world, 300 + seed).await;
            link_all(&world, &new, &all);
            all.push(new);
        }
        for _ in 0..60 {
            world.sleep(600).await;
            let of = |node: &Rc<Node>| node.objects().exchange().shards_of(&cid);
            let held: BTreeSet<u8> = all.iter().flat_map(of).map(|(_, index, _)| index).collect();
            // Half more than the nine that are needed.
            if held.len() >= 14 && all[4..].iter().any(|new| !of(new).is_empty()) {
                return;
            }
        }
        panic!("nobody made anything again");
    });
}

/// From now on `id` has nothing to show when it is audited.
fn show_nothing(world: &World, id: craftec_core::PeerId) {
    let rpc = Rpc::new(world.network(id, 8 << 20), Rc::new(world.clock.clone()));
    rpc.serve(
        audits::PROTOCOL,
        Rc::new(|_, _, body| {
            let request = audits::Request::decode(&body).expect("a request");
            let items = vec![audits::Item::Missing; request.challenges.len()];
            let answer = audits::Answer::Proofs(items).encode().expect("encodes");
            Box::pin(async move { Bytes::from(answer) })
        }),
    );
    // It must outlive the test; its tasks hold what it needs.
    std::mem::forget(rpc);
}
