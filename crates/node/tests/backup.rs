//! Backups: written, read, merged, refused; a restore that breaks off changes nothing.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::rc::Rc;

use common::{World, bytes, get, publish, put, put_as, run};
use craftec_api::{ApiError, Command, ErrorCode, Limit, Reply, Restored, Role, Secret};
use craftec_core::Cid;
use craftec_node::{Access, Config, Node, Session};
use craftec_platform::sim::{Damage, SimDisk};
use serde_bytes::ByteBuf;

const PASS: &str = "correct horse ☃";

async fn backup(session: &Session) -> Vec<u8> {
    let open = Command::BackupOpen { passphrase: Secret(PASS.to_owned()) };
    let Ok(Reply::Backup { handle, bytes, .. }) = session.call(open).await else { panic!() };
    let mut file = Vec::new();
    loop {
        match session.call(Command::GetRead { handle }).await {
            Ok(Reply::Bytes { bytes }) if bytes.is_empty() => break,
            Ok(Reply::Bytes { bytes }) => {
                assert!(bytes.len() <= 256 << 10);
                file.extend_from_slice(&bytes);
            }
            other => panic!("{other:?}"),
        }
    }
    let about = file.len() as u64;
    assert!(about.abs_diff(bytes) < about / 10 + 4096, "{bytes} were announced, {about} came");
    file
}

async fn restore(
    session: &Session,
    file: &[u8],
    pass: &str,
    replace: bool,
) -> Result<Restored, ApiError> {
    let open = Command::RestoreOpen { passphrase: Secret(pass.to_owned()), replace };
    let Ok(Reply::Handle { handle }) = session.call(open).await else { panic!() };
    for part in file.chunks(300_000) {
        session.call(Command::PutChunk { handle, bytes: ByteBuf::from(part) }).await?;
    }
    match session.call(Command::PutClose { handle }).await? {
        Reply::Restored(restored) => Ok(restored),
        other => panic!("{other:?}"),
    }
}

struct Author {
    node: Rc<Node>,
    big: Cid,
    site: Cid,
    label: String,
    file: Vec<u8>,
}

/// A node with an object of several blocks, a site with a name, settings, and its backup.
async fn author(world: &World) -> Author {
    let node = world.node(1).await;
    let session = node.session();
    let big = put_as(&session, &bytes(5, 3_000_000), None).await;
    let files: [(&str, &[u8]); 2] = [("index.html", b"<h1>hi"), ("a/b.txt", b"deep")];
    let (site, label) = publish(&session, &files, Some("blog"), 0).await;
    session.call(Command::LendSpace { bytes: Some(77) }).await.expect("sets");
    let limits = Command::ServeLimits { rate: Limit::Bytes(123_456), monthly: Limit::Unlimited };
    session.call(limits).await.expect("sets");
    let file = backup(&session).await;
    Author { node, big, site, label: label.expect("a label"), file }
}

async fn holds_everything(node: &Rc<Node>, author: &Author) {
    let session = node.session();
    assert_eq!(node.keys().did(), author.node.keys().did());
    assert!(get(&session, author.big, "").await == Ok(bytes(5, 3_000_000)));
    assert_eq!(get(&session, author.site, "a/b.txt").await, Ok(b"deep".to_vec()));
    let Ok(Reply::Sites { sites }) = session.call(Command::Sites).await else { panic!() };
    assert_eq!(sites[0].label.as_ref(), Some(&author.label));
    let resolved = session.call(Command::Resolve { name: author.label.clone() }).await;
    assert!(matches!(resolved, Ok(Reply::Resolved { cid, .. }) if cid == author.site));
    let Ok(Reply::Status(status)) = session.call(Command::Status).await else { panic!() };
    assert_eq!(status.storage.lend_limit, 77);
    let serving = status.serving.expect("it says so");
    assert_eq!((serving.rate, serving.monthly), (Some(123_456), None));
    assert_eq!(status.objects, 2);
}

