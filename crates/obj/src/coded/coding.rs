//! A file, its leaves and its code together: what each piece is called, and what is made of what.

use std::collections::BTreeMap;

use bytes::Bytes;
use craftec_core::{Cid, Codec};

use super::{Code, CodedError, Generation, Piece, Shard, Spread, manifest::NODES};
use crate::{
    block::Block,
    unixfs::{Layout, Node, layout},
};

/// A coded file as far as names go.
#[derive(Clone, Debug)]
pub struct Coding {
    object: Cid,
    code: Cid,
    spread: Spread,
    nodes: Vec<Cid>,
    leaves: Vec<Cid>,
    coded: Vec<Cid>,
    /// Where a leaf is; of equal ones the first.
    places: BTreeMap<Cid, u64>,
}

impl Coding {
    /// From the code's block and the file's inner nodes, root first, then level by level.
    ///
    /// # Errors
    /// When the code is of another file, or the file is not cut as files of its length are.
    pub fn new(code: &Block, nodes: &[Block]) -> Result<Self, CodedError> {
        let read = Code::read(code)?;
        let spread = read.spread()?;
        if nodes.first().map(Block::cid) != Some(&read.object) {
            return Err(CodedError::Shape { reason: "the code is of another file" });
        }
        let (size, leaves) = leaves(nodes)?;
        if size != read.size {
            return Err(CodedError::Shape { reason: "the code is of a file of another length" });
        }
        let mut places = BTreeMap::new();
        for (leaf, place) in leaves.iter().zip(0_u64..) {
            places.entry(*leaf).or_insert(place);
        }
        let (object, code, coded) = (read.object, *code.cid(), read.coded());
        let nodes = nodes.iter().map(|node| *node.cid()).collect();
        Ok(Self { object, code, spread, nodes, leaves, coded, places })
    }

    /// The file.
    pub const fn object(&self) -> &Cid {
        &self.object
    }

    /// The code's block.
    pub const fn code(&self) -> &Cid {
        &self.code
    }

    /// How the pieces are spread.
    pub const fn spread(&self) -> &Spread {
        &self.spread
    }

    /// What a piece is called. `None` for one that there is not.
    pub fn cid(&self, piece: Piece) -> Option<Cid> {
        if u16::from(piece.index) >= self.spread.pieces(piece.generation) {
            return None;
        }
        match self.spread.leaf(piece) {
            Some(leaf) => self.leaves.get(usize::try_from(leaf).ok()?).copied(),
            None => self.coded.get(self.spread.coded_place(piece)?).copied(),
        }
    }

    /// The source piece that is called so; of equal ones the first.
    pub fn source(&self, leaf: &Cid) -> Option<Piece> {
        self.spread.source(*self.places.get(leaf)?)
    }

    /// Whether a piece is certainly as long as pieces are: all but the last leaf are.
    pub fn is_long(&self, piece: &Cid) -> bool {
        self.leaves.last() != Some(piece)
    }

    /// What one holder keeps. `None` for a shard that there is not.
    pub fn shard(&self, index: u8) -> Option<Shard> {
        if index >= self.spread.shards() {
            return None;
        }
        let pieces = self.spread.shard(index).filter_map(|piece| self.cid(piece)).collect();
        Some(Shard { v: 1, code: self.code, index, nodes: self.nodes.clone(), pieces })
    }

    /// Whether a shard is one of this code's.
    pub fn check(&self, shard: &Shard) -> bool {
        self.shard(shard.index).as_ref() == Some(shard)
    }

    /// The coded pieces `indices` of a generation from its sources, checked by their names.
    ///
    /// # Errors
    /// [`CodedError::NotItsCode`] when a piece is not the one that the code lists.
    pub fn encode(
        &self,
        generation: u64,
        sources: &[Bytes],
        indices: &[u8],
    ) -> Result<Vec<Block>, CodedError> {
        let made = self.generation(generation).encode(sources, indices)?;
        for (block, index) in made.iter().zip(indices) {
            let piece = Piece { generation, index: *index };
            if self.spread.leaf(piece).is_none() && self.cid(piece) != Some(*block.cid()) {
                return Err(CodedError::NotItsCode { leaf: *block.cid() });
            }
        }
        Ok(made)
    }

