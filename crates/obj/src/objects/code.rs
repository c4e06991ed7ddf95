//! Making the shards of a coded file: reading it generation by generation, from here or from whoever
//! has it, and computing pieces into the cache.
//!
//! Pieces that are made wait in the cache for their holders to take them, and are kept from sweeps
//! for as long as the [`Made`] lives. Nothing of it is promised: what is swept after a restart is
//! made again, under the same names.

use std::{collections::BTreeSet, ops::RangeInclusive, rc::Rc};

use bytes::Bytes;
use craftec_core::{Cid, Codec};
use futures::TryStreamExt;

use super::{Objects, sweep::PAUSE};
use crate::{
    ObjError,
    block::Block,
    coded::{Code, CodedError, Coding, Generation, Piece, Shard, Spread, leaves},
    database::database,
    pack::Pack,
    read::BlockSource,
    unixfs::{Node, NodeError},
};

/// Shards that were made here, and stay here at least as long as this lives.
pub struct Made {
    /// The file's code and names.
    pub coding: Rc<Coding>,
    /// The shards.
    pub shards: Vec<MadeShard>,
    _kept: Kept,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeShard {
    /// Which.
    pub index: u8,
    /// Its root.
    pub root: Cid,
    /// Distinct blocks, the root's included.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps blocks from sweeps.
pub struct Kept {
    objects: Objects,
    list: u64,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.objects.0.end_fresh(self.list, 0);
    }
}

impl Kept {
    fn new(objects: &Objects) -> Self {
        Self { objects: objects.clone(), list: objects.0.begin_fresh() }
    }

    fn take(&self, blocks: &[Block]) -> Result<(), ObjError> {
        self.objects.0.add_fresh(self.list, blocks.iter().map(|block| *block.cid()));
        Ok(self.objects.0.store.cache(blocks)?)
    }
}

impl Objects {
    /// Codes the file `object` into as many of `shards` as divide it well, with `percent` pieces per
    /// hundred source pieces.
    ///
    /// # Errors
    /// When it is no file that can be coded, or its blocks could not be had.
    pub async fn make_shards(
        &self,
        object: Cid,
        shards: RangeInclusive<u8>,
        percent: u16,
    ) -> Result<Made, ObjError> {
        let nodes = self.file_nodes(object).await?;
        let (size, leaves) = leaves(&nodes)?;
        let spread = Spread::fit(size, shards, percent)?;
        let kept = Kept::new(self);
        let mut coded = Vec::new();
        for generation in 0..spread.layout().generations {
            let range = spread.layout().generation(generation);
            let leaves = leaves[range.start as usize..range.end as usize].to_vec();
            let sources = self.sources(object, leaves).await?;
            let first = spread.sources(generation);
            let indices: Vec<u8> = spread.generation(generation).map(|piece| piece.index).collect();
            let shape = Generation::new(first, spread.layout().piece_bytes as usize);
            let made = shape.encode(&sources, &indices[usize::from(first)..])?;
            coded.extend(made.iter().map(|block| *block.cid()));
            kept.take(&made)?;
            self.0.clock.sleep(PAUSE).await;
        }
        let code = Code::new(object, &spread, &coded)?.block()?;
        let coding = Coding::new(&code, &nodes)?;
        let all: Vec<u8> = (0..spread.shards()).collect();
        self.made(coding, code, &nodes, &all, kept)
    }

    /// Makes some shards of a known code again, under their own names.
    ///
    /// # Errors
    /// When the file's blocks could not be had, or the code turns out not to be the file's.
    pub async fn remake_shards(
        &self,
        object: Cid,
        code: Cid,
        indices: &[u8],
    ) -> Result<Made, ObjError> {
        let coding = self.coding(object, code).await?;
        let kept = Kept::new(self);
        let spread = *coding.spread();
        self.remake(&coding, &kept, |piece| indices.contains(&spread.shard_of(piece))).await?;
        let code = self.reader(object).block(code).await?;
        let nodes = self.file_nodes(object).await?;
        self.made(coding, code, &nodes, indices, kept)
    }

    /// Makes what is missing of a shard that is kept here: pieces from others of their generation, the
    /// shard's own block from the code. Returns what is here again.
    ///
    /// # Errors
    /// When too little of the file could be had.
    pub async fn restore_shard(
        &self,
        root: Cid,
        missing: &BTreeSet<Cid>,
    ) -> Result<Vec<Cid>, ObjError> {
        let exchange = &self.0.exchange;
        let Some((object, code, index)) = exchange.shard_at(&root) else {
            return Err(ObjError::Missing { cid: root });
        };
        let coding = self.coding(object, code).await?;
        let kept = Kept::new(self);
        if missing.contains(&root)
            && let Some(shard) = coding.shard(index)
        {
            kept.take(&[shard.block()?])?;
        }
        let lost = |piece| coding.cid(piece).is_some_and(|cid| missing.contains(&cid));
        self.remake(&coding, &kept, lost).await?;
        exchange.flush()?;
        let mut here = Vec::new();
        for cid in missing {
            if exchange.has(cid)? {
                here.push(*cid);
            }
        }
        self.0.store.promote(&here)?;
        Ok(here)
    }

