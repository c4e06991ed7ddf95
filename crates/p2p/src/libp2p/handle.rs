//! The [`Network`] port over a running driver. Cheap to clone, usable from any thread; the futures
//! it returns need no runtime of their own.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use craftec_core::{PeerId, limits};
use futures::{
    FutureExt, StreamExt,
    channel::{mpsc, oneshot},
    future::{Either, LocalBoxFuture, select},
    stream::{self, LocalBoxStream},
};
use futures_timer::Delay;

use super::{
    address::{from_libp2p, parse, to_libp2p},
    dht::Want,
    driver::Command,
    hints::Hint,
    shared::Shared,
    streams::{Accepting, Refused},
};
use crate::{
    ByteStream, Key, Limits, Link, NetError, NetEvent, Network, PeerInfo, Protocol, Reach, Record,
    Role, counters::Counters,
};

/// How long opening a stream may take, dialing included.
const OPEN: Duration = Duration::from_secs(10);
/// How long connecting to a named address may take.
const CONNECT: Duration = Duration::from_secs(15);
/// Providers found and not yet read.
const FOUND: usize = 32;

/// A node on the libp2p network.
#[derive(Clone)]
pub struct Handle {
    local: PeerId,
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    accepting: Accepting,
    limits: Arc<Limits>,
    counters: Arc<Counters>,
    /// What must live as long as the network does: natively its runtime, in a tab its ear for the
    /// network's return.
    guard: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.local)
    }
}

impl Handle {
    pub(crate) fn new(
        local: libp2p::PeerId,
        commands: mpsc::UnboundedSender<Command>,
        shared: Arc<Shared>,
        accepting: Accepting,
    ) -> Result<Self, NetError> {
        let local = from_libp2p(&local).ok_or(NetError::Limit("only Ed25519 keys are spoken"))?;
        let (limits, counters) = Default::default();
        Ok(Self { local, commands, shared, accepting, limits, counters, guard: None })
    }

