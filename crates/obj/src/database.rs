//! What a database's blocks name, as far as whoever keeps them must know: no SQL, no page numbers. The
//! layout is `craftec_core::database`.

use craftec_core::{
    Cid, Codec,
    database::{Node, Root},
};

use crate::block::Block;

/// The root of a database, if the block is one.
pub fn database(block: &Block) -> Option<Root> {
    (block.cid().codec() == Codec::DagCbor).then(|| Root::decode(block.bytes()).ok())?
}

/// What a node of a page table names; none if the block is not one.
pub fn table_links(block: &Block) -> Option<Vec<Cid>> {
    let node =
        (block.cid().codec() == Codec::DagCbor).then(|| Node::decode(block.bytes()).ok())??;
    Some(node.links().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: Vec<u8>) -> Block {
        Block::of(Codec::DagCbor, bytes).unwrap()
    }

    #[test]
    fn roots_and_nodes_are_told_apart() {
        let page = Cid::of(Codec::Raw, b"a page");
        let node = block(Node::of([Some(page)].into_iter()).unwrap().encode().unwrap());
        assert_eq!((table_links(&node), database(&node)), (Some(vec![page]), None));
        let root = Root::new(1, Some(*node.cid()));
        let of_root = block(root.encode().unwrap());
        assert_eq!((table_links(&of_root), database(&of_root)), (None, Some(root)));
    }

    #[test]
    fn other_blocks_are_none() {
        for bytes in [&b""[..], b"\xf6", b"\x80", b"\xa0", b"hello"] {
            let block = block(bytes.to_vec());
            assert_eq!((database(&block), table_links(&block)), (None, None), "{bytes:?}");
        }
        let raw = Block::of(Codec::Raw, vec![0x80]).unwrap();
        assert_eq!(table_links(&raw), None);
    }
}
