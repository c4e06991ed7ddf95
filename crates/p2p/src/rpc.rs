//! Requests and answers over the [`Network`](crate::Network) port: one frame each way, many in a
//! row on one stream.
//!
//! Written once for every network. Both sides are bounded in number and in time; a peer that is
//! slow, silent or too eager loses its stream and nothing else does. Bodies are opaque here. A
//! request can reach the handler twice (its stream may break before the answer), so handlers must
//! be idempotent.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use craftec_core::{PeerId, limits};
use craftec_platform::{Clock, timeout};
use futures::{StreamExt, future::LocalBoxFuture};

use crate::{
    ByteStream, Limits, NetError, NetEvent, PeerInfo, Prefix, Protocol, SharedNetwork,
    bounds::{Bounds, SMALL_REQUEST_BYTES},
    counters::Counters,
    frame::{FrameError, read_body, read_length, read_paced, write_frame, write_paced},
    gate::{Gates, Pass},
    limits::RATED,
    pool::{Pool, Pooled},
    rate::Buckets,
};

/// Answers a request: who asks, the agreed version of the protocol, the body.
pub type Handler = Rc<dyn Fn(PeerId, u16, Bytes) -> LocalBoxFuture<'static, Bytes>>;

/// Requests, served protocols and subscriptions of one node. Clones share everything.
#[derive(Clone)]
pub struct Rpc {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) network: SharedNetwork,
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) bounds: Bounds,
    pub(crate) subscriptions: Rc<Gates>,
    pool: RefCell<Pool>,
    asked: Rc<Gates>,
    streams: Rc<Gates>,
    requests: Rc<Gates>,
    large: Rc<Gates>,
    limits: Limits,
    counters: Arc<Counters>,
    /// Where on the network peers are, for limits by prefix.
    prefixes: RefCell<BTreeMap<PeerId, Prefix>>,
    rates: RefCell<(Buckets<PeerId>, Buckets<Prefix>)>,
}

/// Why a request on one stream failed, and whether any of the answer had come.
struct CallError {
    begun: bool,
    error: NetError,
}

impl Rpc {
    /// Requests over `network`, timed by `clock`.
    pub fn new(network: SharedNetwork, clock: Rc<dyn Clock>) -> Self {
        let bounds = Bounds::within(&network.limits());
        Self::bounded(network, clock, bounds)
    }

    pub(crate) fn bounded(network: SharedNetwork, clock: Rc<dyn Clock>, bounds: Bounds) -> Self {
        let inner = Rc::new(Inner {
            subscriptions: Gates::new(bounds.subscriptions, bounds.subscriptions_per_peer),
            pool: RefCell::default(),
            asked: Gates::new(usize::MAX, bounds.asked_per_peer),
            streams: Gates::new(bounds.streams, bounds.streams_per_peer),
            requests: Gates::by_prefix(
                bounds.requests,
                bounds.requests_per_peer,
                bounds.requests_per_prefix,
            ),
            large: Gates::new(bounds.large, bounds.large_per_peer),
            limits: network.limits(),
            counters: network.counters(),
            prefixes: RefCell::default(),
            rates: RefCell::new((
                Buckets::new(bounds.rate_per_peer, RATED),
                Buckets::new(bounds.rate_per_prefix, RATED),
            )),
            network,
            clock,
            bounds,
        });
        inner.follow_links();
        Self { inner }
    }

    /// The network below.
    pub fn network(&self) -> &SharedNetwork {
        &self.inner.network
    }

    /// Sends `body` and waits for the answer, at most `limit` in all.
    pub async fn request(
        &self,
        peer: PeerId,
        protocol: Protocol,
        body: impl Into<Bytes>,
        limit: Duration,
    ) -> Result<Bytes, NetError> {
        let body = body.into();
        if body.len() > limits::FRAME_BYTES {
            return Err(NetError::Limit("a request is longer than one frame"));
        }
        let answer = self.inner.exchange(peer, protocol, &body);
        match timeout(&*self.inner.clock, limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(NetError::Timeout { peer, ms: limit.as_millis() as u64 }),
        }
    }

    /// Answers requests for `protocol` from now on, until the network is shut down.
    pub fn serve(&self, protocol: Protocol, handler: Handler) {
        let inner = self.inner.clone();
        let mut incoming = inner.network.accept(protocol);
        self.inner.clock.spawn(Box::pin(async move {
            while let Some((peer, stream)) = incoming.next().await {
                let Some(pass) = inner.streams.try_enter(peer, None) else {
                    inner.counters.streams_cut.up();
                    tracing::debug!(%peer, protocol = protocol.name, "too many streams, one cut");
                    continue;
                };
                let task = inner.clone().answer_all(peer, stream, handler.clone(), pass);
                inner.clock.spawn(Box::pin(task));
            }
        }));
    }
}

