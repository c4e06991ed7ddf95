//! What the network counts about itself, for operators. Every label is one of a fixed few; nothing
//! names a peer, an address or a content.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that many threads move.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn up(&self) {
        self.add(1);
    }

    /// One less, never below zero.
    pub fn down(&self) {
        // The closure never says no.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(1)));
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number itself, for what is measured and not counted.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares an enumeration with a name for each case, to index an array by.
macro_rules! labels {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $case:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind { $($(#[$doc])* $case,)* }

        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$case,)*];

            /// How it is written.
            pub fn name(self) -> &'static str {
                match self { $(Self::$case => $name,)* }
            }
        }
    };
}

labels! {
/// What carries a connection.
Carrier {
    /// QUIC.
    Quic = "quic",
    /// TCP.
    Tcp = "tcp",
    /// A WebSocket.
    Ws = "ws",
    /// A WebSocket in TLS.
    Wss = "wss",
    /// A relay.
    Relayed = "relayed",
}
}

labels! {
/// Why a connection was refused.
Refusal {
    /// The operator's list.
    Denied = "denied",
    /// Too many connections in all, or of one peer, or handshakes in all.
    Total = "total",
    /// Too many connections from one prefix.
    Prefix = "prefix",
    /// Too many unfinished handshakes from one prefix.
    Handshakes = "handshakes",
    /// Too many new connections in a minute from one prefix.
    Rate = "rate",
    /// The process has taken as much memory as it may.
    Memory = "memory",
}
}

/// A number for each carrier and direction.
#[derive(Debug, Default)]
pub struct ByCarrier {
    /// From the other side: connections that it opened, bytes that it sent.
    pub inbound: [Count; Carrier::ALL.len()],
    /// From us.
    pub outbound: [Count; Carrier::ALL.len()],
}

impl ByCarrier {
    /// One of the numbers.
    pub fn of(&self, carrier: Carrier, inbound: bool) -> &Count {
        let side = if inbound { &self.inbound } else { &self.outbound };
        &side[carrier as usize]
    }
}

/// All numbers of one network.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections open now.
    pub open: ByCarrier,
    /// Connections established since the start.
    pub established: ByCarrier,
    /// Bytes moved on streams.
    pub bytes: ByCarrier,
    /// Connections refused, by reason.
    pub refused: [Count; Refusal::ALL.len()],
    /// Prefixes connected now.
    pub prefixes: Count,
    /// Times that a stream waited since its prefix had moved its share of bytes.
    pub slowed: Count,
    /// Circuits that we carry now.
    pub circuits: Count,
    /// Circuits carried since the start.
    pub circuits_accepted: Count,
    /// Circuits refused.
    pub circuits_refused: Count,
    /// Reservations held with us now.
    pub reservations: Count,
    /// Reservations taken or renewed.
    pub reservations_accepted: Count,
    /// Reservations refused.
    pub reservations_refused: Count,
    /// Records that we keep now.
    pub records: Count,
    /// Their bytes.
    pub record_bytes: Count,
    /// Keys with providers that we keep now.
    pub provider_keys: Count,
    /// Records and providers refused since a limit was reached.
    pub records_refused: Count,
    /// Records of others dropped for nearer ones, or for those of smaller prefixes.
    pub records_evicted: Count,
    /// Requests of others answered.
    pub requests: Count,
    /// Requests that had to wait since their peer or prefix asks too fast.
    pub requests_slowed: Count,
    /// Request streams cut since there were too many.
    pub streams_cut: Count,
}

impl Counters {
    /// One connection was refused.
    pub fn refused(&self, why: Refusal) {
        self.refused[why as usize].up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_own_place() {
        let counters = Counters::default();
        for (at, &why) in Refusal::ALL.iter().enumerate() {
            counters.refused(why);
            assert_eq!(counters.refused[at].now(), 1, "{}", why.name());
        }
        for &carrier in Carrier::ALL {
            counters.open.of(carrier, true).up();
        }
        assert!(counters.open.inbound.iter().all(|count| count.now() == 1));
        let count = Count::default();
        count.down();
        assert_eq!(count.now(), 0);
    }
}
