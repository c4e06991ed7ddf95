//! Byte streams as a libp2p behaviour: opened on a connection of the caller's choice, offering
//! several versions at once (newest first); accepted into a bounded queue per protocol.
//!
//! Never dials, and never looks at what a stream carries. A stream that arrives when its queue is
//! full is dropped: the peer sees it end.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use craftec_core::PeerId;
use futures::{
    AsyncRead, AsyncWrite,
    channel::{mpsc, oneshot},
    future::{Ready, ready},
};
use libp2p::{
    Multiaddr, StreamProtocol,
    core::{Endpoint, InboundUpgrade, OutboundUpgrade, UpgradeInfo, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, Stream, StreamUpgradeError, SubstreamProtocol, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};

use super::address::from_libp2p;
use crate::Protocol;

/// Streams that wait to be taken, per protocol.
const WAITING: usize = 256;
/// How long two sides may take to agree on a version.
const NEGOTIATION: Duration = Duration::from_secs(10);

/// An open stream and the version agreed on.
pub(crate) struct Opened {
    pub(crate) version: u16,
    pub(crate) stream: Counted,
}

/// Why a stream could not be opened on a connection.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The other side speaks none of the versions.
    Unsupported,
    /// There is no connection, and none could be made.
    Unreachable(String),
    /// The connection broke or stalled.
    Broken(String),
}

/// Where the outcome of an open goes.
pub(crate) type Reply = oneshot::Sender<Result<Opened, Refused>>;

/// The versions of `protocol` as they are named on the wire, newest first.
fn offers(protocol: Protocol) -> Vec<Offer> {
    let name = |version| format!("/craftec/{}/{version}", protocol.name);
    protocol
        .versions
        .iter()
        .filter_map(|&version| {
            let name = StreamProtocol::try_from_owned(name(version)).ok()?;
            Some(Offer { version, name })
        })
        .collect()
}

/// One version of a protocol.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    version: u16,
    name: StreamProtocol,
}

impl AsRef<str> for Offer {
    fn as_ref(&self) -> &str {
        self.name.as_ref()
    }
}

type Taker = mpsc::Sender<(PeerId, Opened)>;

/// The protocols that we accept, shared with every connection.
#[derive(Clone, Default)]
pub(crate) struct Accepting(Arc<Mutex<BTreeMap<&'static str, (Protocol, Taker)>>>);

impl Accepting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, (Protocol, Taker)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts `protocol` from now on; whoever accepted it before gets no more.
    pub(crate) fn accept(&self, protocol: Protocol) -> mpsc::Receiver<(PeerId, Opened)> {
        let (taker, streams) = mpsc::channel(WAITING);
        self.lock().insert(protocol.name, (protocol, taker));
        streams
    }

    /// Accepts nothing any more.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    fn offers(&self) -> Vec<Offer> {
        let mut accepting = self.lock();
        accepting.retain(|_, (_, taker)| !taker.is_closed());
        accepting.values().flat_map(|(protocol, _)| offers(*protocol)).collect()
    }

    fn take(&self, peer: PeerId, offer: &Offer, stream: Counted) {
        let name = offer.name.as_ref().split('/').nth(2).unwrap_or_default();
        let taker = self.lock().get(name).map(|(_, taker)| taker.clone());
        let opened = Opened { version: offer.version, stream };
        if taker.is_none_or(|mut taker| taker.try_send((peer, opened)).is_err()) {
            tracing::debug!(%peer, protocol = name, "nobody takes this stream, it is dropped");
        }
    }
}

/// A stream that its connection counts as live until dropped.
pub(crate) struct Counted {
    stream: Stream,
    _live: Arc<()>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// What the behaviour tells one connection.
#[derive(Debug)]
pub(crate) enum Tell {
    /// Open a stream.
    Open(Request),
    /// Whether the connection stays open without streams.
    Keep(bool),
    /// The accepted protocols changed; being told is enough to look again.
    Look,
}

/// A stream to open.
#[derive(Debug)]
pub(crate) struct Request {
    offers: Vec<Offer>,
    reply: Reply,
}

/// Streams on all connections.
pub(crate) struct Behaviour {
    accepting: Accepting,
    connections: BTreeMap<ConnectionId, (libp2p::PeerId, Arc<()>)>,
    queue: VecDeque<ToSwarm<Infallible, Tell>>,
}

impl Behaviour {
    pub(crate) fn new(accepting: Accepting) -> Self {
        Self { accepting, connections: BTreeMap::new(), queue: VecDeque::new() }
    }

