//! The page table: which bytes each page of a database has, as a tree of CIDs.
//!
//! A 256-way radix tree over page numbers: 256 pages below one node, 65,536 below two levels,
//! 16 million below three. It is copy-on-write, so two snapshots share every node below which
//! nothing changed. While a database is written only the digests of its pages are kept; nodes come
//! into being when somebody asks for a root ([`PageTable::materialise`]). The layout of roots and nodes
//! is `craftec_core::database`.
//!
//! Pure: no I/O. What is not at hand is named, fetched by the caller, and tried again ([`Step`]).

#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;

use bytes::Bytes;
use craftec_core::{
    Cid, Codec,
    database::{FANOUT, MAX_PAGES, Node, Seal, SealedNode, TableError, height, nodes_at},
};

use crate::page::{Digest, PageNo};

pub use walk::{Nodes, Step, diff, everything, resolve};

/// Nodes that came into being, and the one that leads to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Materialised {
    /// The top of the tree; none for an empty database, or one of zeros only.
    pub top: Option<Cid>,
    /// Nodes that were not there at the last time.
    pub nodes: Vec<(Cid, Bytes)>,
}

/// Digests of the pages of one database, and the nodes above them as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct PageTable {
    pages: Vec<Option<Digest>>,
    /// From the lowest level: CIDs of the nodes as they were at the last [`Self::materialise`].
    levels: Vec<Vec<Option<Cid>>>,
    /// Nodes of the lowest level that are out of date.
    stale: BTreeSet<usize>,
}

impl PageTable {
    /// How many pages the database has.
    pub fn len(&self) -> u32 {
        // `resize` lets no more in.
        self.pages.len() as u32
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The digest of `page`; none beyond the end, and for a page that was never written.
    pub fn digest(&self, page: PageNo) -> Option<Digest> {
        self.pages.get(page.index()).copied().flatten()
    }

    /// Digests of all pages, in order.
    pub fn digests(&self) -> &[Option<Digest>] {
        &self.pages
    }

    /// Gives `page` other bytes; the database grows where needed.
    pub fn set(&mut self, page: PageNo, digest: Digest) {
        if self.pages.len() <= page.index() {
            self.pages.resize(page.index() + 1, None);
        }
        if let Some(slot) = self.pages.get_mut(page.index())
            && *slot != Some(digest)
        {
            *slot = Some(digest);
            self.stale.insert(page.index() / FANOUT);
        }
    }

    /// Gives the database so many pages.
    pub fn resize(&mut self, pages: u32) {
        let pages = pages.min(MAX_PAGES);
        if pages < self.len() {
            // Also nodes that go: they may come back with other pages before anybody looks.
            let last = (pages as usize).saturating_sub(1) / FANOUT;
            self.stale.extend(last..=self.pages.len() / FANOUT);
        }
        self.pages.resize(pages as usize, None);
    }

    /// Lets the next [`Self::materialise`] make every node anew.
    pub fn forget_nodes(&mut self) {
        self.levels.clear();
    }

    /// Brings the nodes up to date; they are sealed with `seal`, which must be the same each time unless
    /// [`Self::forget_nodes`] was called.
    pub fn materialise(&mut self, seal: Option<&Seal>) -> Result<Materialised, TableError> {
        let mut nodes = Vec::new();
        let pages = self.len();
        let height = if pages == 0 { 0 } else { height(pages) };
        self.levels.resize(height as usize, Vec::new());
        let mut stale = std::mem::take(&mut self.stale);
        for level in 0..height {
            let count = nodes_at(pages, level);
            let known = self.levels.get(level as usize).map_or(0, Vec::len);
            stale.extend(known..count);
            let mut above = BTreeSet::new();
            for place in stale.into_iter().filter(|place| *place < count) {
                let node = self.node(level, place);
                let block = node.map(|node| encoded(&node, seal)).transpose()?;
                let cid = block.as_ref().map(|bytes| Cid::of(Codec::DagCbor, bytes));
                nodes.extend(cid.zip(block.map(Bytes::from)));
                if let Some(known) = self.levels.get_mut(level as usize) {
                    known.resize(count, None);
                    if let Some(slot) = known.get_mut(place) {
                        *slot = cid;
                    }
                }
                above.insert(place / FANOUT);
            }
            if let Some(known) = self.levels.get_mut(level as usize) {
                known.truncate(count);
            }
            stale = above;
        }
        let top = self.levels.last().and_then(|level| level.first().copied().flatten());
        Ok(Materialised { top, nodes })
    }

    fn node(&self, level: u32, place: usize) -> Option<Node> {
        let children = place * FANOUT..(place + 1) * FANOUT;
        match level.checked_sub(1) {
            None => {
                let pages = self.pages.get(children.start..children.end.min(self.pages.len()))?;
                Node::of(pages.iter().map(|digest| digest.as_ref().map(Digest::cid)))
            }
            Some(under) => {
                let under = self.levels.get(under as usize)?;
                let nodes = under.get(children.start..children.end.min(under.len()))?;
                Node::of(nodes.iter().copied())
            }
        }
    }
}

fn encoded(node: &Node, seal: Option<&Seal>) -> Result<Vec<u8>, TableError> {
    match seal {
        Some(seal) => SealedNode::of(node, seal)?.encode(),
        None => node.encode(),
    }
}
