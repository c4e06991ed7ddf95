//! What a database is made of, as blocks: a root, nodes of its page table, pages.
//!
//! The one place that knows the layout: those who run SQL and those who only keep and pass on blocks
//! both read it here. Golden bytes are in `tests/vectors/sql.json`. A root's parent is not below it:
//! every snapshot is kept for itself. Of an encrypted database the same is sealed, but for what holders
//! must know (`sealed`).

mod changed;
mod node;
mod root;
mod seal;
mod sealed;
mod share;

use crate::{Cid, cbor::CborError};

pub use changed::{CHANGED_BYTES, ChangedPages};
pub use node::{FANOUT, NODE_BYTES, Node};
pub use root::{HOLDINGS, Holdings, ROOT_VERSION, Root};
pub use seal::{DatabaseKey, KeyId, SEAL_BYTES, Seal};
pub use sealed::{SEALED_NODE_BYTES, SEALED_VERSION, SealedNode, SealedRoot};
pub use share::{READERS, Reader, Share};

/// Length of every page in bytes. Pinned: a page is a block, and peers must agree on where one ends.
pub const PAGE_BYTES: usize = 4096;
/// The largest page count that SQLite knows.
pub const MAX_PAGES: u32 = u32::MAX - 1;

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
    /// Encrypted, and not with a key that is here.
    #[error("it is encrypted with a key that is not here")]
    Locked,
    /// More readers than a database is shared with, or boxes out of order.
    #[error("a database is shared with at most {READERS} identities, each once")]
    Shares,
    /// A key to which nothing can be sealed.
    #[error("the identity's key is none to which anything could be encrypted")]
    Reader,
    /// More CIDs of packs and references than a root may hold.
    #[error("the root's holdings are too many, or not in order")]
    Holdings,
}

/// How many levels a table of so many pages has.
pub fn height(pages: u32) -> u32 {
    let mut height = 1;
    while nodes_at(pages, height - 1) > 1 {
        height += 1;
    }
    height
}

/// How many nodes there are at `level` above so many pages.
pub fn nodes_at(pages: u32, level: u32) -> usize {
    u64::from(pages).div_ceil(below(level)) as usize
}

/// How many pages are below a node at `level`.
pub const fn below(level: u32) -> u64 {
    (FANOUT as u64).pow(level + 1)
}
