//! Decides when a relayed connection is upgraded to a direct one, and which of two direct ones
//! stays. Plain values in and out: never dials, closes or looks at a clock, and leaves the relayed
//! connection to the driver, which knows what still runs over it.

use std::{collections::BTreeMap, time::Duration};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use web_time::Instant;

use super::limits::{BACK_OFF, BACK_OFF_MAX, DUPLICATE_GRACE, HANDSHAKE, PATIENCE};

/// How a connection runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Over a relay's circuit.
    Relayed {
        /// Where `/webrtc` to this peer is dialed over the same relay.
        webrtc: Multiaddr,
    },
    /// Over data channels.
    WebRtc,
    /// Anything else: direct already, and never touched here.
    Other,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try to connect directly; report back with [`Policy::dialing`].
    Dial(PeerId, Multiaddr),
    /// Close the second of two direct connections.
    Close(PeerId, ConnectionId),
}

#[derive(Debug)]
struct Connection {
    path: Path,
    dialed: bool,
    since: Instant,
}

#[derive(Debug, Default)]
struct Peer {
    connections: BTreeMap<ConnectionId, Connection>,
    /// It answers a signaling protocol, as identify says.
    signals: bool,
    dialing: Option<ConnectionId>,
    failures: u32,
    not_before: Option<Instant>,
}

/// The state of all peers.
#[derive(Debug)]
pub(crate) struct Policy {
    local: PeerId,
    peers: BTreeMap<PeerId, Peer>,
}

impl Policy {
    /// Nobody is connected yet.
    pub(crate) fn new(local: PeerId) -> Self {
        Self { local, peers: BTreeMap::new() }
    }

    /// A connection is there.
    pub(crate) fn connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        path: Path,
        dialed: bool,
        now: Instant,
    ) {
        let entry = self.peers.entry(peer).or_default();
        if path == Path::WebRtc {
            entry.failures = 0;
            entry.not_before = None;
        }
        if entry.dialing == Some(id) {
            entry.dialing = None;
        }
        entry.connections.insert(id, Connection { path, dialed, since: now });
    }

    /// A connection is gone.
    pub(crate) fn closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.connections.remove(&id);
        if entry.connections.is_empty() && entry.dialing.is_none() {
            self.peers.remove(&peer);
        }
    }

    /// Identify says whether the peer answers a signaling protocol.
    pub(crate) fn signals(&mut self, peer: PeerId, signals: bool) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.signals = signals;
        }
    }

    /// The dial asked for has begun as `id`.
    pub(crate) fn dialing(&mut self, peer: PeerId, id: ConnectionId) {
        self.peers.entry(peer).or_default().dialing = Some(id);
    }

    /// A dial failed; one that is not ours is no news.
    pub(crate) fn dial_failed(&mut self, peer: PeerId, id: ConnectionId, now: Instant) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.dialing != Some(id) {
            return;
        }
        entry.dialing = None;
        let pause = BACK_OFF.saturating_mul(1 << entry.failures.min(16)).min(BACK_OFF_MAX);
        entry.failures = entry.failures.saturating_add(1);
        entry.not_before = Some(now + pause);
        if entry.connections.is_empty() {
            self.peers.remove(&peer);
        }
    }

    /// The peer began a handshake. False if it must be refused: of two that dial each other at one
    /// time, the smaller peer id goes on. Otherwise we leave the peer the time it may take.
    pub(crate) fn admits(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(entry) = self.peers.get_mut(&peer) else { return false };
        if entry.dialing.is_some() && self.local < peer {
            return false;
        }
        let until = now + HANDSHAKE;
        entry.not_before = Some(entry.not_before.map_or(until, |t| t.max(until)));
        true
    }

    /// The relayed connection over which to signal to `peer`.
    pub(crate) fn relayed(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.peers.get(peer)?.relayed().map(|(id, _)| id).next()
    }

    /// Where the peer is dialed directly, beside one of its relayed connections.
    pub(crate) fn webrtc_address(&self, peer: &PeerId, id: ConnectionId) -> Option<Multiaddr> {
        match &self.peers.get(peer)?.connections.get(&id)?.path {
            Path::Relayed { webrtc } => Some(webrtc.clone()),
            Path::WebRtc | Path::Other => None,
        }
    }

    /// What is due now, and when to ask again if nothing else happens.
    pub(crate) fn due(&self, now: Instant) -> (Vec<Action>, Option<Instant>) {
        let (mut actions, mut next) = (Vec::new(), None::<Instant>);
        let mut at = |due: Instant, action: Action| {
            if due <= now {
                actions.push(action);
            } else {
                next = Some(next.map_or(due, |n| n.min(due)));
            }
        };
        for (peer, state) in &self.peers {
            if let Some((kept, since)) = state.kept(&self.local, peer) {
                for (id, connection) in &state.connections {
                    if connection.path == Path::WebRtc && *id != kept {
                        let since = since.max(connection.since);
                        at(since + DUPLICATE_GRACE, Action::Close(*peer, *id));
                    }
                }
            } else if let Some((due, address)) = state.attempt(&self.local, peer) {
                at(due, Action::Dial(*peer, address));
            }
        }
        (actions, next)
    }
}

impl Peer {
    fn relayed(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections
            .iter()
            .filter(|(_, c)| matches!(c.path, Path::Relayed { .. }))
            .map(|(id, c)| (*id, c))
    }

    /// The direct connection to keep, and since when it is there. Both sides choose the same of two
    /// WebRTC connections: the one that the smaller peer id dialed, and of several the oldest.
    fn kept(&self, local: &PeerId, peer: &PeerId) -> Option<(ConnectionId, Instant)> {
        let direct =
            self.connections.iter().filter(|(_, c)| !matches!(c.path, Path::Relayed { .. }));
        let kept = direct.min_by_key(|(id, c)| {
            let by_smaller = c.dialed == (local < peer);
            (c.path == Path::WebRtc, !by_smaller, c.since, **id)
        });
        kept.map(|(id, connection)| (*id, connection.since))
    }

    /// When and where to dial next. The side that dialed the relayed connection begins at once (the
    /// smaller peer id if both did); the other one waits, in case the first is of a kind that never
    /// upgrades.
    fn attempt(&self, local: &PeerId, peer: &PeerId) -> Option<(Instant, Multiaddr)> {
        if !self.signals || self.dialing.is_some() {
            return None;
        }
        let (_, first) = self.relayed().min_by_key(|(id, c)| (c.since, *id))?;
        let Path::Relayed { webrtc } = &first.path else { return None };
        let we_dialed = self.relayed().any(|(_, c)| c.dialed);
        let they_dialed = self.relayed().any(|(_, c)| !c.dialed);
        let ours = we_dialed && (!they_dialed || local < peer);
        let wait = if ours { Duration::ZERO } else { PATIENCE };
        let due = first.since + wait;
        Some((self.not_before.map_or(due, |not_before| due.max(not_before)), webrtc.clone()))
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
