//! Staying connected to the configured relays, and holding a reservation with each.
//!
//! Dialed again for ever, with growing, jittered pauses: a relay that comes back finds us within
//! seconds, and not all of its old clients at once.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::transport::ListenerId,
    swarm::{
        ConnectionId, NetworkBehaviour,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use web_time::Instant;

use super::{
    address::{circuit, peer_of},
    driver::Driver,
};
use crate::Link;

/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long one dial may take before it counts as failed.
const DIAL: Duration = Duration::from_secs(15);

/// One configured relay.
pub(crate) struct Relay {
    addr: Multiaddr,
    peer: Option<PeerId>,
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be dialed at a time.
    Pausing(Instant),
    /// Being dialed since a time.
    Dialing(ConnectionId, Instant),
    /// Connected; a reservation is to be asked for at a time.
    Connected(Instant),
    /// Connected; a reservation was asked for. Its listener closes when the relay refuses or does
    /// not answer; it is never closed from here (an answer on its way would find it missing).
    Reserving(ListenerId),
    /// Connected, with a reservation.
    Reserved(ListenerId),
}

impl Relay {
    pub(crate) fn new(addr: Multiaddr) -> Self {
        let peer = peer_of(&addr);
        Self { addr, peer, state: State::Pausing(Instant::now()), failures: 0 }
    }

    fn is_up(&self) -> bool {
        !matches!(self.state, State::Pausing(_) | State::Dialing(..))
    }

    fn listener(&self) -> Option<ListenerId> {
        match self.state {
            State::Reserving(id) | State::Reserved(id) => Some(id),
            _ => None,
        }
    }

    /// When to try again after a failure.
    fn after_failure(&mut self, local: PeerId) -> Instant {
        let pause = pause(self.failures, local);
        self.failures = self.failures.saturating_add(1);
        Instant::now() + pause
    }
}

/// The pause after `failures` failures: doubled each time, between half and all of it by chance.
/// The chance is a hash of who we are, so that no two nodes keep step.
fn pause(failures: u32, local: PeerId) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
    let mut hasher = DefaultHasher::new();
    (local, failures).hash(&mut hasher);
    full / 2 + (full / 2).mul_f64((hasher.finish() >> 11) as f64 / (1u64 << 53) as f64)
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: std::fmt::Debug,
{
    /// Whether some relay may soon be up that is not now.
    pub(super) fn expects_relay(&self) -> bool {
        self.relays.iter().any(|relay| !relay.is_up() && relay.failures == 0)
    }

    /// Takes every step that is due.
    pub(super) fn tend_relays(&mut self) {
        let now = Instant::now();
        for at in 0..self.relays.len() {
            match self.relays[at].state {
                State::Pausing(until) if now >= until => self.dial_relay(at),
                State::Dialing(_, since) if now >= since + DIAL => self.pause_relay(at),
                State::Connected(until) if now >= until && self.needs_circuits() => {
                    self.reserve_at(at);
                }
                _ => {}
            }
        }
    }

    /// Dials at once whatever waits.
    pub(super) fn resume_relays(&mut self) {
        for relay in &mut self.relays {
            relay.failures = 0;
            match relay.state {
                State::Pausing(_) => relay.state = State::Pausing(Instant::now()),
                State::Connected(_) => relay.state = State::Connected(Instant::now()),
                State::Dialing(..) | State::Reserving(_) | State::Reserved(_) => {}
            }
        }
        self.tend_relays();
    }

    /// Whether a peer is one of the relays.
    pub(super) fn is_relay(&self, peer: &PeerId) -> bool {
        self.relays.iter().any(|relay| relay.peer == Some(*peer))
    }

    fn dial_relay(&mut self, at: usize) {
        let Relay { addr, peer, .. } = &self.relays[at];
        if let Some(peer) = *peer {
            let direct = self.peers.connections(&peer).iter().find(|c| c.link != Link::Relayed);
            if let Some(id) = direct.map(|c| c.id) {
                return self.relay_connected(at, peer, id);
            }
        }
        let options = match *peer {
            Some(peer) => DialOpts::peer_id(peer)
                .addresses(vec![addr.clone()])
                .condition(PeerCondition::Always)
                .build(),
            None => DialOpts::unknown_peer_id().address(addr.clone()).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => self.relays[at].state = State::Dialing(id, Instant::now()),
            Err(error) => {
                tracing::warn!(addr = %self.relays[at].addr, %error, "relay cannot be dialed");
                self.pause_relay(at);
            }
        }
    }

    fn pause_relay(&mut self, at: usize) {
        let local = *self.swarm.local_peer_id();
        let until = self.relays[at].after_failure(local);
        self.relays[at].state = State::Pausing(until);
    }

    fn relay_connected(&mut self, at: usize, peer: PeerId, id: ConnectionId) {
        self.swarm.behaviour_mut().streams.keep(id, true);
        let from = self.reserve_from();
        let relay = &mut self.relays[at];
        relay.peer = Some(peer);
        relay.state = State::Connected(from);
        if !self.reserve {
            relay.failures = 0;
        }
    }

    fn reserve_at(&mut self, at: usize) {
        let Some(peer) = self.relays[at].peer else { return };
        let addr = circuit(self.relays[at].addr.clone(), peer);
        match self.swarm.listen_on(addr) {
            Ok(listener) => self.relays[at].state = State::Reserving(listener),
            Err(error) => {
                tracing::warn!(addr = %self.relays[at].addr, %error, "no reservation");
                let local = *self.swarm.local_peer_id();
                let until = self.relays[at].after_failure(local);
                self.relays[at].state = State::Connected(until);
            }
        }
    }

    /// A connection was established, by us or by the peer.
    pub(super) fn relay_dialed(&mut self, peer: PeerId, id: ConnectionId, link: Link) {
        if link == Link::Relayed {
            return;
        }
        for at in 0..self.relays.len() {
            let relay = &self.relays[at];
            let ours = matches!(relay.state, State::Dialing(dial, _) if dial == id);
            if ours || (relay.peer == Some(peer) && !relay.is_up()) {
                self.relay_connected(at, peer, id);
            }
        }
    }

    /// A dial failed.
    pub(super) fn relay_dial_failed(&mut self, id: ConnectionId) {
        let at = self
            .relays
            .iter()
            .position(|relay| matches!(relay.state, State::Dialing(dial, _) if dial == id));
        if let Some(at) = at {
            self.pause_relay(at);
        }
    }

    /// The last direct connection to a peer is gone.
    pub(super) fn relay_lost(&mut self, peer: PeerId) {
        let local = *self.swarm.local_peer_id();
        for relay in &mut self.relays {
            if relay.peer == Some(peer) && relay.is_up() {
                let until = relay.after_failure(local);
                relay.state = State::Pausing(until);
            }
        }
    }

    /// A relay accepted our reservation, or its renewal.
    pub(super) fn relay_reserved(&mut self, peer: PeerId) {
        for relay in &mut self.relays {
            if let (Some(listener), true) = (relay.listener(), relay.peer == Some(peer)) {
                relay.state = State::Reserved(listener);
                relay.failures = 0;
            }
        }
    }

    /// A listener closed; if it was a reservation, it is asked for again.
    pub(super) fn relay_listener_closed(&mut self, listener: ListenerId) {
        let local = *self.swarm.local_peer_id();
        for relay in &mut self.relays {
            if relay.listener() == Some(listener) {
                let until = relay.after_failure(local);
                relay.state = State::Connected(until);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_bounded_and_differ_between_nodes() {
        let (a, b) = (PeerId::random(), PeerId::random());
        for failures in 0..40 {
            let full = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
            let pause = pause(failures, a);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
        assert_ne!(pause(3, a), pause(3, b));
        assert_eq!(pause(3, a), pause(3, a));
    }
}
