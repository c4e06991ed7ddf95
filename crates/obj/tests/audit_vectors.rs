//! Golden vectors of audits: `tests/vectors/audit.json`, which the TypeScript tests read too.
//! `UPDATE_VECTORS=1 cargo test -p craftec-obj --test audit_vectors` writes the file anew; a change in
//! it is a change of the wire and needs a new version number.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::{PATTERN, pattern};
use craftec_core::Codec;
use craftec_obj::{
    Block,
    audit::{
        proof::{Proof, Shown},
        wire::{Answer, Challenge, Item, PROTOCOL, Request},
    },
};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Block lengths, and the chunk asked for: trees of every kind of edge, and what lies beyond.
const CASES: [(usize, u32); 8] = [
    (0, 0),
    (1, 0),
    (1024, 5),
    (1025, 0),
    (3 * 1024, 2),
    (5 * 1024, 3),
    (5 * 1024, 9),
    (70_000, 40),
];

fn block(len: usize) -> Block {
    Block::of(Codec::Raw, pattern(len as u32, len)).unwrap()
}

fn proved(len: usize, chunk: u32) -> Value {
    let block = block(len);
    let request = Request { challenges: vec![Challenge { cid: *block.cid(), chunk }] };
    let proof = Proof::make(&block, chunk);
    let Shown { chunk: shown, len: proved } = proof.verify(block.cid(), chunk).unwrap();
    let path: Vec<String> = proof.path.chunks(32).map(hex).collect();
    json!({
        "seed": len,
        "len": len,
        "cid": block.cid().to_string(),
        "chunk": chunk,
        "shown": shown,
        "proved_len": proved,
        "path": path,
        "request": hex(&request.encode().unwrap()),
        "answer": hex(&Answer::Proofs(vec![Item::Proof(proof)]).encode().unwrap()),
    })
}

/// Answers that decode and prove nothing about the chunk of the same case.
fn forged() -> Vec<Value> {
    let block = block(5 * 1024);
    let good = Proof::make(&block, 3);
    let forged = [
        ("another chunk", Proof::make(&block, 2)),
        ("a shorter block", Proof { len: 4 * 1024, ..good.clone() }),
        ("an end that is none", Proof { len: 3 * 1024, ..Proof::make(&block, 2) }),
        ("a way that is too short", Proof { path: good.path.slice(32..), ..good.clone() }),
        ("a chunk that is too short", Proof { chunk: good.chunk.slice(1..), ..good.clone() }),
    ];
    let forged = forged.into_iter().map(|(name, proof)| {
        assert!(proof.verify(block.cid(), 3).is_err(), "{name}");
        let answer = Answer::Proofs(vec![Item::Proof(proof)]).encode().unwrap();
        json!({ "name": name, "cid": block.cid().to_string(), "chunk": 3, "answer": hex(&answer) })
    });
    forged.collect()
}

fn vectors() -> Value {
    let cases: Vec<Value> = CASES.iter().map(|(len, chunk)| proved(*len, *chunk)).collect();
    let others = [
        (
            "one that is missing",
            Answer::Proofs(vec![Item::Missing]),
            json!({ "proofs": ["missing"] }),
        ),
        ("busy", Answer::Busy(1500), json!({ "busy": 1500 })),
        ("refused", Answer::refused("no"), json!({ "refused": "no" })),
    ];
    let others: Vec<Value> = others
        .into_iter()
        .map(|(name, answer, json)| {
            json!({ "name": name, "hex": hex(&answer.encode().unwrap()), "json": json })
        })
        .collect();
    let many = vec![Challenge { cid: *block(0).cid(), chunk: 0 }; 17];
    let none = Request { challenges: Vec::new() }.encode().unwrap();
    let many = Request { challenges: many }.encode().unwrap();
    let refused = [
        json!({ "name": "no challenge", "hex": hex(&none) }),
        json!({ "name": "more challenges than allowed", "hex": hex(&many) }),
        json!({ "name": "cut off", "hex": hex(&many[..many.len() - 1]) }),
    ];
    json!({
        "protocol": format!("/craftec/{}/{}", PROTOCOL.name, PROTOCOL.versions[0]),
        "pattern": PATTERN,
        "cases": cases,
        "answers": others,
        "forged": forged(),
        "refused": refused,
    })
}

#[test]
fn the_wire_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/audit.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "{} differs: the wire changed", path.display());
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    for case in golden["cases"].as_array().unwrap() {
        let request = Request::decode(&unhex(&text(case, "request"))).unwrap();
        let Challenge { cid, chunk } = request.challenges[0];
        assert_eq!(
            (cid.to_string(), chunk.into()),
            (text(case, "cid"), case["chunk"].as_u64().unwrap())
        );
        let answer = Answer::decode(&unhex(&text(case, "answer")), 1).unwrap();
        let Answer::Proofs(items) = answer else { panic!("{case}") };
        let Item::Proof(proof) = &items[0] else { panic!("{case}") };
        let shown = proof.verify(&cid, chunk).unwrap();
        assert_eq!(u64::from(shown.chunk), case["shown"].as_u64().unwrap());
    }
    for forged in golden["forged"].as_array().unwrap() {
        let answer = Answer::decode(&unhex(&text(forged, "answer")), 1).unwrap();
        let Answer::Proofs(items) = answer else { panic!("{forged}") };
        let Item::Proof(proof) = &items[0] else { panic!("{forged}") };
        let cid = text(forged, "cid").parse().unwrap();
        assert!(proof.verify(&cid, 3).is_err(), "{forged}");
    }
    for refused in golden["refused"].as_array().unwrap() {
        assert!(Request::decode(&unhex(&text(refused, "hex"))).is_err(), "{refused}");
    }
}
