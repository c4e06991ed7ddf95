//! AutoNAT v2 on a native node: others try our addresses on our request (client), and we try theirs
//! (server, guarded).
//!
//! The client takes candidates from the driver alone, who takes them from peers that we chose to
//! dial: what anybody who connects to us claims to see is not worth a test, and would fill its
//! table without bound.

use std::{
    collections::{BTreeSet, VecDeque},
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use futures_timer::Delay;

use libp2p::{
    Multiaddr, PeerId,
    autonat::v2,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate,
        THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use super::{address::with_peer, guarded::Guarded};

/// Addresses that one node has tested in its life. Each new network of a machine brings a few.
const CANDIDATES: usize = 64;

/// How long after a failed test an address is tested again.
const AGAIN: Duration = Duration::from_secs(60);

/// The server: dials back where clients ask, for one message each.
pub(crate) type Server = Guarded<v2::server::Behaviour>;

/// A server.
pub(crate) fn server() -> Server {
    Guarded::new(v2::server::Behaviour::default()).brief()
}

/// The client.
pub(crate) struct Client {
    local: PeerId,
    inner: v2::client::Behaviour,
    candidates: BTreeSet<Multiaddr>,
    failed: VecDeque<Multiaddr>,
    again: Option<Delay>,
}

impl Client {
    /// The client of node `local`.
    pub(crate) fn new(local: PeerId) -> Self {
        let (candidates, failed) = Default::default();
        Self { local, inner: v2::client::Behaviour::default(), candidates, failed, again: None }
    }

    /// Has `addr` tested, if it was not yet.
    pub(crate) fn candidate(&mut self, addr: &Multiaddr) {
        if self.candidates.len() < CANDIDATES && self.candidates.insert(addr.clone()) {
            self.test(addr);
        }
    }

    fn test(&mut self, addr: &Multiaddr) {
        let candidate = NewExternalAddrCandidate { addr };
        self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
    }

    /// Notes a failure. The library tests an address once; with our id at its end it is another one
    /// to it, and the same to whoever dials it.
    fn failed(&mut self, addr: &Multiaddr) {
        if self.candidates.contains(addr) {
            self.failed.push_back(with_peer(addr.clone(), self.local));
            self.again.get_or_insert_with(|| Delay::new(AGAIN));
        }
    }

    fn test_again(&mut self, cx: &mut Context<'_>) {
        let Some(again) = &mut self.again else { return };
        if again.poll_unpin(cx).is_ready() {
            self.again = None;
            for addr in std::mem::take(&mut self.failed) {
                self.test(&addr);
            }
        }
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
        self.test_again(cx);
        let event = std::task::ready!(self.inner.poll(cx));
        if let ToSwarm::GenerateEvent(v2::client::Event { tested_addr, result: Err(_), .. }) =
            &event
        {
            self.failed(&tested_addr.clone());
        }
        Poll::Ready(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_failed_is_tested_once_more_and_candidates_are_bounded() {
        let mut client = Client::new(PeerId::random());
        let addr = |port: usize| -> Multiaddr {
            format!("/ip4/9.9.9.9/udp/{port}/quic-v1").parse().unwrap()
        };
        for port in [1, 1, 2] {
            client.candidate(&addr(port));
        }
        assert_eq!(client.candidates.len(), 2);
        client.failed(&addr(1));
        let again = with_peer(addr(1), client.local);
        assert_eq!(client.failed.front(), Some(&again));
        assert!(client.again.is_some());
        client.failed(&again);
        client.failed(&addr(99));
        assert_eq!(client.failed.len(), 1, "no third time, and not what was never a candidate");
        (0..1000).for_each(|port| client.candidate(&addr(port)));
        assert_eq!(client.candidates.len(), CANDIDATES);
    }
}
