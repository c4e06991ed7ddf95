//! What is built is read back: whole, in ranges, by path, as a list, as a walk and as a CAR file.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{cell::RefCell, collections::BTreeMap, ops::Range, rc::Rc, time::Instant};

use common::{Blocks, file, folder, nested, pattern, sharded, source};
use craftec_core::{Cid, Codec};
use craftec_obj::{
    Block, BlockSource, ObjError,
    car::car,
    read::{Kind, Stat, Visit, WalkLimits, content, inventory, list, resolve, stat, walk},
    unixfs::{File, FileLink, FolderBuilder, Node, PathError, layout},
};
use futures::{TryStreamExt, executor::block_on, stream::LocalBoxStream};
use proptest::{prelude::*, sample::Index};

fn read(
    blocks: Rc<dyn BlockSource>,
    cid: Cid,
    range: Option<Range<u64>>,
) -> Result<(u64, Vec<u8>), ObjError> {
    block_on(async {
        let content = content(blocks, cid, range).await?;
        let pieces: Vec<bytes::Bytes> = content.bytes.try_collect().await?;
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        Ok((content.size, pieces.concat()))
    })
}

/// A source that remembers what was asked for.
struct Asked {
    blocks: Blocks,
    asked: RefCell<Vec<Vec<Cid>>>,
}

impl BlockSource for Asked {
    fn blocks(&self, wants: Vec<Cid>) -> LocalBoxStream<'static, Result<Block, ObjError>> {
        self.asked.borrow_mut().push(wants.clone());
        self.blocks.blocks(wants)
    }
}

fn asked(blocks: &Blocks) -> Rc<Asked> {
    Rc::new(Asked { blocks: blocks.clone(), asked: RefCell::default() })
}

/// Lengths around everything that decides the layout.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0_usize..4000,
        3 => (1_usize << 20) - 3..(1 << 20) + 3,
        3 => (1_usize << 20)..3 << 20,
        1 => (8_usize << 20) - 2..(8 << 20) + 2,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_length_pushes_and_range_read_back(
        size in sizes(),
        pushes in prop::collection::vec(1_usize..700_000, 0..8),
        ends in any::<(Index, Index)>(),
    ) {
        let bytes = pattern(size as u32, size);
        let (built, blocks) = file(&bytes, pushes);
        let (whole, _) = file(&bytes, []);
        prop_assert_eq!(built.cid, whole.cid);
        prop_assert_eq!((built.size, built.tsize), (whole.size, whole.tsize));
        prop_assert_eq!(built.size, size as u64);
        let (found, all) = read(source(&blocks), built.cid, None).unwrap();
        prop_assert_eq!(found, size as u64);
        prop_assert!(all == bytes);

        let (a, b) = (ends.0.index(size + 10), ends.1.index(size + 10));
        let (start, end) = (a.min(b), a.max(b));
        let asked = asked(&blocks);
        let range = start as u64..end as u64;
        let (found, part) = read(asked.clone(), built.cid, Some(range)).unwrap();
        prop_assert_eq!(found, size as u64);
        prop_assert!(part == bytes[start.min(size)..end.min(size)]);
        let leaves = asked.asked.take().concat().iter().filter(|c| c.codec() == Codec::Raw).count();
        if size >= 1 << 20 {
            let piece_bytes = layout(size as u64).piece_bytes as usize;
            let (start, end) = (start.min(size), end.min(size));
            let needed = match start < end {
                true => end.div_ceil(piece_bytes) - start / piece_bytes,
                false => 0,
            };
            prop_assert_eq!(leaves, needed, "only the leaves that hold the range");
        }
    }

    /// Trees of any shape, as other tools may write them.
    #[test]
    fn foreign_trees_read_in_order(tree in tree(), ends in any::<(Index, Index)>()) {
        let mut blocks = Blocks::new();
        let (link, bytes) = tree.build(&mut blocks);
        let (size, all) = read(source(&blocks), link.cid, None).unwrap();
        prop_assert_eq!(size, bytes.len() as u64);
        prop_assert_eq!(&all, &bytes);
        let (a, b) = (ends.0.index(bytes.len() + 1), ends.1.index(bytes.len() + 1));
        let (start, end) = (a.min(b), a.max(b));
        let part = read(source(&blocks), link.cid, Some(start as u64..end as u64)).unwrap().1;
        prop_assert_eq!(&part, &bytes[start..end]);
        let walked: Vec<_> =
            block_on(walk(source(&blocks), link.cid, WalkLimits::default()).try_collect()).unwrap();
        prop_assert_eq!(walked.len(), blocks.len());
        let stat = block_on(stat(source(&blocks), link.cid, WalkLimits::default())).unwrap();
        let expected =
            Stat { kind: Kind::File, size, files: 1, blocks: blocks.len() as u64 };
        prop_assert_eq!(stat, expected);
    }
}

