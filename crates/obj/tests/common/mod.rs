//! Objects and folders to test with. The bytes of a pattern are documented in
//! `tests/vectors/unixfs.json`, so that a test in another language can make the same.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, rc::Rc};

use craftec_core::Cid;
use craftec_obj::{
    Block,
    read::BlockSource,
    unixfs::{Built, BuiltFolder, FileBuilder, FolderBuilder},
};

/// How bytes are made from a seed, in words.
pub(crate) const PATTERN: &str = "byte i is ((i * 2654435761 + seed) mod 2^32) >> 24";

/// `size` bytes of a seed.
pub(crate) fn pattern(seed: u32, size: usize) -> Vec<u8> {
    let byte = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8;
    (0..size as u32).map(byte).collect()
}

/// Blocks in memory.
pub(crate) type Blocks = BTreeMap<Cid, Block>;

/// The blocks of an object, and what was built.
pub(crate) fn file(bytes: &[u8], pushes: impl IntoIterator<Item = usize>) -> (Built, Blocks) {
    let mut builder = FileBuilder::new();
    let mut blocks = Vec::new();
    let mut rest = bytes;
    for len in pushes {
        let (now, later) = rest.split_at(len.min(rest.len()));
        blocks.extend(builder.push(now));
        rest = later;
    }
    blocks.extend(builder.push(rest));
    let built = builder.finish();
    blocks.extend(built.blocks.iter().cloned());
    let last = blocks.last().map(|block| *block.cid());
    assert_eq!(last, Some(built.cid), "the root is the last block");
    (built, blocks.into_iter().map(|block| (*block.cid(), block)).collect())
}

/// A file of a test folder.
pub(crate) struct Member {
    /// Where in the folder.
    pub(crate) path: String,
    /// Of its bytes.
    pub(crate) seed: u32,
    /// Its length.
    pub(crate) size: usize,
}

/// A test folder.
pub(crate) fn folder(members: &[Member]) -> (BuiltFolder, Blocks) {
    let mut builder = FolderBuilder::new();
    let mut all = Blocks::new();
    for Member { path, seed, size } in members {
        let (built, blocks) = file(&pattern(*seed, *size), []);
        builder.add(path, built.cid, built.size, built.tsize).unwrap();
        all.extend(blocks);
    }
    let built = builder.finish().unwrap();
    all.extend(built.blocks.iter().map(|block| (*block.cid(), block.clone())));
    (built, all)
}

/// A map of blocks as a source.
pub(crate) fn source(blocks: &Blocks) -> Rc<dyn BlockSource> {
    Rc::new(blocks.clone())
}

/// Files of the golden vectors: name, seed, size.
pub(crate) const FILES: [(&str, u32, usize); 8] = [
    ("empty", 0, 0),
    ("small", 1, 1000),
    ("just below 1 MiB", 2, (1 << 20) - 1),
    ("1 MiB", 3, 1 << 20),
    ("1 MiB + 1", 4, (1 << 20) + 1),
    ("5,000,000", 5, 5_000_000),
    ("8 MiB", 6, 8 << 20),
    ("8 MiB + 1", 7, (8 << 20) + 1),
];

fn member(path: impl Into<String>, seed: u32, size: usize) -> Member {
    Member { path: path.into(), seed, size }
}

/// Members of the golden folder in single blocks.
pub(crate) fn nested() -> Vec<Member> {
    vec![
        member("index.html", 10, 321),
        member("assets/app.js", 11, 70_000),
        member("assets/app.css", 12, 4096),
        member("assets/img/hero image.png", 13, (1 << 20) + 77),
        member("assets/img/copy of hero image.png", 13, (1 << 20) + 77),
        member("日本語/読んで.txt", 14, 12),
        member("a/b/c/d/e/f/empty", 15, 0),
        member("Zoë 🦀\\file", 16, 5),
    ]
}

/// How many members of [`sharded`] follow its rule.
pub(crate) const SHARDED: u32 = 12_000;
/// Their paths, in words.
pub(crate) const SHARDED_PATH: &str =
    "{i:05}-abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz.txt";

/// Members of the golden folder with shards.
pub(crate) fn sharded() -> Vec<Member> {
    let path = |i: u32| SHARDED_PATH.replace("{i:05}", &format!("{i:05}"));
    let mut members: Vec<_> = (0..SHARDED).map(|i| member(path(i), i, i as usize % 50)).collect();
    members.push(member("big.bin", 20, (2 << 20) + 3));
    members.push(member("below/inner.txt", 21, 40));
    members
}
