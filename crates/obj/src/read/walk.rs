//! Every block below a root, each once, level by level.
//!
//! Holds the CIDs seen so far, which the caller's limit bounds, and one block. Follows the links of
//! dag-pb nodes. A root that is a shard of a coded file names its parts, and what these name in turn
//! is not below it. A root that is a database's leads to its page table, and that to its pages; one that is
//! a pack to its members. Another dag-cbor block has no links here: what it refers to is for its owner to
//! say.

use std::{
    collections::{BTreeSet, VecDeque},
    rc::Rc,
};

use craftec_core::{Cid, Codec, limits};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, LocalBoxStream},
};

use super::{BlockSource, next};
use crate::{
    block::Block,
    coded::shard_links,
    database::{database, table_links},
    error::ObjError,
    pack::pack_links,
    unixfs::PbNode,
};

/// Blocks asked for in one request of the source: between two requests nothing is under way, so
/// they are few (one for 256 MiB of leaves).
const GROUP: usize = 1024;

/// How far a walk may go before it ends with [`ObjError::Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimits {
    /// Most blocks, and so most CIDs in memory.
    pub blocks: u64,
    /// Most bytes of blocks read.
    pub bytes: u64,
}

impl Default for WalkLimits {
    /// A million blocks (up to 256 GiB of file, about 60 MB of memory) of any size.
    fn default() -> Self {
        Self { blocks: 1 << 20, bytes: u64::MAX }
    }
}

/// A step of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// A block that was read.
    Block(Block),
    /// A raw leaf that is part of the graph and was not read.
    Leaf(Cid),
}

impl Visit {
    /// Which block.
    pub const fn cid(&self) -> &Cid {
        match self {
            Visit::Block(block) => block.cid(),
            Visit::Leaf(cid) => cid,
        }
    }
}

/// All blocks from `root` down, read from `source`, parents before their children.
pub fn walk(
    source: Rc<dyn BlockSource>,
    root: Cid,
    limits: WalkLimits,
) -> LocalBoxStream<'static, Result<Block, ObjError>> {
    let read = |visit| async move {
        match visit {
            Visit::Block(block) => Ok(Some(block)),
            Visit::Leaf(_) => Ok(None),
        }
    };
    steps(Walk::new(source, root, limits, true)).try_filter_map(read).boxed_local()
}

/// The CIDs of all blocks from `root` down. Reads nodes only, never leaves, so it costs a
/// thousandth of a [`walk`]; that a leaf is named does not mean that the source has it.
pub fn inventory(
    source: Rc<dyn BlockSource>,
    root: Cid,
    limits: WalkLimits,
) -> LocalBoxStream<'static, Result<Visit, ObjError>> {
    steps(Walk::new(source, root, limits, false))
}

fn steps(walk: Walk) -> LocalBoxStream<'static, Result<Visit, ObjError>> {
    let step = async |mut walk: Walk| Ok(walk.next().await?.map(|visit| (visit, walk)));
    stream::try_unfold(walk, step).boxed_local()
}

struct Walk {
    source: Rc<dyn BlockSource>,
    limits: WalkLimits,
    bytes: u64,
    read_leaves: bool,
    /// The root is a shard: nothing but its parts is below it.
    shard: bool,
    /// The root is a database's: dag-cbor blocks below it are nodes of its page table.
    database: bool,
    seen: BTreeSet<Cid>,
    /// Not visited yet, with their depth.
    queue: VecDeque<(Cid, usize)>,
    /// What was asked for: the first `asked` of those in `queue` that are read.
    blocks: LocalBoxStream<'static, Result<Block, ObjError>>,
    asked: usize,
}

impl Walk {
    fn new(source: Rc<dyn BlockSource>, root: Cid, limits: WalkLimits, read_leaves: bool) -> Self {
        Self {
            source,
            limits,
            bytes: 0,
            read_leaves,
            shard: false,
            database: false,
            seen: BTreeSet::from([root]),
            queue: VecDeque::from([(root, 0)]),
            blocks: stream::empty().boxed_local(),
            asked: 0,
        }
    }

    fn reads(&self, cid: &Cid) -> bool {
        self.read_leaves || cid.codec() != Codec::Raw
    }

    async fn next(&mut self) -> Result<Option<Visit>, ObjError> {
        let Some((cid, depth)) = self.queue.pop_front() else { return Ok(None) };
        if !self.reads(&cid) {
            return Ok(Some(Visit::Leaf(cid)));
        }
        if self.asked == 0 {
            let ahead = self.queue.iter().map(|(cid, _)| *cid).filter(|cid| self.reads(cid));
            let wants: Vec<Cid> = std::iter::once(cid).chain(ahead).take(GROUP).collect();
            self.asked = wants.len();
            self.blocks = self.source.blocks(wants);
        }
        self.asked -= 1;
        let block = next(&mut self.blocks, cid).await?;
        self.bytes = self.bytes.saturating_add(block.len() as u64);
        if self.bytes > self.limits.bytes {
            return Err(ObjError::Limit { what: "bytes of an object", limit: self.limits.bytes });
        }
        match cid.codec() {
            Codec::DagPb if !self.shard => {
                let node = PbNode::decode(block.bytes()).map_err(ObjError::corrupt(block.cid()))?;
                self.follow(node.links.into_iter().map(|link| link.cid), depth + 1)?;
            }
            Codec::DagCbor if depth == 0 => {
                if let Some(links) = shard_links(&block) {
                    self.shard = true;
                    self.follow(links.into_iter(), 1)?;
                } else if let Some(members) = pack_links(&block) {
                    self.follow(members.into_iter(), 1)?;
                } else if let Some(database) = database(&block) {
                    self.database = true;
                    let links: Vec<Cid> = database.links().collect();
                    self.follow(links.into_iter(), 1)?;
                }
            }
            Codec::DagCbor if self.database => {
                // One that is no node names nothing: a reader says so, and a holder keeps it as it is.
                let links = table_links(&block).unwrap_or_default();
                self.follow(links.into_iter(), depth + 1)?;
            }
            _ => {}
        }
        Ok(Some(Visit::Block(block)))
    }

    fn follow(
        &mut self,
        links: impl ExactSizeIterator<Item = Cid>,
        depth: usize,
    ) -> Result<(), ObjError> {
        if depth > limits::DAG_DEPTH && links.len() > 0 {
            let limit = limits::DAG_DEPTH as u64;
            return Err(ObjError::Limit { what: "depth of an object", limit });
        }
        for cid in links {
            if self.seen.insert(cid) {
                self.queue.push_back((cid, depth));
            }
        }
        if self.seen.len() as u64 > self.limits.blocks {
            return Err(ObjError::Limit { what: "blocks of an object", limit: self.limits.blocks });
        }
        Ok(())
    }
}
