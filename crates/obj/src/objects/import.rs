//! Blocks that come from a file rather than from a put or from the network. Nothing of them is
//! visible before the pins that reach them are committed together with the last of them; dropped
//! before that, they are freed by the next sweep.

use std::collections::BTreeSet;

use craftec_core::{Cid, Codec};

use super::{Objects, put::Sink, sweep::PAUSE};
use crate::{
    StoreError,
    block::Block,
    database::{database, table_links},
    store::Batch,
    unixfs::PbNode,
};

/// Nodes read between two pauses.
const STEP: usize = 256;

/// Blocks on their way in.
pub struct Import(Sink);

impl Import {
    pub(super) fn new(objects: Objects) -> Self {
        Self(Sink::new(objects))
    }

    /// Takes a block in.
    pub fn take(&mut self, block: Block) -> Result<(), StoreError> {
        self.0.take(vec![block])
    }

    /// A block below `root` that is neither here nor was taken in.
    pub async fn missing(&mut self, root: Cid) -> Result<Option<Cid>, StoreError> {
        self.0.write_gathered()?;
        let objects = self.0.objects().clone();
        let (mut open, mut seen, mut nodes) = (vec![root], BTreeSet::new(), 0_usize);
        while let Some(cid) = open.pop() {
            if !seen.insert(cid) {
                continue;
            }
            if cid.codec() == Codec::Raw {
                if !objects.0.exchange.has(&cid)? {
                    return Ok(Some(cid));
                }
                continue;
            }
            let Some(block) = objects.0.exchange.local(&cid)? else { return Ok(Some(cid)) };
            let Some(links) = links(&block, cid == root) else { return Ok(Some(cid)) };
            open.extend(links.into_iter().filter(|c| !seen.contains(c)));
            nodes += 1;
            if nodes.is_multiple_of(STEP) {
                objects.0.clock.sleep(PAUSE).await;
            }
        }
        Ok(None)
    }

    /// Makes everything durable together with `batch`, or nothing of it.
    pub fn commit(mut self, batch: Batch) -> Result<(), StoreError> {
        self.0.commit(batch)
    }
}

/// What a block names; none if it is not what it should be there.
fn links(block: &Block, root: bool) -> Option<Vec<Cid>> {
    match block.cid().codec() {
        Codec::Raw => Some(Vec::new()),
        Codec::DagPb => {
            let node = PbNode::decode(block.bytes()).ok()?;
            Some(node.links.into_iter().map(|link| link.cid).collect())
        }
        // A root of another kind is kept as it is.
        Codec::DagCbor if root => {
            Some(database(block).map(|database| database.links().collect()).unwrap_or_default())
        }
        Codec::DagCbor => table_links(block),
    }
}