#[test]
fn an_empty_node_becomes_the_one_that_was_backed_up() {
    run(|world| async move {
        let author = author(&world).await;
        author.node.stop().await;
        let disk = SimDisk::new();
        let fresh = world.node_on(2, &disk, Config::new(Role::Tab)).await;
        let peer = fresh.keys().peer_id();
        let restarting = fresh.restarting();
        let session = fresh.session();
        let restored = restore(&session, &author.file, PASS, false).await.expect("restores");
        assert_eq!((restored.objects, restored.known, restored.names), (2, 0, 1));
        assert!(restored.restart);
        assert_eq!(restored.did, author.node.keys().did().to_string());
        restarting.await.expect("the node says that it must start again");
        assert_eq!(
            session.call(Command::Status).await.expect_err("ended").code,
            ErrorCode::Aborted
        );
        drop((session, fresh));
        let node = world.node_on(3, &disk, Config::new(Role::Tab)).await;
        holds_everything(&node, &author).await;
        assert_eq!(node.keys().peer_id(), peer, "the transport key is the machine's own");
        // And it publishes on where the other one stopped.
        let (next, label) = publish(&node.session(), &[("x", b"2")], Some("blog"), 0).await;
        assert_eq!(label, Some(author.label.clone()));
        let resolved = node.session().call(Command::Resolve { name: author.label }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { cid, seq: 1, .. }) if cid == next));
    });
}

#[test]
fn what_is_wrong_is_told_apart_and_changes_nothing() {
    run(|world| async move {
        let author = author(&world).await;
        let disk = SimDisk::new();
        let node = world.node_on(2, &disk, Config::new(Role::Tab)).await;
        let session = node.session();
        let file = &author.file;
        let wrong = restore(&session, file, "wrong horse ☃", false).await.unwrap_err();
        assert_eq!(wrong.code, ErrorCode::Refused);
        assert!(wrong.message.contains("passphrase"), "{wrong}");
        let mut damaged = file.clone();
        damaged[1_000_000] ^= 4;
        let error = restore(&session, &damaged, PASS, false).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadInput);
        assert!(error.message.contains("damaged between byte"), "{error}");
        for cut in [0, 50, 72, 100_000, file.len() - 1] {
            let error = restore(&session, &file[..cut], PASS, false).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadInput, "{cut}: {error}");
        }
        let other = restore(
            &session,
            b"PK\x03\x04 something else entirely, but long enough to be a \
                    header of some kind of file",
            PASS,
            false,
        );
        assert!(other.await.unwrap_err().message.contains("not a backup"));
        // Short passphrases are refused before anything is read.
        let open = Command::BackupOpen { passphrase: Secret("short".to_owned()) };
        assert_eq!(session.call(open).await.unwrap_err().code, ErrorCode::BadInput);
        let Ok(Reply::Status(status)) = session.call(Command::Status).await else { panic!() };
        assert_eq!(status.objects, 0);
        assert_ne!(node.keys().did(), author.node.keys().did());
        // Not even after a crash, or a restart.
        drop((session, node));
        disk.crash(Damage::Kept);
        let node = world.node_on(9, &disk, Config::new(Role::Tab)).await;
        assert_ne!(node.keys().did(), author.node.keys().did());
        assert_eq!(node.store().pins().expect("reads"), []);
        restore(&node.session(), file, PASS, false).await.expect("a good file still can");
    });
}

