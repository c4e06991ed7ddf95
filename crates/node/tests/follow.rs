//! Following a database: each new head within a second, only what changed on the way; a publisher who
//! goes, and peers who tell of heads that are none.

#![cfg(feature = "sql")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use common::{
    World, run,
    sql::{config, open, own, query, script, snapshot},
};
use craftec_api::{ApiError, Command, ErrorCode, OpenedDatabase, Reply, SqlValue};
use craftec_core::{
    Cid, Codec, PeerId,
    head::{Head, HeadRecord, SignedHead, head_key},
    record::Record,
};
use craftec_node::{Node, Session};
use craftec_p2p::{Protocol, Rpc};
use craftec_platform::{Clock as _, sim::SimDisk};
use futures::{StreamExt, stream};

const FILL: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    INSERT INTO t SELECT i, hex(zeroblob(80)) FROM n;";

async fn changed(session: &Session, handle: u64) -> Result<Option<OpenedDatabase>, ApiError> {
    match session.call(Command::SqlChanged { handle }).await? {
        Reply::Changed { database } => Ok(database),
        other => panic!("{other:?}"),
    }
}

/// A publisher with a database, and a reader who has it open.
async fn two(world: &Rc<World>) -> (Rc<Node>, Session, u64, Rc<Node>, Session, OpenedDatabase) {
    let disk = SimDisk::new();
    let a = world.node_on(1, &disk, config(&disk)).await;
    let b = world.node(2).await;
    world.link(a.keys().peer_id(), b.keys().peer_id());
    let session = a.session();
    let handle = own(&session, "shop").await;
    script(&session, handle, FILL).await.expect("it is filled");
    let uri = snapshot(&session, handle, Some("shop"), 0).await.uri.expect("an address");
    let reader = b.session();
    let opened = open(&reader, &uri).await.expect("it opens");
    (a, session, handle, b, reader, opened)
}

fn millis(world: &World) -> u64 {
    world.clock.monotonic().as_millis() as u64
}

/// Bytes that `node` received from others.
async fn received(node: &Rc<Node>) -> u64 {
    match node.session().call(Command::Status).await {
        Ok(Reply::Status(status)) => status.peers.iter().map(|peer| peer.received).sum(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_new_state_arrives_within_a_second_and_only_what_changed() {
    run(|world| async move {
        let (_a, session, handle, b, reader, opened) = two(&world).await;
        let whole = "SELECT sum(length(body)) FROM t";
        query(&reader, opened.handle, whole, &[]).await.expect("a row");
        let (mut sent, mut length) = (0, 160 * 5000_i64);
        let before = received(&b).await;
        for round in 1..=20_i64 {
            let waiting = changed(&reader, opened.handle);
            let write = async {
                world.sleep(3).await;
                let sql = format!("UPDATE t SET body = '' WHERE id = {}", round * 200);
                script(&session, handle, &sql).await.expect("changed");
                let taken = snapshot(&session, handle, Some("shop"), 0).await;
                (taken, millis(&world))
            };
            let ((told, told_ms), (taken, wrote_ms)) =
                futures::join!(async { (waiting.await.expect("no error"), millis(&world)) }, write);
            let told = told.expect("a change");
            assert_eq!((told.cid, told.equivocation), (Some(taken.cid), false));
            assert!(told_ms.saturating_sub(wrote_ms) < 1000, "{} ms", told_ms - wrote_ms);
            sent += taken.new_blocks * 4096;
            length -= 160;
            let rows = query(&reader, opened.handle, whole, &[]).await.expect("a row").rows;
            assert_eq!(rows, [[SqlValue::Integer(length)]]);
        }
        let moved = received(&b).await - before;
        assert!(moved * 2 <= sent * 3, "{moved} bytes moved, {sent} changed");
    });
}

#[test]
fn whoever_writes_a_database_wakes_those_who_wait_for_it() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, config(&disk)).await;
        let (session, other) = (a.session(), a.session());
        let (mine, theirs) = (own(&session, "shop").await, own(&other, "shop").await);
        let (told, _) = futures::join!(changed(&session, mine), async {
            world.sleep(1).await;
            script(&other, theirs, "CREATE TABLE t (a)").await.expect("made");
        });
        assert!(told.expect("no error").is_some_and(|now| now.writable && now.bytes > 0));
        // What was told once is not told again; reading is no change.
        let seconds = world.seconds();
        let (told, _) = futures::join!(changed(&session, mine), async {
            world.sleep(1).await;
            query(&other, theirs, "SELECT * FROM t", &[]).await.expect("rows");
        });
        assert_eq!((told, world.seconds() - seconds >= 20), (Ok(None), true));
        // Whoever waits does not keep it open.
        let (told, _) = futures::join!(changed(&session, mine), async {
            world.sleep(1).await;
            session.call(Command::Close { handle: mine }).await.expect("it closes");
            other.call(Command::Close { handle: theirs }).await.expect("it closes");
            let name = "shop".to_owned();
            assert_eq!(other.call(Command::SqlDrop { name }).await, Ok(Reply::Done));
        });
        assert_eq!(told.unwrap_err().code, ErrorCode::NotFound);
        let (mine, theirs) = (own(&session, "shop").await, own(&other, "shop").await);
        script(&other, theirs, "CREATE TABLE t (a)").await.expect("made");
        assert!(changed(&session, mine).await.expect("no error").is_some());
        // Nor is what was written while nobody waited lost.
        script(&other, theirs, "INSERT INTO t VALUES (1)").await.expect("written");
        assert!(changed(&session, mine).await.expect("no error").is_some());
    });
}

