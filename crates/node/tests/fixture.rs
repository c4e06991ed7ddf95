//! Data of every past version is opened and read by today's code: `tests/fixtures/data-v1/` is the
//! store's folder as version 0.1 left it (gzip), and `expected.json` what is in it. Versions so far:
//! store format 1; records of objects, sites, pins, lent copies, limits and counters 1; identity
//! events, heads, placements 1; API 1; backup file 1.
//!
//! `UPDATE_FIXTURES=1 cargo test -p craftec-node --test fixture -- writes` writes the folder anew;
//! that is for a new folder of a new version, never for an old one.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
};

use common::{World, get, publish, put, run};
use craftec_api::{Command, Limit, Reply, Role};
use craftec_core::Cid;
use craftec_node::Config;
use craftec_obj::{Store, StoreError, store};
use craftec_platform::{Folder, sim::SimDisk};
use serde::{Deserialize, Serialize};

const FILES: [&str; 2] = [store::INDEX_FILE, store::PACK_FILE];

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Expected {
    did: String,
    peer_id: String,
    /// Name and address of each object.
    objects: Vec<(Option<String>, String)>,
    site: String,
    label: String,
    lent: String,
    theirs: String,
}

fn folder(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/fixtures/data-v{version}"))
}

/// A large file that compresses well.
fn zeros() -> Vec<u8> {
    vec![0; (1 << 20) + 5]
}

async fn bytes_of(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).await.expect("opens");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_at(0, &mut bytes).expect("reads");
    bytes
}

/// A disk with the files of a past version.
async fn disk_of(version: u32) -> SimDisk {
    let disk = SimDisk::new();
    for name in FILES {
        let packed = fs::read(folder(version).join(format!("{name}.gz"))).expect("the fixture");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).expect("gzip");
        let file = disk.open(name).await.expect("opens");
        file.write_at(0, &bytes).expect("writes");
        file.sync().expect("flushes");
    }
    disk
}

async fn make(world: &World, disk: &SimDisk) -> Expected {
    let a = world.node_on(1, disk, Config::new(Role::Relay)).await;
    let b = world.node(2).await;
    world.link(a.keys().peer_id(), b.keys().peer_id());
    let (own, other) = (a.session(), b.session());
    let open = Command::PutOpen {
        replicas: Some(0),
        redundancy: None,
        name: Some("größe.txt".to_owned()),
    };
    let Ok(Reply::Handle { handle }) = own.call(open).await else { panic!() };
    let chunk = Command::PutChunk { handle, bytes: b"hello".to_vec().into() };
    own.call(chunk).await.expect("pushes");
    own.call(Command::PutClose { handle }).await.expect("puts");
    put(&own, &zeros(), 0).await;
    let files: [(&str, &[u8]); 2] = [("index.html", b"<h1>v1</h1>"), ("a/b.txt", b"deep")];
    let (site, label) = publish(&own, &files, Some("blog"), 1).await;
    let (lent, theirs) = publish(&other, &[("x.txt", b"lent")], Some("theirs"), 1).await;
    world.sleep(20).await;
    let theirs = theirs.expect("a label");
    own.call(Command::Resolve { name: theirs.clone() }).await.expect("resolves");
    own.call(Command::LendSpace { bytes: Some(5 << 30) }).await.expect("sets");
    let limits = Command::ServeLimits { rate: Limit::Bytes(1_000_000), monthly: Limit::Default };
    own.call(limits).await.expect("sets");
    let Ok(Reply::Objects { objects }) = own.call(Command::Objects).await else { panic!() };
    let objects = objects.into_iter().map(|row| (row.name, row.cid.to_string())).collect();
    a.stop().await;
    Expected {
        did: a.keys().did().to_string(),
        peer_id: a.keys().peer_id().to_string(),
        objects,
        site: site.to_string(),
        label: label.expect("a label"),
        lent: lent.to_string(),
        theirs,
    }
}

#[test]
fn writes_the_folder_of_this_version() {
    run(|world| async move {
        let disk = SimDisk::new();
        let expected = make(&world, &disk).await;
        if std::env::var_os("UPDATE_FIXTURES").is_none() {
            return;
        }
        let folder = folder(1);
        fs::create_dir_all(&folder).expect("a folder");
        let text = serde_json::to_string_pretty(&expected).expect("JSON") + "\n";
        fs::write(folder.join("expected.json"), text).expect("writes");
        for name in FILES {
            let file = fs::File::create(folder.join(format!("{name}.gz"))).expect("creates");
            let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
            packed.write_all(&bytes_of(&disk, name).await).expect("writes");
            packed.finish().expect("ends");
        }
        // The same index as a version of the future might mark it, for the browser's test.
        let newer = with_format(&bytes_of(&disk, store::INDEX_FILE).await, 1000);
        let folder = folder.with_file_name("data-newer");
        fs::create_dir_all(&folder).expect("a folder");
        let file = fs::File::create(folder.join("blocks.redb.gz")).expect("creates");
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
        packed.write_all(&newer).expect("writes");
        packed.finish().expect("ends");
    });
}

