//! One chunk of a block and its way up BLAKE3's own tree to the hash in the block's CID.
//!
//! BLAKE3 cuts its input into chunks of 1 KiB and hashes them as a binary tree: a node of n chunks
//! has the largest power of two below n on its left. Each chunk's hash covers its index and its
//! length, and the root is hashed as such and nothing else is
//! (<https://github.com/BLAKE3-team/BLAKE3-specs/blob/master/blake3.pdf>, 2.1 and 5.1). So nobody has
//! to sign another root: whoever promised a block promised this tree.
//!
//! # What a proof proves
//!
//! That its maker had *this chunk* and the hashes beside its way. A liar may choose `len`:
//!
//! - it says which way is left and which is right. A length that gives another way to the chunk gives
//!   another hash. One that gives the same way (chunk 0 of 5 and of 8 chunks) changes nothing that was
//!   asked, and is not believed;
//! - to say that the chunk asked for lies beyond the end, it must show the chunk at the end it claims,
//!   reached by turning right at every node. Only the block's last chunk lies there, and its hash
//!   covers its index: the claimed end is the true one.
//!
//! Hence [`Proof::verify`] gives a length only with the last chunk, and takes no length from outside.
//! It never says that the maker has the bytes *at home*, or that it has the chunks it was not asked for.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use bytes::Bytes;
use craftec_core::{Cid, limits};
use serde::{Deserialize, Serialize};

use crate::Block;

/// Length of a chunk, in bytes; the last one of a block may be shorter.
pub const CHUNK_BYTES: usize = 1024;
/// Most chunks of a block.
pub const CHUNKS: u32 = (limits::BLOCK_BYTES / CHUNK_BYTES) as u32;
/// Most hashes of a way: the depth of a tree of [`CHUNKS`].
pub const PATH_HASHES: usize = CHUNKS.ilog2() as usize;
/// Length of a hash, in bytes.
const HASH_BYTES: usize = blake3::OUT_LEN;

/// One chunk, and what is beside its way to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The block's length in bytes, as its holder says.
    pub len: u32,
    /// The hash of the other child of each node on the way, from the root down: at most
    /// [`PATH_HASHES`] times 32 bytes.
    pub path: Bytes,
    /// The chunk: [`CHUNK_BYTES`], or fewer at the block's end.
    pub chunk: Bytes,
}

/// What a proof proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which chunk of the block was shown: the one asked for, or the last one if that lies beyond.
    pub chunk: u32,
    /// The block's length in bytes, which only its last chunk proves.
    pub len: Option<u32>,
}

/// Why bytes prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A block of more than `limits::BLOCK_BYTES`.
    #[error("no block has {len} bytes")]
    Length {
        /// The length claimed.
        len: u32,
    },
    /// The chunk, or the way, has another length than that place in such a block.
    #[error("chunk {chunk} of a block of {len} bytes is not of that shape")]
    Shape {
        /// The chunk.
        chunk: u32,
        /// The length claimed.
        len: u32,
    },
    /// The way leads to another root.
    #[error("chunk {chunk} is not that of the block")]
    Hash {
        /// The chunk.
        chunk: u32,
    },
}

/// Chunks of a block of `len` bytes; an empty one has one, which is empty.
pub const fn chunks(len: u32) -> u32 {
    let chunks = len.div_ceil(CHUNK_BYTES as u32);
    if chunks == 0 { 1 } else { chunks }
}

/// The node of the tree above chunks `first..first + count`, with `at` among them.
#[derive(Clone, Copy)]
struct Subtree {
    first: u32,
    count: u32,
}

impl Subtree {
    /// Both children, the one with `at` first, and whether that is the left one. `None` for a chunk.
    fn split(self, at: u32) -> Option<(Self, Self, bool)> {
        if self.count < 2 {
            return None;
        }
        let count = self.count.next_power_of_two() / 2;
        let left = Self { first: self.first, count };
        let right = Self { first: self.first + count, count: self.count - count };
        Some(if at < right.first { (left, right, true) } else { (right, left, false) })
    }

    /// Its hash. It has at least one byte, since only a block of one chunk is empty.
    fn hash(self, block: &[u8]) -> ChainingValue {
        let start = self.first as usize * CHUNK_BYTES;
        let end = start.saturating_add(self.count as usize * CHUNK_BYTES).min(block.len());
        hash(self.first, &block[start..end])
    }
}

/// The hash of what begins at chunk `first` and is no root.
fn hash(first: u32, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(u64::from(first) * CHUNK_BYTES as u64);
    hasher.update(bytes).finalize_non_root()
}

impl Proof {
    /// The proof of chunk `wanted` of a block, or of the last one if there are not so many. Hashes
    /// the block once. The chunk is a part of the block's bytes, which are not copied.
    pub fn make(block: &Block, wanted: u32) -> Self {
        let block = block.bytes();
        let len = block.len() as u32;
        let at = wanted.min(chunks(len) - 1);
        let mut path = Vec::with_capacity(PATH_HASHES * HASH_BYTES);
        let mut node = Subtree { first: 0, count: chunks(len) };
        while let Some((next, beside, _)) = node.split(at) {
            path.extend_from_slice(&beside.hash(block));
            node = next;
        }
        let start = at as usize * CHUNK_BYTES;
        let end = (start + CHUNK_BYTES).min(block.len());
        Self { len, path: path.into(), chunk: block.slice(start..end) }
    }

    /// Checks that this is chunk `wanted` of `cid`, or the last one if `cid` has not so many.
    pub fn verify(&self, cid: &Cid, wanted: u32) -> Result<Shown, ProofError> {
        let len = self.len;
        if len as usize > limits::BLOCK_BYTES {
            return Err(ProofError::Length { len });
        }
        let last = chunks(len) - 1;
        let chunk = wanted.min(last);
        let mut turns = Vec::with_capacity(PATH_HASHES);
        let mut node = Subtree { first: 0, count: last + 1 };
        while let Some((next, _, left)) = node.split(chunk) {
            turns.push(left);
            node = next;
        }
        let whole =
            if chunk == last { len - last * CHUNK_BYTES as u32 } else { CHUNK_BYTES as u32 };
        let (beside, rest) = self.path.as_chunks::<HASH_BYTES>();
        if self.chunk.len() != whole as usize || beside.len() != turns.len() || !rest.is_empty() {
            return Err(ProofError::Shape { chunk, len });
        }
        if self.root(chunk, &turns, beside) != *cid.hash() {
            return Err(ProofError::Hash { chunk });
        }
        Ok(Shown { chunk, len: (chunk == last).then_some(len) })
    }

    /// The hash that the chunk leads to; `turns` and `beside` are of one length.
    fn root(&self, chunk: u32, turns: &[bool], beside: &[ChainingValue]) -> blake3::Hash {
        let Some(((top, below), (beside_top, beside))) =
            turns.split_first().zip(beside.split_first())
        else {
            return blake3::hash(&self.chunk);
        };
        let mut on_way = hash(chunk, &self.chunk);
        for (left, beside) in below.iter().zip(beside).rev() {
            on_way = match left {
                true => merge_subtrees_non_root(&on_way, beside, Mode::Hash),
                false => merge_subtrees_non_root(beside, &on_way, Mode::Hash),
            };
        }
        match top {
            true => merge_subtrees_root(&on_way, beside_top, Mode::Hash),
            false => merge_subtrees_root(beside_top, &on_way, Mode::Hash),
        }
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