    /// Opens a stream on one connection. If that is gone, `reply` is dropped.
    pub(crate) fn open(&mut self, on: ConnectionId, protocol: Protocol, reply: Reply) {
        self.tell(on, Tell::Open(Request { offers: offers(protocol), reply }));
    }

    /// Whether a connection stays open without streams.
    pub(crate) fn keep(&mut self, connection: ConnectionId, keep: bool) {
        self.tell(connection, Tell::Keep(keep));
    }

    /// Lets every connection offer the protocols accepted by now.
    pub(crate) fn announce(&mut self) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.tell(id, Tell::Look);
        }
    }

    /// Streams alive on a connection.
    pub(crate) fn live(&self, connection: ConnectionId) -> usize {
        // This table and the connection's handler hold one each.
        let held = self.connections.get(&connection).map_or(0, |(_, live)| Arc::strong_count(live));
        held.saturating_sub(2)
    }

    fn tell(&mut self, connection: ConnectionId, event: Tell) {
        if let Some(&(peer_id, _)) = self.connections.get(&connection) {
            let handler = NotifyHandler::One(connection);
            self.queue.push_back(ToSwarm::NotifyHandler { peer_id, handler, event });
        }
    }

    fn handler(&mut self, id: ConnectionId, peer: libp2p::PeerId) -> Handler {
        let live = Arc::new(());
        self.connections.insert(id, (peer, live.clone()));
        Handler {
            peer: from_libp2p(&peer),
            accepting: self.accepting.clone(),
            live,
            keep: false,
            requests: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => {
                self.connections.remove(&closed.connection_id);
            }
            // A later behaviour may refuse a connection that we were already asked about.
            FromSwarm::DialFailure(failed) => {
                self.connections.remove(&failed.connection_id);
            }
            FromSwarm::ListenFailure(failed) => {
                self.connections.remove(&failed.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Streams on one connection.
pub(crate) struct Handler {
    peer: Option<PeerId>,
    accepting: Accepting,
    live: Arc<()>,
    keep: bool,
    requests: VecDeque<Request>,
}

impl Handler {
    fn counted(&self, stream: Stream) -> Counted {
        Counted { stream, _live: self.live.clone() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Tell;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offers;
    type OutboundProtocol = Offers;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Offers, ()> {
        SubstreamProtocol::new(Offers(self.accepting.offers()), ()).with_timeout(NEGOTIATION)
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offers, Reply, Infallible>> {
        while let Some(Request { offers, reply }) = self.requests.pop_front() {
            // Whoever asked may have given up.
            if !reply.is_canceled() {
                let protocol =
                    SubstreamProtocol::new(Offers(offers), reply).with_timeout(NEGOTIATION);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Tell) {
        match event {
            Tell::Open(request) => self.requests.push_back(request),
            Tell::Keep(keep) => self.keep = keep,
            Tell::Look => {}
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offers, Offers, (), Reply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, offer),
                ..
            }) => {
                if let Some(peer) = self.peer {
                    self.accepting.take(peer, &offer, self.counted(stream));
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, offer),
                info: reply,
            }) => {
                let opened = Opened { version: offer.version, stream: self.counted(stream) };
                // Nobody waits any more: the stream is dropped, which tells the peer.
                let _ = reply.send(Ok(opened));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let refused = match error {
                    StreamUpgradeError::NegotiationFailed => Refused::Unsupported,
                    StreamUpgradeError::Timeout => {
                        Refused::Broken("no agreement on a protocol in time".to_owned())
                    }
                    StreamUpgradeError::Io(error) => Refused::Broken(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = reply.send(Err(refused));
            }
            _ => {}
        }
    }
}

/// What one side offers when a stream is opened.
pub(crate) struct Offers(Vec<Offer>);

impl UpgradeInfo for Offers {
    type Info = Offer;
    type InfoIter = std::vec::IntoIter<Offer>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offers {
    type Output = (Stream, Offer);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, offer: Offer) -> Self::Future {
        ready(Ok((stream, offer)))
    }
}

impl OutboundUpgrade<Stream> for Offers {
    type Output = (Stream, Offer);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, offer: Offer) -> Self::Future {
        ready(Ok((stream, offer)))
    }
}