#[test]
fn a_publisher_who_goes_leaves_what_was_read() {
    run(|world| async move {
        let (a, _, _, _b, reader, opened) = two(&world).await;
        query(&reader, opened.handle, "SELECT sum(length(body)) FROM t", &[]).await.expect("a row");
        world.leave(a.keys().peer_id());
        assert_eq!(changed(&reader, opened.handle).await, Ok(None));
        let rows = query(&reader, opened.handle, "SELECT count(*) FROM t", &[]).await;
        assert_eq!(rows.expect("a row").rows, [[SqlValue::Integer(5000)]]);
        let cid = opened.cid.expect("a root");
        let fixed = open(&reader, &format!("craftobj://{cid}")).await.expect("it opens");
        let never = changed(&reader, fixed.handle).await.unwrap_err();
        assert_eq!(never.code, ErrorCode::BadInput, "{never}");
    });
}

/// A peer that answers every follower with `items`.
fn tells(world: &World, id: PeerId, items: Rc<RefCell<Vec<Bytes>>>) {
    let rpc = Rpc::new(world.network(id, 8 << 20), Rc::new(world.clock.clone()));
    let protocol = Protocol { name: "heads", versions: &[1] };
    rpc.serve_subscriptions(
        protocol,
        Rc::new(move |_, _, _| {
            let items = items.borrow().clone();
            stream::iter(items).chain(stream::pending()).boxed_local()
        }),
    );
    // It must outlive the test; its tasks hold what it needs.
    std::mem::forget(rpc);
}

/// The head that the DHT has of `shop`, and others that `change` makes of it.
fn heads(world: &World, a: &Node, change: impl Fn(&mut Head)) -> (Bytes, Record) {
    let key = head_key(&a.keys().did(), "shop");
    let held = world.records(key).pop().expect("a record");
    let Ok(Record::Head(record)) = Record::verify(&key, &held, u64::MAX / 2) else {
        panic!("no head")
    };
    let mut head = record.head.head.clone();
    change(&mut head);
    let head = SignedHead::sign(head, &a.keys().writer()).expect("signs");
    let log = record.log.clone();
    (held.into(), Record::Head(Box::new(HeadRecord { head, rival: None, settled: None, log })))
}

#[test]
fn a_forged_an_older_and_a_foreign_head_change_nothing_and_a_forked_one_is_shown() {
    run(|world| async move {
        let (a, session, handle, b, reader, opened) = two(&world).await;
        let root = Cid::of(Codec::DagCbor, b"elsewhere");
        let (older, forked) = heads(&world, &a, |head| head.root = root);
        script(&session, handle, "DELETE FROM t WHERE id > 10").await.expect("changed");
        let second = snapshot(&session, handle, Some("shop"), 0).await;
        let now = changed(&reader, opened.handle).await.expect("no error").expect("a change");
        assert_eq!(now.cid, Some(second.cid));
        query(&reader, opened.handle, "SELECT count(*) FROM t", &[]).await.expect("a row");
        world.leave(a.keys().peer_id());

        let mut forged = forked.encode().expect("encodes");
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let liars = [vec![forged.into(), Bytes::from_static(b"no head")], vec![older], vec![]];
        for (at, items) in liars.into_iter().enumerate() {
            let liar = PeerId::from_public_key([at as u8 + 40; 32]);
            tells(&world, liar, Rc::new(RefCell::new(items)));
            world.link(liar, b.keys().peer_id());
        }
        assert_eq!(changed(&reader, opened.handle).await, Ok(None));
        let rows = query(&reader, opened.handle, "SELECT count(*) FROM t", &[]).await;
        assert_eq!(rows.expect("a row").rows, [[SqlValue::Integer(10)]]);

        // Two heads with one number, both signed: it is said, and what is read stays.
        let (_, forked) = heads(&world, &a, |head| head.root = root);
        let liar = PeerId::from_public_key([50; 32]);
        let items = vec![forked.encode().expect("encodes").into()];
        tells(&world, liar, Rc::new(RefCell::new(items)));
        world.link(liar, b.keys().peer_id());
        let told = changed(&reader, opened.handle).await.expect("no error").expect("a change");
        assert!(told.equivocation, "{told:?}");
        let rows = query(&reader, opened.handle, "SELECT count(*) FROM t", &[]).await;
        assert_eq!(rows.expect("a row").rows, [[SqlValue::Integer(10)]]);
    });
}