/// A file tree to be built.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(Vec<u8>),
    Node(Vec<u8>, Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    bytes().prop_map(Tree::Leaf).prop_recursive(5, 40, 6, move |below| {
        (bytes(), prop::collection::vec(below, 0..6))
            .prop_map(|(head, parts)| Tree::Node(head, parts))
    })
}

impl Tree {
    fn build(&self, blocks: &mut Blocks) -> (FileLink, Vec<u8>) {
        let (block, content) = match self {
            Tree::Leaf(bytes) => (Block::of(Codec::Raw, bytes.clone()), bytes.clone()),
            Tree::Node(head, parts) => {
                let mut all = head.clone();
                let mut links = Vec::new();
                for part in parts {
                    let (link, bytes) = part.build(blocks);
                    links.push(link);
                    all.extend(bytes);
                }
                let node = File { inline: head.clone(), links, size: all.len() as u64 };
                (Block::of(Codec::DagPb, node.encode()), all)
            }
        };
        let block = block.unwrap();
        let link = FileLink { cid: *block.cid(), size: content.len() as u64, tsize: 0 };
        blocks.insert(*block.cid(), block);
        (link, content)
    }
}

#[test]
fn leaves_are_asked_for_together() {
    let bytes = pattern(1, 9 << 20);
    let (built, blocks) = file(&bytes, []);
    let asked = asked(&blocks);
    read(asked.clone(), built.cid, None).unwrap();
    let groups: Vec<_> = asked.asked.take().iter().map(Vec::len).collect();
    assert_eq!(groups, [1, 36], "the root, then all leaves at once");
}

#[test]
fn parts_of_another_length_than_claimed_are_caught() {
    let mut blocks = Blocks::new();
    let leaf = Tree::Leaf(vec![1; 10]).build(&mut blocks).0;
    let node = Tree::Node(vec![], vec![Tree::Leaf(vec![1; 10])]).build(&mut blocks).0;
    for link in [leaf, node] {
        let lie = FileLink { size: 11, ..link };
        let root = File { inline: vec![], links: vec![lie], size: 11 }.encode();
        let root = Block::of(Codec::DagPb, root).unwrap();
        blocks.insert(*root.cid(), root.clone());
        let error = read(source(&blocks), *root.cid(), None).unwrap_err();
        assert!(matches!(error, ObjError::Corrupt { cid, .. } if cid == link.cid), "{error}");
        assert!(!error.is_retryable());
    }
    let (folder, all) = folder(&nested());
    blocks.extend(all);
    let part = FileLink { cid: folder.cid, size: 3, tsize: 3 };
    let root = File { inline: vec![], links: vec![part], size: 3 }.encode();
    let root = Block::of(Codec::DagPb, root).unwrap();
    blocks.insert(*root.cid(), root.clone());
    let error = read(source(&blocks), *root.cid(), None).unwrap_err();
    assert!(matches!(error, ObjError::Corrupt { .. }), "{error}");
}

#[test]
fn what_is_missing_is_named_and_may_be_retried() {
    let bytes = pattern(1, 2 << 20);
    let (built, mut blocks) = file(&bytes, []);
    let leaf = *blocks.keys().find(|cid| cid.codec() == Codec::Raw).unwrap();
    blocks.remove(&leaf);
    let error = read(source(&blocks), built.cid, None).unwrap_err();
    assert!(matches!(error, ObjError::Missing { cid } if cid == leaf) && error.is_retryable());
    let walked: Result<Vec<_>, _> =
        block_on(walk(source(&blocks), built.cid, WalkLimits::default()).try_collect());
    assert!(matches!(walked, Err(ObjError::Missing { cid }) if cid == leaf));
    let visits: Vec<Visit> =
        block_on(inventory(source(&blocks), built.cid, WalkLimits::default()).try_collect())
            .unwrap();
    assert_eq!(visits.len(), blocks.len() + 1);
    assert!(visits.contains(&Visit::Leaf(leaf)));
}

