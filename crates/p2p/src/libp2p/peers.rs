//! Who is connected: every connection of every peer, which of them is the best, and what of that
//! others are told.
//!
//! Plain state over values; the driver feeds it and acts on what it says.

use std::{collections::BTreeMap, time::Duration};

use craftec_core::PeerId;
use libp2p::{Multiaddr, core::ConnectedPoint, swarm::ConnectionId};
use web_time::Instant;

use super::address::{Scope, from_libp2p, link_of, rank, relay_of, scope_of};
use crate::{Link, NetEvent, PeerInfo, Prefix, Role};

/// Longest agent string that we keep, in characters.
const AGENT_CHARS: usize = 128;
/// How long a relayed connection is left alone after a direct one is up: the other side may still
/// be signaling over it.
const GRACE: Duration = Duration::from_secs(5);
/// How long streams may hold a relayed connection beside a direct one.
const DRAIN: Duration = Duration::from_secs(60);
/// Pings that may be missed in a row before a connection counts as dead.
const MISSED_PINGS: u8 = 2;

/// One connection.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) link: Link,
    pub(crate) scope: Scope,
    /// The address that we dialed; `None` if the peer dialed us.
    pub(crate) dialed: Option<Multiaddr>,
    /// Where on the network the peer is, unless a relay is between.
    pub(crate) prefix: Option<Prefix>,
    addr: String,
    via: Option<PeerId>,
    since: Instant,
    rtt: Option<Duration>,
    missed: u8,
}

/// One peer.
struct Peer {
    id: PeerId,
    connections: Vec<Connection>,
    agent: String,
    role: Role,
    identified: bool,
    relays: bool,
    told: Option<PeerInfo>,
}

/// All connected peers.
#[derive(Default)]
pub(crate) struct Peers(BTreeMap<libp2p::PeerId, Peer>);

impl Peers {
    /// A connection was established; what to tell.
    pub(crate) fn connected(
        &mut self,
        peer: libp2p::PeerId,
        id: ConnectionId,
        endpoint: &ConnectedPoint,
    ) -> Option<NetEvent> {
        let ours = from_libp2p(&peer)?;
        let addr = endpoint.get_remote_address().to_string();
        let connection = Connection {
            id,
            link: link_of(endpoint),
            scope: scope_of(endpoint),
            dialed: match endpoint {
                ConnectedPoint::Dialer { address, .. } => Some(address.clone()),
                ConnectedPoint::Listener { .. } => None,
            },
            prefix: Prefix::of_addr(&addr),
            addr,
            // A WebRTC address names the relay that only signaled.
            via: relay_of(endpoint)
                .filter(|_| link_of(endpoint) == Link::Relayed)
                .and_then(|relay| from_libp2p(&relay)),
            since: Instant::now(),
            rtt: None,
            missed: 0,
        };
        let state = self.0.entry(peer).or_insert_with(|| Peer {
            id: ours,
            connections: Vec::new(),
            agent: String::new(),
            role: Role::Foreign,
            identified: false,
            relays: false,
            told: None,
        });
        state.connections.push(connection);
        state.news()
    }

    /// A connection is gone; what to tell.
    pub(crate) fn closed(&mut self, peer: libp2p::PeerId, id: ConnectionId) -> Option<NetEvent> {
        let state = self.0.get_mut(&peer)?;
        state.connections.retain(|connection| connection.id != id);
        if state.connections.is_empty() {
            return self.0.remove(&peer).map(|state| NetEvent::Disconnected(state.id));
        }
        state.news()
    }

    /// The peer said what it is.
    pub(crate) fn identified(
        &mut self,
        peer: libp2p::PeerId,
        agent: &str,
        relays: bool,
    ) -> Option<NetEvent> {
        let state = self.0.get_mut(&peer)?;
        (state.identified, state.relays) = (true, relays);
        state.agent = agent.chars().take(AGENT_CHARS).collect();
        state.role = role_of(&state.agent);
        state.news()
    }

    /// Whether the peer has not yet said what it is, since it connected.
    pub(crate) fn is_unidentified(&self, peer: &libp2p::PeerId) -> bool {
        self.0.get(peer).is_some_and(|state| !state.identified)
    }

