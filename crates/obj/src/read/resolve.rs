//! From a root and a path to what is there, reading only the folder blocks on the way.

use std::rc::Rc;

use craftec_core::{Cid, limits};

use super::{BlockSource, Kind, node};
use crate::{
    error::ObjError,
    unixfs::{NameHash, Node, Shard, Target, path},
};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its address.
    pub cid: Cid,
    /// File or folder.
    pub kind: Kind,
    /// Bytes of the file; of a folder, the bytes of all blocks below it, as its links claim.
    pub size: u64,
}

/// Follows `path` from `root`; the empty path is the root itself.
///
/// Reads one block for each folder on the way (of a sharded folder the shards that lead to the
/// name, at most [`limits::DAG_DEPTH`]) and the first block of what is found.
pub async fn resolve(
    source: Rc<dyn BlockSource>,
    root: Cid,
    path: &str,
) -> Result<Resolved, ObjError> {
    let names = path::names(path)?;
    let mut at = root;
    for (depth, name) in names.iter().enumerate() {
        let found = match node(&*source, at).await?.1 {
            None | Some(Node::File(_)) => None,
            Some(Node::Folder(entries)) => entries
                .binary_search_by(|entry| entry.name.as_str().cmp(name))
                .ok()
                .map(|index| entries[index].cid),
            Some(Node::Shard(shard)) => in_shards(&*source, shard, name).await?,
        };
        at = found.ok_or_else(|| ObjError::NotFound { root, path: names[..=depth].join("/") })?;
    }
    let (block, node) = node(&*source, at).await?;
    let (kind, size) = match node {
        None => (Kind::File, block.len() as u64),
        Some(Node::File(file)) => (Kind::File, file.size),
        Some(Node::Folder(entries)) => {
            (Kind::Folder, total(entries.iter().map(|entry| entry.tsize)))
        }
        Some(Node::Shard(shard)) => {
            (Kind::Folder, total(shard.links().iter().map(|link| link.tsize)))
        }
    };
    Ok(Resolved { cid: at, kind, size })
}

fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

/// The entry `name` of a sharded folder. Each shard uses up some of the hash, so this ends.
async fn in_shards(
    source: &dyn BlockSource,
    mut shard: Shard,
    name: &str,
) -> Result<Option<Cid>, ObjError> {
    let hash = NameHash::of(name);
    let mut used = 0;
    for _ in 0..limits::DAG_DEPTH {
        let Some((link, spent)) = shard.find(hash, used) else { return Ok(None) };
        let cid = match &link.target {
            Target::Entry(entry) => return Ok((entry.name == name).then_some(entry.cid)),
            Target::Shard(cid) => *cid,
        };
        used = spent;
        shard = super::folder::shard(source, cid).await?;
    }
    Ok(None)
}
