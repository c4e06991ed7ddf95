//! Reaching a peer that is not connected: known addresses first, circuits through our relays a
//! moment later, a look into the DHT last.
//!
//! All who want one peer share one attempt. An attempt ends with a connection, with the failure of
//! everything tried, or when its time is up.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_core::PeerId;
use futures::channel::oneshot;
use libp2p::{
    Multiaddr,
    core::Endpoint,
    swarm::{
        ConnectionId, DialError, NetworkBehaviour,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use web_time::Instant;

use super::{
    address::{believable, circuit, from_libp2p, is_circuit, peer_of, with_peer},
    driver::Driver,
    streams::{Refused, Reply},
};
use crate::{Link, NetError, Protocol};

/// How long direct addresses are tried alone.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long an attempt may take in all.
const ATTEMPT: Duration = Duration::from_secs(8);
/// Addresses dialed in one go.
const ADDRESSES: usize = 16;
/// Relays through which a circuit is tried.
const CIRCUITS: usize = 4;
/// Reasons kept for the message of a failure.
const REASONS: usize = 6;

/// How the system says that two ports are connected already; the kind of the error is lost on its way
/// through the transports.
const PORT_TAKEN: &str = "Address already in use";

/// Where the outcome of a connect goes.
pub(crate) type ConnectReply = oneshot::Sender<Result<PeerId, NetError>>;

/// Everything being dialed.
#[derive(Default)]
pub(crate) struct Dials {
    peers: BTreeMap<libp2p::PeerId, Attempt>,
    /// Dials of one address that somebody named.
    named: BTreeMap<ConnectionId, Named>,
}

/// A dial of one address.
struct Named {
    addr: Multiaddr,
    reply: ConnectReply,
    /// From a port of its own instead of the one that we listen on.
    own_port: bool,
}

/// One peer being dialed.
struct Attempt {
    waiting: Vec<(Protocol, Reply)>,
    running: BTreeSet<ConnectionId>,
    reasons: Vec<String>,
    circuits: bool,
    looked_up: bool,
    since: Instant,
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: std::fmt::Debug,
{
    /// Opens a stream over the peer's best connection, or dials it first.
    pub(super) fn open(&mut self, peer: libp2p::PeerId, protocol: Protocol, reply: Reply) {
        if peer == *self.swarm.local_peer_id() {
            let _ = reply.send(Err(Refused::Unreachable("that is this node itself".to_owned())));
            return;
        }
        if let Some(best) = self.peers.best(&peer) {
            let on = best.id;
            self.swarm.behaviour_mut().streams.open(on, protocol, reply);
            return;
        }
        let new = !self.dials.peers.contains_key(&peer);
        let attempt = self.dials.peers.entry(peer).or_insert_with(|| Attempt {
            waiting: Vec::new(),
            running: BTreeSet::new(),
            reasons: Vec::new(),
            circuits: false,
            looked_up: false,
            since: Instant::now(),
        });
        attempt.waiting.retain(|(_, reply)| !reply.is_canceled());
        attempt.waiting.push((protocol, reply));
        if new {
            let direct = self.known_addresses(peer, false);
            self.dial(peer, direct);
            self.advance(peer);
        }
    }

    /// Dials one address.
    pub(super) fn connect(&mut self, addr: Multiaddr, reply: ConnectReply) {
        let peer = peer_of(&addr);
        // Through a relay is not yet what a direct address asks for.
        let as_good = |peer: &libp2p::PeerId| {
            self.peers.best(peer).is_some_and(|c| c.link != Link::Relayed || is_circuit(&addr))
        };
        if let Some(peer) = peer.filter(as_good) {
            let _ = reply.send(known(peer, &addr));
            return;
        }
        self.dial_named(Named { addr, reply, own_port: false });
    }

    fn dial_named(&mut self, named: Named) {
        let addr = named.addr.clone();
        let options = match (peer_of(&addr), named.own_port) {
            (Some(peer), own_port) => {
                let options = DialOpts::peer_id(peer).condition(PeerCondition::Always);
                let options = options.addresses(vec![addr]);
                if own_port { options.allocate_new_port().build() } else { options.build() }
            }
            (None, true) => DialOpts::unknown_peer_id().address(addr).allocate_new_port().build(),
            (None, false) => DialOpts::unknown_peer_id().address(addr).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.named.insert(id, named);
            }
            Err(error) => {
                let _ = named.reply.send(Err(unusable(&named.addr, &error)));
            }
        }
    }

    /// A peer is connected: whoever waited for it goes on.
    pub(super) fn dial_succeeded(&mut self, peer: libp2p::PeerId, id: ConnectionId) {
        if let Some(Named { addr, reply, .. }) = self.dials.named.remove(&id) {
            let _ = reply.send(known(peer, &addr));
        }
        if let Some(attempt) = self.dials.peers.remove(&peer) {
            for (protocol, reply) in attempt.waiting {
                self.open(peer, protocol, reply);
            }
        }
    }

    /// One dial failed.
    pub(super) fn dial_failed(
        &mut self,
        peer: Option<libp2p::PeerId>,
        id: ConnectionId,
        error: &DialError,
    ) {
        if let Some(named) = self.dials.named.remove(&id) {
            // A connection between just these two ports may not be gone yet.
            if !named.own_port && reason(error).contains(PORT_TAKEN) {
                return self.dial_named(Named { own_port: true, ..named });
            }
            let _ = named.reply.send(Err(unusable(&named.addr, error)));
        }
        let Some(peer) = peer else { return };
        if let DialError::Transport(failed) = error {
            for (addr, _) in failed {
                self.book.failed(peer, addr);
            }
        }
        let Some(attempt) = self.dials.peers.get_mut(&peer) else { return };
        if attempt.running.remove(&id) {
            attempt.reasons.push(reason(error));
            self.advance(peer);
        }
    }

    /// The DHT told what it knows of a peer.
    pub(super) fn looked_up(&mut self, peer: libp2p::PeerId, found: Vec<Multiaddr>) {
        if self.dials.peers.contains_key(&peer) {
            self.dial(peer, found);
            self.advance(peer);
        }
    }

    /// Goes on with attempts that are waiting for time to pass.
    pub(super) fn advance_dials(&mut self) {
        let due: Vec<_> = self
            .dials
            .peers
            .iter()
            .filter(|(_, a)| {
                !a.circuits && a.since.elapsed() >= HEAD_START || a.since.elapsed() >= ATTEMPT
            })
            .map(|(peer, _)| *peer)
            .collect();
        due.into_iter().for_each(|peer| self.advance(peer));
    }

    /// Takes the next step of an attempt whose current one is exhausted.
    fn advance(&mut self, peer: libp2p::PeerId) {
        let Some(attempt) = self.dials.peers.get_mut(&peer) else { return };
        let age = attempt.since.elapsed();
        if age >= ATTEMPT {
            attempt.reasons.push("no answer in time".to_owned());
            return self.give_up(peer);
        }
        if !attempt.circuits && (attempt.running.is_empty() || age >= HEAD_START) {
            attempt.circuits = true;
            let circuits = self.known_addresses(peer, true);
            self.dial(peer, circuits);
        }
        let Some(attempt) = self.dials.peers.get_mut(&peer) else { return };
        if !attempt.running.is_empty() {
            return;
        }
        if !attempt.looked_up {
            attempt.looked_up = true;
            if self.look_up(peer) {
                return;
            }
        } else if self.dht.is_looking_up(peer) {
            return;
        }
        self.give_up(peer);
    }

    fn give_up(&mut self, peer: libp2p::PeerId) {
        let Some(mut attempt) = self.dials.peers.remove(&peer) else { return };
        attempt.reasons.truncate(REASONS);
        let reason = match attempt.reasons.is_empty() {
            true => "none of its addresses is known, and no relay carries a circuit".to_owned(),
            false => attempt.reasons.join("; "),
        };
        for (_, reply) in attempt.waiting {
            let _ = reply.send(Err(Refused::Unreachable(reason.clone())));
        }
    }

    fn dial(&mut self, peer: libp2p::PeerId, mut addresses: Vec<Multiaddr>) {
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() {
            return;
        }
        let options =
            DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::Always).build();
        let id = options.connection_id();
        let outcome = self.swarm.dial(options);
        let Some(attempt) = self.dials.peers.get_mut(&peer) else { return };
        match outcome {
            Ok(()) => {
                attempt.running.insert(id);
            }
            Err(error) => attempt.reasons.push(reason(&error)),
        }
    }

    /// Addresses to try: direct ones, or circuits (its own relays' and ours).
    fn known_addresses(&mut self, peer: libp2p::PeerId, circuits: bool) -> Vec<Multiaddr> {
        let mut all = self.book.of(&peer).to_vec();
        all.extend(self.table_addresses(peer));
        if circuits {
            let ours = self.peers.relays().filter(|(relay, _)| *relay != peer).take(CIRCUITS);
            all.extend(ours.map(|(relay, addr)| with_peer(circuit(addr.clone(), relay), peer)));
        }
        let mut seen = BTreeSet::new();
        all.retain(|addr| is_circuit(addr) == circuits && seen.insert(addr.to_vec()));
        all
    }

    /// What the DHT's routing table and running queries know of a peer.
    fn table_addresses(&mut self, peer: libp2p::PeerId) -> Vec<Multiaddr> {
        let kad = &mut self.swarm.behaviour_mut().kad;
        // The id is for bookkeeping of real dials; the answer does not depend on it.
        let id = ConnectionId::new_unchecked(0);
        kad.handle_pending_outbound_connection(id, Some(peer), &[], Endpoint::Dialer)
            .unwrap_or_default()
    }

    /// Remembers what a running query knows of a peer, as far as our own links make it believable.
    pub(super) fn note_addresses(&mut self, peer: libp2p::PeerId) {
        let over = self.peers.nearest_scope();
        for addr in self.table_addresses(peer) {
            if believable(&addr, over) {
                self.book.add(peer, addr);
            }
        }
    }
}

fn known(peer: libp2p::PeerId, addr: &Multiaddr) -> Result<PeerId, NetError> {
    from_libp2p(&peer).ok_or_else(|| NetError::Address {
        addr: addr.to_string(),
        reason: "the peer there has a key that is not Ed25519".to_owned(),
    })
}

fn unusable(addr: &Multiaddr, error: &DialError) -> NetError {
    match peer_of(addr).and_then(|peer| from_libp2p(&peer)) {
        Some(peer) => NetError::Unreachable { peer, reason: reason(error) },
        None => NetError::Address { addr: addr.to_string(), reason: reason(error) },
    }
}

/// One line that says what was tried and how it failed.
fn reason(error: &DialError) -> String {
    match error {
        DialError::Transport(failed) => failed
            .iter()
            .take(REASONS)
            .map(|(addr, error)| format!("{addr}: {}", innermost(error)))
            .collect::<Vec<_>>()
            .join("; "),
        other => innermost(other),
    }
}

/// The last cause of an error: the ones around it only say which layer passed it on.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
