//! The world between the peers: who is there, who is connected, what is cut.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use craftec_core::PeerId;
use craftec_p2p::{ByteStream, Link, NetError, NetEvent, PeerInfo, Protocol, RecordCheck, Role};
use craftec_platform::{
    Clock,
    sim::{Executor, SimClock, SimEntropy},
};
use futures::channel::mpsc;

use super::{
    SimNetwork, Weather,
    dht::Shelf,
    events::{Listener, Listeners},
    pipe::{Endpoint, Pipe},
};
use crate::Trace;

/// How long opening a connection or a stream may take, as the port says.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// After so long without a sign of life a connection is given up, as QUIC and WebRTC do.
const SILENCE: Duration = Duration::from_secs(8);
/// Streams that wait to be accepted, per protocol.
const WAITING_STREAMS: usize = 256;
/// The protocol whose answers carry blocks.
const EXCHANGE: &str = "obj";
/// The fabric's own stream of dice; nodes have theirs.
const DICE: u64 = u64::MAX;

/// What a peer brings when it joins.
pub struct Joined {
    /// Who it is.
    pub peer: PeerId,
    /// What it says it is. Relays keep the DHT; tabs only ask it.
    pub role: Role,
    /// Its rule for records in the DHT.
    pub check: Arc<dyn RecordCheck>,
}

/// The network between all simulated peers. Cloning shares it.
#[derive(Clone)]
pub struct Fabric(pub(super) Rc<Inner>);

pub(super) struct Inner {
    seed: u64,
    clock: SimClock,
    dice: SimEntropy,
    trace: Trace,
    weather: Cell<Weather>,
    cut: RefCell<BTreeSet<(PeerId, PeerId)>>,
    bent: RefCell<BTreeSet<PeerId>>,
    /// Answers that were bent, by liar and listener.
    lies: RefCell<BTreeMap<(PeerId, PeerId), u64>>,
    pub(super) peers: RefCell<BTreeMap<PeerId, Peer>>,
    connections: RefCell<BTreeMap<(PeerId, PeerId), Connection>>,
    /// Who wants nothing to do with whom, and until when.
    bans: RefCell<BTreeMap<(PeerId, PeerId), Duration>>,
    next: Cell<u64>,
}

type Waiting = mpsc::Sender<(PeerId, ByteStream)>;

pub(super) struct Peer {
    /// Where it is dialed; kept, since the text of a peer id takes a while to make.
    pub(super) address: String,
    pub(super) role: Role,
    pub(super) up: bool,
    pub(super) check: Arc<dyn RecordCheck>,
    pub(super) shelf: Shelf,
    incarnation: u64,
    listeners: Listeners,
    accepting: BTreeMap<&'static str, (Protocol, Waiting)>,
}

struct Connection {
    id: u64,
    silent: bool,
    pipes: Vec<Weak<RefCell<Pipe>>>,
}

fn pair(a: &PeerId, b: &PeerId) -> (PeerId, PeerId) {
    (*a.min(b), *a.max(b))
}

impl Fabric {
    /// A network of `seed` without peers.
    pub fn new(executor: &Executor, seed: u64, weather: Weather) -> Self {
        Self(Rc::new(Inner {
            seed,
            clock: executor.clock().0,
            dice: SimEntropy::stream(seed, DICE),
            trace: Trace::default(),
            weather: Cell::new(weather),
            cut: RefCell::default(),
            bent: RefCell::default(),
            lies: RefCell::default(),
            peers: RefCell::default(),
            connections: RefCell::default(),
            bans: RefCell::default(),
            next: Cell::new(0),
        }))
    }

    /// Lets a peer in, for the first time or again.
    pub fn join(&self, joined: Joined) -> SimNetwork {
        let Joined { peer, role, check } = joined;
        let incarnation = self.number();
        let mut peers = self.0.peers.borrow_mut();
        let address = match peers.get(&peer) {
            Some(known) => known.address.clone(),
            None => format!("/memory/{}/p2p/{peer}", peers.len()),
        };
        let entry = Peer {
            address,
            role,
            up: true,
            check,
            shelf: Shelf::default(),
            incarnation,
            listeners: Listeners::default(),
            accepting: BTreeMap::new(),
        };
        let before = peers.insert(peer, entry);
        drop(peers);
        drop(before);
        SimNetwork::new(self.clone(), peer, incarnation)
    }

    /// Everything delivered so far.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Changes the weather for everyone.
    pub fn set_weather(&self, weather: Weather) {
        self.0.weather.set(weather);
    }

