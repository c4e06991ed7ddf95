//! The root of a database: one block that names a snapshot of it, for ever.
//!
//! Layout: canonical DAG-CBOR of [`Root`], at most `limits::BLOCK_BYTES`. Golden bytes are in
//! `tests/vectors/sql.json`.

use serde::{Deserialize, Serialize};

use super::{ChangedPages, MAX_PAGES, PAGE_BYTES, TableError, height};
use crate::{Cid, Codec, cbor, limits, sign::Hash};

/// Version of the layout of roots and of the nodes below them.
pub const ROOT_VERSION: u16 = 1;
/// Most CIDs of packs and references that one root holds.
pub const HOLDINGS: usize = 8192;

/// What holders must keep for a database beyond what its page table names: they may not be able to
/// read the table (it is encrypted), and never look into rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Packs of pages that travel together, sorted.
    pub packs: Vec<Cid>,
    /// Objects that rows refer to, sorted.
    pub refs: Vec<Cid>,
}

/// A snapshot of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Version of this layout: 1.
    pub v: u16,
    /// Bytes of a page: 4096.
    pub page_bytes: u32,
    /// How many pages the database has.
    pub pages: u32,
    /// Top of the page table; none if there are no pages.
    pub table: Option<Cid>,
    /// Hash of the schema: equal where the same statements are valid.
    pub schema: Hash,
    /// The root before.
    pub parent: Option<Cid>,
    /// What was written since the parent; none if that is too long to say, or there is no parent.
    pub changed: Option<ChangedPages>,
    /// What else belongs to the database.
    pub holdings: Holdings,
}

impl Root {
    /// A root without a parent, holdings or a schema: of a database that was just imported.
    pub fn new(pages: u32, table: Option<Cid>) -> Self {
        Self {
            v: ROOT_VERSION,
            page_bytes: PAGE_BYTES as u32,
            pages,
            table,
            schema: Hash([0; 32]),
            parent: None,
            changed: None,
            holdings: Holdings::default(),
        }
    }

    /// Decodes a root and checks what can be checked without its nodes.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let root: Self = cbor::decode(bytes, limits::BLOCK_BYTES)?;
        root.check()?;
        Ok(root)
    }

    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, TableError> {
        self.check()?;
        Ok(cbor::encode(self)?)
    }

    /// Its CID and its bytes.
    pub fn block(&self) -> Result<(Cid, Vec<u8>), TableError> {
        let bytes = self.encode()?;
        Ok((Cid::of(Codec::DagCbor, &bytes), bytes))
    }

    /// Levels of its table.
    pub fn height(&self) -> u32 {
        height(self.pages.max(1))
    }

    /// What it names of what belongs to it: the top of the page table, packs, references.
    pub fn links(&self) -> impl Iterator<Item = Cid> {
        let Holdings { packs, refs } = &self.holdings;
        self.table.iter().chain(packs).chain(refs).copied()
    }

    /// Bytes of the SQLite file that its pages make.
    pub fn bytes(&self) -> u64 {
        u64::from(self.pages) * u64::from(self.page_bytes)
    }

    pub(super) fn check(&self) -> Result<(), TableError> {
        if self.v != ROOT_VERSION {
            return Err(TableError::Version(self.v));
        }
        if self.page_bytes as usize != PAGE_BYTES {
            return Err(TableError::PageSize(self.page_bytes));
        }
        if self.pages > MAX_PAGES {
            return Err(TableError::TooManyPages { pages: self.pages, limit: MAX_PAGES });
        }
        if self.table.is_some() != (self.pages > 0) {
            return Err(TableError::Count { pages: self.pages });
        }
        for (cid, level) in
            self.table.iter().zip([self.height()]).chain(self.parent.iter().zip([0]))
        {
            if cid.codec() != Codec::DagCbor {
                return Err(TableError::Link { cid: *cid, level });
            }
        }
        if let Some(changed) = &self.changed {
            changed.check(self.pages)?;
        }
        let Holdings { packs, refs } = &self.holdings;
        let ordered = |cids: &[Cid]| cids.windows(2).all(|pair| pair[0] < pair[1]);
        if packs.len() + refs.len() > HOLDINGS || !ordered(packs) || !ordered(refs) {
            return Err(TableError::Holdings);
        }
        Ok(())
    }
}
