//! Objects from node to node: put here, read there, whoever lies or is gone.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::rc::Rc;

use common::{bytes, get, lie_as, publish, put, run};
use craftec_api::{Command, ErrorCode, Reply, Role};
use craftec_core::{Cid, Codec, PeerId, cbor};
use craftec_node::Config;
use craftec_obj::replicate::wire::{self as hold, Ask, Release};
use craftec_p2p::Rpc;
use craftec_platform::sim::SimDisk;
use futures::StreamExt;

#[test]
fn what_one_node_puts_another_reads() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        for len in [0, 5, 300 << 10, (1 << 20) - 1, 1 << 20, 9_000_001] {
            let content = bytes(len as u64, len);
            let cid = put(&a.session(), &content, 0).await;
            assert!(get(&b.session(), cid, "").await == Ok(content), "{len} bytes");
        }
        let Ok(Reply::Status(status)) = b.session().call(Command::Status).await else { panic!() };
        assert!(status.peers[0].received > 9_000_001, "{:?}", status.peers);
    });
}

#[test]
fn a_restart_finds_everything() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, Config::new(Role::Tab)).await;
        let (did, peer) = (a.keys().did(), a.keys().peer_id());
        let content = bytes(7, 3 << 20);
        let cid = put(&a.session(), &content, 0).await;
        let site = publish(&a.session(), &[("index.html", b"hello")], Some("home"), 0).await;
        a.stop().await;
        drop(a);
        let a = world.node_on(99, &disk, Config::new(Role::Tab)).await;
        assert_eq!((a.keys().did(), a.keys().peer_id()), (did, peer));
        assert!(get(&a.session(), cid, "").await == Ok(content));
        assert_eq!(get(&a.session(), site.0, "").await, Ok(b"hello".to_vec()));
        let Ok(Reply::Objects { objects }) = a.session().call(Command::Objects).await else {
            panic!()
        };
        assert_eq!(objects.len(), 2);
        let Ok(Reply::Sites { sites }) = a.session().call(Command::Sites).await else { panic!() };
        assert_eq!((sites[0].cid, &sites[0].label), (site.0, &site.1));
        let name = site.1.expect("a label");
        let resolved = a.session().call(Command::Resolve { name }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { cid, seq: 0, .. }) if cid == site.0));
    });
}

#[test]
fn an_unknown_cid_fails_in_bounded_time_and_says_who_was_asked() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        let unknown = Cid::of(Codec::Raw, b"nobody has this");
        let error = get(&a.session(), unknown, "").await.unwrap_err();
        assert_eq!((error.code, error.retryable), (ErrorCode::Unavailable, true));
        assert!(error.message.contains("no peer could be asked"), "{error}");
        assert!((5..=15).contains(&world.seconds()), "{} s", world.seconds());
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let error = get(&a.session(), unknown, "").await.unwrap_err();
        assert!(error.message.contains("1 peer was asked"), "{error}");
        assert!(error.message.contains(&unknown.to_string()), "{error}");
        assert!(world.seconds() <= 40, "{} s", world.seconds());
    });
}

#[test]
fn wrong_bytes_are_caught_and_the_liar_is_dropped() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        let content = bytes(3, 4 << 20);
        let cid = put(&a.session(), &content, 0).await;
        let liar = PeerId::from_public_key([0; 32]);
        lie_as(&world, liar);
        world.provide(&cid, liar);
        world.link(b.keys().peer_id(), liar);
        let reader = b.session();
        let alone = get(&reader, cid, "").await.unwrap_err();
        assert_eq!(alone.code, ErrorCode::Unavailable, "{alone}");
        world.link(a.keys().peer_id(), b.keys().peer_id());
        assert!(get(&reader, cid, "").await == Ok(content));
    });
}

