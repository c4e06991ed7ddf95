//! Golden vectors of page tables and logs: those sections of `tests/vectors/sql.json`, of which
//! `craftec-core` writes the others. `UPDATE_VECTORS=1 cargo test -p craftec-sql --test vectors` writes
//! them anew; a change in them is a change of a format and needs a new version number.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use craftec_core::{database::PAGE_BYTES, sign::Hash};
use craftec_platform::{Folder, sim::SimDisk};
use craftec_sql::{
    log::{Log, LogOptions},
    page::{Digest, PageNo},
    table::PageTable,
};
use futures::executor::block_on;
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

/// A table of 300 pages, of which one was never written, and the page that is the same everywhere.
fn table() -> Value {
    let mut table = PageTable::default();
    for number in (1..=300).filter(|number| *number != 260) {
        table.set(page(number), Digest::of(&[(number % 5) as u8; PAGE_BYTES]));
    }
    let made = table.materialise(None).unwrap();
    let nodes: Vec<Value> = made
        .nodes
        .iter()
        .map(|(cid, bytes)| {
            let short = bytes.len() < 200;
            json!({
                "cid": cid.to_string(),
                "length": bytes.len(),
                "bytes": if short { json!(hex(bytes)) } else { Value::Null },
            })
        })
        .collect();
    json!({ "pages": 300, "absent": [260], "top": made.top.unwrap().to_string(), "nodes": nodes })
}

/// A log of two commits, a snapshot and a name: its file whole, as a hash, and its heads.
fn log() -> Value {
    let disk = SimDisk::new();
    let mut log = block_on(Log::open(&disk, "a database", LogOptions::default())).unwrap();
    for number in 1..=3 {
        log.write(page(number), &[number as u8; PAGE_BYTES]).unwrap();
    }
    log.commit().unwrap();
    log.write(page(2), &[9; PAGE_BYTES]).unwrap();
    log.set_pages(2);
    log.commit().unwrap();
    let root = log.snapshot(Hash([7; 32])).unwrap();
    log.keep("a name", root).unwrap();
    let (name, _) = log.file_names();
    let used = log.size().used_bytes as usize;
    drop(log);
    let file = block_on(disk.open(&name)).unwrap();
    let mut bytes = vec![0; used];
    file.read_at(0, &mut bytes).unwrap();
    let first_head = &bytes[4096..4096 + 64 + 3 * 36];
    json!({
        "name": "a database",
        "file": name,
        "length": used,
        "blake3": hex(blake3::hash(&bytes).as_bytes()),
        "header": hex(&bytes[..80]),
        "first_record": hex(first_head),
        "root": root.to_string(),
    })
}

#[test]
fn every_format_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sql.json");
    let golden = std::fs::read_to_string(&path).unwrap();
    let mut vectors: Value = serde_json::from_str(&golden).unwrap();
    vectors["table"] = table();
    vectors["log"] = log();
    let now = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert!(golden == now, "{} differs: a format changed", path.display());
}