    /// The leaves of a generation from any k of its pieces, each checked by its name.
    ///
    /// # Errors
    /// [`CodedError::TooFew`], or [`CodedError::NotItsCode`] when the code was made of another file.
    pub fn restore(
        &self,
        generation: u64,
        pieces: &[(u8, Bytes)],
    ) -> Result<Vec<Block>, CodedError> {
        let restored = self.generation(generation).restore(pieces)?;
        let mut leaves = Vec::with_capacity(restored.len());
        for (index, bytes) in (0_u8..).zip(restored) {
            let piece = Piece { generation, index };
            let place = self.spread.leaf(piece).unwrap_or(u64::MAX);
            let range = self.spread.layout().piece(place);
            let bytes = bytes.slice(..(range.end - range.start) as usize);
            let leaf = self.cid(piece).ok_or(CodedError::Shape { reason: "a leaf too many" })?;
            leaves.push(Block::verified(leaf, bytes).map_err(|_| CodedError::NotItsCode { leaf })?);
        }
        Ok(leaves)
    }

    fn generation(&self, generation: u64) -> Generation {
        let piece_bytes = self.spread.layout().piece_bytes;
        Generation::new(self.spread.sources(generation), piece_bytes as usize)
    }
}

/// The length of a file and its leaves in their order, from its inner nodes, root first.
///
/// # Errors
/// When a node is missing or is none, or the file is not cut as files of its length are: such a file
/// can't be coded.
pub fn leaves(nodes: &[Block]) -> Result<(u64, Vec<Cid>), CodedError> {
    let shape = |reason| CodedError::Shape { reason };
    if nodes.is_empty() || nodes.len() > NODES {
        return Err(shape("a coded file has 1 to 32 inner nodes"));
    }
    let by_cid: BTreeMap<&Cid, &Block> = nodes.iter().map(|node| (node.cid(), node)).collect();
    let mut open = vec![*nodes[0].cid()];
    let (mut size, mut pieces, mut read) = (None, Vec::new(), 0);
    let mut cut: Option<Layout> = None;
    while let Some(cid) = open.pop() {
        if cid.codec() == Codec::Raw {
            pieces.push(cid);
            continue;
        }
        read += 1;
        // A file of equal parts names one node many times; its leaves still end.
        if read > NODES {
            return Err(shape("a coded file has 1 to 32 inner nodes"));
        }
        let node = by_cid.get(&cid).ok_or(shape("an inner node of the file is missing"))?;
        let Ok(Node::File(file)) = Node::decode(node.bytes()) else {
            return Err(shape("what is coded is a file"));
        };
        if !file.inline.is_empty() {
            return Err(shape("the file is not cut as files are here"));
        }
        size.get_or_insert(file.size);
        let cut = *cut.get_or_insert_with(|| layout(file.size));
        let leaf = |at: usize| {
            let range = cut.piece((pieces.len() + at) as u64);
            range.end - range.start
        };
        let links = file.links.iter().enumerate();
        let raw = |at: usize, bytes: u64| bytes == leaf(at) && bytes > 0;
        if !links.clone().all(|(at, l)| l.cid.codec() != Codec::Raw || raw(at, l.size)) {
            return Err(shape("the file is not cut as files are here"));
        }
        open.extend(file.links.iter().rev().map(|link| link.cid));
    }
    let size = size.unwrap_or_default();
    if pieces.len() as u64 != layout(size).pieces {
        return Err(shape("the file is not cut as files are here"));
    }
    Ok((size, pieces))
}

#[cfg(test)]
#[path = "coding_tests.rs"]
mod tests;