async fn reads_everything(world: &World, disk: &SimDisk) {
    let expected = fs::read(folder(1).join("expected.json")).expect("the fixture");
    let expected: Expected = serde_json::from_slice(&expected).expect("JSON");
    let node = world.node_on(77, disk, Config::new(Role::Relay)).await;
    let session = node.session();
    assert_eq!(node.keys().did().to_string(), expected.did);
    assert_eq!(node.keys().peer_id().to_string(), expected.peer_id);
    let Ok(Reply::Objects { objects }) = session.call(Command::Objects).await else { panic!() };
    let found: Vec<_> = objects.iter().map(|row| (row.name.clone(), row.cid.to_string())).collect();
    assert_eq!(found, expected.objects);
    let cid = |text: &str| -> Cid { text.parse().expect("a CID") };
    for (row, content) in objects.iter().filter(|row| row.size > 100 || row.size == 5).map(|row| {
        let content = if row.size == 5 { b"hello".to_vec() } else { zeros() };
        (row, content)
    }) {
        assert!(get(&session, row.cid, "").await == Ok(content), "{:?}", row.name);
    }
    let site = cid(&expected.site);
    assert_eq!(get(&session, site, "a/b.txt").await, Ok(b"deep".to_vec()));
    let Ok(Reply::Sites { sites }) = session.call(Command::Sites).await else { panic!() };
    assert_eq!(sites[0].label.as_ref(), Some(&expected.label));
    assert_eq!((sites[0].health.wanted, sites[0].health.signed), (1, 1), "the placement");
    let resolved = session.call(Command::Resolve { name: expected.label }).await;
    assert!(matches!(resolved, Ok(Reply::Resolved { cid, .. }) if cid == site), "{resolved:?}");
    let theirs = session.call(Command::Resolve { name: expected.theirs }).await;
    let lent = cid(&expected.lent);
    assert!(matches!(theirs, Ok(Reply::Resolved { cid, .. }) if cid == lent), "{theirs:?}");
    assert_eq!(get(&session, lent, "x.txt").await, Ok(b"lent".to_vec()));
    let Ok(Reply::Status(status)) = session.call(Command::Status).await else { panic!() };
    assert!(status.storage.for_others > 0);
    assert_eq!(status.storage.lend_limit, 5 << 30);
    let serving = status.serving.expect("it says so");
    assert_eq!(serving.rate, Some(1_000_000));
    assert!(serving.sent > 0);
    // And it goes on: what is written now is there after the next start.
    put(&session, b"today", 0).await;
    node.stop().await;
}

#[test]
fn data_of_version_1_is_read() {
    run(|world| async move {
        let disk = disk_of(1).await;
        reads_everything(&world, &disk).await;
        world.sleep(15).await;
        let node = world.node_on(78, &disk, Config::new(Role::Relay)).await;
        let Ok(Reply::Status(status)) = node.session().call(Command::Status).await else {
            panic!()
        };
        assert_eq!(status.objects, 4);
    });
}

/// A store whose format says `format`, made of the fixture by redb alone.
fn with_format(index: &[u8], format: u64) -> Vec<u8> {
    const NUMBERS: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("numbers");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), index).expect("writes");
    let database = redb::Database::open(file.path()).expect("opens");
    let transaction = database.begin_write().expect("begins");
    transaction.open_table(NUMBERS).expect("opens").insert("format", format).expect("inserts");
    transaction.commit().expect("commits");
    drop(database);
    fs::read(file.path()).expect("reads")
}

async fn set(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let file = disk.open(name).await.expect("opens");
    file.set_len(0).expect("empties");
    file.write_at(0, bytes).expect("writes");
    file.sync().expect("flushes");
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_alone() {
    run(|world| async move {
        let disk = disk_of(1).await;
        let newer = with_format(&bytes_of(&disk, store::INDEX_FILE).await, 1000);
        set(&disk, store::INDEX_FILE, &newer).await;
        let pack = bytes_of(&disk, store::PACK_FILE).await;
        let error = Store::open(&disk).await.expect_err("it is newer");
        assert!(matches!(error, StoreError::Newer { found: 1000, .. }), "{error}");
        assert!(error.to_string().contains("update Craftec"), "{error}");
        assert!(!error.is_retryable());
        assert!(bytes_of(&disk, store::PACK_FILE).await == pack);
        // With the version that it came from everything is still there.
        let back = with_format(&bytes_of(&disk, store::INDEX_FILE).await, 1);
        set(&disk, store::INDEX_FILE, &back).await;
        reads_everything(&world, &disk).await;
    });
}

#[test]
fn records_of_a_newer_version_are_refused() {
    run(|_| async move {
        let disk = disk_of(1).await;
        let store = Store::open(&disk).await.expect("opens");
        let (key, value) = store.meta_scan(store::Meta::Object).expect("reads").remove(0);
        let mut newer = value.to_vec();
        let v = newer.windows(3).position(|w| w == [0x61, b'v', 1]).expect("its version");
        newer[v + 2] = 3;
        store.meta_put(store::Meta::Object, key, newer).expect("writes");
        let objects = craftec_obj::objects::ObjectRecord::all(&store);
        assert!(matches!(objects, Err(StoreError::Newer { found: 3, known: 2 })), "{objects:?}");
    });
}
