//! Codes of real files: decoded from any shards that suffice, and found out where they are false.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    coded::shard_links,
    unixfs::{FileBuilder, PbNode},
};

/// A file, its inner nodes root first, and all its blocks.
fn file(bytes: &[u8]) -> (Vec<Block>, BTreeMap<Cid, Block>) {
    let mut builder = FileBuilder::new();
    let mut blocks = builder.push(bytes);
    let built = builder.finish();
    blocks.extend(built.blocks);
    let all: BTreeMap<Cid, Block> = blocks.iter().map(|b| (*b.cid(), b.clone())).collect();
    let mut nodes = vec![all[&built.cid].clone()];
    let mut at = 0;
    while at < nodes.len() {
        let links = PbNode::decode(nodes[at].bytes()).unwrap().links;
        let inner = links.iter().filter(|link| link.cid.codec() == Codec::DagPb);
        nodes.extend(inner.map(|link| all[&link.cid].clone()).collect::<Vec<_>>());
        at += 1;
    }
    (nodes, all)
}

fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The code of a file, and all pieces by name.
fn coded(bytes: &[u8], shards: u8) -> (Coding, BTreeMap<Cid, Block>, Block) {
    let (nodes, mut all) = file(bytes);
    let (size, leaves) = leaves(&nodes).unwrap();
    let spread = Spread::new(size, shards, 250).unwrap();
    let mut made = Vec::new();
    for generation in 0..spread.layout().generations {
        let range = spread.layout().generation(generation);
        let sources = leaves[range.start as usize..range.end as usize].iter();
        let sources: Vec<Bytes> = sources.map(|leaf| all[leaf].bytes().clone()).collect();
        let shape = Generation::new(sources.len() as u8, spread.layout().piece_bytes as usize);
        let indices: Vec<u8> = (sources.len() as u8..spread.pieces(generation) as u8).collect();
        made.extend(shape.encode(&sources, &indices).unwrap());
    }
    let cids: Vec<Cid> = made.iter().map(|block| *block.cid()).collect();
    let code = Code::new(*nodes[0].cid(), &spread, &cids).unwrap().block().unwrap();
    all.extend(made.into_iter().map(|block| (*block.cid(), block)));
    (Coding::new(&code, &nodes).unwrap(), all, code)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_shards_that_suffice_give_the_file_back(
        size in 1_usize << 20..18 << 20, shards in 5_u8..=40, seed in any::<u64>(),
    ) {
        let bytes = pattern(size, seed);
        let (coding, all, _) = coded(&bytes, shards);
        let spread = *coding.spread();
        let mut order: Vec<u8> = (0..shards).collect();
        order.sort_by_key(|at| (seed ^ u64::from(*at)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let held = &order[..usize::from(spread.needed())];
        let mut found = Vec::new();
        for generation in 0..spread.layout().generations {
            let here = spread.generation(generation);
            let here = here.filter(|piece| held.contains(&spread.shard_of(*piece)));
            let pieces: Vec<(u8, Bytes)> =
                here.map(|p| (p.index, all[&coding.cid(p).unwrap()].bytes().clone())).collect();
            let leaves = coding.restore(generation, &pieces).unwrap();
            found.extend(leaves.iter().flat_map(|leaf| leaf.bytes().to_vec()));
        }
        prop_assert!(found == bytes);
        // What was lost is made again under its own name.
        let leaves: Vec<Bytes> = (0..spread.sources(0))
            .map(|index| coding.cid(Piece { generation: 0, index }).unwrap())
            .map(|cid| all[&cid].bytes().clone())
            .collect();
        let index = spread.pieces(0) as u8 - 1;
        let again = coding.encode(0, &leaves, &[index]).unwrap();
        prop_assert_eq!(Some(*again[0].cid()), coding.cid(Piece { generation: 0, index }));
    }
}

#[test]
fn shards_name_what_they_keep_and_no_more() {
    let (coding, all, code) = coded(&pattern(3 << 20, 7), 20);
    let mut pieces = 0;
    for index in 0..20 {
        let shard = coding.shard(index).unwrap();
        let block = shard.block().unwrap();
        assert_eq!(Shard::read(&block).unwrap(), shard);
        assert_eq!(shard.object(), Some(*coding.object()));
        assert!(coding.check(&shard));
        let links = shard_links(&block).unwrap();
        assert_eq!(links.len(), 2 + shard.pieces.len());
        assert!(links.iter().all(|cid| cid == code.cid() || all.contains_key(cid)));
        pieces += shard.pieces.len();
        let other = Shard { index: (index + 1) % 20, ..shard };
        assert!(!coding.check(&other));
    }
    assert_eq!(pieces as u64, coding.spread().layout().pieces + coding.spread().coded());
    assert_eq!(coding.shard(20), None);
    assert_eq!(shard_links(&code), None);
    assert_eq!(coding.cid(Piece { generation: 0, index: 200 }), None);
    assert_eq!(coding.cid(Piece { generation: 9, index: 0 }), None);
}

#[test]
fn equal_leaves_are_one_piece_in_several_places() {
    let (coding, all, _) = coded(&vec![0; 2 << 20], 10);
    let zero = coding.cid(Piece { generation: 0, index: 3 }).unwrap();
    assert_eq!(coding.source(&zero), Some(Piece { generation: 0, index: 0 }));
    let pieces: Vec<(u8, Bytes)> = (32..64).map(|i| (i, all[&zero].bytes().clone())).collect();
    assert_eq!(coding.restore(0, &pieces).unwrap().len(), 32);
}

#[test]
fn a_code_of_something_else_is_found_out() {
    let (right, mut all, _) = coded(&pattern(2 << 20, 1), 10);
    let (nodes, _) = file(&pattern(2 << 20, 1));
    let (other, others, foreign) = coded(&pattern(2 << 20, 2), 10);
    // Of another file: seen at once.
    assert!(matches!(Coding::new(&foreign, &nodes), Err(CodedError::Shape { .. })));
    // One that says it is of this file: seen when it is decoded.
    let mut lie = Code::read(&foreign).unwrap();
    lie.object = *nodes[0].cid();
    let lie = Coding::new(&lie.block().unwrap(), &nodes).unwrap();
    all.extend(others);
    let pieces: Vec<(u8, Bytes)> = (8..40)
        .map(|index| (index, lie.cid(Piece { generation: 0, index }).unwrap()))
        .map(|(index, cid)| (index, all[&cid].bytes().clone()))
        .collect();
    assert!(matches!(lie.restore(0, &pieces), Err(CodedError::NotItsCode { .. })));
    let sources: Vec<Bytes> = (0..32)
        .map(|index| right.cid(Piece { generation: 0, index }).unwrap())
        .map(|cid| all[&cid].bytes().clone())
        .collect();
    assert!(matches!(lie.encode(0, &sources, &[40]), Err(CodedError::NotItsCode { .. })));
    assert!(right.encode(0, &sources, &[40]).is_ok());
    assert_ne!(other.code(), right.code());
}

#[test]
fn malformed_codes_and_shards_are_told() {
    let (coding, _, code) = coded(&pattern(1 << 20, 3), 10);
    let good = Code::read(&code).unwrap();
    let mut hashes = good.hashes.clone();
    hashes.pop();
    let raw = Cid::of(Codec::Raw, b"x");
    for (bad, shape) in [
        (Code { hashes, ..good.clone() }, true),
        (Code { object: raw, ..good.clone() }, true),
        (Code { size: u64::MAX, ..good.clone() }, false),
        (Code { shards: 0, ..good.clone() }, false),
        (Code { percent: 0, ..good.clone() }, false),
    ] {
        let error = Code::read(&bad.block().unwrap()).unwrap_err();
        assert_eq!(matches!(error, CodedError::Shape { .. }), shape, "{error}");
    }
    let newer = Code { v: 2, ..good }.block().unwrap();
    assert_eq!(Code::read(&newer), Err(CodedError::Version(2)));
    let shard = coding.shard(0).unwrap();
    for bad in [
        Shard { v: 2, ..shard.clone() },
        Shard { nodes: vec![], ..shard.clone() },
        Shard { nodes: vec![shard.nodes[0]; 33], ..shard.clone() },
        Shard { nodes: vec![raw], ..shard.clone() },
        Shard { code: raw, ..shard.clone() },
        Shard { pieces: vec![shard.code], ..shard },
    ] {
        assert!(Shard::read(&bad.block().unwrap()).is_err());
    }
    assert!(Code::read(&Block::of(Codec::Raw, code.bytes().clone()).unwrap()).is_err());
    assert!(matches!(leaves(&[]), Err(CodedError::Shape { .. })));
    let folder = Block::of(Codec::DagPb, &b"\x0a\x02\x08\x01"[..]).unwrap();
    assert!(leaves(&[folder]).is_err());
    let (nodes, _) = file(&pattern(300 << 20, 9)[..257 << 20]);
    assert_eq!(leaves(&nodes).unwrap().1.len(), 257 * 4);
    assert!(matches!(leaves(&nodes[..1]), Err(CodedError::Shape { .. })));
}
