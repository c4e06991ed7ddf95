//! Builds the blocks of a folder from the paths of its files.
//!
//! A folder is one UnixFS directory block with its entries sorted by the bytes of their names; one
//! that would exceed [`limits::BLOCK_BYTES`] becomes shards (see the `hamt` module). Folders inside
//! folders come from the paths. The result depends on the set of files alone, never on the order in
//! which they were added. Never looks at the files' bytes.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use craftec_core::{Cid, Codec, limits};

use super::{
    hamt,
    layout::layout,
    node::{FolderLink, encode_folder},
    own_block,
    path::{self, PathError},
};
use crate::block::Block;

/// Most entries of one folder, the folders below it not counted: what a reader lists in about 40 MB
/// of memory.
pub const FOLDER_ENTRIES: usize = 1 << 18;

/// Why a folder cannot be built from what was added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// The path itself is refused.
    #[error("{path:?} cannot be added: {source}")]
    Path {
        /// The path as given (its first 200 characters).
        path: String,
        /// Why.
        source: PathError,
    },
    /// The path was added before.
    #[error("{path:?} was added twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// One path uses a name as a file that another uses as a folder.
    #[error("{path:?} cannot be both a file and a folder")]
    Clash {
        /// The path up to the disputed name.
        path: String,
    },
    /// Too many entries beside it.
    #[error("{path:?} cannot be added: its folder has {FOLDER_ENTRIES} entries already")]
    Crowded {
        /// The path.
        path: String,
    },
    /// A folder holds files and folders only.
    #[error("{path:?} is {cid}, which is neither a raw block nor a file")]
    Codec {
        /// The path.
        path: String,
        /// What was to be added.
        cid: Cid,
    },
    /// The longest chain of blocks exceeds what a reader follows.
    #[error("the folder would be {levels} blocks deep, more than {}", limits::DAG_DEPTH)]
    TooDeep {
        /// Blocks from the root to the deepest leaf.
        levels: usize,
    },
    /// Two names in a large folder have the same 64-bit hash; one must be renamed.
    #[error("the names {first:?} and {second:?} cannot be in one large folder: rename one of them")]
    Collision {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
}

/// A finished folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltFolder {
    /// Its address.
    pub cid: Cid,
    /// Files in it and below.
    pub files: u64,
    /// Bytes of these files together.
    pub bytes: u64,
    /// Bytes of all blocks together, as a folder's link states them.
    pub tsize: u64,
    /// The blocks of the folder and of all folders in it, children before parents; the root is the
    /// last. The blocks of the files are not among them.
    pub blocks: Vec<Block>,
}

#[derive(Debug)]
enum Entry {
    File {
        cid: Cid,
        size: u64,
        tsize: u64,
    },
    /// An index into `FolderBuilder::folders`, always larger than that of the parent.
    Folder(usize),
}

/// Collects paths and builds the folder that holds them.
#[derive(Debug)]
pub struct FolderBuilder {
    folders: Vec<BTreeMap<String, Entry>>,
    files: u64,
    bytes: u64,
}

impl Default for FolderBuilder {
    fn default() -> Self {
        Self { folders: vec![BTreeMap::new()], files: 0, bytes: 0 }
    }
}

impl FolderBuilder {
    /// An empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Files added so far.
    pub const fn files(&self) -> u64 {
        self.files
    }

    /// Bytes of these files together.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a file of `size` bytes whose blocks have `tsize` bytes together (both as
    /// [`super::Built`] says them).
    pub fn add(&mut self, path: &str, cid: Cid, size: u64, tsize: u64) -> Result<(), FolderError> {
        let names = checked(path)?;
        if cid.codec() == Codec::DagCbor {
            return Err(FolderError::Codec { path: path.to_owned(), cid });
        }
        let Some((name, parents)) = names.split_last() else {
            return Err(refused(path, PathError::Empty));
        };
        let folder = self.descend(path, parents)?;
        self.room(folder, path)?;
        match self.folders[folder].entry((*name).to_owned()) {
            Slot::Vacant(slot) => {
                slot.insert(Entry::File { cid, size, tsize });
            }
            Slot::Occupied(slot) if matches!(slot.get(), Entry::Folder(_)) => {
                return Err(FolderError::Clash { path: path.to_owned() });
            }
            Slot::Occupied(_) => return Err(FolderError::Duplicate { path: path.to_owned() }),
        }
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        Ok(())
    }

