//! Who may connect: by the operator's list, by how many neighbours are here already, and by the
//! memory that is left. Newcomers are refused; whoever is connected is served on.
//!
//! A behaviour without streams. It closes a connection only when the list begins to deny it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::{
    Multiaddr, PeerId,
    connection_limits::Exceeded,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    multiaddr::Protocol as Part,
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, ListenError, NetworkBehaviour,
        THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::{denied::Denials, memory::Memory};
use crate::{
    Limits, Prefix,
    counters::{Carrier, Counters, Refusal},
    libp2p::{from_libp2p, is_circuit},
    limits::RATED,
    rate::{Buckets, Rate},
};

/// How often the list and the memory are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A connection was not let in.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("refused: {}", .0.name())]
struct Refused(Refusal);

struct Open {
    peer: PeerId,
    ip: Option<IpAddr>,
    prefix: Option<Prefix>,
    carrier: Carrier,
    inbound: bool,
}

/// The behaviour.
pub(crate) struct Admission {
    limits: Limits,
    counters: Arc<Counters>,
    denials: Denials,
    /// The list that all open connections were checked against.
    checked: u64,
    memory: Memory,
    /// Handshakes under way.
    pending: HashMap<ConnectionId, Option<Prefix>>,
    open: HashMap<ConnectionId, Open>,
    /// Handshakes and open connections by prefix.
    prefixes: BTreeMap<Prefix, (u64, u64)>,
    rates: Buckets<Prefix>,
    started: Instant,
    look: Delay,
    queue: VecDeque<ToSwarm<Infallible, Infallible>>,
}

impl Admission {
    pub(crate) fn new(limits: Limits, counters: Arc<Counters>, denials: Denials) -> Self {
        let rate = Rate::per_minute(limits.connects_per_prefix_and_minute);
        Self {
            memory: Memory::new(limits.memory_bytes),
            rates: Buckets::new(rate, RATED),
            limits,
            counters,
            denials,
            checked: 0,
            pending: HashMap::new(),
            open: HashMap::new(),
            prefixes: BTreeMap::new(),
            started: Instant::now(),
            look: Delay::new(LOOK),
            queue: VecDeque::new(),
        }
    }

    fn refuse<T>(&self, why: Refusal) -> Result<T, ConnectionDenied> {
        self.counters.refused(why);
        Err(ConnectionDenied::new(Refused(why)))
    }

    /// The prefix that a connection counts for.
    fn counted(&self, ip: Option<IpAddr>) -> Option<Prefix> {
        ip.map(Prefix::of).filter(|prefix| self.limits.counts(*prefix))
    }

    /// Connections that a prefix may have now: its limit, and of what is left a quarter.
    fn share(&self) -> u64 {
        let free = self.limits.connections.saturating_sub(self.open.len() as u64);
        self.limits.connections_per_prefix.min((free / 4).max(1))
    }

    /// The same for handshakes under way.
    fn share_of_handshakes(&self) -> u64 {
        let free = self.limits.handshakes.saturating_sub(self.pending.len() as u64);
        self.limits.handshakes_per_prefix.min((free / 4).max(1))
    }

    fn of_prefix(&self, prefix: Prefix) -> (u64, u64) {
        self.prefixes.get(&prefix).copied().unwrap_or_default()
    }

    fn count(&mut self, prefix: Option<Prefix>, change: impl FnOnce(&mut (u64, u64))) {
        let Some(prefix) = prefix else { return };
        let counts = self.prefixes.entry(prefix).or_default();
        change(counts);
        if *counts == (0, 0) {
            self.prefixes.remove(&prefix);
        }
        self.counters.prefixes.set(self.prefixes.len() as u64);
    }

    fn end_handshake(&mut self, id: ConnectionId) {
        if let Some(prefix) = self.pending.remove(&id) {
            self.count(prefix, |counts| counts.0 = counts.0.saturating_sub(1));
        }
    }

    fn knock(&mut self, id: ConnectionId, ip: Option<IpAddr>) -> Result<(), ConnectionDenied> {
        if ip.is_some_and(|ip| self.denials.now().0.has_ip(ip)) {
            return self.refuse(Refusal::Denied);
        }
        if self.memory.is_short() {
            return self.refuse(Refusal::Memory);
        }
        let prefix = self.counted(ip);
        if let Some(prefix) = prefix {
            let (handshakes, open) = self.of_prefix(prefix);
            if handshakes >= self.share_of_handshakes() {
                return self.refuse(Refusal::Handshakes);
            }
            if open + handshakes >= self.share() {
                return self.refuse(Refusal::Prefix);
            }
            if !self.rates.try_take(prefix, 1, self.started.elapsed()) {
                return self.refuse(Refusal::Rate);
            }
        }
        self.pending.insert(id, prefix);
        self.count(prefix, |counts| counts.0 += 1);
        Ok(())
    }

