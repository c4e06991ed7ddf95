//! The tree against a plain list: look-ups, differences, sharing, and roots that lie.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{
    database::{ChangedPages, NODE_BYTES, Root},
    sign::Hash,
};
use proptest::prelude::*;

use super::*;

fn digest(seed: u32) -> Digest {
    Digest::of(&seed.to_le_bytes())
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn take(nodes: &mut Nodes, made: &Materialised) {
    made.nodes.iter().for_each(|(cid, bytes)| {
        assert!(cid.matches(bytes));
        nodes.insert(*cid, bytes).unwrap();
    });
}

fn root(table: &mut PageTable, nodes: &mut Nodes) -> Root {
    let made = table.materialise(None).unwrap();
    take(nodes, &made);
    Root::new(table.len(), made.top)
}

fn done<T: std::fmt::Debug>(step: Step<T>) -> T {
    match step {
        Step::Done(done) => done,
        Step::Need(missing) => panic!("misses {missing:?}"),
    }
}

/// Looks every page up, of large tables those at both ends.
fn assert_has(root: &Root, nodes: &Nodes, list: &[Option<Digest>]) {
    assert_eq!(root.pages as usize, list.len());
    let near = |n: &u32| *n <= 1_500 || n + 1_500 > root.pages;
    let pages: Vec<PageNo> = (1..=root.pages).filter(near).map(page).collect();
    let cids = done(resolve(root, &pages, nodes).unwrap());
    for (page, cid) in pages.iter().zip(cids) {
        assert_eq!(cid.as_ref().map(Digest::from), list[page.index()], "{page:?}");
    }
}

#[test]
fn heights_are_those_of_a_256_way_tree() {
    let heights = [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 3), (1 << 24, 3)];
    for (pages, levels) in heights {
        assert_eq!(height(pages), levels, "{pages}");
    }
    assert_eq!(height(MAX_PAGES), 4);
}

#[test]
fn one_page_of_many_rewrites_one_path() {
    let (mut table, mut nodes) = (PageTable::default(), Nodes::default());
    (1..=70_000).for_each(|n| table.set(page(n), digest(n)));
    let before = root(&mut table, &mut nodes);
    assert_eq!(before.height(), 3);
    table.set(page(66_000), digest(0));
    let made = table.materialise(None).unwrap();
    assert_eq!(made.nodes.len(), 3);
    take(&mut nodes, &made);
    let after = Root::new(70_000, made.top);
    let changed = done(diff(Some(&before), &after, &nodes, 10).unwrap());
    assert_eq!(changed, BTreeMap::from([(66_000, Some(digest(0).cid()))]));
    let every = done(everything(&after, &nodes).unwrap());
    assert_eq!(every.len(), 70_000 + 274 + 2 + 1);
}

#[test]
fn a_page_of_zeros_is_absent_and_a_table_of_zeros_has_no_nodes_below() {
    let (mut table, mut nodes) = (PageTable::default(), Nodes::default());
    table.set(page(1), digest(1));
    table.set(page(600), digest(2));
    let root = root(&mut table, &mut nodes);
    assert_eq!(nodes.len(), 3, "two of four nodes, and the top");
    let got = done(resolve(&root, &[page(600), page(300), page(601)], &nodes).unwrap());
    assert_eq!(got, [Some(digest(2).cid()), None, None]);
}

#[test]
fn what_is_missing_is_asked_for_in_one_batch_per_level() {
    let (mut table, mut here) = (PageTable::default(), Nodes::default());
    (1..=1_000).for_each(|n| table.set(page(n), digest(n)));
    let root = root(&mut table, &mut here);
    let pages = [page(1), page(2), page(300), page(999)];
    let mut nodes = Nodes::default();
    let mut asked = Vec::new();
    while let Step::Need(missing) = resolve(&root, &pages, &nodes).unwrap() {
        for cid in &missing {
            nodes.known.insert(*cid, here.known[cid].clone());
        }
        asked.push(missing.len());
    }
    assert_eq!(asked, [1, 3]);
}

#[test]
fn roots_that_lie_are_refused_by_name() {
    let (mut table, mut nodes) = (PageTable::default(), Nodes::default());
    (1..=300).for_each(|n| table.set(page(n), digest(n)));
    let good = root(&mut table, &mut nodes);
    Root::decode(&good.encode().unwrap()).unwrap();
    let fewer = Root { pages: 257, ..good.clone() };
    assert!(matches!(diff(None, &fewer, &nodes, 999), Err(TableError::Beyond { .. })));
    assert!(matches!(everything(&fewer, &nodes), Err(TableError::Beyond { .. })));
    // Levels that are not there: links to pages where nodes should be.
    let more = Root { pages: 70_000, ..good.clone() };
    let step = resolve(&more, &[page(1)], &nodes);
    assert!(matches!(step, Err(TableError::Link { level: 1, .. })), "{step:?}");
    let flat = Root { pages: 20, ..good.clone() };
    assert!(resolve(&flat, &[page(1)], &nodes).is_err());
    let bad = |change: fn(&mut Root)| {
        let mut bad = good.clone();
        change(&mut bad);
        let bytes = cbor_of(&bad);
        (bad.encode().unwrap_err(), Root::decode(&bytes).unwrap_err())
    };
    let same = |(a, b): (TableError, TableError)| {
        assert_eq!(a, b);
        a
    };
    assert_eq!(same(bad(|r| r.v = 2)), TableError::Version(2));
    assert_eq!(same(bad(|r| r.page_bytes = 8192)), TableError::PageSize(8192));
    assert_eq!(same(bad(|r| r.pages = 0)), TableError::Count { pages: 0 });
    assert_eq!(same(bad(|r| r.table = None)), TableError::Count { pages: 300 });
    assert!(matches!(same(bad(|r| r.pages = u32::MAX)), TableError::TooManyPages { .. }));
    let raw = |r: &mut Root| r.table = Some(Cid::of(Codec::Raw, b"x"));
    assert!(matches!(same(bad(raw)), TableError::Link { .. }));
    assert_eq!(same(bad(|r| r.changed = ChangedPages::of([301]))), TableError::Changed);
    let twice = |r: &mut Root| r.holdings.refs = vec![Cid::of(Codec::Raw, b"x"); 2];
    assert_eq!(same(bad(twice)), TableError::Holdings);
}

