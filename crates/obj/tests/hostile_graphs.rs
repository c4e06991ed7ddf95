//! Graphs that no honest writer makes: every reader ends, with a result or an error, and never gives
//! more bytes than a file claims.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::cell::Cell;

use common::{Blocks, source};
use craftec_core::{Cid, Codec};
use craftec_obj::{
    Block,
    car::car,
    read::{WalkLimits, content, inventory, list, resolve, stat, walk},
    unixfs::{Node, PbLink, PbNode},
};
use futures::{StreamExt, TryStreamExt, executor::block_on};
use proptest::{prelude::*, sample::Index};

/// Names that mean something in a folder, in a shard or in a file.
const NAMES: [&str; 8] = ["", "00", "01", "01x", "41a", "FF", "a", "b"];

#[derive(Clone, Debug)]
struct Draft {
    kind: u8,
    links: Vec<(Index, u8, u64)>,
    inline: Vec<u8>,
    honest_size: bool,
}

fn draft() -> impl Strategy<Value = Draft> {
    let size = prop_oneof![4 => 0_u64..40, 1 => any::<u64>()];
    let links = prop::collection::vec((any::<Index>(), 0..NAMES.len() as u8, size), 0..6);
    let kind = prop::sample::select(vec![0_u8, 1, 2, 2, 2, 5, 5]);
    let inline = prop::collection::vec(any::<u8>(), 0..4);
    (kind, links, inline, prop::bool::weighted(0.9)).prop_map(|(kind, links, inline, honest)| {
        Draft { kind, links, inline, honest_size: honest }
    })
}

fn varint(out: &mut Vec<u8>, key: u8, mut value: u64) {
    out.push(key);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, key: u8, value: &[u8]) {
    varint(out, key, value.len() as u64);
    out.extend(value);
}

/// How many bytes a part truly has, where that is known.
fn true_size(block: &Block) -> Option<u64> {
    match (block.cid().codec(), Node::decode(block.bytes())) {
        (Codec::Raw, _) => Some(block.len() as u64),
        (_, Ok(Node::File(file))) => Some(file.size),
        _ => None,
    }
}

/// The block of a draft, with links to blocks that were made before it.
fn node(draft: &Draft, before: &[Block]) -> Block {
    let mut links: Vec<(PbLink, u64)> = Vec::new();
    for (which, name, claim) in &draft.links {
        let below = &before[which.index(before.len())];
        let name = if draft.kind == 2 { "" } else { NAMES[usize::from(*name)] };
        let size = true_size(below).filter(|_| draft.honest_size).unwrap_or(*claim);
        let link = PbLink { cid: *below.cid(), name: name.to_owned(), tsize: *claim };
        links.push((link, size));
    }
    if draft.kind != 2 {
        links.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        links.dedup_by(|a, b| a.0.name.get(..2) == b.0.name.get(..2));
    }
    let mut data = vec![8, draft.kind];
    if draft.kind == 5 {
        let mut bitfield = [0_u8; 32];
        for (link, _) in &links {
            let value = link.name.get(..2).and_then(|hex| usize::from_str_radix(hex, 16).ok());
            value.into_iter().for_each(|value| bitfield[31 - value / 8] |= 1 << (value % 8));
        }
        bytes(&mut data, 0x12, &bitfield);
        varint(&mut data, 0x28, 0x22);
        varint(&mut data, 0x30, 256);
    } else if draft.kind != 1 {
        bytes(&mut data, 0x12, &draft.inline);
        links.iter().for_each(|(_, size)| varint(&mut data, 0x20, *size));
    }
    let links = links.into_iter().map(|(link, _)| link).collect();
    Block::of(Codec::DagPb, PbNode { links, data: Some(data) }.encode()).unwrap()
}

fn read_everything(blocks: &Blocks, root: Cid) -> (u32, u32) {
    let limits = WalkLimits { blocks: 1000, bytes: 1 << 20 };
    let (mut fine, mut failed) = (0, 0);
    let mut count = |ok: bool| *(if ok { &mut fine } else { &mut failed }) += 1;
    block_on(async {
        for path in ["", "a", "a/b/a", "x", "a/a/a/a/a/a"] {
            count(resolve(source(blocks), root, path).await.is_ok());
        }
        count(list(source(blocks), root).await.is_ok());
        count(stat(source(blocks), root, limits).await.is_ok());
        let walked: Result<Vec<_>, _> = walk(source(blocks), root, limits).try_collect().await;
        count(walked.is_ok());
        let visits: Result<Vec<_>, _> = inventory(source(blocks), root, limits).try_collect().await;
        count(visits.is_ok());
        count(car(source(blocks), root, limits).all(async |part| part.is_ok()).await);
        for range in [None, Some(0..7), Some(3..u64::MAX), Some(u64::MAX - 1..u64::MAX)] {
            let Ok(opened) = content(source(blocks), root, range).await else {
                count(false);
                continue;
            };
            // A graph can repeat itself to any length: some thousand pieces are enough.
            let parts: Vec<_> = opened.bytes.take(5000).collect().await;
            let given: u64 = parts.iter().flatten().map(|part| part.len() as u64).sum();
            assert!(given <= opened.size);
            let complete = parts.iter().all(Result::is_ok);
            count(complete);
        }
    });
    (fine, failed)
}

#[test]
fn hostile_graphs_break_no_reader() {
    let (fine, failed) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig::with_cases(1500);
    proptest!(config, |(drafts in prop::collection::vec(draft(), 1..12))| {
        let mut made: Vec<Block> = [&b""[..], b"x", b"four"]
            .map(|bytes| Block::of(Codec::Raw, bytes).unwrap())
            .to_vec();
        for draft in &drafts {
            let block = node(draft, &made);
            made.push(block);
        }
        let blocks: Blocks = made.iter().map(|block| (*block.cid(), block.clone())).collect();
        let read = read_everything(&blocks, *made.last().unwrap().cid());
        fine.set(fine.get() + read.0);
        failed.set(failed.get() + read.1);
    });
    let (fine, failed) = (fine.get(), failed.get());
    assert!(fine > 1000 && failed > 1000, "{fine} reads succeeded, {failed} failed: both must");
}
