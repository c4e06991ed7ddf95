//! [`SimNetwork`]: one peer's view of the fabric, behind the port that libp2p is behind elsewhere.

use std::{future::ready, time::Duration};

use craftec_core::{PeerId, limits};
use craftec_p2p::{ByteStream, Key, Link, NetError, NetEvent, Network, PeerInfo, Protocol, Record};
use futures::{
    StreamExt,
    future::LocalBoxFuture,
    stream::{self, LocalBoxStream},
};

use super::fabric::Fabric;

/// The network as one simulated peer sees it.
pub struct SimNetwork {
    fabric: Fabric,
    me: PeerId,
    incarnation: u64,
}

impl SimNetwork {
    pub(super) fn new(fabric: Fabric, me: PeerId, incarnation: u64) -> Self {
        Self { fabric, me, incarnation }
    }

    fn running(&self) -> bool {
        self.fabric.is_current(&self.me, self.incarnation)
    }

    /// Runs `call` on the fabric, unless this peer has left.
    fn call<T, F>(
        &self,
        call: impl FnOnce(Fabric, PeerId) -> F + 'static,
    ) -> LocalBoxFuture<'static, Result<T, NetError>>
    where
        T: 'static,
        F: Future<Output = Result<T, NetError>> + 'static,
    {
        if !self.running() {
            return Box::pin(ready(Err(NetError::Closed)));
        }
        let (fabric, me, incarnation) = (self.fabric.clone(), self.me, self.incarnation);
        Box::pin(async move {
            let result = call(fabric.clone(), me).await;
            if fabric.is_current(&me, incarnation) { result } else { Err(NetError::Closed) }
        })
    }
}

impl Network for SimNetwork {
    fn local_peer(&self) -> PeerId {
        self.me
    }

    fn addresses(&self) -> Vec<String> {
        let peers = self.fabric.0.peers.borrow();
        peers.get(&self.me).map(|peer| peer.address.clone()).into_iter().collect()
    }

    fn peers(&self) -> Vec<PeerInfo> {
        if !self.running() {
            return Vec::new();
        }
        let others = self.fabric.neighbours(&self.me);
        others.iter().filter_map(|other| self.fabric.info(&self.me, other)).collect()
    }

    fn events(&self) -> LocalBoxStream<'static, NetEvent> {
        if !self.running() {
            return stream::empty().boxed_local();
        }
        self.fabric.listen(&self.me).boxed_local()
    }

    fn connect(&self, addr: &str) -> LocalBoxFuture<'static, Result<PeerId, NetError>> {
        let unusable = |reason: String| NetError::Address { addr: addr.to_owned(), reason };
        let peer = match addr.rsplit_once("/p2p/") {
            Some((_, peer)) => peer.parse::<PeerId>().map_err(|e| unusable(e.to_string())),
            None => Err(unusable("it does not end in /p2p/<peer id>".to_owned())),
        };
        match peer {
            Ok(peer) => self.call(move |fabric, me| async move {
                fabric.connect(me, peer).await?;
                Ok(peer)
            }),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn disconnect(&self, peer: PeerId, ban: Duration, reason: &str) {
        if self.running() {
            self.fabric.disconnect(&self.me, &peer, ban, reason);
        }
    }

    fn open(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> LocalBoxFuture<'static, Result<ByteStream, NetError>> {
        self.call(move |fabric, me| async move { fabric.open(me, peer, protocol).await })
    }

    fn accept(&self, protocol: Protocol) -> LocalBoxStream<'static, (PeerId, ByteStream)> {
        if !self.running() {
            return stream::empty().boxed_local();
        }
        match self.fabric.accept(&self.me, protocol) {
            Some(streams) => streams.boxed_local(),
            None => stream::empty().boxed_local(),
        }
    }

    fn in_flight_bytes(&self, peer: PeerId) -> usize {
        match self.fabric.info(&self.me, &peer).map(|info| info.link) {
            Some(Link::WebSocket | Link::Relayed) => limits::IN_FLIGHT_BYTES_TAB,
            Some(Link::WebRtc) => limits::IN_FLIGHT_BYTES_WEBRTC,
            _ => limits::IN_FLIGHT_BYTES_NATIVE,
        }
    }

    fn provide(&self, key: Key) -> LocalBoxFuture<'static, Result<(), NetError>> {
        self.call(move |fabric, me| async move { fabric.provide(me, key).await })
    }

    fn stop_providing(&self, key: Key) {
        if self.running() {
            self.fabric.stop_providing(&self.me, key);
        }
    }

    fn providers(&self, key: Key) -> LocalBoxStream<'static, PeerId> {
        if !self.running() {
            return stream::empty().boxed_local();
        }
        self.fabric.providers(self.me, key)
    }

    fn put_record(&self, record: Record) -> LocalBoxFuture<'static, Result<(), NetError>> {
        self.call(move |fabric, me| async move { fabric.put_record(me, record).await })
    }

    fn records(&self, key: Key) -> LocalBoxFuture<'static, Result<Vec<Record>, NetError>> {
        self.call(move |fabric, me| async move { fabric.records(me, key).await })
    }

    fn shutdown(&self) {
        self.fabric.goodbye(&self.me, self.incarnation);
    }
}
