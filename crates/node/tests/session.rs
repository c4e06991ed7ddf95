//! One client's conversation: what it may ask, what it is told, where it ends.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use bytes::Bytes;
use common::{bytes, get, publish, put, run};
use craftec_api::{
    ApiError, Command, EntryKind, ErrorCode, Event, Opened, Range, Reply, TransferKind,
};
use craftec_core::{
    Cid, Codec,
    head::{Head, HeadRecord, SignedHead, head_key},
    record::Record,
};
use craftec_node::{Access, Session};
use craftec_obj::store::Meta;
use futures::{FutureExt, StreamExt};
use serde_bytes::ByteBuf;

async fn open(session: &Session, cid: Cid, path: &str) -> Result<Opened, ApiError> {
    let command = Command::GetOpen { cid, path: path.to_owned(), range: None };
    match session.call(command).await? {
        Reply::Opened(opened) => Ok(opened),
        other => panic!("{other:?}"),
    }
}

async fn fault(session: &Session, command: Command) -> ApiError {
    session.call(command).await.expect_err("it is refused")
}

#[test]
fn hello_agrees_on_a_version_or_says_why_not() {
    run(|world| async move {
        let session = world.node(1).await.session();
        let hello = |versions: &[u32]| Command::Hello { versions: versions.to_vec() };
        let agreed = session.call(hello(&[9, 1])).await;
        assert!(matches!(agreed, Ok(Reply::Hello { version: 1, .. })), "{agreed:?}");
        assert_eq!(session.version(), Some(1));
        let error = fault(&session, hello(&[7, 8])).await;
        assert_eq!(error.code, ErrorCode::Version);
        assert!(error.message.contains("7, 8"), "{error}");
        assert_eq!(fault(&session, hello(&[])).await.code, ErrorCode::Version);
    });
}

#[test]
fn folders_open_as_their_index_and_list_what_they_hold() {
    run(|world| async move {
        let session = world.node(1).await.session();
        let files: [(&str, &[u8]); 4] = [
            ("index.html", b"<h1>home"),
            ("docs/index.html", b"<h1>docs"),
            ("docs/größe.txt", b"42"),
            ("img/a.svg", b"<svg/>"),
        ];
        let (root, _) = publish(&session, &files, None, 0).await;
        let home = open(&session, root, "").await.expect("opens");
        assert_eq!((home.path.as_str(), home.kind, home.size), ("index.html", EntryKind::File, 8));
        assert_eq!(home.mime, "text/html; charset=utf-8");
        let docs = open(&session, root, "docs").await.expect("opens");
        assert_eq!(docs.path, "docs/index.html");
        assert_eq!(get(&session, root, "docs/größe.txt").await, Ok(b"42".to_vec()));
        let img = open(&session, root, "img").await.expect("opens");
        assert_eq!((img.kind, img.path.as_str()), (EntryKind::Folder, "img"));
        let read = session.call(Command::GetRead { handle: img.handle }).await;
        assert_eq!(read, Ok(Reply::Bytes { bytes: Bytes::new() }));

        let list = Command::List { cid: root, path: "docs".to_owned() };
        let Ok(Reply::Entries { entries }) = session.call(list).await else { panic!() };
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["größe.txt", "index.html"]);
        let Ok(Reply::Stat(stat)) = session.call(Command::Stat { cid: root }).await else {
            panic!()
        };
        assert_eq!((stat.files, stat.size, stat.pinned), (4, 24, true));
        assert_eq!(stat.blocks, stat.local_blocks);
    });
}