    /// Cuts the way from every one of `from` to every one of `to`; the way back stays.
    pub fn cut(&self, from: &[PeerId], to: &[PeerId]) {
        let mut cut = self.0.cut.borrow_mut();
        cut.extend(from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))));
    }

    /// Mends all that was cut.
    pub fn heal(&self) {
        self.0.cut.borrow_mut().clear();
    }

    /// Makes `peer` a liar, or honest again: a bit of every block that it sends is wrong.
    pub fn bend(&self, peer: PeerId, lies: bool) {
        let mut bent = self.0.bent.borrow_mut();
        if lies {
            bent.insert(peer)
        } else {
            bent.remove(&peer)
        };
    }

    /// How many wrong pieces of answers `liar` sent to `to`.
    pub fn lies(&self, liar: &PeerId, to: &PeerId) -> u64 {
        self.0.lies.borrow().get(&(*liar, *to)).copied().unwrap_or(0)
    }

    pub(super) fn lied(&self, liar: &PeerId, to: &PeerId) {
        *self.0.lies.borrow_mut().entry((*liar, *to)).or_default() += 1;
    }

    /// `peer` loses power: it is gone at once, and the others notice by its silence.
    pub fn power_off(&self, peer: &PeerId) {
        self.leave(peer);
        let mut silent = Vec::new();
        for (pair, connection) in self.0.connections.borrow_mut().iter_mut() {
            if pair.0 == *peer || pair.1 == *peer {
                connection.silent = true;
                silent.push((*pair, connection.id));
                for pipe in connection.pipes.iter().filter_map(Weak::upgrade) {
                    pipe.borrow_mut().silent = true;
                }
            }
        }
        let fabric = self.clone();
        self.clock().spawn(Box::pin(async move {
            fabric.clock().sleep(SILENCE).await;
            for (pair, id) in silent {
                let current = fabric.0.connections.borrow().get(&pair).map(|c| c.id);
                if current == Some(id) {
                    fabric.lose_connection(&pair.0, &pair.1, "no sign of life");
                }
            }
        }));
    }

    /// `peer` says goodbye, if it is still the one that joined as `incarnation`.
    pub(super) fn goodbye(&self, peer: &PeerId, incarnation: u64) {
        if !self.is_current(peer, incarnation) {
            return;
        }
        self.leave(peer);
        for other in self.neighbours(peer) {
            self.lose_connection(peer, &other, "closed");
        }
    }

    fn leave(&self, peer: &PeerId) {
        let mut peers = self.0.peers.borrow_mut();
        let Some(entry) = peers.get_mut(peer) else { return };
        entry.up = false;
        entry.incarnation = self.number();
        entry.listeners.close();
        let accepting = std::mem::take(&mut entry.accepting);
        drop(peers);
        // Outside the borrow: streams that nobody accepted end here.
        drop(accepting);
    }

    pub(super) fn clock(&self) -> &SimClock {
        &self.0.clock
    }

    pub(super) fn dice(&self) -> &SimEntropy {
        &self.0.dice
    }

    pub(super) fn weather(&self) -> Weather {
        self.0.weather.get()
    }

    pub(super) fn delay(&self, a: &PeerId, b: &PeerId) -> Duration {
        self.weather().delay(self.0.seed, a, b)
    }

    pub(super) fn is_bent(&self, peer: &PeerId) -> bool {
        self.0.bent.borrow().contains(peer)
    }

    pub(super) fn is_cut(&self, from: &PeerId, to: &PeerId) -> bool {
        self.0.cut.borrow().contains(&(*from, *to))
    }

    /// Whether messages pass both ways and the other side runs.
    pub(super) fn reaches(&self, from: &PeerId, to: &PeerId) -> bool {
        let up = self.0.peers.borrow().get(to).is_some_and(|peer| peer.up);
        up && !self.is_cut(from, to) && !self.is_cut(to, from)
    }

    pub(super) fn is_current(&self, peer: &PeerId, incarnation: u64) -> bool {
        let peers = self.0.peers.borrow();
        peers.get(peer).is_some_and(|entry| entry.up && entry.incarnation == incarnation)
    }

    pub(super) fn neighbours(&self, me: &PeerId) -> Vec<PeerId> {
        let connections = self.0.connections.borrow();
        let other = |(a, b): &(PeerId, PeerId)| match me {
            me if me == a => Some(*b),
            me if me == b => Some(*a),
            _ => None,
        };
        let mut others: Vec<PeerId> = connections.keys().filter_map(other).collect();
        others.sort();
        others
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

    pub(super) fn listen(&self, me: &PeerId) -> Listener {
        let mut peers = self.0.peers.borrow_mut();
        peers.get_mut(me).map_or_else(Listener::closed, |peer| peer.listeners.listen())
    }

    pub(super) fn accept(
        &self,
        me: &PeerId,
        protocol: Protocol,
    ) -> Option<mpsc::Receiver<(PeerId, ByteStream)>> {
        let (sender, receiver) = mpsc::channel(WAITING_STREAMS);
        let mut peers = self.0.peers.borrow_mut();
        let before = peers.get_mut(me)?.accepting.insert(protocol.name, (protocol, sender));
        drop(peers);
        drop(before);
        Some(receiver)
    }

    /// Connects `me` to `peer`, or does nothing where they are connected.
    pub(super) async fn connect(&self, me: PeerId, peer: PeerId) -> Result<(), NetError> {
        if self.is_connected(&me, &peer) {
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

    fn is_connected(&self, a: &PeerId, b: &PeerId) -> bool {
        self.0.connections.borrow().get(&pair(a, b)).is_some_and(|connection| !connection.silent)
    }

    fn register(&self, me: &PeerId, peer: &PeerId) {
        if self.is_connected(me, peer) {
            return;
        }
        // A connection from before the other side lost power may still be there.
        self.lose_connection(me, peer, "replaced by a newer connection");
        let connection = Connection { id: self.number(), silent: false, pipes: Vec::new() };
        self.0.connections.borrow_mut().insert(pair(me, peer), connection);
        self.trace().record("connect", self.clock().monotonic(), me, peer, &[]);
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
        self.tell(a, &NetEvent::Disconnected(*b));
        self.tell(b, &NetEvent::Disconnected(*a));
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
            self.lose_connection(&me, &peer, "too many packets were lost");
            return Err(lost("too many packets were lost"));
        };
        self.clock().sleep(delay + late).await;
        if !self.reaches(&me, &peer) {
            self.clock().sleep(OPEN_LIMIT - (delay + late).min(OPEN_LIMIT)).await;
            return Err(NetError::Timeout { peer, ms: OPEN_LIMIT.as_millis() as u64 });
        }
        if !self.is_connected(&me, &peer) {
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

    fn number(&self) -> u64 {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        number
    }
}
