//! Who counts as one neighbour on the network: an IPv4 /24 or an IPv6 /48.
//!
//! Identities cost nothing, addresses do. A /24 is the smallest block that is routed, a /48 what one
//! site is usually given; a finer cut would let one subscriber be thousands of neighbours, a coarser
//! one would make strangers share a limit. Plain values; it counts nothing itself.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A block of addresses that limits are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prefix {
    /// An IPv4 /24.
    V4([u8; 3]),
    /// An IPv6 /48.
    V6([u8; 6]),
}

impl Prefix {
    /// The block of an address; an IPv4 address written as IPv6 counts as IPv4.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }

    /// The block of the far end of a connection, from its multiaddr as text: none through a
    /// relay, whose address says nothing about who is behind it.
    pub fn of_addr(addr: &str) -> Option<Self> {
        let mut parts = addr.split('/').skip(1);
        let (kind, value) = (parts.next()?, parts.next()?);
        let ip: IpAddr = match kind {
            "ip4" | "ip6" => value.parse().ok()?,
            _ => return None,
        };
        let relayed = parts.any(|part| part == "p2p-circuit");
        (!relayed).then(|| Self::of(ip))
    }

    /// Whether this is the machine itself.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::V4([first, ..]) => *first == 127,
            // `::1`, and nothing else that is ever connected from `::/48`.
            Self::V6(block) => *block == [0; 6],
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{}/24", Ipv4Addr::new(*a, *b, *c, 0)),
            Self::V6(block) => {
                let mut octets = [0; 16];
                octets[..6].copy_from_slice(block);
                write!(f, "{}/48", Ipv6Addr::from(octets))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_prefix() {
        let of = |text: &str| Prefix::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::"));
        assert_ne!(of("2001:db8:1::"), of("2001:db8:2::"));
        assert!(of("127.9.9.9").is_loopback() && of("::1").is_loopback());
        assert!(!of("10.0.0.1").is_loopback());
        assert_eq!(of("192.0.2.1").to_string(), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2::3").to_string(), "2001:db8:1::/48");
    }

    #[test]
    fn only_direct_addresses_have_one() {
        let some = Prefix::of_addr("/ip4/192.0.2.7/tcp/1/ws/p2p/x");
        assert_eq!(some, Some(Prefix::V4([192, 0, 2])));
        assert!(Prefix::of_addr("/ip6/::1/udp/1/quic-v1").unwrap().is_loopback());
        for none in
            ["", "/", "/p2p/x", "/dns/a.example/tcp/1", "/ip4/x", "/ip4/1.2.3.4/tcp/1/p2p-circuit"]
        {
            assert_eq!(Prefix::of_addr(none), None, "{none}");
        }
    }
}
