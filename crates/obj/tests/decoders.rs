//! Decoders of foreign bytes keep their promises on anything: the bodies of the fuzz targets, on
//! random bytes and on damaged copies of real ones.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../fuzz/src/objects.rs"]
mod bodies;
mod common;

use std::path::Path;

use common::{Member, file, folder, nested, pattern};
use craftec_core::{Cid, Codec, Did, cbor, sign::Hash};
use craftec_obj::{
    Block,
    audit::{
        proof::Proof,
        wire::{Answer as Audited, Challenge, Item as Shown, Request as Audit},
    },
    coded::{Code, Shard, Spread},
    exchange::{
        self, Question, Shards,
        wire::{Answer, Blocks, Have, Item, Request, Want},
    },
    pack::Pack,
    replicate::wire::{Ask, Hold, Refusal, Release, Told},
};
use proptest::{prelude::*, sample::Index};

fn all(bytes: &[u8]) {
    bodies::node(bytes);
    bodies::cid(bytes);
    bodies::names(bytes);
    bodies::frames(bytes);
    bodies::record(bytes);
    bodies::exchange(bytes);
    bodies::hold(bytes);
    bodies::coded(bytes);
    bodies::audit(bytes);
    bodies::ledger(bytes);
    bodies::stored(bytes);
}

/// What is done to good bytes: at a place, cut, change, insert or repeat.
type Damage = Vec<(Index, u8, u8)>;

fn damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec(any::<(Index, u8, u8)>(), 1..4)
}

