//! Encrypted databases between nodes: an owner, who it is shared with, who it is not, and who keeps it.

#![cfg(feature = "sql")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::rc::Rc;

use common::{
    World, run,
    sql::{config, device_of, open, query, script, snapshot},
};
use craftec_api::{
    ApiError, Command, ErrorCode, MergeStrategy, OpenedDatabase, Reply, Snapshot, SqlValue,
};
use craftec_core::database::{Root, SealedRoot};
use craftec_node::{Node, Session};
use craftec_platform::{Folder as _, sim::SimDisk};

const SECRET: &str = "what is only for those who were told";

async fn encrypted(session: &Session, name: &str) -> Result<OpenedDatabase, ApiError> {
    match session.call(Command::SqlOpen { database: name.to_owned(), encrypt: true }).await? {
        Reply::Database(opened) => Ok(opened),
        other => panic!("{other:?}"),
    }
}

async fn readers(session: &Session, command: Command) -> Result<(bool, Vec<String>), ApiError> {
    match session.call(command).await? {
        Reply::Readers { encrypted, readers } => Ok((encrypted, readers)),
        other => panic!("{other:?}"),
    }
}

async fn card(session: &Session) -> String {
    match session.call(Command::IdentityCard).await {
        Ok(Reply::Card { card }) => card,
        other => panic!("{other:?}"),
    }
}

async fn write(session: &Session, handle: u64, count: u32) {
    let row = format!("INSERT INTO notes (body) VALUES ('{SECRET}');");
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, body TEXT); {}",
        row.repeat(count as usize)
    );
    script(session, handle, &sql).await.expect("written");
}