async fn signed(node: &Rc<craftec_node::Node>, cid: Cid) -> u16 {
    match node.session().call(Command::Stat { cid }).await {
        Ok(Reply::Stat(stat)) => stat.health.signed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_holder_signs_and_serves_when_the_author_is_gone() {
    run(|world| async move {
        let (a, b, c) = (world.node(1).await, world.node(2).await, world.node(3).await);
        let ids = [&a, &b, &c].map(|node| node.keys().peer_id());
        world.link(ids[0], ids[1]);
        let content = bytes(5, 5 << 20);
        let cid = put(&a.session(), &content, 1).await;
        let files: [(&str, &[u8]); 2] = [("index.html", b"<p>hi"), ("a/b.txt", b"deep")];
        let (site, label) = publish(&a.session(), &files, Some("garden"), 1).await;
        world.sleep(3).await;
        assert_eq!((signed(&a, cid).await, signed(&a, site).await), (1, 1));
        let Ok(Reply::Status(status)) = b.session().call(Command::Status).await else { panic!() };
        assert!(status.storage.for_others > 5 << 20, "{:?}", status.storage);

        world.leave(ids[0]);
        world.link(ids[1], ids[2]);
        assert!(get(&c.session(), cid, "").await == Ok(content));
        assert_eq!(get(&c.session(), site, "a/b.txt").await, Ok(b"deep".to_vec()));
        // The DHT forgot; the holder reminds it of the head too.
        let key = craftec_core::head::head_key(&a.keys().did(), "garden");
        assert_eq!(world.records(key).len(), 1);
        world.set_records(key, Vec::new());
        world.sleep(30).await;
        world.leave(ids[2]);
        world.come_back(ids[2]);
        world.link(ids[1], ids[2]);
        world.sleep(3).await;
        let name = label.expect("a label");
        let resolved = c.session().call(Command::Resolve { name }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { cid, .. }) if cid == site), "{resolved:?}");
    });
}

#[test]
fn a_holder_lets_go_when_it_is_told() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let cid = put(&a.session(), &bytes(6, 2 << 20), 3).await;
        world.sleep(5).await;
        let Ok(Reply::Stat(stat)) = a.session().call(Command::Stat { cid }).await else { panic!() };
        assert_eq!((stat.health.wanted, stat.health.signed, stat.health.reachable), (3, 1, 1));
        assert!(stat.holders[0].signed && stat.holders[0].bytes > 2 << 20, "{:?}", stat.holders);
        assert_eq!(a.session().call(Command::Unpin { cid }).await, Ok(Reply::Done));
        world.sleep(5).await;
        for node in [&a, &b] {
            assert_eq!(node.store().used_bytes().expect("a figure"), 0);
        }
    });
}

#[test]
fn a_node_that_lends_nothing_refuses_and_says_why() {
    run(|world| async move {
        let a = world.node(1).await;
        let b = world.node(2).await;
        let none = Command::LendSpace { bytes: Some(0) };
        assert_eq!(b.session().call(none).await, Ok(Reply::Done));
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let cid = put(&a.session(), &bytes(6, 100), 2).await;
        world.sleep(5).await;
        let Ok(Reply::Stat(stat)) = a.session().call(Command::Stat { cid }).await else { panic!() };
        let error = stat.holders[0].error.as_deref().expect("a reason");
        assert!(error.contains("it lends 0 bytes"), "{error}");
        assert_eq!(b.store().blocks().expect("a figure"), 0);
    });
}

#[test]
fn only_who_asked_for_a_copy_can_end_it() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let content = bytes(6, 2 << 20);
        let cid = put(&a.session(), &content, 1).await;
        world.sleep(5).await;
        // Another peer claims to be the owner.
        let thief = PeerId::from_public_key([9; 32]);
        let rpc = Rpc::new(world.network(thief, 8 << 20), Rc::new(world.clock.clone()));
        let release = Release { root: cid, owner: a.keys().did() };
        let body = cbor::encode(&Ask::Release(release)).expect("encodes");
        let mut told = rpc.subscribe(b.keys().peer_id(), hold::PROTOCOL, body);
        told.next().await.expect("an answer").expect("a frame");
        world.sleep(5).await;
        world.leave(a.keys().peer_id());
        assert!(get(&b.session(), cid, "").await == Ok(content));
    });
}

