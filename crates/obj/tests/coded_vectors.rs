//! Golden vectors of coded files: `tests/vectors/coded.json`, which the TypeScript tests read too. A
//! difference means that a lost piece would no longer be made again under its name.
//! `UPDATE_VECTORS=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use bytes::Bytes;
use common::{PATTERN, file, pattern};
use craftec_core::{Cid, Codec, cbor};
use craftec_obj::{
    Block,
    coded::{Code, Coding, Generation, Spread, leaves},
    exchange::{Question, Shards, Told},
    unixfs::PbNode,
};
use serde_json::{Value, json};

const SEED: u32 = 5;
const SIZES: [usize; 2] = [1 << 20, 17_000_001];
const SHARDS: u8 = 20;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A file's code, its names, and the code's block.
fn coded(size: usize) -> (Coding, Block) {
    let (built, blocks) = file(&pattern(SEED, size), []);
    let mut nodes = vec![blocks[&built.cid].clone()];
    let links = PbNode::decode(nodes[0].bytes()).unwrap().links;
    let inner = links.iter().filter(|link| link.cid.codec() == Codec::DagPb);
    nodes.extend(inner.map(|link| blocks[&link.cid].clone()));
    let (size, leaves) = leaves(&nodes).unwrap();
    let spread = Spread::new(size, SHARDS, 250).unwrap();
    let mut made: Vec<Cid> = Vec::new();
    for generation in 0..spread.layout().generations {
        let range = spread.layout().generation(generation);
        let sources = &leaves[range.start as usize..range.end as usize];
        let sources: Vec<Bytes> = sources.iter().map(|cid| blocks[cid].bytes().clone()).collect();
        let first = spread.sources(generation);
        let shape = Generation::new(first, spread.layout().piece_bytes as usize);
        let indices: Vec<u8> = (first..spread.pieces(generation) as u8).collect();
        made.extend(shape.encode(&sources, &indices).unwrap().iter().map(|block| *block.cid()));
    }
    let code = Code::new(built.cid, &spread, &made).unwrap().block().unwrap();
    (Coding::new(&code, &nodes).unwrap(), code)
}

fn vectors() -> Value {
    let files = SIZES.map(|size| {
        let (coding, code) = coded(size);
        let spread = coding.spread();
        let shards = (0..SHARDS).map(|index| coding.shard(index).unwrap().block().unwrap());
        json!({
            "size": size,
            "cid": coding.object().to_string(),
            "piece_bytes": spread.layout().piece_bytes,
            "sources": (0..spread.layout().generations).map(|g| spread.sources(g)).collect::<Vec<_>>(),
            "pieces": (0..spread.layout().generations).map(|g| spread.pieces(g)).collect::<Vec<_>>(),
            "needed": spread.needed(),
            "code": code.cid().to_string(),
            "shards": shards.map(|block| block.cid().to_string()).collect::<Vec<_>>(),
        })
    });
    let row = |sources, index| {
        let coefficients = Generation::new(sources, 1).coefficients(index);
        json!({ "sources": sources, "index": index, "coefficients": hex(&coefficients) })
    };
    let small = Generation::new(3, 8);
    let sources: Vec<Bytes> =
        [&b"craftec "[..], b"keeps it", b"alive"].map(Bytes::copy_from_slice).to_vec();
    let pieces = small.encode(&sources, &[3, 4, 255]).unwrap();
    let object = Cid::of(Codec::DagPb, b"file");
    let shards = Shards {
        code: Cid::of(Codec::DagCbor, b"code"),
        indices: serde_bytes::ByteBuf::from([0, 7, 19]),
    };
    let others = vec![craftec_core::PeerId::from_public_key([9; 32])];
    let told = Told { v: 1, whole: false, codes: vec![shards], others };
    json!({
        "pattern": PATTERN,
        "seed": SEED,
        "shards": SHARDS,
        "percent": 250,
        "files": files,
        "coefficients": [row(3, 0), row(3, 3), row(3, 255), row(64, 64), row(64, 159)],
        "generation": {
            "sources": sources.iter().map(|source| hex(source)).collect::<Vec<_>>(),
            "indices": [3, 4, 255],
            "pieces": pieces.iter().map(|piece| hex(piece.bytes())).collect::<Vec<_>>(),
        },
        "question": hex(&cbor::encode(&Question { v: 1, object, slot: 300 }).unwrap()),
        "told": hex(&cbor::encode(&told).unwrap()),
    })
}

#[test]
fn every_code_has_the_cid_it_had() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/coded.json");
    let found = vectors();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(found, golden);
}
