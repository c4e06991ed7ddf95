//! What HTTP, STUN and the files count. Every label is one of a fixed few.

use craftec_p2p::counters::Count;

/// Why an HTTP connection or request was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpRefusal {
    /// Its address is on the operator's list.
    Denied,
    /// Too many connections of its prefix, all of them busy.
    Prefix,
    /// Too many connections in all, all of them busy.
    Total,
    /// It was idle the longest when others needed its place.
    Shed,
    /// Its head was too long.
    Head,
    /// It was too slow with a head or a handshake.
    Slow,
    /// Too many requests under way.
    Busy,
    /// The content is on the operator's list.
    Content,
}

impl HttpRefusal {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Denied,
        Self::Prefix,
        Self::Total,
        Self::Shed,
        Self::Head,
        Self::Slow,
        Self::Busy,
        Self::Content,
    ];

    /// How it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Prefix => "prefix",
            Self::Total => "total",
            Self::Shed => "shed",
            Self::Head => "head",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Content => "content",
        }
    }
}

/// All numbers.
#[derive(Debug, Default)]
pub(crate) struct EdgeCounters {
    /// HTTP connections open now.
    pub(crate) connections: Count,
    /// HTTP requests under way.
    pub(crate) requests: Count,
    refused: [Count; HttpRefusal::ALL.len()],
    /// Binding requests answered.
    pub(crate) stun_answers: Count,
    /// Packets dropped since their prefix asks too fast.
    pub(crate) stun_dropped: Count,
    /// Packets that were no binding request.
    pub(crate) stun_invalid: Count,
    /// Certificates read again.
    pub(crate) tls_reloads: Count,
    /// Denylists read again.
    pub(crate) denylist_reloads: Count,
    /// Files that changed and could not be used.
    pub(crate) reload_failures: Count,
}

impl EdgeCounters {
    /// One was refused.
    pub(crate) fn refused(&self, why: HttpRefusal) {
        self.refused[why as usize].up();
    }

    /// How many were.
    pub(crate) fn refusals(&self, why: HttpRefusal) -> u64 {
        self.refused[why as usize].now()
    }
}
