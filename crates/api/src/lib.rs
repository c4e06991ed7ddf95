//! The language that the page, the SDK, the command line and HTTP speak to a node: commands,
//! replies, events and errors, and nothing that acts on them.
//!
//! Frames are canonical DAG-CBOR ([`craftec_core::cbor`]): a client sends [`ToNode`], a node answers
//! [`FromNode`]. In a tab a frame is one `postMessage`, over a WebSocket one binary message, over a
//! local socket it is preceded by its length (4 bytes, big endian). A frame is at most
//! `limits::API_FRAME_BYTES`. Enums are externally tagged in snake case: `{"get_read": {…}}`, and a
//! variant without fields is its bare name.
//!
//! Large content moves in chunks through **handles**, which the client pulls (`get_read`) or pushes
//! one at a time (`put_chunk`), so that neither side buffers more than a chunk. Handles belong to one
//! session and end with it.

mod command;
mod error;
mod event;
mod reply;
mod sql;

pub use command::{Command, Limit, Range, Secret};
pub use error::{ApiError, ErrorCode};
pub use event::{Event, HolderState, ObjectHealth, Transfer, TransferKind};
pub use reply::{
    Entry, EntryKind, Link, Mended, ObjectRow, Opened, Outlook, Peer, Reach, Reachability, Reply,
    Restored, Role, Serving, SiteRow, Stat, Status, Storage,
};
pub use sql::{
    BranchRow, ConflictKind, DatabaseRow, MergeStrategy, OpenedDatabase, Retention, Snapshot,
    SnapshotRow, SqlConflict, SqlMerged, SqlRows, SqlState, SqlStatement, SqlTurn, SqlValue,
};

use serde::{Deserialize, Serialize};

/// Versions of this language that this build speaks, newest first.
pub const VERSIONS: &[u32] = &[1];

/// Name of the local socket in the data folder of a node that runs.
pub const LOCAL_SOCKET: &str = "craftec.sock";
/// Most pages that one frame carries: what fits it, with some room.
pub const FRAME_PAGES: usize = 255;

/// A frame from a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToNode {
    /// Chosen by the client, echoed in the answer; unique among its open requests.
    pub id: u64,
    /// What to do.
    pub command: Command,
}

/// A frame from a node.
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way to a client")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromNode {
    /// The answer to the request `id`.
    Ok {
        /// The request's id.
        id: u64,
        /// The answer.
        reply: Reply,
    },
    /// The request `id` failed.
    Err {
        /// The request's id.
        id: u64,
        /// Why.
        error: ApiError,
    },
    /// Something happened (only after `subscribe`).
    Event {
        /// What.
        event: Event,
    },
}
