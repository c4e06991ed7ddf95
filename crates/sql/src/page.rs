//! Pages, and the hashes that name them.

use craftec_core::{Cid, Codec};

pub use craftec_pager::{Page, PageNo};

/// BLAKE3-256 of a page: its CID without what all pages share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }

    /// The page's CID.
    pub const fn cid(&self) -> Cid {
        Cid::from_hash(Codec::Raw, self.0)
    }
}

impl From<&Cid> for Digest {
    fn from(cid: &Cid) -> Self {
        Self(*cid.hash())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cid())
    }
}
