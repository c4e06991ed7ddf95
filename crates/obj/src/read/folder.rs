//! What a folder holds, whether it is one block or many shards.

use std::rc::Rc;

use craftec_core::{Cid, Codec};

use super::{BlockSource, Kind, next, node};
use crate::{
    error::ObjError,
    unixfs::{FOLDER_ENTRIES, FolderLink, Node, NodeError, Place, Shard, Target},
};

/// Nodes asked for in one request of the source.
const GROUP: usize = 1024;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its address.
    pub cid: Cid,
    /// Bytes of the file (of a raw block, as the folder claims); of a folder, the bytes of all
    /// blocks from it down, as the folder above it claims.
    pub size: u64,
    /// File or folder.
    pub kind: Kind,
}

/// The entries of the folder `cid`, ascending by the bytes of their names.
///
/// Reads the folder's own blocks and the first block of each entry that is not a raw block: only
/// that says whether it is a file or a folder.
pub async fn list(source: Rc<dyn BlockSource>, cid: Cid) -> Result<Vec<Listed>, ObjError> {
    let entries = entries(&*source, cid).await?;
    let nodes: Vec<Cid> =
        entries.iter().map(|entry| entry.cid).filter(|c| c.codec() == Codec::DagPb).collect();
    let mut found = Vec::with_capacity(nodes.len());
    for group in nodes.chunks(GROUP) {
        let mut blocks = source.blocks(group.to_vec());
        for cid in group {
            let block = next(&mut blocks, *cid).await?;
            found.push(match Node::decode(block.bytes()).map_err(ObjError::corrupt(cid))? {
                Node::File(file) => Some(file.size),
                Node::Folder(_) | Node::Shard(_) => None,
            });
        }
    }
    let mut found = found.into_iter();
    let listed = entries.into_iter().map(|FolderLink { name, cid, tsize }| {
        let file_bytes = match cid.codec() {
            Codec::DagPb => found.next().flatten(),
            Codec::Raw | Codec::DagCbor => Some(tsize),
        };
        let kind = if file_bytes.is_some() { Kind::File } else { Kind::Folder };
        Listed { name, cid, size: file_bytes.unwrap_or(tsize), kind }
    });
    Ok(listed.collect())
}

/// The links of the folder `cid`, ascending by name.
async fn entries(source: &dyn BlockSource, cid: Cid) -> Result<Vec<FolderLink>, ObjError> {
    let shard = match node(source, cid).await?.1 {
        Some(Node::Folder(entries)) => return Ok(entries),
        Some(Node::Shard(shard)) => shard,
        None | Some(Node::File(_)) => return Err(ObjError::NotAFolder { cid }),
    };
    let mut entries = Vec::new();
    let mut below = Vec::new();
    sort_links(cid, shard, Place::default(), &mut entries, &mut below)?;
    while !below.is_empty() {
        let mut deeper = Vec::new();
        for group in below.chunks(GROUP) {
            let mut blocks = source.blocks(group.iter().map(|(cid, _)| *cid).collect());
            for (cid, place) in group {
                let block = next(&mut blocks, *cid).await?;
                let shard = as_shard(*cid, Node::decode(block.bytes()))?;
                sort_links(*cid, shard, *place, &mut entries, &mut deeper)?;
            }
        }
        below = deeper;
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Adds the entries of one shard to `entries` and its shards to `below`. Every shard below takes
/// another piece of the hash, so that levels end.
fn sort_links(
    cid: Cid,
    shard: Shard,
    at: Place,
    entries: &mut Vec<FolderLink>,
    below: &mut Vec<(Cid, Place)>,
) -> Result<(), ObjError> {
    for (place, target) in shard.placed(at).map_err(ObjError::corrupt(&cid))? {
        match target {
            Target::Entry(entry) => entries.push(entry),
            Target::Shard(cid) => below.push((cid, place)),
        }
    }
    if entries.len() + below.len() > FOLDER_ENTRIES {
        return Err(ObjError::Limit { what: "entries in a folder", limit: FOLDER_ENTRIES as u64 });
    }
    Ok(())
}

fn as_shard(cid: Cid, node: Result<Node, NodeError>) -> Result<Shard, ObjError> {
    match node.map_err(ObjError::corrupt(&cid))? {
        Node::Shard(shard) => Ok(shard),
        Node::File(_) | Node::Folder(_) => {
            let reason = "a file or a folder where a shard belongs";
            Err(ObjError::Corrupt { cid, source: NodeError::Shape { reason } })
        }
    }
}

/// The shard `cid`.
pub(super) async fn shard(source: &dyn BlockSource, cid: Cid) -> Result<Shard, ObjError> {
    let block = super::block(source, cid).await?;
    as_shard(cid, Node::decode(block.bytes()))
}
