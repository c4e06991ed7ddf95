//! The page table: which bytes each page of a database has, as a tree of CIDs.
//!
//! A 256-way radix tree over page numbers: 256 pages below one node, 65,536 below two levels,
//! 16 million below three. It is copy-on-write, so two snapshots share every node below which
//! nothing changed. While a database is written only the digests of its pages are kept; nodes come
//! into being when somebody asks for a root ([`PageTable::materialise`]).
//!
//! Pure: no I/O. What is not at hand is named, fetched by the caller, and tried again ([`Step`]).

mod changed;
mod node;
mod root;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;

use bytes::Bytes;
use craftec_core::{Cid, Codec, cbor::CborError};

use crate::page::{Digest, MAX_PAGES, PageNo};

pub use changed::{CHANGED_BYTES, ChangedPages};
pub use node::{FANOUT, NODE_BYTES, Node};
pub use root::{HOLDINGS, Holdings, ROOT_VERSION, Root};
pub use walk::{Nodes, Step, diff, everything, resolve};

/// Why bytes are not a page table of ours, or not one that this reader takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not canonical DAG-CBOR of the expected shape.
    #[error(transparent)]
    Encoding(#[from] CborError),
    /// A version that this build does not know.
    #[error("roots of version {0} are not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// Another page size than the one that peers agree on.
    #[error("pages of {0} bytes are not supported, only of 4096")]
    PageSize(u32),
    /// More pages than there can be, or than the reader takes.
    #[error("the root claims {pages} pages, {limit} are allowed here")]
    TooManyPages {
        /// What is claimed.
        pages: u32,
        /// What is allowed.
        limit: u32,
    },
    /// A table without pages, or pages without a table.
    #[error("the root claims {pages} pages and its table does not fit that")]
    Count {
        /// What is claimed.
        pages: u32,
    },
    /// A node with too many children, with none, or not ending in one.
    #[error("a node of the page table has {entries} entries, or ends in an absent one")]
    Node {
        /// How many.
        entries: usize,
    },
    /// A link to what can't be below it.
    #[error("the page table links to {cid} at level {level}, where that can't be")]
    Link {
        /// The link.
        cid: Cid,
        /// 0 for links to pages.
        level: u32,
    },
    /// A node with children beyond the claimed page count.
    #[error("node {cid} of the page table goes beyond the root's page count")]
    Beyond {
        /// The node.
        cid: Cid,
    },
    /// The set of changed pages is malformed or too long.
    #[error("the root's set of changed pages is malformed")]
    Changed,
    /// More CIDs of packs and references than a root may hold.
    #[error("the root's holdings are too many, or not in order")]
    Holdings,
}

/// How many levels a table of so many pages has.
pub(crate) fn height(pages: u32) -> u32 {
    let mut height = 1;
    while nodes_at(pages, height - 1) > 1 {
        height += 1;
    }
    height
}

/// How many nodes there are at `level` above so many pages.
fn nodes_at(pages: u32, level: u32) -> usize {
    u64::from(pages).div_ceil(below(level)) as usize
}

/// How many pages are below a node at `level`.
const fn below(level: u32) -> u64 {
    (FANOUT as u64).pow(level + 1)
}

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

    /// Brings the nodes up to date.
    pub fn materialise(&mut self) -> Result<Materialised, TableError> {
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
                let block = node.as_ref().map(Node::encode).transpose()?;
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

    /// Every node of a table that is up to date, for a publisher that must have all.
    pub fn all_nodes(&self) -> Result<Vec<(Cid, Bytes)>, TableError> {
        let mut nodes = Vec::new();
        for (level, known) in (0..).zip(&self.levels) {
            for place in 0..known.len() {
                if let Some(node) = self.node(level, place) {
                    let bytes = node.encode()?;
                    nodes.push((Cid::of(Codec::DagCbor, &bytes), Bytes::from(bytes)));
                }
            }
        }
        Ok(nodes)
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
