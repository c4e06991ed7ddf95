//! Connections: how they come about, what each side believes of them, and how they end.
//!
//! The two sides of a connection need not agree: one may have given it up while the other still
//! believes in it (half open), until it notices the silence.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    time::Duration,
};

use craftec_core::PeerId;
use craftec_p2p::{ByteStream, Link, NetError, NetEvent, PeerInfo, Protocol, Role};
use craftec_platform::Clock;

use super::{
    fabric::Fabric,
    pipe::{Endpoint, Pipe},
};

/// How long opening a connection or a stream may take, as the port says.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// After so long without a sign of life a connection is given up, as QUIC does, and WebRTC, which takes
/// longer to be sure.
const SILENCE: Duration = Duration::from_secs(8);
const SILENCE_OF_TABS: Duration = Duration::from_secs(13);
/// The protocol whose answers carry blocks.
const EXCHANGE: &str = "obj";

/// Both ends of a link, the smaller first.
pub(super) type Pair = (PeerId, PeerId);

pub(super) struct Connection {
    pub(super) id: u64,
    /// Nothing passes any more, and at least one side has not noticed.
    silent: bool,
    pipes: Vec<Weak<RefCell<Pipe>>>,
}

impl Connection {
    /// Nothing passes from now on.
    pub(super) fn fall_silent(&mut self) {
        self.silent = true;
        for pipe in self.pipes.iter().filter_map(Weak::upgrade) {
            pipe.borrow_mut().silent = true;
        }
    }
}

fn pair(a: &PeerId, b: &PeerId) -> Pair {
    (*a.min(b), *a.max(b))
}

impl Fabric {
    /// Those whom `me` believes to be connected to.
    pub(super) fn neighbours(&self, me: &PeerId) -> Vec<PeerId> {
        let peers = self.0.peers.borrow();
        peers.get(me).map_or_else(Vec::new, |peer| peer.neighbours.iter().copied().collect())
    }

    pub(super) fn info(&self, me: &PeerId, other: &PeerId) -> Option<PeerInfo> {
        let peers = self.0.peers.borrow();
        let (mine, theirs) = (peers.get(me)?, peers.get(other)?);
        let link = match (mine.role, theirs.role) {
            (Role::Tab, Role::Tab) => Link::WebRtc,
            (Role::Tab, _) | (_, Role::Tab) => Link::WebSocket,
            _ => Link::Quic,
        };
        Some(PeerInfo {
            peer: *other,
            link,
            role: theirs.role,
            rtt_ms: Some(2 * self.delay(me, other).as_millis() as u32),
            addr: theirs.address.clone(),
            agent: "craftec-sim".to_owned(),
            via: None,
        })
    }

    /// Connects `me` to `peer`, or does nothing where it believes that they are connected.
    pub(super) async fn connect(&self, me: PeerId, peer: PeerId) -> Result<(), NetError> {
        if self.believes(&me, &peer) {
            return Ok(());
        }
        let unreachable = |reason: &str| NetError::Unreachable { peer, reason: reason.to_owned() };
        if peer == me {
            return Err(unreachable("that is this node itself"));
        }
        if self.is_banned(&me, &peer) || self.is_banned(&peer, &me) {
            return Err(unreachable("no connection is wanted"));
        }
        let delay = self.delay(&me, &peer);
        let late = self.weather().mishap(self.dice(), delay, 1400);
        let (true, Some(late)) = (self.reaches(&me, &peer), late) else {
            self.clock().sleep(OPEN_LIMIT).await;
            return Err(unreachable("no address answered"));
        };
        // One round trip for the handshake; the other side knows half a round trip earlier.
        self.clock().sleep(delay * 3 + late).await;
        if !self.reaches(&me, &peer) || !self.reaches(&peer, &me) {
            return Err(unreachable("it left during the handshake"));
        }
        if self.is_banned(&me, &peer) || self.is_banned(&peer, &me) {
            return Err(unreachable("no connection is wanted"));
        }
        self.register(&me, &peer);
        Ok(())
    }