async fn count(session: &Session, address: &str) -> Result<i64, ApiError> {
    let opened = open(session, address).await?;
    let sql = "SELECT count(*) FROM notes WHERE body = ?";
    let params = [SqlValue::Text(SECRET.to_owned())];
    let rows = query(session, opened.handle, sql, &params).await?;
    assert!(opened.encrypted || opened.writable);
    session.call(Command::Close { handle: opened.handle }).await?;
    match rows.rows.as_slice() {
        [row] => match row.as_slice() {
            [SqlValue::Integer(count)] => Ok(*count),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Whether the sentence lies open in any file of a disk.
async fn is_on(disk: &SimDisk) -> bool {
    let disk = disk.duplicate();
    for name in disk.list().await.expect("names") {
        let file = disk.open(&name).await.expect("opens");
        let mut bytes = vec![0; file.len().expect("a length") as usize];
        file.read_at(0, &mut bytes).expect("reads");
        if bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) {
            return true;
        }
    }
    false
}

/// Owner, friend and stranger, who all see a keeper; with the owner's and the keeper's disk.
struct Four {
    owner: Rc<Node>,
    friend: Rc<Node>,
    stranger: Rc<Node>,
    disks: [SimDisk; 2],
}

async fn four(world: &Rc<World>) -> Four {
    let disks = [SimDisk::new(), SimDisk::new()];
    let owner = world.node_on(1, &disks[0], config(&disks[0])).await;
    let keeper = world.node_on(2, &disks[1], config(&disks[1])).await;
    let disk = SimDisk::new();
    let (friend, stranger) = (world.node_on(3, &disk, config(&disk)).await, world.node(4).await);
    for node in [&owner, &friend, &stranger] {
        world.link(node.keys().peer_id(), keeper.keys().peer_id());
    }
    Four { owner, friend, stranger, disks }
}

#[test]
fn it_is_read_by_those_it_is_shared_with_and_kept_by_those_who_cannot_read_it() {
    run(|world| async move {
        let Four { owner, friend, stranger, disks } = four(&world).await;
        let (session, friend, stranger) = (owner.session(), friend.session(), stranger.session());
        let opened = encrypted(&session, "diary").await.expect("it is made");
        assert!(opened.encrypted && opened.writable);
        let handle = opened.handle;
        write(&session, handle, 30).await;
        snapshot(&session, handle, Some("diary"), 1).await;
        world.sleep(20).await;
        let uri = format!("craftobj://{}/diary", owner.keys().did());
        for reader in [&friend, &stranger] {
            let refused = count(reader, &uri).await.expect_err("it is not shared");
            assert_eq!(refused.code, ErrorCode::Refused, "{refused:?}");
            assert!(refused.message.contains("encrypted"), "{refused:?}");
        }
        // By a card; from the next publication on.
        let with = card(&friend).await;
        let (is, now) =
            readers(&session, Command::SqlShare { handle, with }).await.expect("shared");
        assert!(is && now.len() == 1);
        assert!(count(&friend, &uri).await.is_err());
        let shared = snapshot(&session, handle, Some("diary"), 1).await;
        world.sleep(20).await;
        assert_eq!(count(&friend, &uri).await, Ok(30));
        assert_eq!(count(&friend, &format!("craftobj://{}", shared.cid)).await, Ok(30));
        assert!(count(&stranger, &uri).await.is_err());
        for disk in &disks {
            assert!(!is_on(disk).await, "it lies open on a disk");
        }
        // What one may read one may copy into a database of one's own, which is opened again with it.
        let copy = open(&friend, "copy").await.expect("it opens");
        let restore = Command::SqlRestore { handle: copy.handle, cid: shared.cid };
        friend.call(restore).await.expect("restored");
        friend.call(Command::Close { handle: copy.handle }).await.expect("closed");
        assert_eq!(count(&friend, "copy").await, Ok(30));
        // Another key, with which the friend is not named: old states stay readable to them, new ones not.
        let encrypt = Command::SqlEncrypt { handle, readers: Vec::new() };
        assert_eq!(readers(&session, encrypt).await, Ok((true, Vec::new())));
        write(&session, handle, 1).await;
        snapshot(&session, handle, Some("diary"), 1).await;
        world.sleep(20).await;
        assert!(count(&friend, &uri).await.is_err());
        assert_eq!(count(&friend, &format!("craftobj://{}", shared.cid)).await, Ok(30));
        assert_eq!(count(&session, "diary").await, Ok(31));
        assert_eq!(count(&session, "craftobj://me/diary").await, Ok(31));
    });
}

#[test]
fn what_somebody_published_says_who_they_are() {
    run(|world| async move {
        let Four { owner, friend, stranger, .. } = four(&world).await;
        let did = friend.keys().did();
        let (session, friend) = (owner.session(), friend.session());
        let theirs = open(&friend, "page").await.expect("it opens").handle;
        write(&friend, theirs, 1).await;
        snapshot(&friend, theirs, Some("page"), 1).await;
        world.sleep(20).await;
        let handle = encrypted(&session, "diary").await.expect("it is made").handle;
        let share = |with: String| readers(&session, Command::SqlShare { handle, with });
        for (with, part) in [
            (did.to_string(), "which key"),
            ("craftec-card:abc".to_owned(), "not the card"),
            (card(&session).await, "owner"),
            (format!("{did}/nothing"), "No head"),
        ] {
            let refused = share(with.clone()).await.expect_err("nobody");
            assert!(refused.message.contains(part), "{with}: {refused:?}");
        }
        assert_eq!(share(format!("{did}/page")).await, Ok((true, vec![did.to_string()])));
        assert_eq!(
            share(format!("craftobj://{did}/page")).await,
            Ok((true, vec![did.to_string()]))
        );
        // Encrypted anew, for one who is named, and not for one who never read it.
        let named = |did: String| Command::SqlEncrypt { handle, readers: vec![did] };
        let other = stranger.keys().did().to_string();
        let refused = readers(&session, named(other)).await.expect_err("not a reader");
        assert_eq!(refused.code, ErrorCode::NotFound);
        let now = readers(&session, named(did.to_string())).await;
        assert_eq!(now, Ok((true, vec![did.to_string()])));
        // What is not encrypted is not shared.
        let plain = open(&session, "open").await.expect("it opens").handle;
        let with = card(&friend).await;
        let share = Command::SqlShare { handle: plain, with };
        assert_eq!(readers(&session, share).await.expect_err("open").code, ErrorCode::BadInput);
        let asked = readers(&session, Command::SqlReaders { handle: plain }).await;
        assert_eq!(asked, Ok((false, Vec::new())));
    });
}

#[test]
fn one_that_was_open_is_encrypted_and_stays_so_on_every_device() {
    run(|world| async move {
        let disks = [SimDisk::new(), SimDisk::new()];
        let owner = world.node_on(1, &disks[0], config(&disks[0])).await;
        let keeper = world.node(2).await;
        let phone = device_of(&world, &owner, 3, &disks[1]).await;
        for node in [&owner, &phone] {
            world.link(node.keys().peer_id(), keeper.keys().peer_id());
        }
        let (session, on_phone) = (owner.session(), phone.session());
        let handle = open(&session, "diary").await.expect("it opens").handle;
        write(&session, handle, 5).await;
        let refused = encrypted(&session, "diary").await.expect_err("it is open");
        assert_eq!(refused.code, ErrorCode::Refused, "{refused:?}");
        let encrypt = Command::SqlEncrypt { handle, readers: Vec::new() };
        assert_eq!(readers(&session, encrypt).await, Ok((true, Vec::new())));
        let first = snapshot(&session, handle, Some("diary"), 1).await;
        let block = owner.session().call(Command::Block { cid: first.cid }).await;
        let Ok(Reply::Bytes { bytes, .. }) = block else { panic!("{block:?}") };
        assert!(Root::decode(&bytes).is_err() && SealedRoot::decode(&bytes).is_ok());
        world.sleep(20).await;
        // The other device has the words, and so the key.
        let theirs = open(&on_phone, "diary").await.expect("it opens").handle;
        merge(&on_phone, theirs).await;
        assert_eq!(count(&on_phone, "diary").await, Ok(5));
        assert!(encrypted(&on_phone, "diary").await.expect("it is now").encrypted);
        write(&on_phone, theirs, 1).await;
        let second = snapshot(&on_phone, theirs, Some("diary"), 1).await;
        world.sleep(20).await;
        merge(&session, handle).await;
        assert_eq!(count(&session, "diary").await, Ok(6));
        assert_eq!(exported(&session, handle).await, 6);
        // Over a restart, with all of it.
        let Snapshot { cid, .. } = second;
        phone.stop().await;
        drop((phone, on_phone));
        let again = world.node_on(3, &disks[1], config(&disks[1])).await;
        world.link(again.keys().peer_id(), keeper.keys().peer_id());
        let session = again.session();
        assert_eq!(count(&session, "diary").await, Ok(6));
        assert_eq!(count(&session, &format!("craftobj://{cid}")).await, Ok(6));
        assert_eq!(count(&session, &format!("craftobj://{}", first.cid)).await, Ok(5));
    });
}

async fn merge(session: &Session, handle: u64) {
    let (branch, strategy) = ("craftobj://me/diary".to_owned(), MergeStrategy::Stop);
    match session.call(Command::SqlMerge { handle, branch, strategy }).await {
        Ok(Reply::Merged(merged)) => assert!(merged.made),
        other => panic!("{other:?}"),
    }
}

/// Rows of the notes in the exported file, as its bytes have them.
async fn exported(session: &Session, handle: u64) -> usize {
    let opened = match session.call(Command::SqlExport { handle }).await {
        Ok(Reply::Opened(opened)) => opened,
        other => panic!("{other:?}"),
    };
    let mut file = Vec::new();
    loop {
        match session.call(Command::GetRead { handle: opened.handle }).await {
            Ok(Reply::Bytes { bytes, .. }) if bytes.is_empty() => break,
            Ok(Reply::Bytes { bytes, .. }) => file.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    assert!(file.starts_with(b"SQLite format 3\0"), "an ordinary file");
    file.windows(SECRET.len()).filter(|part| *part == SECRET.as_bytes()).count()
}
