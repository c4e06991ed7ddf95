//! The frames in `tests/vectors/api.json`, which the TypeScript client reads as well: the same
//! bytes on both sides. `UPDATE_VECTORS=1` writes the file anew.

#![allow(clippy::unwrap_used, missing_docs)]

mod sql;

use std::path::PathBuf;

use craftec_api::{
    ApiError, Command, Entry, EntryKind, ErrorCode, Event, FromNode, HolderState, Limit, Link,
    Mended, ObjectHealth, ObjectRow, Opened, Outlook, Peer, Range, Reply, Restored, Role, Secret,
    Serving, SiteRow, Stat, Status, Storage, ToNode, Transfer, TransferKind,
};
use craftec_core::{Cid, Codec, PeerId, TransportKey, cbor, limits};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

fn cid(text: &str) -> Cid {
    Cid::of(Codec::Raw, text.as_bytes())
}

fn peer(seed: u8) -> PeerId {
    TransportKey::from_seed([seed; 32]).peer_id()
}

fn put_open() -> Command {
    let name = Some("naïve".to_owned());
    Command::PutOpen { replicas: Some(300), redundancy: Some(250), name }
}

fn commands() -> Vec<(&'static str, Command)> {
    let folder = Cid::of(Codec::DagPb, b"folder");
    let path = "docs/größe ☃.html".to_owned();
    vec![
        ("hello", Command::Hello { versions: vec![2, 1] }),
        ("status", Command::Status),
        ("subscribe", Command::Subscribe),
        ("connect", Command::Connect { addr: "/ip4/127.0.0.1/tcp/4081/ws".to_owned() }),
        ("put_open", put_open()),
        ("put_open plain", Command::PutOpen { replicas: None, redundancy: None, name: None }),
        ("put_chunk", Command::PutChunk { handle: 7, bytes: ByteBuf::from([0, 1, 254, 255]) }),
        ("put_close", Command::PutClose { handle: 23 }),
        ("folder_open", Command::FolderOpen),
        ("folder_file", Command::FolderFile { folder: 24, path: path.clone() }),
        ("folder_add", Command::FolderAdd { folder: 255, path, bytes: ByteBuf::new() }),
        (
            "folder_close",
            Command::FolderClose {
                folder: 256,
                replicas: Some(0),
                site: true,
                name: Some("blog".to_owned()),
            },
        ),
        ("get_open", Command::GetOpen { cid: folder, path: "a/b".to_owned(), range: None }),
        (
            "get_open range",
            Command::GetOpen {
                cid: cid("x"),
                path: String::new(),
                range: Some(Range { start: 65_536, end: Some(1 << 40) }),
            },
        ),
        (
            "get_open tail",
            Command::GetOpen {
                cid: cid("x"),
                path: String::new(),
                range: Some(Range { start: 1, end: None }),
            },
        ),
        ("car_open", Command::CarOpen { cid: folder, path: String::new() }),
        ("block", Command::Block { cid: Cid::of(Codec::DagCbor, b"record") }),
        ("get_read", Command::GetRead { handle: (1 << 53) - 1 }),
        ("close", Command::Close { handle: 1 << 32 }),
        ("list", Command::List { cid: folder, path: String::new() }),
        ("stat", Command::Stat { cid: folder }),
        ("pin", Command::Pin { cid: folder }),
        ("unpin", Command::Unpin { cid: folder }),
        ("objects", Command::Objects),
        ("sites", Command::Sites),
        ("resolve", Command::Resolve { name: "did:craftec:abc/blog".to_owned() }),
        ("backup_words", Command::BackupWords),
        ("lend_space", Command::LendSpace { bytes: Some(1 << 30) }),
        ("lend_space free", Command::LendSpace { bytes: None }),
        (
            "serve_limits",
            Command::ServeLimits { rate: Limit::Bytes(2_000_000), monthly: Limit::Unlimited },
        ),
        (
            "serve_limits free",
            Command::ServeLimits { rate: Limit::Default, monthly: Limit::Bytes(20 << 30) },
        ),
        ("backup_open", Command::BackupOpen { passphrase: Secret("größe ☃ 8".to_owned()) }),
        (
            "restore_open",
            Command::RestoreOpen { passphrase: Secret("größe ☃ 8".to_owned()), replace: true },
        ),
    ]
}