#[test]
fn bad_paths_and_ranges_are_named() {
    run(|world| async move {
        let session = world.node(1).await.session();
        let (root, _) = publish(&session, &[("a/b.txt", b"12345")], None, 0).await;
        for path in ["../etc/passwd", "a/../b", "/a", "a/", "a//b.txt", "a/\u{0}"] {
            let error = open(&session, root, path).await.expect_err(path);
            assert_eq!(error.code, ErrorCode::BadInput, "{path}: {error}");
        }
        for path in ["nope", "a/nope", "a/b.txt/c"] {
            let error = open(&session, root, path).await.expect_err(path);
            assert_eq!(error.code, ErrorCode::NotFound, "{path}: {error}");
            assert!(!error.retryable);
        }
        let folder = match session.call(Command::FolderOpen).await {
            Ok(Reply::Handle { handle }) => handle,
            other => panic!("{other:?}"),
        };
        for path in ["", "..", "a/../../b", "/abs", &"x".repeat(256)] {
            let path = path.to_owned();
            let add = Command::FolderAdd { folder, path: path.clone(), bytes: ByteBuf::new() };
            assert_eq!(fault(&session, add).await.code, ErrorCode::BadInput);
            let file = Command::FolderFile { folder, path };
            assert_eq!(fault(&session, file).await.code, ErrorCode::BadInput);
        }
        let read = |start, end| Command::GetOpen {
            cid: root,
            path: "a/b.txt".to_owned(),
            range: Some(Range { start, end }),
        };
        for (start, end) in [(5, None), (6, None), (3, Some(2)), (u64::MAX, Some(u64::MAX))] {
            let error = fault(&session, read(start, end)).await;
            assert_eq!(error.code, ErrorCode::BadInput, "{error}");
        }
        let Ok(Reply::Opened(opened)) = session.call(read(1, Some(99))).await else { panic!() };
        let part = session.call(Command::GetRead { handle: opened.handle }).await;
        assert_eq!(part, Ok(Reply::Bytes { bytes: Bytes::from_static(b"2345") }));
        assert_eq!(opened.size, 5);
    });
}

#[test]
fn handles_are_bounded_and_belong_to_one_session() {
    run(|world| async move {
        let node = world.node(1).await;
        let (session, other) = (node.session(), node.session());
        let cid = put(&session, b"hello", 0).await;
        let mut opened = Vec::new();
        let error = loop {
            match open(&session, cid, "").await {
                Ok(handle) => opened.push(handle.handle),
                Err(error) => break error,
            }
        };
        assert_eq!((opened.len(), error.code), (1024, ErrorCode::Full));
        let first = opened[0];
        assert_eq!(
            fault(&other, Command::GetRead { handle: first }).await.code,
            ErrorCode::NotFound
        );
        assert_eq!(session.call(Command::Close { handle: first }).await, Ok(Reply::Done));
        assert!(open(&session, cid, "").await.is_ok());
        let again = Command::Close { handle: first };
        assert_eq!(fault(&session, again).await.code, ErrorCode::NotFound);

        let put_open = || Command::PutOpen { replicas: None, redundancy: None, name: None };
        let mut uploads = 0;
        while other.call(put_open()).await.is_ok() {
            uploads += 1;
        }
        assert_eq!(uploads, 32);
        let wrong = Command::PutChunk { handle: 1, bytes: ByteBuf::from(vec![0; (1 << 20) + 1]) };
        assert_eq!(fault(&other, wrong).await.code, ErrorCode::BadInput);
        assert_eq!(fault(&other, Command::GetRead { handle: 1 }).await.code, ErrorCode::BadInput);
    });
}