    fn enter(&mut self, peer: &PeerId, ip: Option<IpAddr>) -> Result<(), ConnectionDenied> {
        let denied = self.denials.now().0;
        if ip.is_some_and(|ip| denied.has_ip(ip))
            || from_libp2p(peer).is_some_and(|peer| denied.has_peer(&peer))
        {
            return self.refuse(Refusal::Denied);
        }
        match self.counted(ip) {
            Some(prefix) if self.of_prefix(prefix).1 >= self.share() => {
                self.refuse(Refusal::Prefix)
            }
            _ => Ok(()),
        }
    }

    /// Closes what a new list forbids.
    fn check_list(&mut self) {
        let (denied, version) = self.denials.now();
        if version == self.checked {
            return;
        }
        self.checked = version;
        for (id, open) in &self.open {
            let is_denied = open.ip.is_some_and(|ip| denied.has_ip(ip))
                || from_libp2p(&open.peer).is_some_and(|peer| denied.has_peer(&peer));
            if is_denied {
                self.counters.refused(Refusal::Denied);
                let connection = CloseConnection::One(*id);
                self.queue.push_back(ToSwarm::CloseConnection { peer_id: open.peer, connection });
            }
        }
    }

    fn established(&mut self, id: ConnectionId, peer: PeerId, at: &ConnectedPoint) {
        self.end_handshake(id);
        let ip = ip_of(at.get_remote_address());
        let (prefix, carrier, inbound) = (self.counted(ip), carrier_of(at), at.is_listener());
        self.count(prefix, |counts| counts.1 += 1);
        self.counters.open.of(carrier, inbound).up();
        self.counters.established.of(carrier, inbound).up();
        self.open.insert(id, Open { peer, ip, prefix, carrier, inbound });
    }

    fn closed(&mut self, id: ConnectionId) {
        if let Some(open) = self.open.remove(&id) {
            self.count(open.prefix, |counts| counts.1 = counts.1.saturating_sub(1));
            self.counters.open.of(open.carrier, open.inbound).down();
        }
    }
}

