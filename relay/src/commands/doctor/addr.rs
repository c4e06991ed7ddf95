//! The parts of a multiaddr that an operating system knows: an IP address or name, and a port.

use std::net::{IpAddr, SocketAddr};

use multiaddr::{Multiaddr, Protocol};

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// An IP address, or a name.
    pub(super) host: Result<IpAddr, String>,
    pub(super) transport: Transport,
    pub(super) port: u16,
    /// The last peer named, which is the one reached.
    pub(super) peer: Option<String>,
}

impl Place {
    /// Reads an address; `None` where it names no host and port.
    pub(super) fn of(addr: &str) -> Option<Self> {
        let addr: Multiaddr = addr.parse().ok()?;
        let (mut host, mut port, mut peer) = (None, None, None);
        for part in &addr {
            match part {
                Protocol::Ip4(ip) => host = host.or(Some(Ok(IpAddr::V4(ip)))),
                Protocol::Ip6(ip) => host = host.or(Some(Ok(IpAddr::V6(ip)))),
                Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
                    host = host.or_else(|| Some(Err(name.into_owned())));
                }
                Protocol::Tcp(number) => port = port.or(Some((Transport::Tcp, number))),
                Protocol::Udp(number) => port = port.or(Some((Transport::Udp, number))),
                Protocol::P2p(id) => peer = Some(id.to_string()),
                _ => {}
            }
        }
        let (transport, port) = port?;
        Some(Self { host: host?, transport, port, peer })
    }

    /// The socket address, where the host is no name.
    pub(super) fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(*self.host.as_ref().ok()?, self.port))
    }
}

/// Whether strangers on the internet could dial this address.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_documentation()
                || ip.is_broadcast()
                || shared)
        }
        IpAddr::V6(ip) => {
            let documentation = ip.segments()[..2] == [0x2001, 0xdb8];
            let rest = ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local();
            !(rest || documentation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_addresses() {
        let id = "12D3KooWJWEKvSFbben74C7H4YtKjhPMTDxd7gP7zxWSUEeF27st";
        let place = Place::of(&format!("/ip4/192.0.2.1/tcp/4002/ws/p2p/{id}")).unwrap();
        assert_eq!(place.socket(), Some("192.0.2.1:4002".parse().unwrap()));
        assert_eq!((place.transport, place.peer.as_deref()), (Transport::Tcp, Some(id)));
        let named = Place::of("/dns4/relay.example.org/udp/4001/quic-v1").unwrap();
        assert_eq!(named.host, Err("relay.example.org".to_owned()));
        assert_eq!((named.transport, named.socket()), (Transport::Udp, None));
        assert_eq!(Place::of("/memory/1"), None);
    }

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for ip in
            ["10.0.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "::1", "fe80::1", "fd00::1"]
        {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
