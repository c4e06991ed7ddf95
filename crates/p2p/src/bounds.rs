//! What requests and subscriptions may take, in number and in time.

use std::time::Duration;

use crate::{Limits, rate::Rate};

/// Limits of an [`Rpc`](crate::Rpc). The defaults are production's; tests shorten the times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Requests that we have open to one peer; more wait. Enough to fill a long fat link with
    /// 64 KiB answers, and below what the peer serves at one time.
    pub(crate) asked_per_peer: usize,
    /// Idle streams kept for one peer and protocol.
    pub(crate) pooled: usize,
    /// How long an idle stream is kept; shorter than `idle`, so that we close first.
    pub(crate) pooled_for: Duration,
    /// Request streams that one peer may have open to us, idle ones of all protocols included.
    pub(crate) streams_per_peer: usize,
    /// The same over all peers: each costs a buffer of some KiB.
    pub(crate) streams: usize,
    /// Requests of one peer that are worked on at one time; more wait unread.
    pub(crate) requests_per_peer: usize,
    /// The same of one prefix of addresses.
    pub(crate) requests_per_prefix: usize,
    /// The same over all peers: each may hold an answer of one frame.
    pub(crate) requests: usize,
    /// How fast one peer's requests are begun; more wait.
    pub(crate) rate_per_peer: Rate,
    /// The same of one prefix.
    pub(crate) rate_per_prefix: Rate,
    /// Requests longer than [`SMALL_REQUEST_BYTES`] that one peer may be sending.
    pub(crate) large_per_peer: usize,
    /// The same over all peers: each may hold one frame.
    pub(crate) large: usize,
    /// Subscriptions that one peer may hold.
    pub(crate) subscriptions_per_peer: usize,
    /// The same over all peers.
    pub(crate) subscriptions: usize,
    /// How long a stream may stay open between two requests.
    pub(crate) idle: Duration,
    /// How long each piece of a frame may take, either way: peers that stand still are cut.
    pub(crate) frame: Duration,
    /// How long a request may be worked on.
    pub(crate) work: Duration,
}

/// Requests up to this size are read without a place among the large ones.
pub(crate) const SMALL_REQUEST_BYTES: usize = 16 << 10;

impl Default for Bounds {
    fn default() -> Self {
        Self::within(&Limits::default())
    }
}

impl Bounds {
    /// The defaults, where an operator's limits say nothing else.
    pub(crate) fn within(limits: &Limits) -> Self {
        let most = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let (rate_per_peer, rate_per_prefix) = limits.request_rates();
        Self {
            asked_per_peer: 32,
            pooled: 8,
            pooled_for: Duration::from_secs(30),
            streams_per_peer: 128,
            streams: 2048,
            requests_per_peer: most(limits.requests_per_peer),
            requests_per_prefix: most(limits.requests_per_prefix),
            requests: most(limits.requests),
            rate_per_peer,
            rate_per_prefix,
            large_per_peer: 8,
            large: 64,
            subscriptions_per_peer: 16,
            subscriptions: 512,
            idle: Duration::from_secs(60),
            frame: Duration::from_secs(60),
            work: Duration::from_secs(120),
        }
    }
}
