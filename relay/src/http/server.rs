//! The listener: connections, their limits and their end. It knows HTTP/1.1 and timeouts, and no
//! path or host.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Http,
    bounded::{Brief, Patient},
    gatehouse::{Gatehouse, Held, Ticket},
};
use crate::{
    edge::{Certificates, HttpRefusal},
    error::{RelayError, Result},
};

/// How long a client may take to send the head of a request, and stay silent between two: stops
/// clients that send a byte at a time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of a request's head, cookies included: any site can set them for the whole domain, 180
/// of 4 KiB each in the browsers of today, and the app must still be reached to have them dropped.
const HEAD_BYTES: usize = 768 << 10;
/// Most bytes of it without the cookies: a CID host, a path of 4 KiB escaped, a browser's headers.
const HEAD_BYTES_WITHOUT_COOKIES: usize = 32 << 10;
/// Connections whose unanswered bytes may be more than that at one time: 12 MiB in all. A browser
/// full of a site's cookies needs one for a moment, a flood of long heads gets no more.
const LONG_HEADS: usize = 16;
/// Most header lines.
const HEADERS: usize = 100;
/// How long a client may accept nothing of an answer before it is let go.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests in flight may still run when the process was asked to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Times that a connection must keep; tests shorten them.
#[derive(Clone, Copy, Debug)]
struct Patience {
    head: Duration,
    stall: Duration,
}

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Certificates>,
    gatehouse: Gatehouse,
    long_heads: Arc<Semaphore>,
}

impl Server {
    /// Binds, so that the port is known before anything answers; with certificates it speaks TLS.
    pub(crate) async fn bind(
        addr: SocketAddr,
        tls: Option<Certificates>,
        gatehouse: Gatehouse,
    ) -> Result<Self> {
        let failed = |source| RelayError::Listen { addr: addr.to_string(), source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let long_heads = Arc::new(Semaphore::new(LONG_HEADS));
        Ok(Self { listener, addr, tls, gatehouse, long_heads })
    }

    /// The address bound.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`, then lets requests in flight end, for a bounded time.
    pub(crate) async fn serve(self, http: Arc<Http>, stop: CancellationToken) {
        let patience = Patience { head: HEAD_TIMEOUT, stall: STALL_TIMEOUT };
        self.serve_with(http, stop, patience).await;
    }

    async fn serve_with(self, http: Arc<Http>, stop: CancellationToken, patience: Patience) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Refused ones are closed at once: they cost a descriptor for a moment only.
                    let Some(ticket) = self.gatehouse.enter(peer.ip()) else { continue };
                    let guest = Guest {
                        peer,
                        ticket: Arc::new(ticket),
                        gatehouse: self.gatehouse.clone(),
                        patience,
                        long_heads: self.long_heads.clone(),
                    };
                    let tls = self.tls.clone();
                    tasks.spawn(guest.welcome(stream, tls, http.clone(), stop.clone()));
                }
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to be freed.
                    tracing::warn!(%error, "HTTP did not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // Whoever comes now is refused at once, instead of waiting in the queue for nobody.
        drop(self.listener);
        tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "HTTP requests were cut off");
        }
    }
}

/// One connection and its place.
struct Guest {
    peer: SocketAddr,
    ticket: Arc<Ticket>,
    gatehouse: Gatehouse,
    patience: Patience,
    long_heads: Arc<Semaphore>,
}

impl Guest {
    async fn welcome(
        self,
        stream: TcpStream,
        tls: Option<Certificates>,
        http: Arc<Http>,
        stop: CancellationToken,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
            return;
        }
        let stream = Patient::new(stream, self.patience.stall);
        let Some(tls) = tls else { return self.converse(stream, false, http, stop).await };
        let shaking = tokio::time::timeout(self.patience.head, tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            shaken = shaking => shaken,
            () = self.ticket.leave() => return,
            () = stop.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.converse(stream, true, http, stop).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "no TLS"),
            Err(_) => self.gatehouse.counters().refused(HttpRefusal::Slow),
        }
    }

    async fn converse<T>(self, stream: T, tls: bool, http: Arc<Http>, stop: CancellationToken)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (peer, ticket) = (self.peer, self.ticket.clone());
        let stream = Brief::new(stream, self.long_heads.clone());
        let talks_http = stream.talks_http.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (http, ticket, talks_http) = (http.clone(), ticket.clone(), talks_http.clone());
            async move {
                let answer = answer(&http, &ticket, peer, tls, request).await;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    talks_http.store(false, Ordering::Relaxed);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES + (8 << 10))
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut serving = pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            // It is idle: there is nothing to finish.
            () = self.ticket.leave() => return,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            if error.is_parse_too_large() {
                self.gatehouse.counters().refused(HttpRefusal::Head);
            } else if error.is_timeout() {
                self.gatehouse.counters().refused(HttpRefusal::Slow);
            }
            tracing::debug!(%peer, %error, "an HTTP connection broke");
        }
    }
}

/// Answers one request, if there is room for it.
async fn answer(
    http: &Http,
    ticket: &Ticket,
    peer: SocketAddr,
    tls: bool,
    request: Request<Incoming>,
) -> Response {
    // What watches over a node must not be turned away when it is busy.
    let watches = matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics");
    let request = request.map(Body::new);
    if head_bytes_without_cookies(&request) > HEAD_BYTES_WITHOUT_COOKIES {
        return http.long_winded(&request);
    }
    let busy = match ticket.request() {
        Some(busy) => Some(busy),
        None if watches => None,
        None => return http.overloaded(&request),
    };
    let answer = http.respond(peer, tls, request).await;
    match busy {
        Some(busy) => answer.map(|body| Held::body(body, busy)),
        None => answer,
    }
}

fn head_bytes_without_cookies(request: &Request<Body>) -> usize {
    let headers = request.headers().iter().filter(|(name, _)| **name != header::COOKIE);
    let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    headers + path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::HttpLimits;
    use craftec_p2p::{Limits, native::Denials};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server of one connection at a time that gives heads 300 ms; its port, and its end.
    async fn served() -> (u16, CancellationToken, tokio::task::JoinHandle<()>) {
        let data = tempfile::tempdir().unwrap();
        let http = Arc::new(Http::without_node(data.path()));
        let gatehouse = Gatehouse::new(
            1,
            HttpLimits::default(),
            Limits::default(),
            Denials::default(),
            Arc::default(),
        );
        let addr = ([127, 0, 0, 1], 0).into();
        let server = Server::bind(addr, None, gatehouse).await.unwrap();
        let (port, stop) = (server.addr().port(), CancellationToken::new());
        let patience = Patience { head: Duration::from_millis(300), stall: Duration::from_secs(5) };
        let serving = tokio::spawn(server.serve_with(http, stop.clone(), patience));
        (port, stop, serving)
    }

    #[tokio::test]
    async fn a_client_that_sends_a_byte_at_a_time_is_let_go() {
        let (port, stop, serving) = served().await;
        let mut slow = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").await.unwrap();
        // The second gets the only place at once.
        let mut next = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let ask = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        next.write_all(ask).await.unwrap();
        let mut answer = String::new();
        let read = next.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "no node, not ready: {answer}");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest));
        // Closed, or torn off where some of it was not read.
        drop(ended.await.unwrap());
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
    }
}
