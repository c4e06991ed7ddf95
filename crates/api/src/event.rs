//! What a node tells without being asked.

use craftec_core::{Cid, PeerId};
use serde::{Deserialize, Serialize};

use crate::reply::Peer;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Who is connected now. Sent when it changes, at most four times a second.
    Peers {
        /// Everyone.
        peers: Vec<Peer>,
    },
    /// Bytes moved for one root. At most ten times a second each, and at its end.
    Transfer(Transfer),
    /// A root's copies changed.
    Health {
        /// The root.
        cid: Cid,
        /// Its copies.
        health: ObjectHealth,
        /// Each holder.
        holders: Vec<HolderState>,
    },
    /// The client was too slow and `lost` events were dropped; ask `status` for the present.
    Lagged {
        /// How many.
        lost: u64,
    },
}

/// Progress of one transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The root.
    pub cid: Cid,
    /// Which way.
    pub kind: TransferKind,
    /// The other side.
    pub peer: PeerId,
    /// Bytes moved so far.
    pub bytes: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// It ended (well, if `bytes` reached `total`).
    pub done: bool,
}

/// Direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// We fetch.
    Receive,
    /// A holder takes a copy from us.
    Replicate,
}

/// Copies of a root on other nodes, or shards of a coded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHealth {
    /// Copies or shards wanted.
    pub wanted: u16,
    /// Of these, that a holder signed for.
    pub signed: u16,
    /// Of these, with a holder that is connected now.
    pub reachable: u16,
    /// So many give the object back: 1 copy, or some of the shards.
    pub needed: u16,
}

/// One holder of a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderState {
    /// Who.
    pub peer: PeerId,
    /// It signed that it keeps a whole copy.
    pub signed: bool,
    /// Connected now.
    pub connected: bool,
    /// Bytes it took so far.
    pub bytes: u64,
    /// Why it refused or failed last time.
    pub error: Option<String>,
}
