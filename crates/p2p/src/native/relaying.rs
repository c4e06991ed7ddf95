//! The relay for others, with limits by prefix: reservations and circuits held, and asked for in a
//! minute. libp2p's own relay does the work; this watches what it grants.
//!
//! What was granted counts at once, before the other side has agreed; it is let go when that fails.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    relay,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use crate::{
    Limits, Prefix,
    counters::Counters,
    limits::RATED,
    rate::{Buckets, Rate},
};

/// How long a circuit may take to stand; libp2p gives both sides less.
const COMING: Duration = Duration::from_secs(60);

/// What is granted now, shared with the relay's limiters.
struct Granted {
    limits: Limits,
    by_peer: Buckets<PeerId>,
    by_prefix: Buckets<Prefix>,
    /// Where peers asked from, while they hold something.
    reservations: BTreeMap<PeerId, Option<Prefix>>,
    circuits: BTreeMap<PeerId, (Option<Prefix>, u64)>,
    /// Circuits on their way: since when, whose, from where.
    coming: VecDeque<(Duration, PeerId, Option<Prefix>)>,
    started: Instant,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Granted>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Granted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Granted {
    fn new(limits: &Limits) -> Self {
        let by_peer = Rate::per_minute(limits.relay_asks_per_peer_and_minute);
        let by_prefix = Rate::per_minute(limits.relay_asks_per_prefix_and_minute);
        Self {
            limits: limits.clone(),
            by_peer: Buckets::new(by_peer, RATED),
            by_prefix: Buckets::new(by_prefix, RATED),
            reservations: BTreeMap::new(),
            circuits: BTreeMap::new(),
            coming: VecDeque::new(),
            started: Instant::now(),
        }
    }

    fn prefix(&self, addr: &Multiaddr) -> Option<Prefix> {
        Prefix::of_addr(&addr.to_string()).filter(|prefix| self.limits.counts(*prefix))
    }

    /// Whether a peer at `addr` may reserve a place.
    fn may_reserve(&mut self, peer: PeerId, addr: &Multiaddr) -> bool {
        let prefix = self.prefix(addr);
        let renews = self.reservations.contains_key(&peer);
        let held = || self.reservations.values().filter(|of| **of == prefix).count() as u64;
        if prefix.is_some() && !renews && held() >= self.limits.reservations_per_prefix {
            return false;
        }
        let granted = self.in_time(peer, prefix, self.started.elapsed());
        if granted {
            self.reservations.entry(peer).or_insert(prefix);
        }
        granted
    }

    /// Whether a peer at `addr` may open a circuit.
    fn may_connect(&mut self, peer: PeerId, addr: &Multiaddr) -> bool {
        let (now, prefix) = (self.started.elapsed(), self.prefix(addr));
        // Whose peer went away meanwhile is told by nothing.
        while self.coming.front().is_some_and(|(since, ..)| now >= *since + COMING) {
            self.coming.pop_front();
        }
        let stand = self.circuits.values().filter(|(of, _)| *of == prefix).map(|(_, n)| n);
        let coming = self.coming.iter().filter(|(.., of)| *of == prefix).count() as u64;
        let held = stand.sum::<u64>() + coming;
        if prefix.is_some() && held >= self.limits.circuits_per_prefix {
            return false;
        }
        let granted = self.in_time(peer, prefix, now);
        if granted {
            self.coming.push_back((now, peer, prefix));
        }
        granted
    }

    /// A circuit on its way stands or failed; where it was asked for.
    fn arrived(&mut self, peer: &PeerId) -> Option<Prefix> {
        let at = self.coming.iter().position(|(_, of, _)| of == peer)?;
        self.coming.remove(at)?.2
    }

    fn in_time(&mut self, peer: PeerId, prefix: Option<Prefix>, now: Duration) -> bool {
        self.by_peer.try_take(peer, 1, now)
            && prefix.is_none_or(|prefix| self.by_prefix.try_take(prefix, 1, now))
    }
}

/// The behaviour.
pub(super) struct Relaying {
    relay: relay::Behaviour,
    granted: Shared,
    counters: Arc<Counters>,
}

impl Relaying {
    pub(super) fn new(local: PeerId, limits: &Limits, counters: Arc<Counters>) -> Self {
        let granted = Shared(Arc::new(Mutex::new(Granted::new(limits))));
        let most = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let (reserves, connects) = (granted.clone(), granted.clone());
        let seconds = limits.circuit_seconds.min(u64::from(u32::MAX));
        let config = relay::Config {
            max_reservations: most(limits.reservations),
            max_circuits: most(limits.circuits),
            max_circuits_per_peer: most(limits.circuits_per_peer),
            max_circuit_duration: Duration::from_secs(seconds),
            max_circuit_bytes: limits.circuit_bytes,
            reservation_rate_limiters: vec![Box::new(move |peer, addr: &Multiaddr, _: Instant| {
                reserves.lock().may_reserve(peer, addr)
            })],
            circuit_src_rate_limiters: vec![Box::new(move |peer, addr: &Multiaddr, _: Instant| {
                connects.lock().may_connect(peer, addr)
            })],
            ..relay::Config::default()
        };
        Self { relay: relay::Behaviour::new(local, config), granted, counters }
    }

