//! The world between the peers: who is there, who is connected, what is cut.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use craftec_core::PeerId;
use craftec_p2p::{ByteStream, Protocol, RecordCheck, Role};
use craftec_platform::sim::{Executor, SimClock, SimEntropy};
use futures::channel::mpsc;

use super::{
    SimNetwork, Weather,
    dht::Shelf,
    events::{Listener, Listeners},
    links::{Connection, Pair},
};
use crate::Trace;

/// Streams that wait to be accepted, per protocol.
const WAITING_STREAMS: usize = 256;
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
    pub(super) connections: RefCell<BTreeMap<Pair, Connection>>,
    /// Who wants nothing to do with whom, and until when.
    pub(super) bans: RefCell<BTreeMap<(PeerId, PeerId), Duration>>,
    next: Cell<u64>,
}

type Waiting = mpsc::Sender<(PeerId, ByteStream)>;

pub(super) struct Peer {
    /// Where it is dialed; kept, since the text of a peer id takes a while to make.
    pub(super) address: String,
    pub(super) role: Role,
    pub(super) up: bool,
    /// The number of the freeze that it is in.
    pub(super) frozen: Option<u64>,
    /// Those whom it believes to be connected to.
    pub(super) neighbours: BTreeSet<PeerId>,
    pub(super) check: Arc<dyn RecordCheck>,
    pub(super) shelf: Shelf,
    incarnation: u64,
    pub(super) listeners: Listeners,
    pub(super) accepting: BTreeMap<&'static str, (Protocol, Waiting)>,
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
            frozen: None,
            neighbours: BTreeSet::new(),
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

    /// Puts `peer` somewhere on the network, as seen over connections that are made from now on: `at` is
    /// the beginning of a multiaddr, for instance `/ip4/203.0.113.7/tcp/4001`.
    pub fn locate(&self, peer: &PeerId, at: &str) {
        if let Some(entry) = self.0.peers.borrow_mut().get_mut(peer) {
            entry.address = format!("{at}/p2p/{peer}");
        }
    }

    /// How many connections `peer` believes to have.
    pub fn links(&self, peer: &PeerId) -> usize {
        self.0.peers.borrow().get(peer).map_or(0, |entry| entry.neighbours.len())
    }

    /// Makes what `peer` keeps of the DHT lie, or honest again: it holds on to the first record of each
    /// key, acknowledges newer ones without taking them, and answers with forged ones and with
    /// providers that do not exist.
    pub fn warp(&self, peer: PeerId, lies: bool) {
        if let Some(entry) = self.0.peers.borrow_mut().get_mut(&peer) {
            entry.shelf.lies = lies;
        }
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
                connection.fall_silent();
                silent.push((*pair, connection.id));
            }
        }
        self.lose_later(silent, |_| true);
    }

    /// `peer` stands still, as a hidden tab does: what was sent to it waits in its buffers, nobody
    /// reaches it anew, and whoever is connected gives it up after some seconds of silence.
    pub fn freeze(&self, peer: &PeerId) {
        let number = self.number();
        if let Some(entry) = self.0.peers.borrow_mut().get_mut(peer) {
            entry.frozen = Some(number);
        }
        let connections = self.0.connections.borrow();
        let of_peer = connections.iter().filter(|(pair, _)| pair.0 == *peer || pair.1 == *peer);
        let of_peer = of_peer.map(|(pair, connection)| (*pair, connection.id)).collect();
        let peer = *peer;
        self.lose_later(of_peer, move |fabric| {
            let peers = fabric.0.peers.borrow();
            peers.get(&peer).is_some_and(|entry| entry.frozen == Some(number))
        });
    }

    /// `peer` goes on.
    pub fn thaw(&self, peer: &PeerId) {
        if let Some(entry) = self.0.peers.borrow_mut().get_mut(peer) {
            entry.frozen = None;
        }
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
        entry.frozen = None;
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
        let peers = self.0.peers.borrow();
        let awake = peers.get(to).is_some_and(|peer| peer.up && peer.frozen.is_none());
        awake && !self.is_cut(from, to) && !self.is_cut(to, from)
    }

    pub(super) fn is_current(&self, peer: &PeerId, incarnation: u64) -> bool {
        let peers = self.0.peers.borrow();
        peers.get(peer).is_some_and(|entry| entry.up && entry.incarnation == incarnation)
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

    pub(super) fn number(&self) -> u64 {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        number
    }
}