#[test]
fn another_identity_with_things_of_its_own_gives_way_only_when_told_to() {
    run(|world| async move {
        let author = author(&world).await;
        let disk = SimDisk::new();
        let node = world.node_on(2, &disk, Config::new(Role::Tab)).await;
        let (did, session) = (node.keys().did(), node.session());
        let own = put(&session, b"my own", 0).await;
        let (mine, _) = publish(&session, &[("x", b"mine")], Some("blog"), 0).await;
        let error = restore(&session, &author.file, PASS, false).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Refused);
        assert!(error.message.contains(&did.to_string()), "{error}");
        restore(&session, &author.file, PASS, true).await.expect("told to");
        world.sleep(1).await;
        drop((session, node));
        let node = world.node_on(3, &disk, Config::new(Role::Tab)).await;
        let session = node.session();
        assert_eq!(node.keys().did(), author.node.keys().did());
        // Its objects stay; its site stays without the name that it can't sign for any more.
        assert_eq!(get(&session, own, "").await, Ok(b"my own".to_vec()));
        let Ok(Reply::Sites { sites }) = session.call(Command::Sites).await else { panic!() };
        let names: Vec<_> = sites.iter().map(|site| (site.cid, site.name.as_deref())).collect();
        assert!(names.contains(&(mine, None)) && names.contains(&(author.site, Some("blog"))));
        assert_eq!(names.len(), 2);
        let resolved = session.call(Command::Resolve { name: author.label }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { cid, .. }) if cid == author.site));
    });
}

#[test]
fn the_same_identity_goes_on_and_the_newer_name_wins() {
    run(|world| async move {
        let author = author(&world).await;
        let session = author.node.session();
        let unpinned = session.call(Command::Unpin { cid: author.big }).await;
        assert_eq!(unpinned, Ok(Reply::Done));
        let (next, _) = publish(&session, &[("index.html", b"2")], Some("blog"), 0).await;
        let restored = restore(&session, &author.file, PASS, false).await.expect("restores");
        assert_eq!((restored.objects, restored.known), (1, 1));
        assert_eq!((restored.names, restored.names_kept, restored.restart), (0, 1, false));
        // Without a restart.
        assert!(get(&session, author.big, "").await == Ok(bytes(5, 3_000_000)));
        let resolved = session.call(Command::Resolve { name: author.label }).await;
        assert!(matches!(resolved, Ok(Reply::Resolved { cid, seq: 1, .. }) if cid == next));
        let Ok(Reply::Sites { sites }) = session.call(Command::Sites).await else { panic!() };
        assert_eq!(sites[0].cid, next);
    });
}

#[test]
fn a_crash_at_any_write_leaves_one_whole_identity() {
    run(|world| async move {
        let author = author(&world).await;
        let (old, new) = (world.node(2).await.keys().did(), author.node.keys().did());
        let (mut tried, mut kept, mut taken) = (0, 0, 0);
        for step in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
            let disk = SimDisk::new();
            let node = world.node_on(2, &disk, Config::new(Role::Tab)).await;
            disk.power_off_at(disk.changes() + step);
            let outcome = restore(&node.session(), &author.file, PASS, false).await;
            drop(node);
            disk.crash(Damage::Torn(step));
            let node = world.node_on(7, &disk, Config::new(Role::Tab)).await;
            let Ok(Reply::Status(status)) = node.session().call(Command::Status).await else {
                panic!()
            };
            tried += 1;
            if node.keys().did() == new {
                taken += 1;
                holds_everything(&node, &author).await;
            } else {
                assert!(outcome.is_err(), "what was acknowledged is lost");
                assert_eq!((node.keys().did(), status.objects), (old, 0));
                kept += 1;
            }
        }
        assert!(kept > 0 && taken > 0, "{tried}: {kept} {taken}");
    });
}

#[test]
fn secrets_are_for_the_machine_alone() {
    run(|world| async move {
        let node = world.node(1).await;
        let remote = node.session_with(Access::Remote);
        let passphrase = || Secret(PASS.to_owned());
        let restore = Command::RestoreOpen { passphrase: passphrase(), replace: true };
        for command in [Command::BackupOpen { passphrase: passphrase() }, restore] {
            assert!(!format!("{command:?}").contains("horse"));
            assert_eq!(remote.call(command).await.unwrap_err().code, ErrorCode::Refused);
        }
    });
}