#[test]
fn a_holder_that_died_while_it_pulled_is_asked_again() {
    run(|world| async move {
        let a = world.node(1).await;
        let disk = SimDisk::new();
        let b = world.node_on(2, &disk, Config::new(Role::Tab)).await;
        let ids = [&a, &b].map(|node| node.keys().peer_id());
        world.link(ids[0], ids[1]);
        let content = bytes(6, 20 << 20);
        let cid = put(&a.session(), &content, 1).await;
        b.stop().await;
        drop(b);
        world.leave(ids[1]);
        world.sleep(60).await;
        assert_eq!(signed(&a, cid).await, 0);
        world.come_back(ids[1]);
        let b = world.node_on(2, &disk, Config::new(Role::Tab)).await;
        world.link(ids[0], ids[1]);
        world.sleep(60).await;
        assert_eq!(signed(&a, cid).await, 1);
        world.leave(ids[0]);
        assert!(get(&b.session(), cid, "").await == Ok(content.clone()));
        // The holder starts again and is found by who never met it or the author.
        b.stop().await;
        drop(b);
        world.forget_providers();
        let b = world.node_on(2, &disk, Config::new(Role::Tab)).await;
        let (c, d) = (world.node(3).await, world.node(4).await);
        world.link(b.keys().peer_id(), c.keys().peer_id());
        world.link(d.keys().peer_id(), c.keys().peer_id());
        world.sleep(5).await;
        assert!(get(&d.session(), cid, "").await == Ok(content));
    });
}

#[test]
fn a_pin_keeps_what_others_wrote_and_an_unpin_frees_it() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        let ids = [&a, &b].map(|node| node.keys().peer_id());
        world.link(ids[0], ids[1]);
        let shared = bytes(1, 500 << 10);
        let files = |own: &'static [u8]| [("same.bin", shared.as_slice()), ("own.txt", own)];
        let (one, _) = publish(&a.session(), &files(b"one"), None, 0).await;
        let (two, _) = publish(&a.session(), &files(b"two"), None, 0).await;
        for cid in [one, two] {
            assert_eq!(b.session().call(Command::Pin { cid }).await, Ok(Reply::Done));
        }
        world.leave(ids[0]);
        assert_eq!(b.session().call(Command::Unpin { cid: one }).await, Ok(Reply::Done));
        let left = b.store().blocks().expect("a figure");
        assert_eq!(left, 3, "the shared file, the other's own file, its folder");
        assert!(get(&b.session(), two, "same.bin").await == Ok(shared));
        let again = b.session().call(Command::Unpin { cid: one }).await.unwrap_err();
        assert_eq!(again.code, ErrorCode::NotFound);
    });
}

#[test]
fn a_full_disk_refuses_a_put_and_loses_nothing() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, Config::new(Role::Tab)).await;
        let kept = bytes(1, 2 << 20);
        let cid = put(&a.session(), &kept, 0).await;
        disk.set_capacity(Some(disk.used_bytes() + (9 << 20)));
        let session = a.session();
        let big = bytes(2, 30 << 20);
        let open = Command::PutOpen { replicas: Some(0), redundancy: None, name: None };
        let Ok(Reply::Handle { handle }) = session.call(open).await else { panic!() };
        let mut refused = None;
        for chunk in big.chunks(1 << 20) {
            let chunk = Command::PutChunk { handle, bytes: serde_bytes::ByteBuf::from(chunk) };
            refused = session.call(chunk).await.err();
            if refused.is_some() {
                break;
            }
        }
        let refused = refused.expect("the disk is full");
        assert_eq!((refused.code, refused.retryable), (ErrorCode::Full, true), "{refused}");
        assert_eq!(session.call(Command::Close { handle }).await, Ok(Reply::Done));
        assert!(get(&session, cid, "").await == Ok(kept.clone()));
        world.sleep(60).await;
        assert!(a.store().used_bytes().expect("a figure") < 3 << 20, "what was half put is freed");
        disk.set_capacity(None);
        let again = put(&session, &big, 0).await;
        a.stop().await;
        drop((session, a));
        let a = world.node_on(1, &disk, Config::new(Role::Tab)).await;
        for (cid, content) in [(cid, kept), (again, big)] {
            assert!(get(&a.session(), cid, "").await == Ok(content));
        }
    });
}
