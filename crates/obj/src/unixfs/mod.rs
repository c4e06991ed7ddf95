//! UnixFS v1 over dag-pb: files and folders as blocks that any IPFS tool reads.
//!
//! Everything here is a plain function of its arguments: no I/O, no clock, no randomness, and equal
//! content gives equal CIDs whatever the sizes of the pieces in which it arrives. Bytes from others
//! are decoded strictly and within [`craftec_core::limits`]; decoding never panics and never
//! recurses.

mod data;
mod file;
mod folder;
mod hamt;
mod layout;
mod node;
pub mod path;
mod pb;
pub(crate) mod wire;

pub use file::{Built, FileBuilder};
pub use folder::{BuiltFolder, FOLDER_ENTRIES, FolderBuilder, FolderError};
pub use hamt::{NameHash, Place, Shard, ShardLink, Target};
pub use layout::{
    CERTAIN_BYTES, FAN_OUT, GENERATION_PIECES, Layout, MAX_PIECE_BYTES, MIN_PIECE_BYTES, layout,
};
pub use node::{File, FileLink, FolderLink, Node};
pub use path::PathError;
pub use pb::{PbLink, PbNode};

use craftec_core::{CidError, Codec};

use crate::block::Block;

/// Why bytes are not a UnixFS node that we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// More than one block may have.
    #[error("a node of {bytes} bytes is longer than the {limit} allowed")]
    TooLong {
        /// The length found.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not the wire format, or not in its canonical order.
    #[error("malformed dag-pb: {reason}")]
    Protobuf {
        /// What the decoder found.
        reason: &'static str,
    },
    /// A link to something that is not stored here (another hash function, another codec).
    #[error("link {index} cannot be followed: {source}")]
    Link {
        /// Which link.
        index: usize,
        /// Why not.
        source: CidError,
    },
    /// A folder entry with a name that a folder must not hold.
    #[error("link {index}: {source}")]
    Name {
        /// Which link.
        index: usize,
        /// Why not.
        source: PathError,
    },
    /// A kind of node that is not supported (3 metadata, 4 symbolic link).
    #[error("UnixFS type {kind} is not supported, only files and folders")]
    Kind {
        /// The type's number.
        kind: u64,
    },
    /// The parts of the node contradict each other.
    #[error("inconsistent UnixFS node: {reason}")]
    Shape {
        /// What does not fit.
        reason: &'static str,
    },
}

/// A block of bytes that this module laid out itself, and so within the limit.
fn own_block(codec: Codec, bytes: Vec<u8>) -> Block {
    match Block::of(codec, bytes) {
        Ok(block) => block,
        Err(error) => unreachable!("a node was laid out too large: {error}"),
    }
}