impl Inner {
    /// Retires pooled streams when a peer's best link changes.
    fn follow_links(self: &Rc<Self>) {
        let mut events = self.network.events();
        self.network.peers().iter().for_each(|info| self.placed(info));
        let weak = Rc::downgrade(self);
        self.clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                let Some(inner) = weak.upgrade() else { return };
                let mut pool = inner.pool.borrow_mut();
                match event {
                    NetEvent::Connected(info) | NetEvent::Changed(info) => {
                        pool.linked(info.peer, Some(info.link));
                        inner.placed(&info);
                    }
                    NetEvent::Disconnected(peer) => {
                        pool.linked(peer, None);
                        inner.prefixes.borrow_mut().remove(&peer);
                    }
                    NetEvent::Addresses(_) => {}
                }
            }
        }));
    }

    /// Remembers where a connected peer is.
    fn placed(&self, info: &PeerInfo) {
        let prefix = Prefix::of_addr(&info.addr).filter(|prefix| self.limits.counts(*prefix));
        let mut prefixes = self.prefixes.borrow_mut();
        match prefix {
            Some(prefix) => drop(prefixes.insert(info.peer, prefix)),
            None => drop(prefixes.remove(&info.peer)),
        }
    }

    /// Holds a request back while its peer, or its neighbours together, ask too fast.
    async fn pace(&self, peer: PeerId, prefix: Option<Prefix>) {
        let now = self.clock.monotonic();
        let wait = {
            let (peers, prefixes) = &mut *self.rates.borrow_mut();
            let of_prefix = prefix.map(|prefix| prefixes.spend(prefix, 1, now));
            peers.spend(peer, 1, now).max(of_prefix.unwrap_or_default())
        };
        if !wait.is_zero() {
            self.counters.requests_slowed.up();
            self.clock.sleep(wait).await;
        }
    }

    async fn exchange(
        self: &Rc<Self>,
        peer: PeerId,
        protocol: Protocol,
        body: &[u8],
    ) -> Result<Bytes, NetError> {
        let _pass = self.asked.enter(peer, None).await;
        let pooled = self.pool.borrow_mut().take(peer, protocol);
        if let Some(pooled) = pooled {
            match self.call(peer, protocol, pooled, body).await {
                Ok(answer) => return Ok(answer),
                // The other side closed an idle stream, or its link is gone: ask on a fresh one.
                Err(CallError { begun: false, error }) => {
                    tracing::trace!(%peer, %error, "a pooled stream was stale");
                }
                Err(failed) => return Err(failed.error),
            }
        }
        let stream = self.network.open(peer, protocol).await?;
        let fresh = self.pool.borrow().opened(peer, stream);
        self.call(peer, protocol, fresh, body).await.map_err(|failed| failed.error)
    }

    async fn call(
        self: &Rc<Self>,
        peer: PeerId,
        protocol: Protocol,
        mut pooled: Pooled,
        body: &[u8],
    ) -> Result<Bytes, CallError> {
        let before = |error: FrameError| CallError { begun: false, error: error.about(peer) };
        let io = &mut pooled.stream;
        write_frame(io, body).await.map_err(|e| before(e.into()))?;
        let bytes = match read_length(io, limits::FRAME_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let reason = "closed without an answer".to_owned();
                return Err(CallError { begun: false, error: NetError::Lost { peer, reason } });
            }
            Err(error @ FrameError::Io(_)) => return Err(before(error)),
            Err(error) => return Err(CallError { begun: true, error: error.about(peer) }),
        };
        let answer = read_body(io, bytes)
            .await
            .map_err(|error| CallError { begun: true, error: error.about(peer) })?;
        self.keep(peer, protocol, pooled);
        Ok(answer)
    }

    fn keep(self: &Rc<Self>, peer: PeerId, protocol: Protocol, pooled: Pooled) {
        let mut pool = self.pool.borrow_mut();
        pool.keep((peer, protocol), pooled, self.clock.monotonic(), self.bounds.pooled);
        if std::mem::replace(&mut pool.swept, true) {
            return;
        }
        let (weak, clock, every) =
            (Rc::downgrade(self), self.clock.clone(), self.bounds.pooled_for);
        self.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(every).await;
                let Some(inner) = weak.upgrade() else { return };
                let mut pool = inner.pool.borrow_mut();
                if !pool.sweep(clock.monotonic().saturating_sub(every)) {
                    pool.swept = false;
                    return;
                }
            }
        }));
    }

    async fn answer_all(
        self: Rc<Self>,
        peer: PeerId,
        mut stream: ByteStream,
        handler: Handler,
        _pass: Pass,
    ) {
        loop {
            match self.answer_one(peer, &mut stream, &handler).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => {
                    tracing::debug!(%peer, reason, "a request stream was cut");
                    return;
                }
            }
        }
    }

    /// Serves one request; `false` when the peer closed the stream between two.
    async fn answer_one(
        &self,
        peer: PeerId,
        stream: &mut ByteStream,
        handler: &Handler,
    ) -> Result<bool, String> {
        let (clock, bounds) = (&*self.clock, &self.bounds);
        let length = read_length(stream, limits::FRAME_BYTES);
        let bytes = match timeout(clock, bounds.idle, length).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) | Err(_) => return Ok(false),
            Ok(Err(error)) => return Err(error.to_string()),
        };
        let _large = match bytes > SMALL_REQUEST_BYTES {
            true => Some(self.large.enter(peer, None).await),
            false => None,
        };
        let body = read_paced(stream, bytes, clock, bounds.frame)
            .await
            .map_err(|error| format!("its request: {error}"))?;
        let prefix = self.prefixes.borrow().get(&peer).copied();
        self.pace(peer, prefix).await;
        let _pass = self.requests.enter(peer, prefix).await;
        let answer = timeout(clock, bounds.work, handler(peer, stream.version, body))
            .await
            .map_err(|_| "the request took too long here")?;
        self.counters.requests.up();
        if answer.len() > limits::FRAME_BYTES {
            return Err(format!("our answer of {} bytes is longer than a frame", answer.len()));
        }
        write_paced(stream, &answer, clock, bounds.frame)
            .await
            .map_err(|error| format!("our answer: {error}"))?;
        Ok(true)
    }
}
