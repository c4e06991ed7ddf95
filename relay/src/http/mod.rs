//! HTTP of `craftec up`: one listener, several origins told apart by the Host header. Each module
//! below answers for one of them; this one decides which, and counts.
//!
//! It sets no cookie, keeps no user, and changes nothing: GET, HEAD and one WebSocket.

mod api;
mod app;
mod assets;
mod bounded;
mod content;
mod gatehouse;
mod host;
mod ipfs;
mod metrics;
mod page;
mod path;
mod range;
mod server;
mod shelf;
mod site;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header, request::Parts},
    response::Response,
};
use craftec_api::{Command, Reply, Status};
use craftec_core::Cid;
use craftec_p2p::counters::Counters;
use tracing::{Instrument, field::Empty};

use self::{
    content::set,
    host::{HostError, Origin, Place},
    metrics::{Class, Metrics},
    page::Page,
};
use crate::{
    config::Settings,
    edge::{Denylist, Edge, EdgeCounters, HttpRefusal},
    error::Result,
    node_thread::NodeHandle,
};

pub(crate) use self::{gatehouse::Gatehouse, server::Server};

/// How long the node may take to say how it is before it counts as not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds after which a client that found no room may ask again.
const RETRY_S: &str = "1";

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Http {
    node: NodeHandle,
    domain: String,
    announce: Vec<String>,
    api: api::Gate,
    assets: assets::Assets,
    metrics: Metrics,
    names: site::Names,
    shelf: Arc<shelf::Shelf>,
    ready: AtomicBool,
    denylist: Denylist,
    network: Arc<Counters>,
    edge: Arc<EdgeCounters>,
    /// The port of our STUN, if it runs.
    stun: Option<u16>,
}

impl Http {
    /// Prepares to answer for a node; makes the API's token.
    pub(crate) fn new(
        node: NodeHandle,
        settings: &Settings,
        edge: &Edge,
        stun: Option<u16>,
    ) -> Result<Self> {
        Ok(Self {
            denylist: edge.denylist.clone(),
            network: edge.counters.clone(),
            edge: edge.own.clone(),
            stun,
            node,
            domain: settings.domain.clone(),
            announce: settings.announce.clone(),
            api: api::Gate::open(&settings.data)?,
            assets: assets::Assets::default(),
            metrics: Metrics::default(),
            names: site::Names::default(),
            shelf: Arc::default(),
            ready: AtomicBool::new(false),
        })
    }

    /// Answers without a node.
    #[cfg(test)]
    fn without_node(data: &std::path::Path) -> Self {
        Self {
            node: NodeHandle::without_node(),
            domain: "craftec.localhost".to_owned(),
            announce: Vec::new(),
            api: api::Gate::open(data).unwrap(),
            assets: assets::Assets::default(),
            metrics: Metrics::default(),
            names: site::Names::default(),
            shelf: Arc::default(),
            ready: AtomicBool::new(true),
            denylist: Denylist::default(),
            network: Arc::default(),
            edge: Arc::default(),
            stun: None,
        }
    }

