//! Why a node does not start.

use craftec_core::{head::HeadError, identity::IdentityError};
use craftec_obj::StoreError;

/// A node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its identity log is damaged.
    #[error("this node's identity is damaged: {0}")]
    Identity(#[from] IdentityError),
    /// One of its own heads is damaged.
    #[error("a site name of this node is damaged: {0}")]
    Head(#[from] HeadError),
    /// The network runs under another transport key than the node's.
    #[error("the network runs as {network}, the node's key is {keys}")]
    Peer {
        /// What the network says.
        network: craftec_core::PeerId,
        /// What the keys say.
        keys: craftec_core::PeerId,
    },
}

impl NodeError {
    /// Whether starting again may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Identity(_) | Self::Head(_) | Self::Peer { .. } => false,
        }
    }
}