    fn note(&self, event: &relay::Event) {
        let mut granted = self.granted.lock();
        let counters = &self.counters;
        match event {
            relay::Event::ReservationReqAccepted { .. } => counters.reservations_accepted.up(),
            relay::Event::ReservationReqDenied { .. } => counters.reservations_refused.up(),
            relay::Event::ReservationClosed { src_peer_id }
            | relay::Event::ReservationTimedOut { src_peer_id } => {
                granted.reservations.remove(src_peer_id);
            }
            relay::Event::CircuitReqAccepted { src_peer_id, .. } => {
                let prefix = granted.arrived(src_peer_id);
                granted.circuits.entry(*src_peer_id).or_insert((prefix, 0)).1 += 1;
                counters.circuits_accepted.up();
                counters.circuits.up();
            }
            relay::Event::CircuitReqDenied { src_peer_id, status, .. } => {
                // This one is said of what was never granted.
                if !matches!(status, relay::StatusCode::ResourceLimitExceeded) {
                    granted.arrived(src_peer_id);
                }
                counters.circuits_refused.up();
            }
            relay::Event::CircuitClosed { src_peer_id, .. } => {
                if let Some((_, count)) = granted.circuits.get_mut(src_peer_id) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        granted.circuits.remove(src_peer_id);
                    }
                    counters.circuits.down();
                }
            }
            _ => {}
        }
        counters.reservations.set(granted.reservations.len() as u64);
    }
}

type Inner = relay::Behaviour;

impl NetworkBehaviour for Relaying {
    type ConnectionHandler = <Inner as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = relay::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.relay.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.relay.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.relay.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.relay.handle_established_outbound_connection(id, peer, addr, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.relay.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.relay.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let polled = self.relay.poll(cx);
        if let Poll::Ready(ToSwarm::GenerateEvent(event)) = &polled {
            self.note(event);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_and_circuits_of_one_street_are_bounded() {
        let limits = Limits {
            reservations_per_prefix: 2,
            circuits_per_prefix: 3,
            relay_asks_per_peer_and_minute: 4,
            ..Limits::default()
        };
        let relaying = Relaying::new(PeerId::random(), &limits, Arc::default());
        let street: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let town: Multiaddr = "/ip4/198.51.100.1/tcp/1".parse().unwrap();
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        let reserve = |peer, addr: &Multiaddr| {
            let granted = relaying.granted.lock().may_reserve(peer, addr);
            if granted {
                let event =
                    relay::Event::ReservationReqAccepted { src_peer_id: peer, renewed: false };
                relaying.note(&event);
            }
            granted
        };
        assert!(reserve(a, &street) && reserve(b, &street));
        assert!(!reserve(c, &street), "two for one street");
        assert!(reserve(c, &town) && reserve(a, &street), "others, and who renews");
        relaying.note(&relay::Event::ReservationClosed { src_peer_id: b });
        assert_eq!(relaying.counters.reservations.now(), 2);
        let connect = |peer, addr: &Multiaddr| {
            let granted = relaying.granted.lock().may_connect(peer, addr);
            if granted {
                let dst_peer_id = PeerId::random();
                relaying.note(&relay::Event::CircuitReqAccepted { src_peer_id: peer, dst_peer_id });
            }
            granted
        };
        assert!(connect(a, &street) && connect(a, &street) && connect(b, &street));
        assert!(!connect(b, &street), "three for one street");
        assert!(connect(c, &town));
        assert_eq!(relaying.counters.circuits.now(), 4);
        let dst_peer_id = PeerId::random();
        let closed = relay::Event::CircuitClosed { src_peer_id: a, dst_peer_id, error: None };
        relaying.note(&closed);
        relaying.note(&closed);
        assert!(!connect(a, &street), "four of one peer in a minute");
        assert!(connect(b, &street));
        assert_eq!(relaying.granted.lock().circuits.len(), 2);
    }
}