#[test]
fn a_folder_ends_only_when_its_files_have() {
    run(|world| async move {
        let session = world.node(1).await.session();
        let handle = async |command| match session.call(command).await {
            Ok(Reply::Handle { handle }) => handle,
            other => panic!("{other:?}"),
        };
        let folder = handle(Command::FolderOpen).await;
        let close = || Command::FolderClose { folder, replicas: Some(0), site: false, name: None };
        let file = handle(Command::FolderFile { folder, path: "big.bin".to_owned() }).await;
        let content = bytes(1, 3 << 20);
        for chunk in content.chunks(1 << 20) {
            let chunk = Command::PutChunk { handle: file, bytes: ByteBuf::from(chunk) };
            assert_eq!(session.call(chunk).await, Ok(Reply::Done));
        }
        let error = fault(&session, close()).await;
        assert!(error.message.contains("1 files"), "{error}");
        let stored = session.call(Command::PutClose { handle: file }).await;
        assert!(matches!(stored, Ok(Reply::Stored { size, .. }) if size == 3 << 20));
        let twice = Command::FolderAdd {
            folder,
            path: "big.bin/x".to_owned(),
            bytes: ByteBuf::from(*b"x"),
        };
        assert_eq!(fault(&session, twice).await.code, ErrorCode::BadInput);
        let Ok(Reply::Published { cid, files, bytes, label }) = session.call(close()).await else {
            panic!()
        };
        assert_eq!((files, bytes, label), (1, 3 << 20, None));
        assert!(get(&session, cid, "big.bin").await == Ok(content));
        let empty = handle(Command::FolderOpen).await;
        let close = Command::FolderClose { folder: empty, replicas: None, site: true, name: None };
        assert_eq!(fault(&session, close).await.code, ErrorCode::BadInput);
    });
}

#[test]
fn a_name_moves_on_and_two_heads_with_one_number_are_reported() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let (session, reader) = (a.session(), b.session());
        let (_, label) = publish(&session, &[("index.html", b"1")], Some("blog"), 0).await;
        let (second, again) = publish(&session, &[("index.html", b"2")], Some("blog"), 0).await;
        assert_eq!(label, again);
        world.sleep(2).await;
        let label = label.expect("a label");
        assert_eq!((label.len(), &label[..1]), (53, "n"));
        let long = format!("{}/blog", a.keys().did());
        for name in [label.clone(), long] {
            let resolved = reader.call(Command::Resolve { name }).await;
            let Ok(Reply::Resolved { cid, seq, equivocation, time_ms, expires_ms }) = resolved
            else {
                panic!("{resolved:?}")
            };
            assert_eq!((cid, seq, equivocation), (second, 1, false));
            assert!(expires_ms > time_ms);
        }
        // The author signs another head with the same number and shows it to the DHT only.
        let key = head_key(&a.keys().did(), "blog");
        let stored = world.records(key);
        let held = match Record::verify(&key, &stored[0], u64::MAX / 2).expect("valid") {
            Record::Head(held) => held,
            Record::Placement(_) => panic!("a placement"),
        };
        let root = Cid::of(Codec::Raw, b"another");
        let head = Head { root, ..held.head.head.clone() };
        let head = SignedHead::sign(head, &a.keys().writer()).expect("signs");
        let rival = Record::Head(Box::new(HeadRecord {
            head,
            rival: None,
            settled: None,
            log: held.log.clone(),
        }));
        world.set_records(key, vec![rival.encode().expect("encodes")]);
        let resolved = reader.call(Command::Resolve { name: label.clone() }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { equivocation: true, .. })), "{resolved:?}");
        // Once seen it is not forgotten.
        world.set_records(key, stored);
        let resolved = reader.call(Command::Resolve { name: label.clone() }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { equivocation: true, .. })), "{resolved:?}");
        // Until its author, who sees it, publishes anew.
        world.set_records(key, vec![rival.encode().expect("encodes")]);
        let (third, _) = publish(&a.session(), &[("index.html", b"three")], Some("blog"), 0).await;
        let resolved = reader.call(Command::Resolve { name: label }).await;
        let Ok(Reply::Resolved { cid, seq, equivocation, .. }) = resolved else { panic!() };
        assert_eq!((cid, seq, equivocation), (third, 2, false));
    });
}

