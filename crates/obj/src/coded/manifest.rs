//! The two blocks that describe a coded file, canonical DAG-CBOR.
//!
//! | block | fields | largest |
//! |---|---|---|
//! | [`Code`] | `v`, `object`, `size`, `shards`, `percent`, `hashes` | 1 MiB: 32,000 hashes |
//! | [`Shard`] | `v`, `code`, `index`, `nodes`, `pieces` | 1 MiB: a fifth of 80,000 pieces, 41 bytes each |
//!
//! `hashes` are the BLAKE3 hashes of the coded pieces, 32 bytes each, by generation, then number: so
//! the CID of a coded piece is `raw` and its hash. A shard is the root of what one holder keeps: the
//! code, the inner nodes of the file (root first), and the pieces of one shard. Its links are read
//! by [`shard_links`]; what is below the file's nodes is not a part of it.

use craftec_core::{Cid, Codec, cbor, limits::BLOCK_BYTES};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{CodedError, Spread};
use crate::block::Block;

/// Inner nodes of a coded file: 20,000 leaves make 21 of them.
pub(super) const NODES: usize = 32;
const HASH_BYTES: usize = 32;

/// What a file's coded pieces are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Version of this layout and of the coefficients: 1.
    pub v: u16,
    /// The file.
    pub object: Cid,
    /// Its length in bytes.
    pub size: u64,
    /// Into how many shards its pieces are spread.
    pub shards: u8,
    /// Pieces per hundred source pieces.
    pub percent: u16,
    /// BLAKE3 of each coded piece.
    pub hashes: ByteBuf,
}

impl Code {
    /// The code of the file `object`, from the coded pieces' CIDs by generation, then number.
    ///
    /// # Errors
    /// When there are not as many as there should be.
    pub fn new(object: Cid, spread: &Spread, coded: &[Cid]) -> Result<Self, CodedError> {
        let hashes = ByteBuf::from(coded.iter().flat_map(|cid| *cid.hash()).collect::<Vec<u8>>());
        let (size, shards, percent) = (spread.layout().size, spread.shards(), spread.percent());
        let code = Self { v: 1, object, size, shards, percent, hashes };
        code.spread()?;
        Ok(code)
    }

    /// Reads a block.
    ///
    /// # Errors
    /// When it is not one, of another version, or with other than its number of hashes.
    pub fn read(block: &Block) -> Result<Self, CodedError> {
        let code: Self = read(block)?;
        if code.v != 1 {
            return Err(CodedError::Version(code.v));
        }
        code.spread()?;
        Ok(code)
    }

    /// The block.
    ///
    /// # Errors
    /// When it would be larger than a block may be.
    pub fn block(&self) -> Result<Block, CodedError> {
        write(self)
    }

    /// How the pieces are spread.
    ///
    /// # Errors
    /// When the parameters are outside their limits, or don't fit the hashes.
    pub fn spread(&self) -> Result<Spread, CodedError> {
        if self.object.codec() != Codec::DagPb {
            return Err(CodedError::Shape { reason: "a code is of a file of several blocks" });
        }
        let spread = Spread::new(self.size, self.shards, self.percent)?;
        if self.hashes.len() as u64 != spread.coded() * HASH_BYTES as u64 {
            return Err(CodedError::Shape { reason: "a code has one hash for each coded piece" });
        }
        Ok(spread)
    }

    /// The CIDs of the coded pieces, by generation, then number.
    pub(super) fn coded(&self) -> Vec<Cid> {
        let hashes = self.hashes.chunks_exact(HASH_BYTES);
        let cid = |hash: &[u8]| {
            let hash = hash.try_into().unwrap_or([0; HASH_BYTES]);
            Cid::from_hash(Codec::Raw, hash)
        };
        hashes.map(cid).collect()
    }
}

/// What one holder keeps of a coded file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Version of this layout: 1.
    pub v: u16,
    /// The file's code.
    pub code: Cid,
    /// Which shard this is.
    pub index: u8,
    /// The file's inner nodes, its root first, then level by level.
    pub nodes: Vec<Cid>,
    /// Its pieces, by generation, then number.
    pub pieces: Vec<Cid>,
}

impl Shard {
    /// Reads a block.
    ///
    /// # Errors
    /// When it is not one, or of another version. Whether its pieces are those of its code is for
    /// [`super::Coding::check`].
    pub fn read(block: &Block) -> Result<Self, CodedError> {
        let shard: Self = read(block)?;
        if shard.v != 1 {
            return Err(CodedError::Version(shard.v));
        }
        let kinds = shard.code.codec() == Codec::DagCbor
            && shard.nodes.iter().all(|node| node.codec() == Codec::DagPb)
            && shard.pieces.iter().all(|piece| piece.codec() == Codec::Raw);
        if !kinds || shard.nodes.is_empty() || shard.nodes.len() > NODES {
            return Err(CodedError::Shape { reason: "a shard that names other than its parts" });
        }
        Ok(shard)
    }

    /// The block.
    ///
    /// # Errors
    /// When it would be larger than a block may be.
    pub fn block(&self) -> Result<Block, CodedError> {
        write(self)
    }

    /// The file it belongs to, by its own account.
    pub fn object(&self) -> Option<Cid> {
        self.nodes.first().copied()
    }

    /// Everything that it names.
    pub fn links(&self) -> impl Iterator<Item = Cid> {
        std::iter::once(self.code)
            .chain(self.nodes.iter().copied())
            .chain(self.pieces.iter().copied())
    }
}

/// What a block names if it is a shard. These blocks belong to it, and not what they name in turn.
pub fn shard_links(block: &Block) -> Option<Vec<Cid>> {
    if block.cid().codec() != Codec::DagCbor {
        return None;
    }
    Shard::read(block).ok().map(|shard| shard.links().collect())
}

fn read<'a, T: Serialize + Deserialize<'a>>(block: &'a Block) -> Result<T, CodedError> {
    if block.cid().codec() != Codec::DagCbor {
        return Err(CodedError::Shape { reason: "a code or a shard is DAG-CBOR" });
    }
    Ok(cbor::decode(block.bytes(), BLOCK_BYTES)?)
}

fn write<T: Serialize>(value: &T) -> Result<Block, CodedError> {
    let too_long = |_| CodedError::Shape { reason: "a code or a shard is longer than a block" };
    Block::of(Codec::DagCbor, cbor::encode(value)?).map_err(too_long)
}