/// The address of the far end; none behind a relay.
fn ip_of(addr: &Multiaddr) -> Option<IpAddr> {
    if is_circuit(addr) {
        return None;
    }
    match addr.iter().next()? {
        Part::Ip4(ip) => Some(ip.into()),
        Part::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// What carries a connection.
pub(crate) fn carrier_of(at: &ConnectedPoint) -> Carrier {
    let addr = match at {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { local_addr, .. } => local_addr,
    };
    let mut carrier = Carrier::Tcp;
    let mut tls = false;
    for part in addr.iter() {
        match part {
            Part::P2pCircuit => return Carrier::Relayed,
            Part::QuicV1 | Part::Quic => carrier = Carrier::Quic,
            Part::Tls => tls = true,
            Part::Ws(_) if tls => carrier = Carrier::Wss,
            Part::Ws(_) => carrier = Carrier::Ws,
            Part::Wss(_) => carrier = Carrier::Wss,
            _ => {}
        }
    }
    carrier
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.knock(id, ip_of(remote))
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.end_handshake(id);
        self.enter(&peer, ip_of(remote))?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let peer = peer.and_then(|peer| from_libp2p(&peer));
        if peer.is_some_and(|peer| self.denials.now().0.has_peer(&peer)) {
            return self.refuse(Refusal::Denied);
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // We chose to dial: neighbours are not counted, the list holds.
        let denied = self.denials.now().0;
        if ip_of(addr).is_some_and(|ip| denied.has_ip(ip))
            || from_libp2p(&peer).is_some_and(|peer| denied.has_peer(&peer))
        {
            return self.refuse(Refusal::Denied);
        }
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(new) => {
                self.established(new.connection_id, new.peer_id, new.endpoint);
            }
            FromSwarm::ConnectionClosed(gone) => self.closed(gone.connection_id),
            FromSwarm::ListenFailure(failed) => {
                self.end_handshake(failed.connection_id);
                if let ListenError::Denied { cause } = failed.error
                    && cause.downcast_ref::<Exceeded>().is_some()
                {
                    self.counters.refused(Refusal::Total);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while self.look.poll_unpin(cx).is_ready() {
            self.look.reset(LOOK);
            self.memory.look();
            self.check_list();
        }
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::Denied;

    fn addr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    struct Door(Admission, usize);

    impl Door {
        fn new(limits: Limits) -> Self {
            Self(Admission::new(limits, Arc::default(), Denials::default()), 0)
        }

        /// Someone connects from `ip`; the id of the connection if it was let in.
        fn connect(&mut self, ip: &str, peer: PeerId) -> Option<ConnectionId> {
            self.1 += 1;
            let id = ConnectionId::new_unchecked(self.1);
            let (local, remote) = (addr("/ip4/192.0.2.1/tcp/1"), addr(&format!("/ip4/{ip}/tcp/9")));
            self.0.handle_pending_inbound_connection(id, &local, &remote).ok()?;
            self.0.handle_established_inbound_connection(id, peer, &local, &remote).ok()?;
            let at = ConnectedPoint::Listener { local_addr: local, send_back_addr: remote };
            self.0.established(id, peer, &at);
            Some(id)
        }
    }

    #[test]
    fn a_street_fills_its_share_and_others_still_come_in() {
        let limits = Limits { connections: 40, connections_per_prefix: 8, ..Limits::default() };
        let mut door = Door::new(limits);
        let let_in = (0..20).filter_map(|n| door.connect(&format!("9.9.9.{n}"), PeerId::random()));
        let ids: Vec<_> = let_in.collect();
        assert_eq!(ids.len(), 8);
        assert_eq!(door.0.counters.refused[Refusal::Prefix as usize].now(), 12);
        // Three hundred streets at once: a newcomer finds a place as long as there is any.
        let many = (0..=255)
            .filter(|n| door.connect(&format!("8.8.{n}.1"), PeerId::random()).is_some())
            .count();
        assert!(many >= 32, "{many}");
        door.0.closed(ids[0]);
        assert_eq!(door.0.of_prefix(Prefix::V4([9, 9, 9])), (0, 7));
        assert_eq!(door.0.counters.open.of(Carrier::Tcp, true).now(), 7 + many as u64);
    }

    #[test]
    fn unfinished_handshakes_and_haste_are_bounded_by_prefix() {
        let limits = Limits {
            handshakes_per_prefix: 3,
            connects_per_prefix_and_minute: 5,
            ..Limits::default()
        };
        let mut door = Door::new(limits);
        let (local, remote) = (addr("/ip4/192.0.2.1/tcp/1"), addr("/ip4/9.9.9.9/tcp/9"));
        let mut knock = |n| {
            let id = ConnectionId::new_unchecked(n);
            door.0.handle_pending_inbound_connection(id, &local, &remote).is_ok()
        };
        assert_eq!((0..10).filter(|&n| knock(n)).count(), 3);
        (0..3).for_each(|n| door.0.end_handshake(ConnectionId::new_unchecked(n)));
        assert!(door.0.prefixes.is_empty());
        assert!((0..2).all(|_| door.connect("9.9.9.9", PeerId::random()).is_some()));
        assert!(door.connect("9.9.9.9", PeerId::random()).is_none(), "five in a minute");
        assert_eq!(door.0.counters.refused[Refusal::Rate as usize].now(), 1);
        assert!(door.connect("9.9.8.9", PeerId::random()).is_some());
        // This machine is not counted by prefix.
        assert!((0..50).all(|_| door.connect("127.0.0.1", PeerId::random()).is_some()));
    }

    #[test]
    fn the_denied_do_not_come_in_and_are_shown_out() {
        let mut door = Door::new(Limits::default());
        let mut keys = (1..).map(|n| {
            libp2p::identity::Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id()
        });
        let (good, bad) = (keys.next().unwrap(), keys.next().unwrap());
        assert!(door.connect("9.9.9.9", bad).is_some());
        assert!(door.connect("7.7.7.7", good).is_some());
        let mut denied = Denied::default();
        denied.add_peer(from_libp2p(&bad).unwrap());
        denied.add_block("7.7.0.0/16".parse().unwrap());
        door.0.denials.replace(denied);
        assert!(door.connect("9.9.9.9", bad).is_none());
        assert!(door.connect("7.7.1.1", good).is_none());
        assert!(door.connect("9.9.9.9", good).is_some());
        let id = ConnectionId::new_unchecked(99);
        let dial = door.0.handle_pending_outbound_connection(id, Some(bad), &[], Endpoint::Dialer);
        assert!(dial.is_err());
        door.0.check_list();
        assert_eq!(door.0.queue.len(), 2, "the peer and the network are shown out");
        door.0.check_list();
        assert_eq!(door.0.queue.len(), 2, "once");
    }
}
