//! Cuts a stream of bytes of unknown length into the blocks of an object.
//!
//! Below 1 MiB an object is one raw block; from there on a UnixFS file: raw leaves of the length
//! that [`layout`] says, under a balanced tree of nodes with at most [`FAN_OUT`] links, all leaves
//! at one depth. The result depends on the bytes alone, never on how they were pushed. Holds at
//! most 8 MiB: until that much was seen, the length of the pieces is not certain.

use craftec_core::{Cid, Codec, limits};

use super::{
    layout::{CERTAIN_BYTES, FAN_OUT, MAX_PIECE_BYTES, layout},
    node::{File, FileLink},
    own_block,
};
use crate::block::Block;

/// A finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its address.
    pub cid: Cid,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes of all its blocks together, as a folder's link states them.
    pub tsize: u64,
    /// Blocks that no `push` has returned yet; the root is the last.
    pub blocks: Vec<Block>,
}

/// Builds one object from pushed bytes.
#[derive(Debug, Default)]
pub struct FileBuilder {
    size: u64,
    /// Everything until pieces are certain, from then on the piece that is not full yet.
    pending: Vec<u8>,
    certain: bool,
    tree: Tree,
}

impl FileBuilder {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes pushed so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends `bytes` and returns the blocks that are complete by now, children before parents.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Block> {
        let mut out = Vec::new();
        self.size += bytes.len() as u64;
        if !self.certain {
            let missing = CERTAIN_BYTES as usize - self.pending.len();
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.pending.extend_from_slice(now);
            if self.pending.len() as u64 == CERTAIN_BYTES {
                let pieces = std::mem::take(&mut self.pending);
                self.tree.leaves(&pieces, MAX_PIECE_BYTES as usize, &mut out);
                self.certain = true;
            }
            bytes = later;
        }
        if self.certain {
            self.push_pieces(bytes, &mut out);
        }
        out
    }

    fn push_pieces(&mut self, mut bytes: &[u8], out: &mut Vec<Block>) {
        let piece_bytes = MAX_PIECE_BYTES as usize;
        if !self.pending.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(piece_bytes - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() < piece_bytes {
                return;
            }
            let piece = std::mem::replace(&mut self.pending, Vec::with_capacity(piece_bytes));
            self.tree.leaf(piece, out);
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % piece_bytes);
        self.tree.leaves(whole, piece_bytes, out);
        self.pending.extend_from_slice(rest);
    }

    /// Ends the object.
    pub fn finish(mut self) -> Built {
        if self.size < limits::SMALL_OBJECT_BYTES {
            let block = own_block(Codec::Raw, self.pending);
            let cid = *block.cid();
            return Built { cid, size: self.size, tsize: self.size, blocks: vec![block] };
        }
        let mut blocks = Vec::new();
        let piece_bytes = layout(self.size).piece_bytes as usize;
        self.tree.leaves(&self.pending, piece_bytes, &mut blocks);
        let root = self.tree.finish(&mut blocks);
        Built { cid: root.cid, size: root.size, tsize: root.tsize, blocks }
    }
}

/// The right edge of a balanced tree: for each level the links that have no parent yet.
#[derive(Debug, Default)]
struct Tree {
    levels: Vec<Vec<FileLink>>,
}

impl Tree {
    fn leaves(&mut self, bytes: &[u8], piece_bytes: usize, out: &mut Vec<Block>) {
        for piece in bytes.chunks(piece_bytes) {
            self.leaf(piece.to_vec(), out);
        }
    }

    fn leaf(&mut self, piece: Vec<u8>, out: &mut Vec<Block>) {
        let size = piece.len() as u64;
        let block = own_block(Codec::Raw, piece);
        let link = FileLink { cid: *block.cid(), size, tsize: size };
        out.push(block);
        self.link(0, link, out);
    }

    /// Adds a link at `level`; a level that is full becomes one node on the next.
    fn link(&mut self, mut level: usize, mut link: FileLink, out: &mut Vec<Block>) {
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(link);
            if self.levels[level].len() < FAN_OUT {
                return;
            }
            link = node(std::mem::take(&mut self.levels[level]), out);
            level += 1;
        }
    }

    /// Closes the right edge from the leaves up. The single link that remains is the root.
    fn finish(mut self, out: &mut Vec<Block>) -> FileLink {
        let mut level = 0;
        loop {
            let links = std::mem::take(&mut self.levels[level]);
            let topmost = self.levels[level + 1..].iter().all(Vec::is_empty);
            match links.as_slice() {
                [root] if topmost => return *root,
                [] => {}
                _ => {
                    let parent = node(links, out);
                    self.link(level + 1, parent, out);
                }
            }
            level += 1;
        }
    }
}

fn node(links: Vec<FileLink>, out: &mut Vec<Block>) -> FileLink {
    let size = links.iter().map(|link| link.size).sum();
    let below: u64 = links.iter().map(|link| link.tsize).sum();
    let block = own_block(Codec::DagPb, File { inline: Vec::new(), links, size }.encode());
    let link = FileLink { cid: *block.cid(), size, tsize: below + block.len() as u64 };
    out.push(block);
    link
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::Node;

    fn tree_of(leaves: usize) -> (FileLink, usize, Vec<Block>) {
        let mut tree = Tree::default();
        let mut out = Vec::new();
        for leaf in 0..leaves {
            tree.leaf((leaf as u32).to_le_bytes().to_vec(), &mut out);
        }
        let root = tree.finish(&mut out);
        (root, out.len() - leaves, out)
    }

    #[test]
    fn trees_are_balanced_and_as_low_as_can_be() {
        for (leaves, nodes) in
            [(1, 0), (2, 1), (1023, 1), (1024, 1), (1025, 3), (2048, 3), (2049, 4)]
        {
            let (root, found, blocks) = tree_of(leaves);
            assert_eq!(found, nodes, "{leaves} leaves");
            assert_eq!(root.size, leaves as u64 * 4);
            assert_eq!(root.tsize, blocks.iter().map(|block| block.len() as u64).sum::<u64>());
            assert_eq!(*blocks[blocks.len() - 1].cid(), root.cid);
        }
        let (_, _, blocks) = tree_of(1025);
        let Ok(Node::File(root)) = Node::decode(blocks[blocks.len() - 1].bytes()) else {
            panic!("the root is a file");
        };
        assert_eq!(root.links.iter().map(|link| link.size).collect::<Vec<_>>(), [4096, 4]);
        assert!(root.links.iter().all(|link| link.cid.codec() == Codec::DagPb));
    }

    #[test]
    fn the_smallest_sizes_are_one_raw_block() {
        assert_eq!(FileBuilder::new().finish().cid, Cid::of(Codec::Raw, b""));
        let mut builder = FileBuilder::new();
        assert!(builder.push(&vec![7; (1 << 20) - 1]).is_empty());
        let built = builder.finish();
        assert_eq!((built.cid.codec(), built.blocks.len()), (Codec::Raw, 1));
        let mut builder = FileBuilder::new();
        assert!(builder.push(&vec![7; 1 << 20]).is_empty());
        let built = builder.finish();
        assert_eq!((built.cid.codec(), built.blocks.len()), (Codec::DagPb, 33));
        assert_eq!(built.size, 1 << 20);
    }
}