#[test]
fn paths_lead_to_files_and_folders() {
    for members in [nested(), sharded()] {
        let (built, blocks) = folder(&members);
        let find = |path: &str| block_on(resolve(source(&blocks), built.cid, path));
        for member in members.iter().step_by(members.len() / 8) {
            let found = find(&member.path).unwrap();
            assert_eq!((found.kind, found.size), (Kind::File, member.size as u64));
            let (_, bytes) = read(source(&blocks), found.cid, None).unwrap();
            assert!(bytes == pattern(member.seed, member.size), "{}", member.path);
            let below = find(&format!("{}/x", member.path)).unwrap_err();
            assert!(matches!(below, ObjError::NotFound { root, .. } if root == built.cid));
            let list = block_on(list(source(&blocks), found.cid)).unwrap_err();
            assert!(matches!(list, ObjError::NotAFolder { .. }));
        }
        let root = find("").unwrap();
        assert_eq!((root.cid, root.kind), (built.cid, Kind::Folder));
        assert!(matches!(read(source(&blocks), root.cid, None), Err(ObjError::NotAFile { .. })));
        let Err(ObjError::NotFound { path, .. }) = find("nothing/here") else { panic!() };
        assert_eq!(path, "nothing");
        for bad in ["..", "a/../b", "/", "a//b"] {
            assert!(matches!(find(bad), Err(ObjError::Path(PathError::Name { .. }))), "{bad}");
        }
    }
}

#[test]
fn only_the_shards_on_the_way_are_read() {
    let members = sharded();
    let (built, blocks) = folder(&members);
    let asked = asked(&blocks);
    block_on(resolve(asked.clone(), built.cid, &members[777].path)).unwrap();
    let reads = asked.asked.take().concat();
    assert!(reads.len() <= 5, "{} blocks for one of 12,000 entries", reads.len());
}

#[test]
fn lists_are_complete_and_sorted() {
    let members = sharded();
    let (built, blocks) = folder(&members);
    let listed = block_on(list(source(&blocks), built.cid)).unwrap();
    assert_eq!(listed.len(), members.len());
    assert!(listed.windows(2).all(|pair| pair[0].name < pair[1].name));
    let by_name: BTreeMap<_, _> = listed.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    assert_eq!((by_name["big.bin"].kind, by_name["big.bin"].size), (Kind::File, (2 << 20) + 3));
    assert_eq!(by_name["below"].kind, Kind::Folder);
    assert_eq!(by_name[members[99].path.as_str()].size, 49);

    let (built, blocks) = folder(&nested());
    let listed = block_on(list(source(&blocks), built.cid)).unwrap();
    let names: Vec<_> = listed.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    assert_eq!(
        names,
        [
            ("Zoë 🦀\\file", Kind::File),
            ("a", Kind::Folder),
            ("assets", Kind::Folder),
            ("index.html", Kind::File),
            ("日本語", Kind::Folder),
        ]
    );
}

#[test]
fn numbers_of_a_folder_count_every_file_and_each_block_once() {
    for members in [nested(), sharded()] {
        let (built, blocks) = folder(&members);
        let expected = Stat {
            kind: Kind::Folder,
            size: members.iter().map(|member| member.size as u64).sum(),
            files: members.len() as u64,
            blocks: blocks.len() as u64,
        };
        assert_eq!((built.bytes, built.files), (expected.size, expected.files));
        let found = block_on(stat(source(&blocks), built.cid, WalkLimits::default())).unwrap();
        assert_eq!(found, expected);
    }
    let (built, blocks) = file(b"tiny", []);
    let found = block_on(stat(source(&blocks), built.cid, WalkLimits::default())).unwrap();
    assert_eq!(found, Stat { kind: Kind::File, size: 4, files: 1, blocks: 1 });
}