fn health() -> ObjectHealth {
    ObjectHealth { wanted: 3, signed: 2, reachable: 1, needed: 1 }
}

fn holders() -> Vec<HolderState> {
    vec![
        HolderState { peer: peer(1), signed: true, connected: true, bytes: 1 << 20, error: None },
        HolderState {
            peer: peer(2),
            signed: false,
            connected: false,
            bytes: 0,
            error: Some("refused: full".to_owned()),
        },
    ]
}

fn peers() -> Vec<Peer> {
    let tab = Peer {
        peer_id: peer(3),
        link: Link::Webrtc,
        role: Role::Tab,
        rtt_ms: Some(2),
        addr: format!("/p2p/{}/p2p-circuit/webrtc", peer(4)),
        via: None,
        received: 1 << 33,
        sent: 12,
    };
    let relayed = Peer {
        peer_id: peer(5),
        link: Link::Relayed,
        role: Role::Foreign,
        rtt_ms: None,
        via: Some(peer(4)),
        ..tab.clone()
    };
    vec![tab, relayed]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let (site, kind) = (Cid::of(Codec::DagPb, b"site"), EntryKind::Folder);
    let time_ms = 1_790_000_000_000;
    let mut all = vec![
        ("hello", Reply::Hello { version: 1, agent: "craftec/0.1.0".to_owned() }),
        ("done", Reply::Done),
        ("handle", Reply::Handle { handle: 1 }),
        ("stored", Reply::Stored { cid: cid("x"), size: 1 }),
        ("published", Reply::Published { cid: site, files: 10_000, bytes: 5 << 30, label: None }),
        ("bytes", Reply::Bytes { bytes: vec![9; 40].into() }),
        ("bytes end", Reply::Bytes { bytes: Default::default() }),
        (
            "resolved",
            Reply::Resolved {
                cid: site,
                seq: 4,
                time_ms,
                expires_ms: time_ms + 1,
                equivocation: true,
            },
        ),
        ("words", Reply::Words { words: vec!["abandon".to_owned(), "zoo".to_owned()] }),
    ];
    let opened = Opened {
        handle: 3,
        cid: cid("index"),
        size: 12,
        kind: EntryKind::File,
        path: "docs/index.html".to_owned(),
        mime: "text/html; charset=utf-8".to_owned(),
    };
    all.push(("opened", Reply::Opened(opened)));
    let entry = |name: &str, kind| Entry { name: name.to_owned(), cid: cid(name), size: 9, kind };
    let entries = vec![entry("Ångström", EntryKind::File), entry("docs", kind)];
    all.push(("entries", Reply::Entries { entries }));
    let stat = Stat {
        cid: site,
        size: 4096,
        kind,
        files: 2,
        blocks: 3,
        local_blocks: 1,
        pinned: true,
        health: health(),
        holders: holders(),
        outlook: None,
    };
    all.push(("stat", Reply::Stat(stat.clone())));
    let outlook = Outlook {
        at_ms: time_ms,
        needed: 8,
        reachable: 15,
        counted: 19,
        wholes: 1,
        loss_ppb: 70_000,
    };
    all.push(("stat coded", Reply::Stat(Stat { outlook: Some(outlook), ..stat })));
    let name = Some("notes".to_owned());
    let row = ObjectRow { cid: cid("o"), name, size: 1, kind, time_ms, health: health() };
    all.push(("objects", Reply::Objects { objects: vec![row] }));
    let (name, label) = (Some("blog".to_owned()), Some(format!("n{}", "a".repeat(52))));
    let row = SiteRow { cid: site, name, label, files: 1, bytes: 2, time_ms, health: health() };
    all.push(("sites", Reply::Sites { sites: vec![row] }));
    all.push(("status", Reply::Status(status())));
    all.extend(keeping());
    all
}

/// Full disks, limits, backups.
fn keeping() -> Vec<(&'static str, Reply)> {
    let (month_ends_ms, monthly) = (1_793_491_200_000, Some(20_000_000_000));
    let serving = Serving { rate: None, monthly, sent: 1 << 31, month_ends_ms };
    let storage = Storage { full: true, free: Some(0), ..status().storage };
    let mended = Some(Mended { looks: 70, shards: 3, copies: 2, read: 1 << 30, written: 5 << 20 });
    let full = Status { storage, serving: Some(serving), mended, ..status() };
    let restored = Restored {
        did: "did:craftec:abc".to_owned(),
        objects: 3,
        known: 1,
        bytes: 1 << 20,
        names: 1,
        names_kept: 0,
        restart: true,
    };
    vec![
        ("status full", Reply::Status(full)),
        ("backup", Reply::Backup { handle: 9, bytes: 3 << 30, objects: 12 }),
        ("restored", Reply::Restored(restored)),
    ]
}