fn cbor_of(root: &Root) -> Vec<u8> {
    craftec_core::cbor::encode(root).unwrap()
}

#[test]
fn a_node_that_is_its_own_sibling_costs_what_the_reader_allows() {
    // Four levels of one node each, 256 times below itself: four billion pages in 40 KiB.
    let mut nodes = Nodes::default();
    let mut below = digest(1).cid();
    for _ in 0..4 {
        let node = Node::of(std::iter::repeat_n(Some(below), FANOUT)).unwrap();
        let bytes = node.encode().unwrap();
        below = Cid::of(Codec::DagCbor, &bytes);
        nodes.insert(below, &bytes).unwrap();
    }
    let bomb = Root::new(MAX_PAGES, Some(below));
    assert!(matches!(everything(&bomb, &nodes), Err(TableError::Beyond { .. }) | Ok(_)));
    let refused = diff(None, &bomb, &nodes, 1_000);
    assert!(matches!(refused, Err(TableError::TooManyPages { limit: 1_000, .. })), "{refused:?}");
}

#[test]
fn nodes_have_one_encoding() {
    let cid = Some(digest(1).cid());
    let encode = |links: &[Option<Cid>]| craftec_core::cbor::encode(&links).unwrap();
    assert!(Node::decode(&encode(&[cid, None, cid])).is_ok());
    for bad in [vec![], vec![None], vec![cid, None], vec![cid; 257]] {
        assert!(Node::decode(&encode(&bad)).is_err(), "{} links", bad.len());
    }
    let full = Node::of(std::iter::repeat_n(cid, FANOUT)).unwrap().encode().unwrap();
    assert_eq!(full.len(), NODE_BYTES);
}

#[derive(Clone, Debug)]
enum Act {
    Set(u32, u32),
    Resize(u32),
    Root,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1u32..1_500, any::<u32>()).prop_map(|(at, seed)| Act::Set(at, seed)),
        1 => (0u32..1_500).prop_map(Act::Resize),
        1 => (65_000u32..66_500, any::<u32>()).prop_map(|(at, seed)| Act::Set(at, seed)),
        2 => Just(Act::Root),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_root_says_what_a_list_says(acts in prop::collection::vec(act(), 1..60)) {
        let (mut table, mut nodes) = (PageTable::default(), Nodes::default());
        let mut list: Vec<Option<Digest>> = Vec::new();
        let mut roots: Vec<(Root, Vec<Option<Digest>>)> = Vec::new();
        for act in acts.into_iter().chain([Act::Root]) {
            match act {
                Act::Set(at, seed) => {
                    table.set(page(at), digest(seed));
                    list.resize(list.len().max(at as usize), None);
                    list[at as usize - 1] = Some(digest(seed));
                }
                Act::Resize(pages) => {
                    table.resize(pages);
                    list.resize(pages as usize, None);
                }
                Act::Root => roots.push((root(&mut table, &mut nodes), list.clone())),
            }
        }
        let mut fresh = PageTable::default();
        for (at, digest) in (1..).zip(&list) {
            if let Some(digest) = digest { fresh.set(page(at), *digest); }
        }
        fresh.resize(list.len() as u32);
        prop_assert_eq!(fresh.materialise(None).unwrap().top, roots.last().unwrap().0.table);
        let mut before: Option<&(Root, Vec<Option<Digest>>)> = None;
        for now in &roots {
            assert_has(&now.0, &nodes, &now.1);
            let found = done(diff(before.map(|b| &b.0), &now.0, &nodes, MAX_PAGES).unwrap());
            let old = before.map_or(&[][..], |b| &b.1);
            let want: BTreeMap<u32, Option<Cid>> = (1..).zip(&now.1).enumerate()
                .filter(|(at, (_, digest))| old.get(*at) != Some(*digest))
                .map(|(_, (number, digest))| (number, digest.as_ref().map(Digest::cid))).collect();
            prop_assert_eq!(found, want);
            let every = done(everything(&now.0, &nodes).unwrap());
            let pages: BTreeSet<Cid> = now.1.iter().flatten().map(Digest::cid).collect();
            prop_assert!(pages.is_subset(&every));
            before = Some(now);
        }
    }

    #[test]
    fn decoders_take_anything(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Root::decode(&bytes);
        let _ = Node::decode(&bytes);
    }

    #[test]
    fn a_damaged_root_is_refused_or_is_another_root(
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut root = Root::new(300, Some(Cid::of(Codec::DagCbor, b"t")));
        root.changed = ChangedPages::of([1, 7, 8]);
        root.schema = Hash([7; 32]);
        let mut bytes = root.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Root::decode(&bytes) {
            prop_assert_ne!(&other, &root);
            prop_assert_eq!(other.encode().unwrap(), bytes);
        }
    }
}