#[test]
fn a_name_that_is_published_again_as_it_is_keeps_its_head() {
    run(|world| async move {
        let node = world.node(1).await;
        let resolve = async |label: &str| {
            let name = label.to_owned();
            match node.session().call(Command::Resolve { name }).await {
                Ok(Reply::Resolved { cid, seq, .. }) => (cid, seq),
                other => panic!("{other:?}"),
            }
        };
        let (first, label) = publish(&node.session(), &[("x", b"1")], Some("n"), 0).await;
        let label = label.expect("a label");
        assert_eq!(resolve(&label).await, (first, 0));
        // A client whose answer was lost asks once more, on a session of its own.
        let again = publish(&node.session(), &[("x", b"1")], Some("n"), 0).await;
        assert_eq!(again, (first, Some(label.clone())));
        assert_eq!(resolve(&label).await, (first, 0));
        // Another root moves it on, and back again is a version of its own.
        let (second, _) = publish(&node.session(), &[("x", b"2")], Some("n"), 0).await;
        assert_eq!(resolve(&label).await, (second, 1));
        publish(&node.session(), &[("x", b"1")], Some("n"), 0).await;
        assert_eq!(resolve(&label).await, (first, 2));
        let Ok(Reply::Sites { sites }) = node.session().call(Command::Sites).await else {
            panic!("no sites")
        };
        assert_eq!(sites.len(), 1);
    });
}

#[test]
fn an_older_head_is_not_taken_for_the_present() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        publish(&a.session(), &[("x", b"1")], Some("n"), 0).await;
        world.sleep(2).await;
        let key = head_key(&a.keys().did(), "n");
        let old = world.records(key);
        let (second, label) = publish(&a.session(), &[("x", b"2")], Some("n"), 0).await;
        world.sleep(2).await;
        let name = label.expect("a label");
        let resolve = || b.session().call_owned(Command::Resolve { name: name.clone() });
        assert!(matches!(resolve().await, Ok(Reply::Resolved { seq: 1, .. })));
        world.set_records(key, old);
        let rolled_back = resolve().await;
        assert!(
            matches!(rolled_back, Ok(Reply::Resolved { seq: 1, cid, .. }) if cid == second),
            "{rolled_back:?}"
        );
    });
}

/// A device that was away for weeks: its own head grew old, and another device may have moved the name on.
#[test]
fn an_old_head_is_renewed_unless_another_device_moved_the_name_on() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    for moved in [false, true] {
        run(move |world| async move {
            let (a, b) = (world.node(1).await, world.node(2).await);
            let (first, label) = publish(&a.session(), &[("x", b"1")], Some("n"), 0).await;
            let key = head_key(&a.keys().did(), "n");
            let bytes = a.store().meta_get(Meta::Head, key).expect("reads").expect("a head");
            let Ok(Record::Head(held)) = Record::verify(&key, &bytes, u64::MAX / 2) else {
                panic!("no head")
            };
            let signed = |change: &dyn Fn(&mut Head)| {
                let prev = Some(held.head.hash().expect("hashes"));
                let mut head = Head { prev, ..held.head.head.clone() };
                change(&mut head);
                let head = SignedHead::sign(head, &a.keys().writer()).expect("signs");
                let log = held.log.clone();
                Record::Head(Box::new(HeadRecord { head, rival: None, settled: None, log }))
                    .encode()
                    .expect("encodes")
            };
            let old = signed(&|head| (head.seq, head.time_ms) = (1, head.time_ms - 20 * DAY_MS));
            a.store().meta_put(Meta::Head, key, Bytes::from(old.clone())).expect("writes");
            let second = Cid::of(Codec::Raw, b"of another device");
            let newer = signed(&|head| (head.seq, head.root) = (2, second));
            world.set_records(key, vec![if moved { newer } else { old.clone() }]);
            // While nobody can be asked, nothing is signed.
            world.sleep(130).await;
            let held = a.store().meta_get(Meta::Head, key).expect("reads");
            assert_eq!(held.as_deref(), Some(&old[..]));
            world.link(a.keys().peer_id(), b.keys().peer_id());
            world.sleep(90).await;
            let name = label.expect("a label");
            for node in [&a, &b] {
                let resolved = node.session().call(Command::Resolve { name: name.clone() }).await;
                let Ok(Reply::Resolved { cid, seq, equivocation, .. }) = resolved else {
                    panic!("{resolved:?}")
                };
                let want = if moved { second } else { first };
                assert_eq!((cid, seq, equivocation), (want, 2, false), "moved: {moved}");
            }
        });
    }
}