    /// Ends the connection of two peers; `me` wants none for the time of `ban`.
    pub(super) fn disconnect(&self, me: &PeerId, peer: &PeerId, ban: Duration, reason: &str) {
        let now = self.clock().monotonic();
        let mut bans = self.0.bans.borrow_mut();
        bans.retain(|_, until| *until > now);
        if !ban.is_zero() {
            bans.insert((*me, *peer), now + ban);
        }
        drop(bans);
        self.lose_connection(me, peer, reason);
    }

    fn is_banned(&self, by: &PeerId, peer: &PeerId) -> bool {
        let until = self.0.bans.borrow().get(&(*by, *peer)).copied();
        until.is_some_and(|until| until > self.clock().monotonic())
    }

    fn believes(&self, me: &PeerId, peer: &PeerId) -> bool {
        let peers = self.0.peers.borrow();
        peers.get(me).is_some_and(|entry| entry.neighbours.contains(peer))
    }

    fn is_alive(&self, a: &PeerId, b: &PeerId) -> bool {
        self.0.connections.borrow().get(&pair(a, b)).is_some_and(|connection| !connection.silent)
    }

    fn register(&self, me: &PeerId, peer: &PeerId) {
        if self.is_alive(me, peer) {
            return;
        }
        // A connection in which only the other side still believes may be there.
        self.lose_connection(me, peer, "replaced by a newer connection");
        let connection = Connection { id: self.number(), silent: false, pipes: Vec::new() };
        self.0.connections.borrow_mut().insert(pair(me, peer), connection);
        self.trace().record("connect", self.clock().monotonic(), me, peer, &[]);
        for (who, other) in [(me, peer), (peer, me)] {
            if let Some(entry) = self.0.peers.borrow_mut().get_mut(who) {
                entry.neighbours.insert(*other);
            }
        }
        for (who, other) in [(me, peer), (peer, me)] {
            if let Some(info) = self.info(who, other) {
                self.tell(who, &NetEvent::Connected(info));
            }
        }
    }

    /// Ends the connection of two peers, if there is one, and everything on it.
    pub(super) fn lose_connection(&self, a: &PeerId, b: &PeerId, reason: &str) {
        let Some(connection) = self.0.connections.borrow_mut().remove(&pair(a, b)) else { return };
        self.trace().record("lost", self.clock().monotonic(), a, b, reason.as_bytes());
        for pipe in connection.pipes.iter().filter_map(Weak::upgrade) {
            pipe.borrow_mut().break_off(reason);
        }
        self.forget(a, b);
        self.forget(b, a);
    }

    /// The weather broke a connection. Half of the time both sides learn of it at once; else `first`
    /// does, and the other is left with a half-open connection until it misses a sign of life.
    pub(super) fn break_connection(&self, first: &PeerId, other: &PeerId, reason: &str) {
        if !self.dice().chance(self.weather().half_open_per_million) {
            return self.lose_connection(first, other, reason);
        }
        let key = pair(first, other);
        let id = {
            let mut connections = self.0.connections.borrow_mut();
            let Some(connection) = connections.get_mut(&key) else { return };
            connection.fall_silent();
            for pipe in connection.pipes.iter().filter_map(Weak::upgrade) {
                pipe.borrow_mut().break_for(first, reason);
            }
            connection.id
        };
        self.trace().record("half", self.clock().monotonic(), first, other, reason.as_bytes());
        self.forget(first, other);
        self.lose_later(vec![(key, id)], |_| true);
    }

    /// After the time of silence, ends those of `connections` that are still the same, if `doomed`
    /// says so then.
    pub(super) fn lose_later(
        &self,
        connections: Vec<(Pair, u64)>,
        doomed: impl FnOnce(&Self) -> bool + Clone + 'static,
    ) {
        let of_tabs = |(pair, _): &(Pair, u64)| self.are_tabs(pair);
        let (tabs, others) = connections.into_iter().partition(of_tabs);
        for (silence, connections) in [(SILENCE, others), (SILENCE_OF_TABS, tabs)] {
            self.lose_after(silence, connections, doomed.clone());
        }
    }

