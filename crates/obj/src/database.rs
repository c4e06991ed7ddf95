//! What a database's blocks name, as far as whoever keeps them must know: no SQL, no page numbers. The
//! layout is `craftec_core::database`.

use craftec_core::{
    Cid, Codec,
    database::{Node, Root, SealedNode, SealedRoot},
};

use crate::block::Block;

/// The root of a database, if the block is one; of an encrypted one what can be seen of it.
pub fn database(block: &Block) -> Option<Root> {
    if block.cid().codec() != Codec::DagCbor {
        return None;
    }
    let sealed = || SealedRoot::decode(block.bytes()).map(|sealed| sealed.outline());
    Root::decode(block.bytes()).or_else(|_| sealed()).ok()
}

/// What a node of a page table names; none if the block is not one.
pub fn table_links(block: &Block) -> Option<Vec<Cid>> {
    if block.cid().codec() != Codec::DagCbor {
        return None;
    }
    match Node::decode(block.bytes()) {
        Ok(node) => Some(node.links().collect()),
        Err(_) => SealedNode::decode(block.bytes()).ok().map(|node| node.links().collect()),
    }
}

#[cfg(test)]
mod tests {
    use craftec_core::database::{DatabaseKey, KeyId, Seal};

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
    fn a_holder_of_an_encrypted_one_sees_what_to_keep() {
        let seal = Seal::new(KeyId([1; 16]), DatabaseKey([2; 32]));
        let [one, other] = [b"a page", b"a copy"].map(|page| Cid::of(Codec::Raw, page));
        let node = Node::of([Some(other), None, Some(one), Some(other)].into_iter()).unwrap();
        let node = block(SealedNode::of(&node, &seal).unwrap().encode().unwrap());
        let mut links = vec![one, other];
        links.sort();
        assert_eq!((table_links(&node), database(&node)), (Some(links), None));
        let before = Cid::of(Codec::DagCbor, b"a root");
        let root = Root { parent: Some(before), ..Root::new(4, Some(*node.cid())) };
        let of_root = block(SealedRoot::of(&root, &[], &seal).unwrap().block().unwrap().1);
        let seen = database(&of_root).unwrap();
        assert_eq!((table_links(&of_root), seen.parent, seen.bytes()), (None, None, 4 * 4096));
        assert_eq!(seen.links().collect::<Vec<_>>(), [*node.cid()]);
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
