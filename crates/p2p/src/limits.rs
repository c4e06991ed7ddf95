//! What strangers may take of this node: every limit with its default and its reason, settable by
//! name from an operator's configuration.
//!
//! Only values; what enforces each is named in its comment. "Prefix" is a
//! [`Prefix`](crate::Prefix): an IPv4 /24 or IPv6 /48.

use crate::rate::Rate;

/// Why a limit cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is none of that name.
    #[error("there is no limit named `{0}`")]
    Unknown(String),
    /// The value would stop the node from working.
    #[error("`{name}` must be at least {least}")]
    TooSmall {
        /// Which limit.
        name: &'static str,
        /// The smallest value.
        least: u64,
    },
}

/// Declares a set of limits: name, default, smallest value; the comment is the reason.
#[macro_export]
macro_rules! limits {
    ($(#[$about:meta])* $set:ident {
        $($(#[$why:meta])* $name:ident: $default:expr, $least:expr;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $set { $($(#[$why])* pub $name: u64,)* }

        impl Default for $set {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl $set {
            /// Sets one by its name.
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), $crate::LimitError> {
                match name {
                    $(stringify!($name) => {
                        let (name, least): (_, u64) = (stringify!($name), $least);
                        if value < least {
                            return Err($crate::LimitError::TooSmall { name, least });
                        }
                        self.$name = value;
                        Ok(())
                    })*
                    other => Err($crate::LimitError::Unknown(other.to_owned())),
                }
            }

            /// All of them by name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

limits! {
/// Limits of the network.
Limits {
    /// 1 counts this machine itself (127.0.0.0/8, ::1) by prefix too. Off, since a proxy in front
    /// and local tools and tests all come from there; the totals below hold for it in any case.
    limit_loopback: 0, 0;
    /// Connections in all: what 2 GiB of memory holds with buffers of some 100 KiB each.
    connections: 4096, 1;
    /// Connections of one peer: two dials that crossed, a relayed one each, and as many closing.
    connections_per_peer: 8, 1;
    /// Connections from one prefix: a school or a carrier's translated street. When few places
    /// are left a prefix gets a quarter of them at most, so that newcomers always find one.
    connections_per_prefix: 256, 1;
    /// Connections that have not yet proved who they are.
    handshakes: 512, 1;
    /// The same from one prefix, or a quarter of what is left: each costs two key exchanges of CPU.
    handshakes_per_prefix: 64, 1;
    /// New connections from one prefix in a minute: a lecture hall that opens the app at once.
    connects_per_prefix_and_minute: 1200, 1;
    /// Bytes of memory of this process above which newcomers are refused; 0 takes three quarters
    /// of what the machine or its control group has.
    memory_bytes: 0, 0;
    /// Bytes a second that one prefix may move, both ways together, without limit for 0: half a
    /// gigabit. Whoever wants more is slowed down by back-pressure, nothing is cut.
    bytes_per_prefix_and_second: 64 << 20, 0;
    /// Nodes that may hold a reservation with us.
    reservations: 4096, 1;
    /// The same from one prefix.
    reservations_per_prefix: 512, 1;
    /// Circuits that we carry at one time: each holds two buffers of 8 KiB and a window.
    circuits: 1024, 1;
    /// Circuits from one peer.
    circuits_per_peer: 64, 1;
    /// Circuits from one prefix.
    circuits_per_prefix: 256, 1;
    /// Bytes that one circuit may carry: a large site, for peers that find no direct way.
    circuit_bytes: 4 << 30, 1;
    /// Seconds that a circuit may last.
    circuit_seconds: 2 * 60 * 60, 1;
    /// Reservations and circuits that one peer may ask for in a minute.
    relay_asks_per_peer_and_minute: 240, 1;
    /// The same from one prefix: many tabs behind one router.
    relay_asks_per_prefix_and_minute: 6000, 1;
    /// DHT records of others that we keep.
    records: 16 << 10, 1;
    /// Bytes of all records.
    record_bytes: 64 << 20, 1;
    /// Records from one peer: a holder that republishes the names of thousands of authors.
    records_per_peer: 4 << 10, 1;
    /// Records from one prefix: half of all, so that no street owns the table.
    records_per_prefix: 8 << 10, 1;
    /// Bytes of records from one prefix: half of all.
    record_bytes_per_prefix: 32 << 20, 1;
    /// Records that one peer may offer in a second, twenty times that at once: each costs a
    /// signature check. A holder announces all of its names every 20 minutes.
    records_per_peer_and_second: 200, 1;
    /// The same from one prefix.
    records_per_prefix_and_second: 1000, 1;
    /// Keys in the DHT with providers.
    provider_keys: 64 << 10, 1;
    /// Providers of one key; a reader asks for 20.
    providers_per_key: 32, 1;
    /// Keys of one provider.
    provider_keys_per_peer: 16 << 10, 1;
    /// Keys of the providers of one prefix.
    provider_keys_per_prefix: 32 << 10, 1;
    /// Requests that are worked on at one time: each may hold an answer of one frame.
    requests: 256, 1;
    /// The same of one peer; more wait unread.
    requests_per_peer: 32, 1;
    /// The same of one prefix: half of all.
    requests_per_prefix: 128, 1;
    /// Requests of one peer in a second, four times that at once; more wait. A tab that opens a
    /// site asks some hundred times, each for many blocks.
    requests_per_peer_and_second: 2000, 1;
    /// The same of one prefix.
    requests_per_prefix_and_second: 8000, 1;
}
}

/// Keys that a rate limiter tells apart: as many as there can be connections.
pub(crate) const RATED: usize = 4096;

impl Limits {
    /// Whether a prefix is counted at all.
    pub fn counts(&self, prefix: crate::Prefix) -> bool {
        self.limit_loopback != 0 || !prefix.is_loopback()
    }

    #[cfg(feature = "libp2p")]
    pub(crate) fn record_rates(&self) -> (Rate, Rate) {
        let rate = |count: u64| Rate::per_second(count, count.saturating_mul(20));
        (rate(self.records_per_peer_and_second), rate(self.records_per_prefix_and_second))
    }

    pub(crate) fn request_rates(&self) -> (Rate, Rate) {
        let rate = |count: u64| Rate::per_second(count, count.saturating_mul(4));
        (rate(self.requests_per_peer_and_second), rate(self.requests_per_prefix_and_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_by_name_and_nonsense_is_named() {
        let mut limits = Limits::default();
        limits.set("connections", 10).unwrap();
        assert_eq!(limits.connections, 10);
        assert_eq!(limits.all().len(), 34);
        assert!(limits.all().contains(&("connections", 10)));
        let unknown = limits.set("conections", 1).unwrap_err().to_string();
        assert!(unknown.contains("`conections`"), "{unknown}");
        let small = limits.set("records", 0).unwrap_err().to_string();
        assert_eq!(small, "`records` must be at least 1");
        assert!(!limits.counts(crate::Prefix::V4([127, 0, 0])));
        limits.set("limit_loopback", 1).unwrap();
        assert!(limits.counts(crate::Prefix::V4([127, 0, 0])));
    }
}