    /// Adds a folder that may stay empty; nothing happens if it is there already.
    pub fn add_folder(&mut self, path: &str) -> Result<(), FolderError> {
        let names = checked(path)?;
        self.descend(path, &names).map(|_| ())
    }

    /// The folder at `names`, created where it is missing.
    fn descend(&mut self, path: &str, names: &[&str]) -> Result<usize, FolderError> {
        let mut at = 0;
        for (depth, name) in names.iter().enumerate() {
            at = match self.folders[at].get(*name) {
                Some(Entry::Folder(next)) => *next,
                Some(Entry::File { .. }) => {
                    let disputed = path.split('/').take(depth + 1).collect::<Vec<_>>().join("/");
                    return Err(FolderError::Clash { path: disputed });
                }
                None => {
                    self.room(at, path)?;
                    let next = self.folders.len();
                    self.folders[at].insert((*name).to_owned(), Entry::Folder(next));
                    self.folders.push(BTreeMap::new());
                    next
                }
            };
        }
        Ok(at)
    }

    fn room(&self, folder: usize, path: &str) -> Result<(), FolderError> {
        if self.folders[folder].len() < FOLDER_ENTRIES {
            return Ok(());
        }
        Err(FolderError::Crowded { path: path.to_owned() })
    }

    /// Builds all blocks.
    pub fn finish(self) -> Result<BuiltFolder, FolderError> {
        let mut blocks = Vec::new();
        let (files, bytes) = (self.files, self.bytes);
        // A folder comes after its parent in the list, so from the back every child is done first.
        let mut done: Vec<Option<Done>> = self.folders.iter().map(|_| None).collect();
        for (index, entries) in self.folders.into_iter().enumerate().rev() {
            let mut links = Vec::with_capacity(entries.len());
            let mut below = 0;
            for (name, entry) in entries {
                let (cid, tsize, levels) = match entry {
                    Entry::File { cid, size, tsize } => (cid, tsize, layout(size).levels() + 1),
                    Entry::Folder(child) => match done[child].take() {
                        Some(done) => (done.cid, done.tsize, done.levels),
                        None => unreachable!("a folder has one parent, which comes before it"),
                    },
                };
                below = below.max(levels);
                links.push(FolderLink { name, cid, tsize });
            }
            done[index] = Some(folder(links, below, &mut blocks)?);
        }
        match done.swap_remove(0) {
            Some(root) if root.levels > limits::DAG_DEPTH => {
                Err(FolderError::TooDeep { levels: root.levels })
            }
            Some(Done { cid, tsize, .. }) => Ok(BuiltFolder { cid, files, bytes, tsize, blocks }),
            None => unreachable!("the first folder is the root and has no parent"),
        }
    }
}

struct Done {
    cid: Cid,
    tsize: u64,
    /// Blocks on the longest way from this folder to a leaf.
    levels: usize,
}

fn folder(
    links: Vec<FolderLink>,
    below: usize,
    blocks: &mut Vec<Block>,
) -> Result<Done, FolderError> {
    let bytes = encode_folder(&links);
    if bytes.len() > limits::BLOCK_BYTES {
        let built = hamt::build(links, blocks)
            .map_err(|hamt::Collision(first, second)| FolderError::Collision { first, second })?;
        return Ok(Done { cid: built.root, tsize: built.tsize, levels: built.levels + below });
    }
    let block = own_block(Codec::DagPb, bytes);
    let tsize = links.iter().map(|link| link.tsize).fold(block.len() as u64, u64::saturating_add);
    let cid = *block.cid();
    blocks.push(block);
    Ok(Done { cid, tsize, levels: 1 + below })
}

fn checked(path: &str) -> Result<Vec<&str>, FolderError> {
    path::names(path).map_err(|source| refused(path, source))
}

