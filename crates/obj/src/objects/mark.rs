//! What must stay: which roots are kept, and what lies below them.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{Cid, Codec, record::Record as Signed};

use super::{
    Objects,
    sweep::{PAUSE, STEP},
};
use crate::{
    StoreError,
    block::Block,
    coded::shard_links,
    database::{database, table_links},
    pack::pack_links,
    replicate::LentRecord,
    store::{Meta, PinReason},
    unixfs::PbNode,
};

/// Missing blocks remembered by one mark; more are found by the next.
const MISSING: usize = 4096;

/// What a mark found.
#[derive(Debug, Default)]
pub(super) struct Kept {
    cids: BTreeSet<Cid>,
    bytes: u64,
    missing: Vec<(Cid, Cid)>,
    holes: bool,
}

impl Kept {
    /// Whether a block must stay.
    pub(super) fn holds(&self, cid: &Cid) -> bool {
        self.cids.contains(cid)
    }

    /// Everything that was reached, here or not.
    pub(super) fn cids(&self) -> impl Iterator<Item = &Cid> {
        self.cids.iter()
    }

    /// Bytes of what is here of it.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks that should be here and are not, each after the root below which it is missed.
    pub(super) fn missing(&self) -> &[(Cid, Cid)] {
        &self.missing
    }

    /// Whether a node is missing, so that what lies below it is not known.
    pub(super) const fn has_holes(&self) -> bool {
        self.holes
    }
}

/// Goes down from roots over what is here.
pub(super) struct Marker<'a> {
    objects: &'a Objects,
    kept: Kept,
    /// Nodes that were reached as parts of shards only: what is below them was not.
    parts: BTreeSet<Cid>,
    steps: usize,
}

impl<'a> Marker<'a> {
    pub(super) fn new(objects: &'a Objects) -> Self {
        Self { objects, kept: Kept::default(), parts: BTreeSet::new(), steps: 0 }
    }

    pub(super) fn end(self) -> Kept {
        self.kept
    }

    /// Adds every block that is named below `root` as far as nodes are here. With `whole`, all of it
    /// should be.
    pub(super) async fn reach(&mut self, root: Cid, whole: bool) -> Result<(), StoreError> {
        let exchange = &self.objects.0.exchange;
        let mut open = vec![(root, true)];
        while let Some((cid, follow)) = open.pop() {
            let known = !self.kept.cids.insert(cid);
            let again = follow && self.parts.remove(&cid);
            // A root may have been reached as what another one refers to, and then names less.
            if known && !again && cid != root {
                continue;
            }
            self.pause().await;
            let node = follow && cid.codec() != Codec::Raw;
            if !node && cid.codec() == Codec::DagPb {
                self.parts.insert(cid);
            }
            let bytes = match node {
                false => exchange.len_of(&cid)?,
                true => match exchange.peek(&cid) {
                    Ok(block) => block.map(|block| {
                        open.extend(named(&block, cid == root));
                        block.len() as u64
                    }),
                    Err(StoreError::Rotten { .. }) => None,
                    Err(error) => return Err(error),
                },
            };
            match bytes {
                Some(bytes) if !known => self.kept.bytes += bytes,
                None if whole => {
                    self.kept.holes |= node;
                    if self.kept.missing.len() < MISSING {
                        self.kept.missing.push((root, cid));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn pause(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(STEP) {
            self.objects.0.clock.sleep(PAUSE).await;
        }
    }
}

/// What a block names, and whether what that names is below it too.
fn named(block: &Block, root: bool) -> Vec<(Cid, bool)> {
    match block.cid().codec() {
        Codec::DagCbor if root => match shard_links(block).or_else(|| pack_links(block)) {
            Some(links) => links.into_iter().map(|cid| (cid, false)).collect(),
            None => database(block)
                .map(|database| database.links().map(|cid| (cid, true)).collect())
                .unwrap_or_default(),
        },
        // Followed below a database only: nothing else leads to such a block.
        Codec::DagCbor => {
            table_links(block).unwrap_or_default().into_iter().map(|cid| (cid, true)).collect()
        }
        // Verified, and yet no node: it names nothing.
        Codec::DagPb => PbNode::decode(block.bytes())
            .map(|node| node.links.into_iter().map(|link| (link.cid, true)).collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

impl Objects {
    /// Every root that is kept: what is pinned, what our names point to, and what we placed on
    /// others. `true` for those that should be here whole; they come first, so that what is missed
    /// is noticed where a root shares it with another that is not.
    pub(super) fn kept_roots(&self) -> Result<Vec<(Cid, bool)>, StoreError> {
        let store = &self.0.store;
        let mut roots = BTreeMap::new();
        let mut add = |root: Cid, whole: bool| {
            let known = roots.entry(root).or_insert(whole);
            *known |= whole;
        };
        let lent = LentRecord::all(store)?;
        let mut taken = BTreeSet::new();
        for record in lent {
            if record.complete {
                taken.insert(record.root);
            }
        }
        for (root, pin) in store.pins()? {
            // A copy for somebody else is whole once it was taken.
            add(root, pin.reason != PinReason::Lent || taken.contains(&root));
        }
        for namespace in [Meta::Head, Meta::Placement] {
            for (key, bytes) in store.meta_scan(namespace)? {
                // What is in a pack of ours is kept, or was deleted here, by itself.
                if namespace == Meta::Placement && store.meta_get(Meta::Pack, key)?.is_some() {
                    continue;
                }
                match craftec_core::cbor::decode(&bytes, craftec_core::limits::RECORD_BYTES) {
                    Ok(Signed::Head(record)) => add(record.head.head.root, false),
                    Ok(Signed::Placement(record)) => add(record.placement.root, false),
                    Err(error) => tracing::warn!(%error, ?namespace, "a record is not readable"),
                }
            }
        }
        let mut roots: Vec<(Cid, bool)> = roots.into_iter().collect();
        roots.sort_by_key(|(_, whole)| !whole);
        Ok(roots)
    }
}
