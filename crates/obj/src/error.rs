//! What can go wrong with an object, by cause.

use craftec_core::{Cid, CidError};
use craftec_p2p::NetError;

use crate::{
    block::BlockError,
    coded::CodedError,
    store::StoreError,
    unixfs::{FolderError, NodeError, PathError},
};

/// An operation on an object failed.
#[derive(Debug, thiserror::Error)]
pub enum ObjError {
    /// A CID that is not one of ours.
    #[error(transparent)]
    Cid(#[from] CidError),
    /// A path or a name that no folder holds.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Files that do not make a folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Another argument is wrong.
    #[error("{what}: {reason}")]
    Input {
        /// Which argument.
        what: &'static str,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// The folder was read and has no such entry.
    #[error("there is no {path:?} in {root}")]
    NotFound {
        /// The root that was asked.
        root: Cid,
        /// The path up to the name that is missing.
        path: String,
    },
    /// A structure of another kind (dag-cbor) where a file or a folder is needed.
    #[error("{cid} is neither a file nor a folder")]
    NotUnixFs {
        /// What was found.
        cid: Cid,
    },
    /// A folder where a file is needed.
    #[error("{cid} is not a file")]
    NotAFile {
        /// What was found.
        cid: Cid,
    },
    /// A file where a folder is needed.
    #[error("{cid} is not a folder")]
    NotAFolder {
        /// What was found.
        cid: Cid,
    },
    /// What can't be coded, or a code that is not its file's.
    #[error(transparent)]
    Coded(#[from] CodedError),
    /// Nobody who could be asked gave this block.
    #[error("no holder gave the block {cid}")]
    Missing {
        /// The block.
        cid: Cid,
    },
    /// Nobody gave this block in time.
    #[error("no holder gave the block {cid} in time; {asked} peers were asked")]
    Unavailable {
        /// The block.
        cid: Cid,
        /// Peers that were asked for it.
        asked: usize,
    },
    /// The block has the bytes that its CID names, but they make no sense there: whoever wrote
    /// the object wrote it wrong, and fetching it again does not help.
    #[error("the object's author wrote {cid} wrong: {source}")]
    Corrupt {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        source: NodeError,
    },
    /// Bytes that are not the block they were offered as.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The object exceeds what the caller, or this node, allows.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What grew too large.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// There is no room for more.
    #[error("{what} is full")]
    Full {
        /// What is full.
        what: &'static str,
    },
    /// The other side, or a rule of this node, said no.
    #[error("refused: {reason}")]
    Refused {
        /// Why, in the words of whoever refused.
        reason: String,
    },
}

impl ObjError {
    /// Whether the same call may succeed later or with other holders.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Unavailable { .. }
            | Self::Block(_)
            | Self::Full { .. } => true,
            Self::Coded(error) => matches!(error, CodedError::TooFew { .. }),
            Self::Store(error) => error.is_retryable(),
            Self::Net(error) => error.is_retryable(),
            Self::Cid(_)
            | Self::Path(_)
            | Self::Folder(_)
            | Self::Input { .. }
            | Self::NotFound { .. }
            | Self::NotUnixFs { .. }
            | Self::NotAFile { .. }
            | Self::NotAFolder { .. }
            | Self::Corrupt { .. }
            | Self::Limit { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// What a decoder found wrong with the block `cid`.
    pub(crate) fn corrupt(cid: &Cid) -> impl FnOnce(NodeError) -> Self + use<> {
        let cid = *cid;
        move |source| Self::Corrupt { cid, source }
    }
}
