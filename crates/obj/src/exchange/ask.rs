//! What a session's plan asks of one peer, and how that may end. Values only.

use std::time::Duration;

use craftec_core::{Cid, PeerId};

/// Names one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AskId(pub(super) u64);

/// One request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) id: AskId,
    pub(super) peer: PeerId,
    pub(super) kind: AskKind,
}

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AskKind {
    /// Blocks, up to a budget of bytes.
    Want { cids: Vec<Cid>, budget: u64 },
    /// Which of these it has.
    Have { cids: Vec<Cid> },
}

/// How a request ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may work later.
    Retry,
    /// It asked us to wait.
    Busy(Duration),
    /// It never will in this session.
    Never,
}
