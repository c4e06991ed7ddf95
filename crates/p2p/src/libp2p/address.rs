//! Peer ids and multiaddrs: conversions, what kind of link an address is, and which addresses that
//! a peer claims may be believed.
//!
//! Plain functions over values. Nothing here dials or remembers.

use std::net::{Ipv4Addr, Ipv6Addr};

use craftec_core::PeerId;
use libp2p::{Multiaddr, core::ConnectedPoint, multiaddr::Protocol as Part};

use crate::{Link, NetError};

/// Longest multiaddr that we keep, in bytes (a circuit through a DNS name fits four times).
pub(crate) const ADDRESS_BYTES: usize = 512;

/// The id as libp2p writes it.
pub(crate) fn to_libp2p(peer: PeerId) -> Result<libp2p::PeerId, NetError> {
    libp2p::PeerId::from_bytes(&peer.to_bytes())
        .map_err(|e| NetError::Unreachable { peer, reason: format!("its id is not valid: {e}") })
}

/// The id as we write it; `None` for peers whose key is not Ed25519.
pub(crate) fn from_libp2p(peer: &libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_bytes(&peer.to_bytes()).ok()
}

/// Reads a multiaddr that a person or a configuration gave us.
pub(crate) fn parse(addr: &str) -> Result<Multiaddr, NetError> {
    addr.parse().map_err(|e: libp2p::multiaddr::Error| NetError::Address {
        addr: addr.to_owned(),
        reason: format!("{e}; it should look like /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3KooW…"),
    })
}

/// The peer that an address ends in.
pub(crate) fn peer_of(addr: &Multiaddr) -> Option<libp2p::PeerId> {
    match addr.iter().last() {
        Some(Part::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// The address with `/p2p/<peer>` at its end, once.
pub(crate) fn with_peer(addr: Multiaddr, peer: libp2p::PeerId) -> Multiaddr {
    match peer_of(&addr) {
        Some(end) if end == peer => addr,
        _ => addr.with(Part::P2p(peer)),
    }
}

/// The address without a `/p2p/…` at its end.
pub(crate) fn without_peer(mut addr: Multiaddr) -> Multiaddr {
    if peer_of(&addr).is_some() {
        addr.pop();
    }
    addr
}

/// `<relay address>/p2p/<relay>/p2p-circuit`.
pub(crate) fn circuit(relay_addr: Multiaddr, relay: libp2p::PeerId) -> Multiaddr {
    with_peer(relay_addr, relay).with(Part::P2pCircuit)
}

/// Whether the address leads through a relay's circuit.
pub(crate) fn is_circuit(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| part == Part::P2pCircuit)
}

/// What carries the bytes of a connection.
pub(crate) fn link_of(endpoint: &ConnectedPoint) -> Link {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => link_over(address.iter()),
        ConnectedPoint::Listener { local_addr, send_back_addr } => {
            link_over(local_addr.iter().chain(send_back_addr.iter()))
        }
    }
}

fn link_over<'a>(parts: impl Iterator<Item = Part<'a>>) -> Link {
    let mut link = Link::Tcp;
    for part in parts {
        match part {
            // Signaled over a circuit, but its bytes go from tab to tab.
            Part::WebRTC | Part::WebRTCDirect => return Link::WebRtc,
            Part::P2pCircuit => link = Link::Relayed,
            Part::QuicV1 | Part::Quic if link == Link::Tcp => link = Link::Quic,
            Part::Ws(_) | Part::Wss(_) if link == Link::Tcp => link = Link::WebSocket,
            _ => {}
        }
    }
    link
}

/// The better of two links has the smaller rank.
pub(crate) fn rank(link: Link) -> u8 {
    match link {
        Link::Quic => 0,
        Link::Tcp => 1,
        Link::WebRtc => 2,
        Link::WebSocket => 3,
        Link::Relayed => 4,
    }
}

/// The relay that carries a connection.
pub(crate) fn relay_of(endpoint: &ConnectedPoint) -> Option<libp2p::PeerId> {
    let addr = match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { local_addr, .. } => local_addr,
    };
    let mut before = None;
    for part in addr.iter() {
        match part {
            Part::P2p(peer) => before = Some(peer),
            Part::P2pCircuit => return before,
            _ => {}
        }
    }
    None
}

/// How far an address can be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// This machine only.
    Loopback,
    /// This network only.
    Private,
    /// Anywhere.
    Public,
}

/// The scope of an address, by its first IP address or name.
pub(crate) fn scope(addr: &Multiaddr) -> Scope {
    addr.iter()
        .find_map(|part| match part {
            Part::Ip4(ip) => Some(scope_of_ip4(ip)),
            Part::Ip6(ip) => Some(scope_of_ip6(ip)),
            Part::Dns(name) | Part::Dns4(name) | Part::Dns6(name) | Part::Dnsaddr(name) => {
                let local = name == "localhost" || name.ends_with(".localhost");
                Some(if local { Scope::Loopback } else { Scope::Public })
            }
            _ => None,
        })
        .unwrap_or(Scope::Public)
}

fn scope_of_ip4(ip: Ipv4Addr) -> Scope {
    if ip.is_loopback() || ip.is_unspecified() {
        Scope::Loopback
    } else if ip.is_private() || ip.is_link_local() {
        Scope::Private
    } else {
        Scope::Public
    }
}

