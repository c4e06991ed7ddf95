//! Reading objects and folders from wherever their blocks are.
//!
//! Everything below reads through a [`BlockSource`] and checks what it reads: blocks are what their
//! CIDs name (that is what a [`Block`] means), nodes are well formed, and parts have the lengths
//! that their parents claim. Nothing here writes, keeps blocks, or asks for a block that the result
//! does not need.

mod content;
mod folder;
mod resolve;
mod stat;
mod walk;

use std::collections::BTreeMap;

use craftec_core::{Cid, Codec};
use futures::{
    StreamExt,
    stream::{self, LocalBoxStream},
};

pub use content::{Content, content};
pub use folder::{Listed, list};
pub use resolve::{Resolved, resolve};
pub use stat::{Stat, stat};
pub use walk::{Visit, WalkLimits, inventory, walk};

use crate::{block::Block, error::ObjError, unixfs::Node};

/// Where blocks come from: a store, the network, a map in a test.
pub trait BlockSource {
    /// The blocks `wants`, one for each and in this order; the first error ends the stream. What is
    /// not polled yet may be fetched ahead; dropping the stream ends that.
    fn blocks(&self, wants: Vec<Cid>) -> LocalBoxStream<'static, Result<Block, ObjError>>;
}

/// Blocks in memory.
impl BlockSource for BTreeMap<Cid, Block> {
    fn blocks(&self, wants: Vec<Cid>) -> LocalBoxStream<'static, Result<Block, ObjError>> {
        let found: Vec<_> = wants
            .into_iter()
            .map(|cid| self.get(&cid).cloned().ok_or(ObjError::Missing { cid }))
            .collect();
        stream::iter(found).boxed_local()
    }
}

/// File or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    File,
    /// Named entries.
    Folder,
}

/// One block.
async fn block(source: &dyn BlockSource, cid: Cid) -> Result<Block, ObjError> {
    next(&mut source.blocks(vec![cid]), cid).await
}

/// The next block of a stream that was asked for `cid` at this point.
async fn next(
    blocks: &mut LocalBoxStream<'static, Result<Block, ObjError>>,
    cid: Cid,
) -> Result<Block, ObjError> {
    let block = blocks.next().await.unwrap_or(Err(ObjError::Missing { cid }))?;
    assert!(*block.cid() == cid, "a block source gave {} in the place of {cid}", block.cid());
    Ok(block)
}

/// The node `cid`; `None` for a raw block, which has no structure.
async fn node(source: &dyn BlockSource, cid: Cid) -> Result<(Block, Option<Node>), ObjError> {
    if cid.codec() == Codec::DagCbor {
        return Err(ObjError::NotUnixFs { cid });
    }
    let block = block(source, cid).await?;
    let node = match cid.codec() {
        Codec::DagPb => Some(Node::decode(block.bytes()).map_err(ObjError::corrupt(&cid))?),
        _ => None,
    };
    Ok((block, node))
}