#[test]
fn names_that_are_none_are_refused() {
    run(|world| async move {
        let session = world.node(1).await.session();
        for name in ["", "n", "nope", "did:craftec:abc/x", &"n".repeat(53), "../x", "did:key:z6/x"]
        {
            let error = fault(&session, Command::Resolve { name: name.to_owned() }).await;
            assert_eq!(error.code, ErrorCode::BadInput, "{name}: {error}");
        }
        let unknown = format!("n{}", craftec_core::sign::base32(&[7; 32]));
        let error = fault(&session, Command::Resolve { name: unknown }).await;
        assert_eq!(error.code, ErrorCode::Unavailable);
        for name in ["a/b", "\u{7}", &"x".repeat(256), "..", ""] {
            let name = Some((*name).to_owned());
            let error =
                fault(&session, Command::PutOpen { replicas: None, redundancy: None, name }).await;
            assert_eq!(error.code, ErrorCode::BadInput);
        }
        let many = Command::PutOpen { replicas: Some(257), redundancy: None, name: None };
        assert_eq!(fault(&session, many).await.code, ErrorCode::BadInput);
    });
}

#[test]
fn secrets_stay_on_the_machine() {
    run(|world| async move {
        let node = world.node(1).await;
        let Ok(Reply::Words { words }) = node.session().call(Command::BackupWords).await else {
            panic!()
        };
        assert_eq!(words.len(), 24);
        let remote = node.session_with(Access::Remote);
        assert_eq!(fault(&remote, Command::BackupWords).await.code, ErrorCode::Refused);
        node.stop().await;
        assert_eq!(fault(&remote, Command::Status).await.code, ErrorCode::Aborted);
    });
}

#[test]
fn events_come_after_subscribing_and_end_with_the_node() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        let ids = [&a, &b].map(|node| node.keys().peer_id());
        let (deaf, session) = (b.session(), b.session());
        let (mut silent, mut events) = (deaf.events(), session.events());
        assert_eq!(session.call(Command::Subscribe).await, Ok(Reply::Done));
        assert!(events.next().now_or_never().is_none());
        world.link(ids[0], ids[1]);
        let first = events.next().await;
        assert!(matches!(&first, Some(Event::Peers { peers }) if peers[0].peer_id == ids[0]));
        let content = bytes(2, 6 << 20);
        let cid = put(&a.session(), &content, 0).await;
        assert!(get(&session, cid, "").await == Ok(content));
        world.sleep(1).await;
        let mut last = None;
        while let Some(Some(event)) = events.next().now_or_never() {
            if let Event::Transfer(transfer) = event {
                assert_eq!((transfer.cid, transfer.kind), (cid, TransferKind::Receive));
                last = Some(transfer);
            }
        }
        let last = last.expect("transfers are told");
        assert!(last.done && last.bytes >= 6 << 20, "{last:?}");
        assert!(silent.next().now_or_never().is_none());
        b.stop().await;
        assert_eq!(events.next().await, None);
    });
}

#[test]
fn a_slow_client_is_told_what_it_lost() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let session = a.session();
        let mut events = session.events();
        session.call(Command::Subscribe).await.expect("subscribes");
        assert!(events.next().now_or_never().is_none());
        // Each is told of when it is put, and again when its pack has its copies.
        for n in 0..1_200 {
            put(&session, &bytes(n, 10), 1).await;
        }
        world.sleep(10).await;
        let mut heard = 0;
        let mut lost = 0;
        while let Some(Some(event)) = events.next().now_or_never() {
            match event {
                Event::Lagged { lost: n } => lost += n,
                _ => heard += 1,
            }
        }
        assert_eq!(heard, 2048);
        assert!(lost > 0);
    });
}

/// Calls on a session that is made for it.
trait CallOwned {
    fn call_owned(self, command: Command) -> impl Future<Output = Result<Reply, ApiError>>;
}

impl CallOwned for Session {
    async fn call_owned(self, command: Command) -> Result<Reply, ApiError> {
        self.call(command).await
    }
}
