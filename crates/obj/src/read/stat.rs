//! What is below a root, in numbers, without reading any content.

use std::{collections::BTreeMap, rc::Rc};

use craftec_core::{Cid, Codec};
use futures::TryStreamExt;

use super::{BlockSource, Kind, Visit, WalkLimits, block, inventory};
use crate::{
    database::database,
    error::ObjError,
    unixfs::{Node, Target},
};

/// About a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// File or folder.
    pub kind: Kind,
    /// Bytes of the file, or of all files below the folder. A file that is there twice counts
    /// twice.
    pub size: u64,
    /// Files below it, counted the same way; 1 for a file.
    pub files: u64,
    /// Distinct blocks.
    pub blocks: u64,
}

/// The numbers of `root`. Reads nodes only; lengths of raw leaves are what their parents claim. A
/// database counts as one file, of the bytes of its pages.
pub async fn stat(
    source: Rc<dyn BlockSource>,
    root: Cid,
    limits: WalkLimits,
) -> Result<Stat, ObjError> {
    match root.codec() {
        Codec::Raw => {
            let size = block(&*source, root).await?.len() as u64;
            return Ok(Stat { kind: Kind::File, size, files: 1, blocks: 1 });
        }
        Codec::DagCbor => {
            let found = database(&block(&*source, root).await?);
            let size = found.ok_or(ObjError::NotUnixFs { cid: root })?.bytes();
            let visits = inventory(source, root, limits);
            let blocks = visits.try_fold(0, async |blocks, _| Ok(blocks + 1)).await?;
            return Ok(Stat { kind: Kind::File, size, files: 1, blocks });
        }
        Codec::DagPb => {}
    }
    let mut blocks = 0;
    let mut nodes = BTreeMap::new();
    let mut visits = inventory(source, root, limits);
    while let Some(visit) = visits.try_next().await? {
        blocks += 1;
        if let Visit::Block(block) = visit
            && block.cid().codec() == Codec::DagPb
        {
            let node = Node::decode(block.bytes()).map_err(ObjError::corrupt(block.cid()))?;
            nodes.insert(*block.cid(), Sum::of(node));
        }
    }
    let kind = match nodes.get(&root) {
        Some(Sum::Done(_)) => Kind::File,
        _ => Kind::Folder,
    };
    let Total { size, files } = total(root, nodes);
    Ok(Stat { kind, size, files, blocks })
}

#[derive(Clone, Copy, Default)]
struct Total {
    size: u64,
    files: u64,
}

/// What is known of a node.
enum Sum {
    Done(Total),
    /// A folder: so much so far, and these links to add.
    Open(Total, Vec<Cid>),
}

impl Sum {
    fn of(node: Node) -> Self {
        let mut sum = Total::default();
        let mut below = Vec::new();
        let mut entry = |cid: Cid, tsize: u64| {
            if cid.codec() == Codec::DagPb {
                below.push(cid);
            } else {
                sum.add(Total { size: tsize, files: 1 });
            }
        };
        match node {
            Node::File(file) => return Self::Done(Total { size: file.size, files: 1 }),
            Node::Folder(entries) => entries.iter().for_each(|link| entry(link.cid, link.tsize)),
            Node::Shard(shard) => {
                for link in shard.links() {
                    match &link.target {
                        Target::Entry(link) => entry(link.cid, link.tsize),
                        Target::Shard(cid) => entry(*cid, 0),
                    }
                }
            }
        }
        Self::Open(sum, below)
    }
}

impl Total {
    fn add(&mut self, other: Self) {
        self.size = self.size.saturating_add(other.size);
        self.files = self.files.saturating_add(other.files);
    }
}

/// Adds up from the leaves to `root`, each folder once however often it is linked, without
/// recursion: a folder stays on the stack until everything below it is done.
fn total(root: Cid, mut nodes: BTreeMap<Cid, Sum>) -> Total {
    let mut stack = vec![root];
    while let Some(at) = stack.last().copied() {
        let Some(Sum::Open(so_far, below)) = nodes.get_mut(&at) else {
            stack.pop();
            continue;
        };
        let (mut sum, mut below) = (*so_far, std::mem::take(below));
        while let Some(cid) = below.last() {
            match nodes.get(cid) {
                Some(Sum::Done(total)) => sum.add(*total),
                Some(Sum::Open(..)) => {
                    stack.push(*cid);
                    break;
                }
                None => {}
            }
            below.pop();
        }
        let done = below.is_empty();
        nodes.insert(at, if done { Sum::Done(sum) } else { Sum::Open(sum, below) });
    }
    match nodes.get(&root) {
        Some(Sum::Done(total)) => *total,
        _ => Total::default(),
    }
}