fn refused(path: &str, source: PathError) -> FolderError {
    FolderError::Path { path: path.chars().take(200).collect(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::{Node, path::NameFault};

    fn file(text: &str) -> (Cid, u64) {
        (Cid::of(Codec::Raw, text.as_bytes()), text.len() as u64)
    }

    fn add(builder: &mut FolderBuilder, path: &str) -> Result<(), FolderError> {
        let (cid, size) = file(path);
        builder.add(path, cid, size, size)
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let paths = ["index.html", "a/b/c.txt", "a/b.txt", "z/日本.png", "B", "a/b/a.txt"];
        let mut forward = FolderBuilder::new();
        let mut backward = FolderBuilder::new();
        for path in paths {
            add(&mut forward, path).unwrap();
        }
        for path in paths.iter().rev() {
            add(&mut backward, path).unwrap();
        }
        let (forward, backward) = (forward.finish().unwrap(), backward.finish().unwrap());
        assert_eq!(forward.cid, backward.cid);
        assert_eq!((forward.files, forward.blocks.len()), (6, 4));
        assert_eq!(forward.bytes, paths.iter().map(|path| path.len() as u64).sum::<u64>());
        let nodes: u64 = forward.blocks.iter().map(|block| block.len() as u64).sum();
        assert_eq!(forward.tsize, forward.bytes + nodes);
        let Ok(Node::Folder(root)) = Node::decode(forward.blocks[3].bytes()) else {
            panic!("the root is a folder");
        };
        let names: Vec<_> = root.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["B", "a", "index.html", "z"]);
    }

    #[test]
    fn clashes_duplicates_and_bad_paths_are_refused() {
        let mut builder = FolderBuilder::new();
        add(&mut builder, "a/b").unwrap();
        let dup = FolderError::Duplicate { path: "a/b".to_owned() };
        assert_eq!(add(&mut builder, "a/b"), Err(dup));
        let clash = FolderError::Clash { path: "a/b".to_owned() };
        assert_eq!(add(&mut builder, "a/b/c/d"), Err(clash.clone()));
        assert_eq!(builder.add_folder("a/b"), Err(clash));
        assert_eq!(add(&mut builder, "a"), Err(FolderError::Clash { path: "a".to_owned() }));
        for path in ["", "/a", "a//b", "../a", "a/./b", "a\0"] {
            let error = add(&mut builder, path);
            assert!(matches!(error, Err(FolderError::Path { .. })), "{path:?}");
        }
        let dots = add(&mut builder, "x/../../etc").unwrap_err();
        let FolderError::Path { source: PathError::Name { fault, .. }, .. } = dots else {
            panic!("{dots}");
        };
        assert_eq!(fault, NameFault::Dots);
        let cbor = Cid::of(Codec::DagCbor, b"");
        assert!(matches!(builder.add("c", cbor, 0, 0), Err(FolderError::Codec { .. })));
        assert_eq!(builder.files(), 1, "a refused path changes nothing");
    }

    #[test]
    fn empty_folders_are_kept_and_deep_ones_are_bounded() {
        assert_eq!(
            FolderBuilder::new().finish().unwrap().blocks[0].bytes().as_ref(),
            [0x0a, 2, 8, 1]
        );
        let mut builder = FolderBuilder::new();
        builder.add_folder("empty").unwrap();
        builder.add_folder("empty").unwrap();
        let built = builder.finish().unwrap();
        assert_eq!((built.files, built.blocks.len()), (0, 2));
        let mut builder = FolderBuilder::new();
        let deep = ["d"; path::PATH_NAMES].join("/");
        add(&mut builder, &deep).unwrap();
        assert_eq!(builder.finish().unwrap().blocks.len(), path::PATH_NAMES);
    }

    #[test]
    fn a_folder_above_a_mebibyte_becomes_shards() {
        let mut builder = FolderBuilder::new();
        for index in 0..25_000 {
            add(&mut builder, &format!("file-{index:05}.txt")).unwrap();
        }
        let built = builder.finish().unwrap();
        let root = built.blocks.last().unwrap();
        assert_eq!(*root.cid(), built.cid);
        assert!(matches!(Node::decode(root.bytes()), Ok(Node::Shard(_))));
        assert!(built.blocks.iter().all(|block| block.len() < 1 << 20));
        let nodes: u64 = built.blocks.iter().map(|block| block.len() as u64).sum();
        assert_eq!(built.tsize, built.bytes + nodes);
    }
}