    /// A ping's outcome. The second value says that the connection is dead.
    pub(crate) fn pinged(
        &mut self,
        peer: libp2p::PeerId,
        id: ConnectionId,
        rtt: Option<Duration>,
    ) -> (Option<NetEvent>, bool) {
        let Some(state) = self.0.get_mut(&peer) else { return (None, false) };
        let Some(connection) = state.connections.iter_mut().find(|c| c.id == id) else {
            return (None, false);
        };
        connection.missed = if rtt.is_some() { 0 } else { connection.missed + 1 };
        connection.rtt = rtt.or(connection.rtt);
        let dead = connection.missed >= MISSED_PINGS;
        (state.news(), dead)
    }

    /// The connection that new streams go over.
    pub(crate) fn best(&self, peer: &libp2p::PeerId) -> Option<&Connection> {
        self.0.get(peer)?.best()
    }

    /// The peer's connections.
    pub(crate) fn connections(&self, peer: &libp2p::PeerId) -> &[Connection] {
        self.0.get(peer).map_or(&[], |state| &state.connections)
    }

    /// Peers that relay for others, and how we dialed them.
    pub(crate) fn relays(&self) -> impl Iterator<Item = (libp2p::PeerId, &Multiaddr)> {
        self.0.iter().filter(|(_, state)| state.relays).filter_map(|(peer, state)| {
            let direct = state.connections.iter().filter(|c| c.link != Link::Relayed);
            Some((*peer, direct.filter_map(|c| c.dialed.as_ref()).next()?))
        })
    }

    /// The nearest way in which a peer is connected to us.
    pub(crate) fn scope(&self, peer: &libp2p::PeerId) -> Scope {
        self.connections(peer).iter().map(|c| c.scope).min().unwrap_or(Scope::Public)
    }

    /// Where on the network a peer is, if it is connected without a relay between.
    pub(crate) fn prefix(&self, peer: &libp2p::PeerId) -> Option<Prefix> {
        self.connections(peer).iter().find_map(|c| c.prefix)
    }

    /// The nearest way in which anyone is connected to us.
    pub(crate) fn nearest_scope(&self) -> Scope {
        let all = self.0.values().flat_map(|state| &state.connections);
        all.map(|c| c.scope).min().unwrap_or(Scope::Public)
    }

    /// How many peers are connected.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Relayed connections that a direct one has replaced; `live` counts a connection's streams.
    pub(crate) fn superfluous(&self, live: impl Fn(ConnectionId) -> usize) -> Vec<ConnectionId> {
        let mut out = Vec::new();
        for state in self.0.values() {
            let direct = state.connections.iter().filter(|c| c.link != Link::Relayed);
            let Some(age) = direct.map(|c| c.since.elapsed()).max() else { continue };
            let relayed = state.connections.iter().filter(|c| c.link == Link::Relayed);
            out.extend(
                relayed.map(|c| c.id).filter(|&id| age >= DRAIN || (age >= GRACE && live(id) == 0)),
            );
        }
        out
    }
}

impl Peer {
    fn best(&self) -> Option<&Connection> {
        // Of two equal links the newer: the older may be one that the peer has already lost.
        self.connections
            .iter()
            .min_by(|a, b| rank(a.link).cmp(&rank(b.link)).then(b.since.cmp(&a.since)))
    }

    /// What changed for others since they were last told.
    fn news(&mut self) -> Option<NetEvent> {
        let best = self.best()?;
        let info = PeerInfo {
            peer: self.id,
            link: best.link,
            role: self.role,
            rtt_ms: best.rtt.map(|rtt| rtt.as_millis().min(u128::from(u32::MAX)) as u32),
            addr: best.addr.clone(),
            agent: self.agent.clone(),
            via: best.via,
        };
        let event = match &self.told {
            None => NetEvent::Connected(info.clone()),
            Some(told) if differs(told, &info) => NetEvent::Changed(info.clone()),
            Some(_) => return None,
        };
        self.told = Some(info);
        Some(event)
    }
}

