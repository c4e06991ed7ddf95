//! Golden vectors of files and folders: `tests/vectors/unixfs.json`. A difference means that equal
//! bytes would no longer have equal CIDs. `UPDATE_VECTORS=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{
    FILES, Member, PATTERN, SHARDED, SHARDED_PATH, file, folder, nested, pattern, sharded,
};
use serde_json::{Value, json};

fn member(member: &Member) -> Value {
    json!({ "path": member.path, "seed": member.seed, "size": member.size })
}

fn a_folder(name: &str, members: &[Member], rule: Option<Value>, listed: &[Member]) -> Value {
    let (built, blocks) = folder(members);
    json!({
        "name": name,
        "rule": rule,
        "files": listed.iter().map(member).collect::<Vec<_>>(),
        "cid": built.cid.to_string(),
        "tsize": built.tsize,
        "file_count": built.files,
        "file_bytes": built.bytes,
        "blocks": blocks.len(),
    })
}

fn vectors() -> Value {
    let files = FILES.map(|(name, seed, size)| {
        let (built, blocks) = file(&pattern(seed, size), []);
        json!({
            "name": name,
            "seed": seed,
            "size": size,
            "cid": built.cid.to_string(),
            "tsize": built.tsize,
            "blocks": blocks.len(),
        })
    });
    let rule = json!({
        "count": SHARDED, "path": SHARDED_PATH, "seed": "i", "size": "i mod 50",
    });
    let sharded = sharded();
    json!({
        "pattern": PATTERN,
        "files": files,
        "folders": [
            a_folder("empty", &[], None, &[]),
            a_folder("nested", &nested(), None, &nested()),
            a_folder("sharded", &sharded, Some(rule), &sharded[SHARDED as usize..]),
        ],
    })
}

#[test]
fn every_object_has_the_cid_it_had() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/unixfs.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "{} differs: CIDs changed", path.display());
}
