//! Packs: small objects that were put together, kept for their owner as one. A pack is what a holder is
//! asked for, promises and looks after; each object in it keeps its own CID, under which anybody finds
//! and reads it.
//!
//! A pack is a block, canonical DAG-CBOR, `{v: 1, members: [CID, …]}`: one to [`MEMBERS`] raw blocks in
//! ascending order, each once. A CID takes 41 bytes of it, so it has 42 KiB at most. Packs are named by
//! nothing and link to nothing but their members.

use craftec_core::{Cid, Codec, cbor, limits};
use serde::{Deserialize, Serialize};

use crate::block::Block;

/// Objects in one pack at most: its holders announce each, at some twenty messages.
pub const MEMBERS: usize = 1024;

/// Objects that are kept together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Version of this layout: 1.
    v: u16,
    /// The objects, ascending.
    members: Vec<Cid>,
}

impl Pack {
    /// A pack of some objects. `None` if they are none or too many, or not all of them are single blocks.
    pub fn of(members: impl IntoIterator<Item = Cid>) -> Option<Self> {
        let mut members: Vec<Cid> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        Some(Self { v: 1, members }).filter(Self::is_sound)
    }

    /// Reads a block, if it is a pack.
    pub fn read(block: &Block) -> Option<Self> {
        if block.cid().codec() != Codec::DagCbor {
            return None;
        }
        let pack: Self = cbor::decode(block.bytes(), limits::BLOCK_BYTES).ok()?;
        Some(pack).filter(|pack| pack.v == 1 && pack.is_sound())
    }

    /// The block.
    pub fn block(&self) -> Option<Block> {
        Block::of(Codec::DagCbor, cbor::encode(self).ok()?).ok()
    }

    /// The objects, ascending.
    pub fn members(&self) -> &[Cid] {
        &self.members
    }

    fn is_sound(&self) -> bool {
        let members = &self.members;
        (1..=MEMBERS).contains(&members.len())
            && members.iter().all(|cid| cid.codec() == Codec::Raw)
            && members.is_sorted_by(|one, next| one < next)
    }
}

/// What a block names if it is a pack.
pub fn pack_links(block: &Block) -> Option<Vec<Cid>> {
    Pack::read(block).map(|pack| pack.members)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn object(n: u16) -> Cid {
        Cid::of(Codec::Raw, &n.to_be_bytes())
    }

    #[test]
    fn a_pack_names_single_blocks_in_order_each_once() {
        let pack = Pack::of([object(2), object(1), object(2)]).unwrap();
        assert_eq!(pack.members().len(), 2);
        let block = pack.block().unwrap();
        assert_eq!(Pack::read(&block).as_ref(), Some(&pack));
        assert_eq!(pack_links(&block).unwrap(), pack.members());
        let mut turned = pack.clone();
        turned.members.reverse();
        let mut newer = pack.clone();
        newer.v = 2;
        for other in [turned, newer] {
            assert_eq!(Pack::read(&other.block().unwrap()), None);
        }
        let raw = Block::of(Codec::Raw, block.bytes().clone()).unwrap();
        assert_eq!(Pack::read(&raw), None);
    }

    #[test]
    fn a_pack_has_limits() {
        assert_eq!(Pack::of([]), None);
        assert_eq!(Pack::of([object(1), Cid::of(Codec::DagPb, b"a folder")]), None);
        let most = Pack::of((0..MEMBERS as u16).map(object)).unwrap();
        assert!(most.block().unwrap().len() <= 42 << 10);
        assert_eq!(Pack::of((0..=MEMBERS as u16).map(object)), None);
    }
}
