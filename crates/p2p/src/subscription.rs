//! Subscriptions: one request frame, then frames from the server for as long as both sides want.
//!
//! The subscriber keeps its side open and sends nothing more; when it drops the stream, the server
//! stops. A slow subscriber holds the server back (nothing is buffered for it) and is cut when it
//! stands still for too long.

use std::rc::Rc;

use bytes::Bytes;
use craftec_core::{PeerId, limits};
use craftec_platform::timeout;
use futures::{
    AsyncReadExt, AsyncWriteExt, StreamExt,
    future::{Either, select},
    stream::{self, LocalBoxStream},
};

use crate::{
    ByteStream, NetError, Protocol, Rpc,
    frame::{read_frame, write_frame, write_paced},
    gate::Pass,
    rpc::Inner,
};

/// Answers a subscription: who asks, the agreed version of the protocol, the body. Ending the
/// stream ends the subscription.
pub type SubscriptionHandler = Rc<dyn Fn(PeerId, u16, Bytes) -> LocalBoxStream<'static, Bytes>>;

/// Where a subscription of ours stands.
enum State {
    Start(Bytes),
    Open(ByteStream),
    Over,
}

impl Rpc {
    /// Sends `body` and yields what the peer sends from then on. The stream ends when the peer ends
    /// it; after an error it ends too. Dropping it cancels.
    pub fn subscribe(
        &self,
        peer: PeerId,
        protocol: Protocol,
        body: impl Into<Bytes>,
    ) -> LocalBoxStream<'static, Result<Bytes, NetError>> {
        let inner = self.inner.clone();
        let steps = stream::unfold(State::Start(body.into()), move |state| {
            let inner = inner.clone();
            async move { next(&inner, peer, protocol, state).await }
        });
        Box::pin(steps)
    }

    /// Serves subscriptions to `protocol` from now on, until the network is shut down.
    pub fn serve_subscriptions(&self, protocol: Protocol, handler: SubscriptionHandler) {
        let inner = self.inner.clone();
        let mut incoming = inner.network.accept(protocol);
        self.inner.clock.spawn(Box::pin(async move {
            while let Some((peer, stream)) = incoming.next().await {
                let Some(pass) = inner.subscriptions.try_enter(peer, None) else {
                    tracing::debug!(%peer, protocol = protocol.name, "too many subscriptions");
                    continue;
                };
                let (serving, handler) = (inner.clone(), handler.clone());
                inner.clock.spawn(Box::pin(async move {
                    if let Err(reason) = feed(&serving, peer, stream, handler, pass).await {
                        tracing::debug!(%peer, reason, "a subscription was cut");
                    }
                }));
            }
        }));
    }
}

async fn next(
    inner: &Inner,
    peer: PeerId,
    protocol: Protocol,
    state: State,
) -> Option<(Result<Bytes, NetError>, State)> {
    let opened = match state {
        State::Start(body) => open(inner, peer, protocol, &body).await,
        State::Open(stream) => Ok(stream),
        State::Over => return None,
    };
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return Some((Err(error), State::Over)),
    };
    match read_frame(&mut stream, limits::FRAME_BYTES).await {
        Ok(Some(frame)) => Some((Ok(frame), State::Open(stream))),
        Ok(None) => None,
        Err(error) => Some((Err(error.about(peer)), State::Over)),
    }
}

async fn open(
    inner: &Inner,
    peer: PeerId,
    protocol: Protocol,
    body: &[u8],
) -> Result<ByteStream, NetError> {
    if body.len() > limits::FRAME_BYTES {
        return Err(NetError::Limit("a request is longer than one frame"));
    }
    let mut stream = inner.network.open(peer, protocol).await?;
    match timeout(&*inner.clock, inner.bounds.frame, write_frame(&mut stream, body)).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => Err(NetError::Lost { peer, reason: error.to_string() }),
        Err(late) => Err(NetError::Timeout { peer, ms: late.0.as_millis() as u64 }),
    }
}

/// Serves one subscription until either side ends it.
async fn feed(
    inner: &Inner,
    peer: PeerId,
    mut stream: ByteStream,
    handler: SubscriptionHandler,
    _pass: Pass,
) -> Result<(), String> {
    let (clock, bounds) = (&*inner.clock, &inner.bounds);
    let request = timeout(clock, bounds.frame, read_frame(&mut stream, limits::FRAME_BYTES))
        .await
        .map_err(|_| "no request in time")?
        .map_err(|error| error.to_string())?;
    let Some(body) = request else { return Ok(()) };
    let mut items = handler(peer, stream.version, body);
    let (mut from, mut to) = stream.split();
    let mut byte = [0];
    loop {
        let item = match select(items.next(), from.read(&mut byte)).await {
            Either::Left((item, _)) => item,
            Either::Right((Ok(0) | Err(_), _)) => return Ok(()),
            Either::Right((Ok(_), _)) => return Err("sent bytes after its request".to_owned()),
        };
        let Some(item) = item else {
            return match timeout(clock, bounds.frame, to.close()).await {
                Ok(closed) => closed.map_err(|error| error.to_string()),
                Err(_) => Err("too slow in closing".to_owned()),
            };
        };
        if item.len() > limits::FRAME_BYTES {
            return Err(format!("our item of {} bytes is longer than a frame", item.len()));
        }
        write_paced(&mut to, &item, clock, bounds.frame)
            .await
            .map_err(|error| format!("an item: {error}"))?;
    }
}