fn damaged(good: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, how, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how % 5 {
            0 => bytes.truncate(at),
            1 => bytes[at] = *byte,
            2 => bytes[at] ^= 1 << (byte % 8),
            3 => bytes.insert(at, *byte),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

/// One of each kind of node.
fn nodes() -> Vec<Vec<u8>> {
    let large: Vec<Member> =
        (0..16_000).map(|i| Member { path: format!("{i:060}"), seed: 0, size: 0 }).collect();
    let (sharded, _) = folder(&large);
    let (nested, _) = folder(&nested());
    let (file, _) = file(&pattern(1, 1 << 20), []);
    let blocks = [sharded.blocks, nested.blocks, file.blocks].concat();
    let nodes = blocks.iter().filter(|block| block.cid().codec() == Codec::DagPb);
    let mut nodes: Vec<_> = nodes.map(|block| block.bytes().to_vec()).collect();
    nodes.sort_by_key(|bytes| std::cmp::Reverse(bytes.len()));
    nodes.dedup_by_key(|bytes| bytes.len() / 64);
    nodes
}

/// Records as `tests/vectors/core.json` has them.
fn records() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/core.json");
    let vectors: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let hex = |text: &str| {
        let digits: Vec<char> = text.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    };
    let bytes = |kind: &str| hex(vectors[kind]["record"]["bytes"].as_str().unwrap());
    vec![bytes("head"), bytes("placement")]
}

fn messages() -> Vec<Vec<u8>> {
    let cids: Vec<Cid> = (0..5_u8).map(|i| Cid::of(Codec::Raw, &[i])).collect();
    let items = (0..3).map(|at| Item { at, bytes: bytes::Bytes::from(vec![1; 9]) });
    let blocks = Blocks { blocks: items.collect(), missing: vec![3, 4] };
    let requests = [
        Request::Want(Want { root: cids[0], cids: cids.clone(), budget: 1 << 20 }),
        Request::Have(Have { cids }),
    ];
    let answers = [Answer::Blocks(blocks), Answer::Busy(100), Answer::Refused("no".to_owned())];
    let requests = requests.iter().map(|message| cbor::encode(message).unwrap());
    requests.chain(answers.iter().map(|message| cbor::encode(message).unwrap())).collect()
}

fn check_damaged(good: &[Vec<u8>], cases: u32, body: fn(&[u8])) {
    good.iter().for_each(|bytes| body(bytes));
    let config = ProptestConfig::with_cases(cases);
    proptest!(config, |(which in any::<Index>(), damage in damage())| {
        body(&damaged(&good[which.index(good.len())], &damage));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_break_no_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        all(&bytes);
    }
}

#[test]
fn damaged_nodes_break_nothing() {
    check_damaged(&nodes(), 1000, bodies::node);
}

#[test]
fn damaged_records_break_nothing() {
    let records = records();
    for bytes in &records {
        assert!(cbor::decode::<craftec_core::record::Record>(bytes, 1 << 15).is_ok());
    }
    check_damaged(&records, 1000, bodies::record);
}

#[test]
fn damaged_messages_break_nothing() {
    check_damaged(&messages(), 2000, bodies::exchange);
}

fn questions() -> Vec<Vec<u8>> {
    let root = Cid::of(Codec::Raw, b"root");
    let owner = Did(Hash([3; 32]));
    let heads = vec![records().remove(0).into()];
    let ask = Ask::Hold(Hold { root, bytes: 9, blocks: 1, owner, epoch: 2, heads });
    let refusal = Refusal { reason: "no room".to_owned(), retry_ms: 1_000 };
    vec![
        cbor::encode(&ask).unwrap(),
        cbor::encode(&Ask::Release(Release { root, owner })).unwrap(),
        cbor::encode(&Told::Progress(70_000)).unwrap(),
        cbor::encode(&Told::Refused(refusal)).unwrap(),
        cbor::encode(&Told::Released).unwrap(),
    ]
}

#[test]
fn damaged_messages_of_replication_break_nothing() {
    check_damaged(&questions(), 2000, bodies::hold);
}

/// A code, a shard, a pack, and what is said about shards.
fn coded() -> Vec<Vec<u8>> {
    let spread = Spread::new(1 << 20, 10, 250).unwrap();
    let cid = |at: u64| Cid::of(Codec::Raw, &at.to_be_bytes());
    let coded: Vec<Cid> = (0..spread.coded()).map(cid).collect();
    let object = Cid::of(Codec::DagPb, b"file");
    let code = Code::new(object, &spread, &coded).unwrap().block().unwrap();
    let pieces = vec![cid(1), cid(2)];
    let pack = Pack::of((0..9).map(cid)).unwrap();
    let shard = Shard { v: 1, code: *code.cid(), index: 3, nodes: vec![object], pieces };
    let shards = Shards { code: *code.cid(), indices: serde_bytes::ByteBuf::from([1, 5, 6]) };
    vec![
        code.bytes().to_vec(),
        shard.block().unwrap().bytes().to_vec(),
        pack.block().unwrap().bytes().to_vec(),
        cbor::encode(&exchange::Told {
            v: 1,
            whole: true,
            codes: vec![shards],
            others: vec![craftec_core::PeerId::from_public_key([7; 32])],
        })
        .unwrap(),
        cbor::encode(&Question { v: 1, object, slot: 7 }).unwrap(),
    ]
}

#[test]
fn damaged_codes_and_shards_break_nothing() {
    check_damaged(&coded(), 3000, bodies::coded);
}

fn audits() -> Vec<Vec<u8>> {
    let block = Block::of(Codec::Raw, bodies::AUDITED.to_vec()).unwrap();
    let proof = |chunk| Shown::Proof(Proof::make(&block, chunk));
    let challenges = vec![Challenge { cid: *block.cid(), chunk: 2 }; 2];
    let answers = [
        Audited::Proofs(vec![proof(0)]),
        Audited::Proofs(vec![proof(1)]),
        Audited::Proofs(vec![proof(2)]),
        Audited::Proofs(vec![Shown::Missing]),
        Audited::Busy(1000),
        Audited::refused("no"),
    ];
    let request = cbor::encode(&Audit { challenges }).unwrap();
    let answers = answers.iter().map(|answer| answer.encode().unwrap());
    answers.chain([request]).collect()
}

#[test]
fn damaged_audits_break_nothing_and_prove_nothing_else() {
    check_damaged(&audits(), 4000, bodies::audit);
}

/// Swaps and pages as `tests/vectors/ledger.json` has them.
fn ledgers() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/ledger.json");
    let vectors: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let unhex = |text: &str| {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    };
    let all = ["swaps", "pages"].map(|kind| vectors[kind].as_array().unwrap().clone());
    all.concat().iter().map(|vector| unhex(vector["hex"].as_str().unwrap())).collect()
}

#[test]
fn damaged_receipts_and_pages_break_nothing() {
    check_damaged(&ledgers(), 2000, bodies::ledger);
}

#[test]
fn damaged_blocks_are_no_blocks() {
    let block = [Cid::of(Codec::Raw, b"content").to_bytes().as_slice(), b"content"].concat();
    check_damaged(&[block], 2000, bodies::stored);
}

#[test]
fn damaged_cids_and_paths_break_nothing() {
    let cid = Cid::of(Codec::DagPb, b"x");
    check_damaged(&[cid.to_bytes().to_vec(), cid.to_string().into_bytes()], 2000, bodies::cid);
    check_damaged(&["a/ü/日本/c.txt".into(), "../x".into()], 2000, bodies::names);
}

#[test]
fn damaged_frames_break_nothing() {
    let frame = [&[0x82, 0x01][..], &[7; 130], &[2, 1, 2]].concat();
    check_damaged(&[frame], 2000, bodies::frames);
}

/// A decoder that recursed into what it skips would overflow its stack.
#[test]
fn deep_nesting_is_refused() {
    for (open, depth) in [(0x81_u8, 100_000), (0xa1, 50_000), (0xd8, 50_000)] {
        all(&vec![open; depth]);
    }
}
