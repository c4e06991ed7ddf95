//! Golden vectors of databases' roots and sets of changed pages: those sections of
//! `tests/vectors/sql.json`, of which `craftec-sql` writes the others and TypeScript reads all.
//! Those of encrypted databases are in `tests/vectors/sealed.json`.
//! `UPDATE_VECTORS=1 cargo test -p craftec-core --test database_vectors` writes them anew; a change in
//! them is a change of a format and needs a new version number.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use craftec_core::{
    Cid, Codec, cbor,
    database::{
        ChangedPages, DatabaseKey, Holdings, KeyId, Node, PAGE_BYTES, Reader, Root, Seal,
        SealedNode, SealedRoot, Share,
    },
    identity::Did,
    sign::{Hash, SecretKey},
    wallet::Wallet,
};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn roots() -> Value {
    let top = Cid::of(Codec::DagCbor, b"a table");
    let first = Root { schema: Hash([7; 32]), ..Root::new(300, Some(top)) };
    let mut packs = vec![Cid::of(Codec::Raw, b"pack"), Cid::of(Codec::Raw, b"another")];
    packs.sort();
    let second = Root {
        parent: Some(first.block().unwrap().0),
        changed: ChangedPages::of([1, 2, 3, 200, 300]),
        holdings: Holdings { packs, refs: vec![Cid::of(Codec::DagPb, b"a picture")] },
        ..first.clone()
    };
    let roots = [Root::new(0, None), first, second];
    let encoded = |root: &Root| {
        let (cid, bytes) = root.block().unwrap();
        assert_eq!(&Root::decode(&bytes).unwrap(), root);
        assert!(root.parent.is_none_or(|parent| root.links().all(|cid| cid != parent)));
        json!({ "cid": cid.to_string(), "bytes": hex(&bytes) })
    };
    roots.iter().map(encoded).collect()
}

fn changed() -> Value {
    let sets: [&[u32]; 4] = [&[], &[1], &[1, 2, 3, 200, 300], &[5, 7, 100_000, 100_001]];
    sets.iter()
        .map(|pages| {
            let set = ChangedPages::of(pages.iter().copied()).unwrap();
            json!({ "pages": pages, "cbor": hex(&cbor::encode(&set).unwrap()) })
        })
        .collect()
}

#[test]
fn roots_and_sets_are_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sql.json");
    let golden = std::fs::read_to_string(&path).unwrap();
    let mut vectors: Value = serde_json::from_str(&golden).unwrap();
    vectors["roots"] = roots();
    vectors["changed"] = changed();
    let now = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert!(golden == now, "{} differs: a format changed", path.display());
}

#[test]
fn nodes_are_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sql.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let nodes = vectors["table"]["nodes"].as_array().unwrap();
    let short = nodes.iter().filter_map(|node| Some((&node["cid"], node["bytes"].as_str()?)));
    let mut count = 0;
    for (cid, text) in short {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
        let node = Node::decode(&bytes).unwrap();
        assert_eq!(node.encode().unwrap(), bytes);
        assert_eq!(Cid::of(Codec::DagCbor, &bytes).to_string(), cid.as_str().unwrap());
        count += 1;
    }
    assert!(count > 0, "the file has no node that is short");
}

fn sealed() -> Value {
    let id = KeyId([3; 16]);
    let key = Wallet::from_entropy([9; 32]).database_key(id);
    let seal = Seal::new(id, key.clone());
    let mut page: [u8; PAGE_BYTES] = std::array::from_fn(|at| at as u8);
    page[PAGE_BYTES - 16..].fill(0);
    let open = page;
    seal.seal_page(&mut page);
    let pages = [b"one", b"two"].map(|page| Cid::of(Codec::Raw, page));
    let order = [Some(pages[1]), None, Some(pages[0]), Some(pages[1])];
    let node = Node::of(order.into_iter()).unwrap();
    let of_node = SealedNode::of(&node, &seal).unwrap();
    assert_eq!(of_node.open(&seal).unwrap(), node);
    let table = Cid::of(Codec::DagCbor, &of_node.encode().unwrap());
    let reader = SecretKey::from_seed([5; 32]);
    let readers = [Reader { did: Did(Hash([6; 32])), key: reader.public() }];
    let root = Root {
        schema: Hash([7; 32]),
        parent: Some(Cid::of(Codec::DagCbor, b"before")),
        changed: ChangedPages::of([1, 4]),
        ..Root::new(4, Some(table))
    };
    let of_root = SealedRoot::of(&root, &readers, &seal).unwrap();
    let (cid, bytes) = of_root.block().unwrap();
    let share = Share::of(&seal, &readers[0]).unwrap();
    let DatabaseKey(opened) = share.open(id, &reader).unwrap().key().clone();
    assert_eq!(opened, key.0);
    let links = |links: Vec<Cid>| links.iter().map(Cid::to_string).collect::<Vec<_>>();
    let entries: Vec<Option<String>> = order.map(|cid| cid.map(|cid| cid.to_string())).to_vec();
    json!({
        "wallet": hex(&[9; 32]),
        "id": hex(&id.0),
        "key": hex(&key.0),
        "page": { "open": hex(&open), "sealed": hex(&page) },
        "node": {
            "cid": table.to_string(),
            "bytes": hex(&of_node.encode().unwrap()),
            "links": links(of_node.links().collect()),
            "entries": entries,
        },
        "root": { "cid": cid.to_string(), "bytes": hex(&bytes), "links": links(root.links().collect()) },
        "share": { "reader": hex(&[5; 32]), "box": hex(&cbor::encode(&share).unwrap()) },
    })
}

#[test]
fn encrypted_databases_are_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sealed.json");
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let now = serde_json::to_string_pretty(&sealed()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert!(golden == now, "{} differs: a format changed", path.display());
}