    /// Says whether `/readyz` may answer yes.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Says that there is no room for a request now.
    pub(crate) fn overloaded(&self, request: &Request<Body>) -> Response {
        self.edge.refused(HttpRefusal::Busy);
        let text = "too many requests are under way here";
        let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, text, "Try again in a moment.");
        let mut answer = page.respond(request.headers(), request.method());
        set(&mut answer, header::RETRY_AFTER, RETRY_S);
        self.metrics.count(Class::Refused, answer.status());
        answer
    }

    /// Says that the head of a request is too long.
    pub(crate) fn long_winded(&self, request: &Request<Body>) -> Response {
        self.edge.refused(HttpRefusal::Head);
        let text = "the head of the request is too long";
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let page = Page::new(status, text, "Send fewer and shorter headers.");
        let mut answer = page.respond(request.headers(), request.method());
        // Whoever sends such heads keeps no connection.
        set(&mut answer, header::CONNECTION, "close");
        self.metrics.count(Class::Refused, answer.status());
        answer
    }

    /// The page that is shown instead of content that the operator does not serve.
    pub(crate) fn denied(&self, cid: &Cid) -> Option<Page> {
        self.denylist.has(cid).then(|| {
            self.edge.refused(HttpRefusal::Content);
            Page::new(
                StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
                "the operator of this node does not serve this content",
                "Other nodes decide for themselves.",
            )
        })
    }

    /// Answers one request, which came through TLS or not.
    pub(crate) async fn respond(
        &self,
        peer: SocketAddr,
        tls: bool,
        request: Request<Body>,
    ) -> Response {
        // No request of ours has a body; one that comes is never read.
        let (parts, _) = request.into_parts();
        let has_cookie = parts.headers.contains_key(header::COOKIE);
        // Neither host nor path: they say what a person reads.
        let span =
            tracing::info_span!("http", method = %parts.method, class = Empty, status = Empty);
        let (class, mut response) = match self.locate(peer, tls, &parts) {
            Ok((place, origin, name)) => {
                self.dispatch(place, origin, &name, peer, parts).instrument(span.clone()).await
            }
            Err(page) => (Class::Refused, page.respond(&parts.headers, &parts.method)),
        };
        span.record("class", class.name()).record("status", response.status().as_u16());
        if has_cookie {
            forget_cookies(&mut response);
        }
        self.metrics.count(class, response.status());
        response
    }

    /// The place of a request and the origin that its browser sees.
    fn locate(
        &self,
        peer: SocketAddr,
        tls: bool,
        parts: &Parts,
    ) -> Result<(Place, Origin, String), Page> {
        let bad = |error: HostError| {
            let status = match &error {
                HostError::Malformed | HostError::Label { .. } => StatusCode::BAD_REQUEST,
                HostError::Foreign(_) => StatusCode::MISDIRECTED_REQUEST,
            };
            let hint = match &error {
                HostError::Malformed => String::new(),
                HostError::Label { .. } => {
                    format!("A site's address is http://<CID>.{}/.", self.domain)
                }
                HostError::Foreign(_) => format!("Its sites are below {}.", self.domain),
            };
            Page::new(status, crate::console::printable(&error.to_string()), hint)
        };
        let text =
            host_text(&parts.headers, &parts.uri).ok_or_else(|| bad(HostError::Malformed))?;
        let (name, port) = host::split(text).map_err(bad)?;
        let place = host::place(name, &self.domain).map_err(bad)?;
        // Only a proxy on this machine is believed about TLS.
        let forwarded = parts.headers.get("x-forwarded-proto");
        let tls = tls
            || (peer.ip().to_canonical().is_loopback()
                && forwarded.is_some_and(|proto| proto.as_bytes() == b"https"));
        let (scheme, default) = if tls { ("https", 443) } else { ("http", 80) };
        let port = port.filter(|port| *port != default);
        let origin = Origin { scheme, domain: self.domain.clone(), port };
        Ok((place, origin, name.to_owned()))
    }

    async fn dispatch(
        &self,
        place: Place,
        origin: Origin,
        host: &str,
        peer: SocketAddr,
        parts: Parts,
    ) -> (Class, Response) {
        let Parts { method, uri, headers, .. } = &parts;
        let which = match place {
            Place::Site(cid) => Some(site::Which::Cid(cid)),
            Place::Name(ref label) => Some(site::Which::Label(label.clone())),
            Place::App | Place::Bare { .. } => None,
        };
        if method != Method::GET && method != Method::HEAD {
            let text = format!("{method} is not answered here");
            let page = Page::new(StatusCode::METHOD_NOT_ALLOWED, text, "Only GET and HEAD are.");
            return (Class::Refused, page.respond(headers, method));
        }
        if let Some(which) = which {
            let answer = site::respond(self, &origin, which, method, uri, headers).await;
            return (Class::Site, answer);
        }
        match uri.path() {
            "/healthz" => (Class::Service, text(method, StatusCode::OK, "ok\n")),
            "/readyz" => (Class::Service, self.readiness(method).await),
            "/metrics" => (Class::Service, self.metrics(method, headers).await),
            "/relay.json" => {
                let answer = app::relay_info(self, &origin, host, peer, method, headers).await;
                (Class::Service, answer)
            }
            path if path == "/ipfs" || path.starts_with("/ipfs/") => {
                (Class::Gateway, ipfs::respond(self, &origin, method, uri, headers).await)
            }
            "/api/v1" => (Class::Api, api::respond(self, &place, &origin, peer, parts).await),
            _ if place == Place::App => {
                (Class::App, app::respond(&self.assets, &origin, method, uri, headers))
            }
            _ => (Class::Service, to_app(&origin, uri)),
        }
    }

    async fn status(&self) -> Option<Status> {
        let session = self.node.session();
        match tokio::time::timeout(READY_TIMEOUT, session.call(Command::Status)).await {
            Ok(Ok(Reply::Status(status))) => Some(status),
            _ => None,
        }
    }

    async fn readiness(&self, method: &Method) -> Response {
        let ready = self.ready.load(Ordering::Relaxed) && self.status().await.is_some();
        match ready {
            true => text(method, StatusCode::OK, "ready\n"),
            false => text(method, StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        }
    }

    fn metrics_text(&self, status: &Status) -> String {
        let mut text = self.metrics.text(status);
        metrics::network(&mut text, &self.network);
        metrics::edge(&mut text, &self.edge);
        text
    }

    async fn metrics(&self, method: &Method, headers: &HeaderMap) -> Response {
        let Some(status) = self.status().await else {
            let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, "the node does not answer", "");
            return page.respond(headers, method);
        };
        let mut answer = text(method, StatusCode::OK, &self.metrics_text(&status));
        set(&mut answer, header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
        answer
    }
}

/// The host of a request: of its target where that is a whole URL, else the one Host header.
fn host_text<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

/// No cookie is ours: one that comes was set by a site for the whole domain, to tell something to
/// its siblings or to fill their requests until they are refused. The browser drops them all.
fn forget_cookies(answer: &mut Response) {
    set(answer, HeaderName::from_static("clear-site-data"), "\"cookies\"");
}

/// A short answer for programs.
fn text(method: &Method, status: StatusCode, body: &str) -> Response {
    let length = body.len().to_string();
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(body.to_owned()) };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut answer, header::CONTENT_LENGTH, &length);
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// The app has an origin of its own, never the bare host.
fn to_app(origin: &Origin, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    set(&mut answer, header::LOCATION, &format!("{}{path}", origin.app()));
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}
