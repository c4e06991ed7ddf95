//! Peers that we want nothing to do with for a while: no connection to one is made or taken.
//!
//! Bounded and forgetful. It closes nothing by itself: the driver does that when it bans.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use web_time::Instant;

/// Peers remembered; the ban that ends first makes room. Identities are free, so that more would
/// only help whoever makes them.
const BANS: usize = 1024;
/// The longest ban: a peer's key may change hands, and ours may be mistaken.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
#[error("it misbehaved; no connection to it is made for a while")]
pub(crate) struct Banned;

/// The bans of one node.
#[derive(Default)]
pub(crate) struct Behaviour {
    until: BTreeMap<PeerId, Instant>,
}

impl Behaviour {
    /// Bans `peer` from now on.
    pub(crate) fn ban(&mut self, peer: PeerId, time: Duration, now: Instant) {
        self.until.retain(|_, until| *until > now);
        if time.is_zero() {
            return;
        }
        if !self.until.contains_key(&peer) && self.until.len() >= BANS {
            let first = self.until.iter().min_by_key(|(_, until)| **until).map(|(id, _)| *id);
            first.map(|id| self.until.remove(&id));
        }
        self.until.insert(peer, now + time.min(LONGEST));
    }

    /// Whether `peer` is banned.
    pub(crate) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.until.get(peer).is_some_and(|until| *until > now)
    }

    fn admit(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        match self.is_banned(peer, Instant::now()) {
            true => Err(ConnectionDenied::new(Banned)),
            false => Ok(()),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        peer.map_or(Ok(()), |peer| self.admit(&peer)).map(|()| Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_end_are_bounded_and_the_first_to_end_makes_room() {
        let (mut bans, now) = (Behaviour::default(), Instant::now());
        let peers: Vec<_> = (0..BANS + 10).map(|_| PeerId::random()).collect();
        for (n, peer) in peers.iter().enumerate() {
            bans.ban(*peer, Duration::from_secs(60 + n as u64), now);
        }
        assert_eq!(bans.until.len(), BANS);
        assert!(!bans.is_banned(&peers[0], now) && bans.is_banned(&peers[20], now));
        let last = peers[BANS + 9];
        assert!(bans.is_banned(&last, now));
        assert!(!bans.is_banned(&last, now + Duration::from_secs(3 * 60 * 60)));
        bans.ban(peers[0], Duration::MAX, now);
        assert!(!bans.is_banned(&peers[0], now + LONGEST));
        bans.ban(peers[1], Duration::ZERO, now);
        assert!(!bans.is_banned(&peers[1], now), "only disconnected");
    }
}