/// Whether a change is worth telling: round trips only when they moved by a quarter.
fn differs(a: &PeerInfo, b: &PeerInfo) -> bool {
    let moved = match (a.rtt_ms, b.rtt_ms) {
        (Some(a), Some(b)) => a.abs_diff(b) > a / 4 + 1,
        (a, b) => a != b,
    };
    let same =
        (a.link, a.role, &a.addr, &a.agent, a.via) == (b.link, b.role, &b.addr, &b.agent, b.via);
    moved || !same
}

/// `craftec/<version> (tab|relay)`.
fn role_of(agent: &str) -> Role {
    match agent.strip_prefix("craftec/").and_then(|rest| rest.split_once(' ')) {
        Some((_, "(tab)")) => Role::Tab,
        Some((_, "(relay)")) => Role::Relay,
        _ => Role::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialed(text: &str) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: text.parse().unwrap(),
            role_override: libp2p::core::Endpoint::Dialer,
            port_use: libp2p::core::transport::PortUse::Reuse,
        }
    }

    #[test]
    fn the_best_link_is_told_and_the_relayed_one_retired() {
        let mut peers = Peers::default();
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let [relayed, direct] = [1, 2].map(ConnectionId::new_unchecked);
        let circuit = dialed(&format!("/ip4/9.9.9.9/tcp/1/ws/p2p/{peer}/p2p-circuit"));
        assert!(matches!(
            peers.connected(peer, relayed, &circuit),
            Some(NetEvent::Connected(PeerInfo { link: Link::Relayed, via: Some(_), .. }))
        ));
        assert!(peers.superfluous(|_| 0).is_empty());
        let quic = dialed("/ip4/9.9.9.9/udp/1/quic-v1");
        assert!(matches!(
            peers.connected(peer, direct, &quic),
            Some(NetEvent::Changed(PeerInfo { link: Link::Quic, via: None, .. }))
        ));
        assert_eq!(peers.best(&peer).unwrap().id, direct);
        assert!(peers.superfluous(|_| 0).is_empty(), "too early");
        peers.0.get_mut(&peer).unwrap().connections[1].since -= GRACE;
        assert!(peers.superfluous(|_| 1).is_empty(), "in use");
        assert_eq!(peers.superfluous(|_| 0), [relayed]);
        peers.0.get_mut(&peer).unwrap().connections[1].since -= DRAIN;
        assert_eq!(peers.superfluous(|_| 1), [relayed]);
        assert!(matches!(
            peers.identified(peer, "craftec/0.1.0 (relay)", true),
            Some(NetEvent::Changed(PeerInfo { role: Role::Relay, .. }))
        ));
        assert_eq!(peers.relays().count(), 1);
        assert!(peers.closed(peer, relayed).is_none());
        assert!(matches!(peers.closed(peer, direct), Some(NetEvent::Disconnected(_))));
    }

    #[test]
    fn a_connection_that_misses_pings_is_dead_and_small_changes_are_not_told() {
        let mut peers = Peers::default();
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let id = ConnectionId::new_unchecked(1);
        peers.connected(peer, id, &dialed("/ip4/9.9.9.9/tcp/1"));
        let ms = |ms| Some(Duration::from_millis(ms));
        assert!(peers.pinged(peer, id, ms(100)).0.is_some());
        assert!(peers.pinged(peer, id, ms(110)).0.is_none());
        assert!(peers.pinged(peer, id, ms(200)).0.is_some());
        assert!(!peers.pinged(peer, id, None).1);
        assert!(!peers.pinged(peer, id, ms(200)).1);
        assert!(!peers.pinged(peer, id, None).1);
        assert!(peers.pinged(peer, id, None).1);
    }

    #[test]
    fn roles_come_from_the_agent() {
        assert_eq!(role_of("craftec/1.2.3 (tab)"), Role::Tab);
        assert_eq!(role_of("craftec/1.2.3 (relay)"), Role::Relay);
        for foreign in ["", "craftec/1 (tab) x", "js-libp2p/3 (tab)", "craftec/1"] {
            assert_eq!(role_of(foreign), Role::Foreign);
        }
    }
}
