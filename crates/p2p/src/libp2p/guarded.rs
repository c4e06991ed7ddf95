//! A behaviour that dials where peers tell it to (hole punching, AutoNAT's dial back), held to what
//! those peers have business naming: a peer from afar cannot make us dial our own machine or
//! network.
//!
//! A dial whose addresses are not all believable is refused, and made again with those that are.
//! Otherwise everything passes through unchanged.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        NewExternalAddrCandidate, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::address::{Scope, believable, is_circuit, scope_of};

/// Why a dial was refused.
#[derive(Debug, thiserror::Error)]
#[error("the peer has no business naming these addresses")]
struct NotTheirs;

/// `B`, guarded.
pub(crate) struct Guarded<B: NetworkBehaviour> {
    inner: B,
    /// How each connection of a peer runs: what it names is believed accordingly.
    scopes: BTreeMap<PeerId, BTreeMap<ConnectionId, Scope>>,
    /// Dials that the behaviour asked for and that have not ended.
    dials: BTreeSet<ConnectionId>,
    /// Connections made for one message, closed when it was delivered.
    brief: Option<BTreeSet<ConnectionId>>,
    again: VecDeque<DialOpts>,
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl<B: NetworkBehaviour> Guarded<B> {
    /// Guards `inner`.
    pub(crate) fn new(inner: B) -> Self {
        Self {
            inner,
            scopes: BTreeMap::new(),
            dials: BTreeSet::new(),
            brief: None,
            again: VecDeque::new(),
            closing: VecDeque::new(),
        }
    }

    /// Also closes each connection that `inner` dialed once its handler there has spoken.
    pub(crate) fn brief(mut self) -> Self {
        self.brief = Some(BTreeSet::new());
        self
    }

    /// Tells `inner` of an address at which we may be reached.
    pub(crate) fn candidate(&mut self, addr: &Multiaddr) {
        let candidate = NewExternalAddrCandidate { addr };
        self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
    }

    /// What `peer` names is believed as for its nearest connection.
    fn over(&self, peer: &PeerId) -> Scope {
        let scopes = self.scopes.get(peer).into_iter().flat_map(BTreeMap::values);
        scopes.min().copied().unwrap_or(Scope::Public)
    }

    fn track(&mut self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) => {
                if !self.dials.remove(&e.connection_id) {
                    // What we dialed because a peer named it proves nothing about where that is.
                    let scopes = self.scopes.entry(e.peer_id).or_default();
                    scopes.insert(e.connection_id, scope_of(e.endpoint));
                } else if let Some(brief) = &mut self.brief {
                    brief.insert(e.connection_id);
                }
            }
            FromSwarm::ConnectionClosed(e) => {
                if let Some(brief) = &mut self.brief {
                    brief.remove(&e.connection_id);
                }
                if let Some(scopes) = self.scopes.get_mut(&e.peer_id) {
                    scopes.remove(&e.connection_id);
                    if scopes.is_empty() {
                        self.scopes.remove(&e.peer_id);
                    }
                }
            }
            FromSwarm::DialFailure(e) => {
                self.dials.remove(&e.connection_id);
            }
            _ => {}
        }
    }
}

/// Of what a peer named, what it has business naming; `None` if that is all.
fn weeded(named: &[Multiaddr], over: Scope) -> Option<Vec<Multiaddr>> {
    let fine = |addr: &&Multiaddr| believable(addr, over) && !is_circuit(addr);
    let kept: Vec<_> = named.iter().filter(fine).cloned().collect();
    (kept.len() < named.len()).then_some(kept)
}

impl<B: NetworkBehaviour> NetworkBehaviour for Guarded<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer.filter(|_| self.dials.contains(&id))
            && let Some(kept) = weeded(addresses, self.over(&peer))
        {
            tracing::debug!(%peer, ?addresses, "told to dial what the peer cannot know");
            if !kept.is_empty() {
                let opts = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(kept);
                self.again.push_back(match role {
                    Endpoint::Dialer => opts.build(),
                    Endpoint::Listener => opts.override_role().build(),
                });
            }
            return Err(ConnectionDenied::new(NotTheirs));
        }
        self.inner.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, addr, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.track(&event);
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        if self.brief.as_mut().is_some_and(|brief| brief.remove(&id)) {
            self.closing.push_back((peer, id));
        }
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, id)) = self.closing.pop_front() {
            let connection = CloseConnection::One(id);
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection });
        }
        if let Some(opts) = self.again.pop_front() {
            return Poll::Ready(ToSwarm::Dial { opts });
        }
        let event = std::task::ready!(self.inner.poll(cx));
        if let ToSwarm::Dial { opts } = &event {
            self.dials.insert(opts.connection_id());
        }
        Poll::Ready(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_peer_may_name_is_left() {
        let addr = |text: &str| -> Multiaddr { text.parse().unwrap() };
        let (loopback, lan, public) = (
            addr("/ip4/127.0.0.1/udp/1/quic-v1"),
            addr("/ip4/10.0.0.1/udp/1/quic-v1"),
            addr("/ip4/9.9.9.9/udp/1/quic-v1"),
        );
        let all = [loopback, lan.clone(), public.clone()];
        assert_eq!(weeded(&all, Scope::Public), Some(vec![public.clone()]));
        assert_eq!(weeded(&all, Scope::Private), Some(vec![lan, public.clone()]));
        assert_eq!(weeded(&all, Scope::Loopback), None);
        assert_eq!(weeded(&[public], Scope::Public), None);
        let circuit = addr(&format!("/ip4/9.9.9.9/tcp/1/p2p/{}/p2p-circuit", PeerId::random()));
        assert_eq!(weeded(&[circuit], Scope::Public), Some(Vec::new()));
    }
}
