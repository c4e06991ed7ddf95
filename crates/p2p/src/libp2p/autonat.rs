//! AutoNAT v2 on a native node: others try our addresses on our request (client), and we try theirs
//! (server, guarded).
//!
//! The client takes candidates from the driver alone, who takes them from peers that we chose to
//! dial: what anybody who connects to us claims to see is not worth a test, and would fill its
//! table without bound.

use std::{
    collections::BTreeSet,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    autonat::v2,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate,
        THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use super::guarded::Guarded;

/// Addresses that one node has tested in its life. Each new network of a machine brings a few.
const CANDIDATES: usize = 64;

/// The server: dials back where clients ask, for one message each.
pub(crate) type Server = Guarded<v2::server::Behaviour>;

/// A server.
pub(crate) fn server() -> Server {
    Guarded::new(v2::server::Behaviour::default()).brief()
}

/// The client.
#[derive(Default)]
pub(crate) struct Client {
    inner: v2::client::Behaviour,
    candidates: BTreeSet<Multiaddr>,
}

impl Client {
    /// Has `addr` tested, if it was not yet.
    pub(crate) fn candidate(&mut self, addr: &Multiaddr) {
        if self.candidates.len() >= CANDIDATES || !self.candidates.insert(addr.clone()) {
            return;
        }
        let candidate = NewExternalAddrCandidate { addr };
        self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
    }
}

impl NetworkBehaviour for Client {
    type ConnectionHandler = <v2::client::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = v2::client::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
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
        if !matches!(event, FromSwarm::NewExternalAddrCandidate(_)) {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}