/// Each folder holds the one below twice: 2^40 files in 41 blocks.
#[test]
fn a_folder_that_doubles_itself_is_counted_without_walking_every_path() {
    let (leaf, mut blocks) = file(b"x", []);
    let (mut cid, mut tsize) = (leaf.cid, 1);
    for _ in 0..40 {
        let mut builder = FolderBuilder::new();
        builder.add("a", cid, 1, tsize).unwrap();
        builder.add("b", cid, 1, tsize).unwrap();
        let built = builder.finish().unwrap();
        blocks.extend(built.blocks.into_iter().map(|block| (*block.cid(), block)));
        (cid, tsize) = (built.cid, built.tsize);
    }
    let found = block_on(stat(source(&blocks), cid, WalkLimits::default())).unwrap();
    assert_eq!((found.files, found.size, found.blocks), (1 << 40, 1 << 40, 41));
}

#[test]
fn walks_keep_the_callers_limits() {
    let (built, blocks) = folder(&nested());
    let ends = |limits| block_on(walk(source(&blocks), built.cid, limits).try_collect::<Vec<_>>());
    let (count, bytes) = (blocks.len() as u64, blocks.values().map(|b| b.len() as u64).sum());
    let all = ends(WalkLimits { blocks: count, bytes }).unwrap();
    assert_eq!(all.len(), blocks.len());
    assert_eq!(*all[0].cid(), built.cid, "parents come first");
    for limits in
        [WalkLimits { blocks: count - 1, bytes }, WalkLimits { blocks: count, bytes: bytes - 1 }]
    {
        assert!(matches!(ends(limits), Err(ObjError::Limit { .. })));
    }
    let mut link = FileLink { cid: *all.last().unwrap().cid(), size: 1, tsize: 1 };
    let mut chain = Blocks::new();
    for _ in 0..70 {
        let node = File { inline: vec![], links: vec![link], size: 1 }.encode();
        let block = Block::of(Codec::DagPb, node).unwrap();
        link.cid = *block.cid();
        chain.insert(link.cid, block);
    }
    let deep =
        block_on(walk(source(&chain), link.cid, WalkLimits::default()).try_collect::<Vec<_>>());
    assert!(matches!(deep, Err(ObjError::Limit { .. })), "a chain of 70 nodes is too deep");
    assert!(matches!(read(source(&chain), link.cid, None), Err(ObjError::Limit { .. })));
}

/// Reads a CAR file back: the frames' CIDs and bytes.
fn frames(mut car: &[u8]) -> Vec<(Cid, Vec<u8>)> {
    let varint = |rest: &mut &[u8]| {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        unreachable!()
    };
    let header = varint(&mut car);
    car = &car[header..];
    let mut found = Vec::new();
    while !car.is_empty() {
        let len = varint(&mut car);
        let (frame, rest) = car.split_at(len);
        found.push((Cid::from_bytes(&frame[..36]).unwrap(), frame[36..].to_vec()));
        car = rest;
    }
    found
}

#[test]
fn a_car_file_holds_every_block_once() {
    let (built, blocks) = folder(&nested());
    let pieces: Vec<bytes::Bytes> =
        block_on(car(source(&blocks), built.cid, WalkLimits::default()).try_collect()).unwrap();
    let frames = frames(&pieces.concat());
    assert_eq!(frames[0].0, built.cid);
    assert_eq!(frames.len(), blocks.len());
    for (cid, bytes) in frames {
        assert!(cid.matches(&bytes) && *blocks[&cid].bytes() == bytes);
    }
}

#[test]
fn a_hundred_thousand_files_build_in_seconds() {
    let started = Instant::now();
    let mut builder = FolderBuilder::new();
    let cid = Cid::of(Codec::Raw, b"x");
    for index in 0..100_000_u32 {
        let path = format!("section {}/{}/page {index}.html", index % 7, index % 1000);
        builder.add(&path, cid, 1, 1).unwrap();
    }
    for index in 0..20_000_u32 {
        builder.add(&format!("flat/{index:060}"), cid, 1, 1).unwrap();
    }
    let built = builder.finish().unwrap();
    assert_eq!(built.files, 120_000);
    assert!(built.blocks.iter().any(|b| matches!(Node::decode(b.bytes()), Ok(Node::Shard(_)))));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
