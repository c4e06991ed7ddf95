//! Where published pages are: a local log or a map in memory; the node has one over the network.
//!
//! A store is asked for blocks in batches and under the root that they belong to, which tells it
//! whom to ask. It need not be trusted: whoever reads checks every block against its CID.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use bytes::Bytes;
use craftec_core::Cid;
use futures::future::LocalBoxFuture;

use crate::{log::LogError, vfs::LocalPages};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum PageStoreError {
    /// Somebody else moved the root meanwhile.
    #[error("the root is {}, not the one that was to be replaced", shown(.found))]
    Conflict {
        /// What it is now.
        found: Option<Cid>,
    },
    /// The store only gives.
    #[error("this store can't be written")]
    ReadOnly,
    /// It can't be reached, or says that it can't.
    #[error("the store failed: {reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
    /// The log behind it.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn shown(root: &Option<Cid>) -> String {
    root.map_or_else(|| "none".to_owned(), |root| root.to_string())
}

impl PageStoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { .. } => true,
            Self::Log(error) => error.is_retryable(),
            Self::Conflict { .. } | Self::ReadOnly => false,
        }
    }
}

/// Result of a store.
pub type Stored<T> = Result<T, PageStoreError>;

/// Blocks of databases by their CIDs, and the roots of databases by their names.
pub trait PageStore {
    /// The blocks `wanted` of the snapshot `root`, one for each and in this order; none for what the
    /// store has not. The caller checks them.
    fn get<'a>(
        &'a self,
        root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>>;

    /// A block that can be had without waiting. What was read once and has no room in memory any more is
    /// read so again; without that a statement reads no more than fits the reader's cache. The store has
    /// checked it.
    fn at_hand(&self, _cid: &Cid) -> Option<Bytes> {
        None
    }

    /// Stores blocks, durably once this returns. A store that only gives says so.
    fn put<'a>(&'a self, _blocks: &'a [(Cid, Bytes)]) -> LocalBoxFuture<'a, Stored<()>> {
        Box::pin(async { Err(PageStoreError::ReadOnly) })
    }

    /// Makes `new` the root of `name` if `old` still is: compare and swap. A store that only gives says
    /// so.
    fn update_root<'a>(
        &'a self,
        _name: &'a str,
        _old: Option<Cid>,
        _new: Cid,
    ) -> LocalBoxFuture<'a, Stored<()>> {
        Box::pin(async { Err(PageStoreError::ReadOnly) })
    }
}

/// Blocks in memory. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    blocks: Rc<RefCell<HashMap<Cid, Bytes>>>,
    roots: Rc<RefCell<HashMap<String, Cid>>>,
}

impl MemoryStore {
    /// The root of `name`.
    pub fn root(&self, name: &str) -> Option<Cid> {
        self.roots.borrow().get(name).copied()
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.blocks.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PageStore for MemoryStore {
    fn get<'a>(
        &'a self,
        _root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        let blocks = self.blocks.borrow();
        let found = wanted.iter().map(|cid| blocks.get(cid).cloned()).collect();
        Box::pin(async move { Ok(found) })
    }

    fn put<'a>(&'a self, blocks: &'a [(Cid, Bytes)]) -> LocalBoxFuture<'a, Stored<()>> {
        self.blocks.borrow_mut().extend(blocks.iter().cloned());
        Box::pin(async { Ok(()) })
    }

    fn update_root<'a>(
        &'a self,
        name: &'a str,
        old: Option<Cid>,
        new: Cid,
    ) -> LocalBoxFuture<'a, Stored<()>> {
        let mut roots = self.roots.borrow_mut();
        let found = roots.get(name).copied();
        let result = if found == old {
            roots.insert(name.to_owned(), new);
            Ok(())
        } else {
            Err(PageStoreError::Conflict { found })
        };
        Box::pin(async move { result })
    }
}

/// The snapshots that a database of this node keeps. Its roots move by commits only.
#[derive(Clone)]
pub struct LocalStore(pub(crate) Rc<RefCell<LocalPages>>);

impl PageStore for LocalStore {
    fn get<'a>(
        &'a self,
        _root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        let mut pages = self.0.borrow_mut();
        let found: Result<Vec<_>, _> = wanted.iter().map(|cid| pages.log.block(cid)).collect();
        Box::pin(async move { Ok(found?) })
    }

    fn at_hand(&self, cid: &Cid) -> Option<Bytes> {
        self.0.try_borrow_mut().ok()?.log.block(cid).ok()?
    }
}
