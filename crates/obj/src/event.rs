//! What the object store tells about its work. News only: nothing here decides or is stored.

use craftec_core::{Cid, PeerId};

/// Something happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjEvent {
    /// Bytes moved between us and a peer for one root.
    Moved(Moved),
    /// A peer sent bytes that are not the block it named; it is not asked again for a while.
    Lied {
        /// Below which root the block was wanted.
        root: Cid,
        /// Who.
        peer: PeerId,
        /// The block that was asked for.
        cid: Cid,
    },
    /// The copies of roots that we own changed, or a holder came, went or refused.
    Copies {
        /// The roots: several where they are kept together.
        roots: Vec<Cid>,
    },
}

/// Progress of one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The root.
    pub root: Cid,
    /// Which way.
    pub way: Way,
    /// The other side.
    pub peer: PeerId,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// It ended.
    pub done: bool,
}

/// Direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// We fetch.
    Receive,
    /// A holder takes a copy from us.
    Replicate,
}