    /// Keeps `guard` until the last clone of this handle is dropped.
    pub(crate) fn guarded_by(mut self, guard: Arc<dyn Any + Send + Sync>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Says which limits hold and where to count.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "tabs serve no strangers"))]
    pub(crate) fn limited(mut self, limits: Limits, counters: Arc<Counters>) -> Self {
        (self.limits, self.counters) = (Arc::new(limits), counters);
        self
    }

    /// Completes when every address that the node listens on is known, or after `limit`.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "tabs listen on circuits only"))]
    pub(crate) async fn listening(&self, limit: Duration) {
        let (reply, listening) = oneshot::channel();
        if self.send(Command::Listening(reply)).is_ok() {
            // A driver that ends does not listen any more.
            let _ = within(limit, listening).await;
        }
    }

    fn send(&self, command: Command) -> Result<(), NetError> {
        if self.shared.is_closed() {
            return Err(NetError::Closed);
        }
        self.commands.unbounded_send(command).map_err(|_| NetError::Closed)
    }

    /// Sends a command that carries its own reply channel, and waits for the reply.
    fn ask<T: 'static>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, NetError>>) -> Command,
    ) -> LocalBoxFuture<'static, Result<T, NetError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(command(reply));
        async move {
            sent?;
            answer.await.unwrap_or(Err(NetError::Closed))
        }
        .boxed_local()
    }

    async fn open_once(self, peer: PeerId, protocol: Protocol) -> Result<ByteStream, NetError> {
        let name = to_libp2p(peer)?;
        let mut broken = "the connection closed".to_owned();
        // A connection may turn out to be dead; the second attempt finds it gone.
        for _ in 0..2 {
            let (reply, answer) = oneshot::channel();
            self.send(Command::Open(name, protocol, reply))?;
            match answer.await {
                Ok(Ok(opened)) => return Ok(ByteStream::new(opened.version, opened.stream)),
                Ok(Err(Refused::Unsupported)) => {
                    return Err(NetError::Unsupported { peer, protocol: protocol.name });
                }
                Ok(Err(Refused::Unreachable(reason))) => {
                    return Err(NetError::Unreachable { peer, reason });
                }
                Ok(Err(Refused::Broken(reason))) => broken = reason,
                Err(oneshot::Canceled) if self.shared.is_closed() => {
                    return Err(NetError::Closed);
                }
                Err(oneshot::Canceled) => {}
            }
        }
        Err(NetError::Lost { peer, reason: broken })
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(std::pin::pin!(work), Delay::new(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

impl Network for Handle {
    fn local_peer(&self) -> PeerId {
        self.local
    }

    fn addresses(&self) -> Vec<String> {
        self.shared.addresses()
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.shared.peers()
    }

    fn events(&self) -> LocalBoxStream<'static, NetEvent> {
        self.shared.events().boxed_local()
    }

    fn connect(&self, addr: &str) -> LocalBoxFuture<'static, Result<PeerId, NetError>> {
        let parsed = parse(addr);
        let (handle, addr) = (self.clone(), addr.to_owned());
        async move {
            let parsed = parsed?;
            let connecting = handle.ask(|reply| Command::Connect(parsed, reply));
            within(CONNECT, connecting).await.unwrap_or_else(|| {
                Err(NetError::Address { addr, reason: "nobody answered there in time".to_owned() })
            })
        }
        .boxed_local()
    }

    fn disconnect(&self, peer: PeerId, ban: Duration, reason: &str) {
        tracing::info!(%peer, ?ban, reason, "disconnecting");
        if let Ok(peer) = to_libp2p(peer) {
            // A network that is shut down has no connections.
            let _ = self.send(Command::Hint(Hint::Disconnect(peer, ban)));
        }
    }

    fn keep(&self, peer: PeerId, keep: bool) {
        if let Ok(peer) = to_libp2p(peer) {
            // As above.
            let _ = self.send(Command::Hint(Hint::Keep(peer, keep)));
        }
    }

    fn addresses_of(&self, peer: PeerId) -> Vec<String> {
        self.shared.claimed(&peer)
    }

    fn learn(&self, teller: PeerId, peer: PeerId, addresses: Vec<String>) {
        if let (Ok(teller), Ok(peer)) = (to_libp2p(teller), to_libp2p(peer)) {
            // As above.
            let _ = self.send(Command::Hint(Hint::Learn { teller, peer, addresses }));
        }
    }

    fn resume(&self) {
        // As above.
        let _ = self.send(Command::Hint(Hint::Resume));
    }

    fn reach(&self) -> Reach {
        self.shared.reach()
    }

    fn open(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> LocalBoxFuture<'static, Result<ByteStream, NetError>> {
        let opening = self.clone().open_once(peer, protocol);
        async move {
            let late = NetError::Timeout { peer, ms: OPEN.as_millis() as u64 };
            within(OPEN, opening).await.unwrap_or(Err(late))
        }
        .boxed_local()
    }

    fn accept(&self, protocol: Protocol) -> LocalBoxStream<'static, (PeerId, ByteStream)> {
        if self.shared.is_closed() {
            return stream::empty().boxed_local();
        }
        let incoming = self.accepting.accept(protocol);
        // Connections that are already up hear of it; a closed network has none.
        let _ = self.send(Command::Announce);
        incoming
            .map(|(peer, opened)| (peer, ByteStream::new(opened.version, opened.stream)))
            .boxed_local()
    }

    fn in_flight_bytes(&self, peer: PeerId) -> usize {
        match self.shared.peer(&peer) {
            Some(PeerInfo { link: Link::Quic | Link::Tcp, role, .. }) if role != Role::Tab => {
                limits::IN_FLIGHT_BYTES_NATIVE
            }
            Some(PeerInfo { link: Link::WebRtc, .. }) => limits::IN_FLIGHT_BYTES_WEBRTC,
            _ => limits::IN_FLIGHT_BYTES_TAB,
        }
    }

    fn provide(&self, key: Key) -> LocalBoxFuture<'static, Result<(), NetError>> {
        self.ask(|reply| Command::Dht(Want::Provide(key, reply)))
    }

    fn stop_providing(&self, key: Key) {
        // A network that is shut down provides nothing anyway.
        let _ = self.send(Command::StopProviding(key));
    }

    fn providers(&self, key: Key) -> LocalBoxStream<'static, PeerId> {
        let (found, providers) = mpsc::channel(FOUND);
        match self.send(Command::Dht(Want::Providers(key, found))) {
            Ok(()) => providers.boxed_local(),
            Err(_) => stream::empty().boxed_local(),
        }
    }

    fn put_record(&self, record: Record) -> LocalBoxFuture<'static, Result<(), NetError>> {
        if record.value.len() > limits::RECORD_BYTES {
            let error = NetError::Limit("a record is longer than the DHT takes");
            return std::future::ready(Err(error)).boxed_local();
        }
        self.ask(|reply| Command::Dht(Want::Put(record, reply)))
    }

    fn records(&self, key: Key) -> LocalBoxFuture<'static, Result<Vec<Record>, NetError>> {
        self.ask(|reply| Command::Dht(Want::Records(key, reply)))
    }

    fn limits(&self) -> Limits {
        (*self.limits).clone()
    }

    fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    fn shutdown(&self) {
        // Already shut down is as good.
        let _ = self.send(Command::Shutdown);
    }
}