    fn lose_after(
        &self,
        silence: Duration,
        connections: Vec<(Pair, u64)>,
        doomed: impl FnOnce(&Self) -> bool + 'static,
    ) {
        if connections.is_empty() {
            return;
        }
        let fabric = self.clone();
        self.clock().spawn(Box::pin(async move {
            fabric.clock().sleep(silence).await;
            if !doomed(&fabric) {
                return;
            }
            for (pair, id) in connections {
                let current = fabric.0.connections.borrow().get(&pair).map(|c| c.id);
                if current == Some(id) {
                    fabric.lose_connection(&pair.0, &pair.1, "no sign of life");
                }
            }
        }));
    }

    fn are_tabs(&self, (a, b): &Pair) -> bool {
        let peers = self.0.peers.borrow();
        let is_tab = |peer| peers.get(peer).is_some_and(|entry| entry.role == Role::Tab);
        is_tab(a) && is_tab(b)
    }

    /// `who` no longer believes to be connected to `other`, and hears so.
    fn forget(&self, who: &PeerId, other: &PeerId) {
        let believed = {
            let mut peers = self.0.peers.borrow_mut();
            peers.get_mut(who).is_some_and(|entry| entry.neighbours.remove(other))
        };
        if believed {
            self.tell(who, &NetEvent::Disconnected(*other));
        }
    }

    fn tell(&self, peer: &PeerId, event: &NetEvent) {
        if let Some(peer) = self.0.peers.borrow().get(peer) {
            peer.listeners.tell(event);
        }
    }

    /// Opens a stream from `me` to `peer`, connecting them first.
    pub(super) async fn open(
        &self,
        me: PeerId,
        peer: PeerId,
        protocol: Protocol,
    ) -> Result<ByteStream, NetError> {
        self.connect(me, peer).await?;
        let delay = self.delay(&me, &peer);
        let lost = |reason: &str| NetError::Lost { peer, reason: reason.to_owned() };
        let Some(late) = self.weather().mishap(self.dice(), delay, 64) else {
            self.break_connection(&me, &peer, "too many packets were lost");
            return Err(lost("too many packets were lost"));
        };
        self.clock().sleep(delay + late).await;
        let stands = self.is_alive(&me, &peer) || !self.believes(&me, &peer);
        if !self.reaches(&me, &peer) || !stands {
            self.clock().sleep(OPEN_LIMIT - (delay + late).min(OPEN_LIMIT)).await;
            return Err(NetError::Timeout { peer, ms: OPEN_LIMIT.as_millis() as u64 });
        }
        if !self.is_alive(&me, &peer) {
            return Err(lost("the connection ended"));
        }
        let accepted = {
            let peers = self.0.peers.borrow();
            let known = peers.get(&peer).and_then(|entry| entry.accepting.get(protocol.name));
            known.and_then(|(theirs, waiting)| {
                let spoken = protocol.versions.iter().find(|v| theirs.versions.contains(v))?;
                Some((*spoken, waiting.clone()))
            })
        };
        let Some((version, mut waiting)) = accepted else {
            self.clock().sleep(delay).await;
            return Err(NetError::Unsupported { peer, protocol: protocol.name });
        };
        let (ours, theirs) = self.stream(me, peer, protocol);
        if waiting.try_send((me, ByteStream::new(version, theirs))).is_err() {
            return Err(lost("it has too many streams waiting"));
        }
        self.clock().sleep(delay).await;
        Ok(ByteStream::new(version, ours))
    }

    fn stream(&self, me: PeerId, peer: PeerId, protocol: Protocol) -> (Endpoint, Endpoint) {
        // Only answers are bent: a liar asks for itself.
        let answers = protocol.name == EXCHANGE;
        let (there, back) = (Pipe::new(me, peer, false), Pipe::new(peer, me, answers));
        if let Some(connection) = self.0.connections.borrow_mut().get_mut(&pair(&me, &peer)) {
            connection.pipes.retain(|pipe| pipe.strong_count() > 0);
            connection.pipes.extend([Rc::downgrade(&there), Rc::downgrade(&back)]);
        }
        let ours =
            Endpoint { fabric: self.clone(), incoming: back.clone(), outgoing: there.clone() };
        let theirs = Endpoint { fabric: self.clone(), incoming: there, outgoing: back };
        (ours, theirs)
    }
}