fn scope_of_ip6(ip: Ipv6Addr) -> Scope {
    if let Some(ip4) = ip.to_ipv4_mapped() {
        return scope_of_ip4(ip4);
    }
    if ip.is_loopback() || ip.is_unspecified() {
        Scope::Loopback
    } else if ip.is_unique_local() || ip.is_unicast_link_local() {
        Scope::Private
    } else {
        Scope::Public
    }
}

/// The scope over which a connection was made.
pub(crate) fn scope_of(endpoint: &ConnectedPoint) -> Scope {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => scope(address),
        // The far end of an inbound circuit has no IP address; the relay's is in ours.
        ConnectedPoint::Listener { local_addr, send_back_addr } => {
            scope(send_back_addr).min(scope(local_addr))
        }
    }
}

/// Whether an address that a peer claims may be remembered: a peer that reached us from afar has
/// no business naming addresses of our own network or machine.
pub(crate) fn believable(claimed: &Multiaddr, over: Scope) -> bool {
    claimed.len() <= ADDRESS_BYTES && scope(claimed) >= over && !claimed.is_empty()
}

/// Whether an address of `peer` that somebody else named may be remembered: as
/// [`believable`], and a name of the DNS, which may stand for an address of our own network, only
/// with TLS, which nothing there can answer for it.
pub(crate) fn hinted(claimed: &Multiaddr, peer: &libp2p::PeerId, over: Scope) -> bool {
    let is_name = |part: &Part<'_>| {
        matches!(part, Part::Dns(_) | Part::Dns4(_) | Part::Dns6(_) | Part::Dnsaddr(_))
    };
    let is_tls = |part: &Part<'_>| matches!(part, Part::Tls | Part::Wss(_));
    let named = claimed.iter().any(|part| is_name(&part));
    let proven = claimed.iter().any(|part| is_tls(&part));
    believable(claimed, over)
        && peer_of(claimed).is_none_or(|end| end == *peer)
        && (over < Scope::Public || !named || proven)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        parse(text).unwrap()
    }

    const R: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn dialed(text: &str) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: addr(text),
            role_override: libp2p::core::Endpoint::Dialer,
            port_use: libp2p::core::transport::PortUse::Reuse,
        }
    }

    #[test]
    fn links_are_told_apart() {
        let of = |text: String| link_of(&dialed(&text));
        assert_eq!(of("/ip6/::1/udp/1/quic-v1".into()), Link::Quic);
        assert_eq!(of("/ip4/127.0.0.1/tcp/1".into()), Link::Tcp);
        assert_eq!(of("/ip4/127.0.0.1/tcp/1/ws".into()), Link::WebSocket);
        assert_eq!(of(format!("/dns/x.org/tcp/1/ws/p2p/{R}/p2p-circuit")), Link::Relayed);
        assert_eq!(of(format!("/ip4/1.2.3.4/tcp/1/p2p/{R}/p2p-circuit/webrtc")), Link::WebRtc);
        let via = dialed(&format!("/ip4/1.2.3.4/tcp/1/ws/p2p/{R}/p2p-circuit/p2p/{R}"));
        assert_eq!(relay_of(&via), Some(R.parse().unwrap()));
    }

    #[test]
    fn a_peer_from_afar_cannot_name_our_network() {
        let (loopback, lan, public) = (
            addr("/ip4/127.0.0.1/tcp/1"),
            addr("/ip4/192.168.1.2/tcp/1"),
            addr("/ip4/9.9.9.9/tcp/1"),
        );
        for (over, expected) in [
            (Scope::Loopback, [true, true, true]),
            (Scope::Private, [false, true, true]),
            (Scope::Public, [false, false, true]),
        ] {
            assert_eq!([&loopback, &lan, &public].map(|a| believable(a, over)), expected);
        }
        assert_eq!(scope(&addr("/dns/app.craftec.localhost/tcp/1/ws")), Scope::Loopback);
        assert_eq!(scope(&addr("/ip6/fe80::1/tcp/1")), Scope::Private);
        assert_eq!(scope(&addr("/ip6/::ffff:10.0.0.1/tcp/1")), Scope::Private);
    }

    #[test]
    fn hearsay_is_held_to_more_than_a_claim() {
        let (peer, other) = (R.parse().unwrap(), libp2p::PeerId::random());
        let fine = |text: &str| hinted(&addr(text), &peer, Scope::Public);
        assert!(fine("/ip4/9.9.9.9/udp/1/quic-v1"));
        assert!(fine(&format!("/ip4/9.9.9.9/tcp/1/ws/p2p/{other}/p2p-circuit/p2p/{R}")));
        assert!(!fine(&format!("/ip4/9.9.9.9/tcp/1/ws/p2p/{R}/p2p-circuit/p2p/{other}")));
        assert!(!fine("/ip4/192.168.0.1/tcp/80/ws"));
        assert!(!fine("/dns4/router.example/tcp/80/ws"));
        assert!(fine("/dns4/relay.example/tcp/443/wss"));
        assert!(fine("/dns4/relay.example/tcp/443/tls/ws"));
        assert!(hinted(&addr("/dns4/box.lan/tcp/80/ws"), &peer, Scope::Private));
    }

    #[test]
    fn peers_are_added_to_addresses_once() {
        let peer = R.parse().unwrap();
        let with = with_peer(addr("/ip4/9.9.9.9/tcp/1"), peer);
        assert_eq!(with_peer(with.clone(), peer), with);
        assert_eq!(without_peer(with.clone()), addr("/ip4/9.9.9.9/tcp/1"));
        assert!(is_circuit(&circuit(with, peer)));
        assert!(matches!(parse("http://x"), Err(NetError::Address { .. })));
    }
}
