//! Packs and what is remembered of them, against their golden vectors: `tests/vectors/pack.json`, which
//! the TypeScript tests read too. `UPDATE_VECTORS=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use craftec_core::Did;
use serde_json::{Value, json};

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vectors() -> Value {
    let contents = ["craftec", "keeps it", "alive", ""];
    let cids = contents.map(|content| Cid::of(Codec::Raw, content.as_bytes()));
    let block = Pack::of(cids).unwrap().block().unwrap();
    let record = PackRecord {
        v: 1,
        pack: ByteBuf::from(block.bytes().to_vec()),
        bytes: 20,
        wanted: 3,
        time_ms: 1_700_000_000_000,
    };
    json!({
        "contents": contents,
        "members": cids.map(|cid| cid.to_string()),
        "cid": block.cid().to_string(),
        "block": hex(block.bytes()),
        "record": hex(&cbor::encode(&record).unwrap()),
    })
}

#[test]
fn packs_are_what_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/pack.json");
    let found = vectors();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(found, golden);
}

#[test]
fn a_record_that_is_none_is_refused() {
    let record = |v, pack: &[u8]| {
        let pack = ByteBuf::from(pack.to_vec());
        cbor::encode(&PackRecord { v, pack, bytes: 1, wanted: 1, time_ms: 1 }).unwrap()
    };
    let block = Pack::of([Cid::of(Codec::Raw, b"it")]).unwrap().block().unwrap();
    assert!(PackRecord::read(&record(1, block.bytes())).is_ok());
    let newer = PackRecord::read(&record(2, block.bytes()));
    assert!(matches!(newer, Err(StoreError::Newer { found: 2, known: 1 })));
    let other = cbor::encode(&Did(craftec_core::sign::Hash([1; 32]))).unwrap();
    for damaged in [record(1, b""), record(1, &other), Vec::new()] {
        assert!(PackRecord::read(&damaged).is_err());
    }
}

#[test]
fn the_largest_record_fits() {
    let members = (0..crate::pack::MEMBERS as u64).map(|n| Cid::of(Codec::Raw, &n.to_be_bytes()));
    let block = Pack::of(members).unwrap().block().unwrap();
    let pack = ByteBuf::from(block.bytes().to_vec());
    let record = PackRecord { v: 1, pack, bytes: u64::MAX, wanted: u16::MAX, time_ms: u64::MAX };
    assert!(cbor::encode(&record).unwrap().len() <= PACK_RECORD_BYTES);
}