    /// Makes some pieces of a file again. Those that are leaves are fetched, or recovered, as any
    /// reader would.
    async fn remake(
        &self,
        coding: &Coding,
        kept: &Kept,
        wanted: impl Fn(Piece) -> bool,
    ) -> Result<(), ObjError> {
        let spread = *coding.spread();
        for generation in 0..spread.layout().generations {
            let all: Vec<Piece> = spread.generation(generation).collect();
            if !all.iter().any(|piece| wanted(*piece)) {
                continue;
            }
            let (sources, coded) = all.split_at(usize::from(spread.sources(generation)));
            let coded = coded.iter().filter(|piece| wanted(**piece)).map(|piece| piece.index);
            let coded: Vec<u8> = coded.collect();
            let leaves = sources.iter().filter_map(|piece| coding.cid(*piece)).collect();
            let sources = self.sources(*coding.object(), leaves).await?;
            kept.take(&coding.encode(generation, &sources, &coded)?)?;
            self.0.clock.sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Has a block here that is made and not put, for others to take: at least for as long as what is
    /// returned lives.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn offer(&self, block: Block) -> Result<Kept, ObjError> {
        let kept = Kept::new(self);
        kept.take(&[block])?;
        Ok(kept)
    }

    /// The names of a coded file's pieces.
    ///
    /// # Errors
    /// When its nodes or the code could not be had, or don't belong together.
    pub async fn coding(&self, object: Cid, code: Cid) -> Result<Coding, ObjError> {
        let nodes = self.file_nodes(object).await?;
        let code = self.reader(object).block(code).await?;
        Ok(Coding::new(&code, &nodes)?)
    }

    /// Whether a root that is here is what it has to be to be kept: a shard of its own account's code,
    /// if it is one of ours and neither a file's nor a database's nor a pack.
    ///
    /// # Errors
    /// When it is a DAG-CBOR block and no shard, or names other pieces than its code says.
    pub fn check_shard(&self, root: &Cid) -> Result<(), ObjError> {
        if root.codec() != Codec::DagCbor {
            return Ok(());
        }
        let here = |cid: &Cid| self.0.exchange.peek(cid)?.ok_or(ObjError::Missing { cid: *cid });
        let block = here(root)?;
        if database(&block).is_some() || Pack::read(&block).is_some() {
            return Ok(());
        }
        let shard = Shard::read(&block)?;
        let nodes: Result<Vec<Block>, ObjError> = shard.nodes.iter().map(here).collect();
        let coding = Coding::new(&here(&shard.code)?, &nodes?)?;
        match coding.check(&shard) {
            true => Ok(()),
            false => {
                Err(CodedError::Shape { reason: "a shard of other pieces than its code's" }.into())
            }
        }
    }

    fn made(
        &self,
        coding: Coding,
        code: Block,
        nodes: &[Block],
        indices: &[u8],
        kept: Kept,
    ) -> Result<Made, ObjError> {
        let mut shards = Vec::with_capacity(indices.len());
        let frame: u64 = nodes.iter().map(|node| node.len() as u64).sum();
        for index in indices.iter().filter_map(|index| coding.shard(*index)) {
            let block = index.block()?;
            let pieces: BTreeSet<&Cid> = index.pieces.iter().collect();
            let mut bytes = block.len() as u64 + code.len() as u64 + frame;
            for piece in &pieces {
                // What is missing by now is made again before it is asked for.
                bytes +=
                    self.0.exchange.len_of(piece)?.unwrap_or(coding.spread().layout().piece_bytes);
            }
            let blocks = 2 + nodes.len() as u64 + pieces.len() as u64;
            shards.push(MadeShard { index: index.index, root: *block.cid(), blocks, bytes });
            kept.take(&[block])?;
        }
        kept.take(&[code])?;
        Ok(Made { coding: Rc::new(coding), shards, _kept: kept })
    }

    /// The bytes of leaves, in their order.
    async fn sources(&self, object: Cid, leaves: Vec<Cid>) -> Result<Vec<Bytes>, ObjError> {
        let blocks = self.reader(object).blocks(leaves);
        blocks.map_ok(Block::into_bytes).try_collect().await
    }

    /// The inner nodes of a file, root first.
    async fn file_nodes(&self, object: Cid) -> Result<Vec<Block>, ObjError> {
        if object.codec() != Codec::DagPb {
            return Err(ObjError::NotUnixFs { cid: object });
        }
        let session = self.reader(object);
        let root = session.block(object).await?;
        let file = match Node::decode(root.bytes()).map_err(ObjError::corrupt(&object))? {
            Node::File(file) => file,
            Node::Folder(_) | Node::Shard(_) => return Err(ObjError::NotAFile { cid: object }),
        };
        let mut seen = BTreeSet::new();
        let links = file.links.iter().map(|link| link.cid);
        let inner: Vec<Cid> =
            links.filter(|cid| cid.codec() == Codec::DagPb && seen.insert(*cid)).collect();
        if inner.len() > NODES {
            let source = NodeError::Shape { reason: "more inner nodes than a coded file has" };
            return Err(ObjError::Corrupt { cid: object, source });
        }
        let mut nodes = vec![root];
        nodes.extend(BlockSource::blocks(&session, inner).try_collect::<Vec<_>>().await?);
        Ok(nodes)
    }
}

/// More inner nodes than the longest coded file has; more are not fetched.
const NODES: usize = 64;