fn status() -> Status {
    Status {
        did: "did:craftec:abc".to_owned(),
        peer_id: peer(6),
        role: Role::Relay,
        agent: "craftec/0.1.0".to_owned(),
        uptime_ms: 12_345,
        addresses: vec!["/ip4/127.0.0.1/tcp/4081/ws".to_owned()],
        peers: peers(),
        storage: Storage { used: 1, for_others: 0, lend_limit: 1 << 30, free: None, full: false },
        objects: 2,
        objects_short: 1,
        reach: None,
        serving: None,
        mended: None,
    }
}

fn events() -> Vec<(&'static str, Event)> {
    let transfer = Transfer {
        cid: cid("t"),
        kind: TransferKind::Replicate,
        peer: peer(7),
        bytes: 10,
        total: Some(20),
        done: false,
    };
    vec![
        ("peers", Event::Peers { peers: peers() }),
        ("transfer", Event::Transfer(transfer)),
        ("health", Event::Health { cid: cid("t"), health: health(), holders: holders() }),
        ("lagged", Event::Lagged { lost: 3 }),
    ]
}

fn errors() -> Vec<(&'static str, ApiError)> {
    let all = [
        ErrorCode::BadInput,
        ErrorCode::NotFound,
        ErrorCode::Unavailable,
        ErrorCode::Full,
        ErrorCode::Refused,
        ErrorCode::Version,
        ErrorCode::Aborted,
        ErrorCode::Storage,
        ErrorCode::Internal,
    ];
    let mut errors: Vec<_> =
        all.into_iter().map(|code| ("error", ApiError::new(code, "what happened"))).collect();
    errors.push(("hint", ApiError::new(ErrorCode::Full, "no room").hint("free some")));
    errors
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn vector(name: &str, frame: &impl Serialize) -> Value {
    let bytes = cbor::encode(frame).unwrap();
    json!({ "name": name, "hex": hex(&bytes), "json": serde_json::to_value(frame).unwrap() })
}

fn vectors() -> Value {
    let mut to_node = Vec::new();
    for (id, (name, command)) in (0..).zip(commands().into_iter().chain(sql::commands())) {
        to_node.push(vector(name, &ToNode { id, command }));
    }
    let mut from_node = Vec::new();
    for (id, (name, reply)) in (0..).zip(replies()) {
        from_node.push(vector(name, &FromNode::Ok { id, reply }));
    }
    for (id, (name, error)) in (300..).zip(errors()) {
        from_node.push(vector(name, &FromNode::Err { id, error }));
    }
    for (id, (name, reply)) in (400..).zip(sql::replies()) {
        from_node.push(vector(name, &FromNode::Ok { id, reply }));
    }
    for (name, event) in events() {
        from_node.push(vector(name, &FromNode::Event { event }));
    }
    json!({ "to_node": to_node, "from_node": from_node })
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/api.json")
}

#[test]
fn frames_are_the_golden_bytes() {
    let now = vectors();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&now).unwrap() + "\n";
        std::fs::write(file(), text).unwrap();
    }
    let text = std::fs::read_to_string(file()).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(golden, now, "frames changed: that is a new version of the language");
}

fn reads_back<T: Serialize + DeserializeOwned>(vectors: &Value) {
    for vector in vectors.as_array().unwrap() {
        let bytes = unhex(vector["hex"].as_str().unwrap());
        let frame: T = cbor::decode(&bytes, limits::API_FRAME_BYTES).unwrap();
        assert_eq!(cbor::encode(&frame).unwrap(), bytes);
        for cut in 0..bytes.len() {
            assert!(cbor::decode::<T>(&bytes[..cut], limits::API_FRAME_BYTES).is_err());
        }
    }
}

#[test]
fn golden_bytes_read_back_and_cut_ones_do_not() {
    let all = vectors();
    reads_back::<ToNode>(&all["to_node"]);
    reads_back::<FromNode>(&all["from_node"]);
}
