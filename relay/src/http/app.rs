//! The web app's origin: its files, its policy, and the address of this relay for its tabs.

use std::net::{IpAddr, SocketAddr};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use craftec_api::{Command, Reply};
use craftec_core::PeerId;
use serde::Serialize;

use super::{
    Http,
    assets::{Assets, Kind},
    content::set,
    host::Origin,
    page::Page,
    path,
};

/// The page that sites embed to reach the node.
const BRIDGE: &str = "bridge.html";

/// Answers a request for the app.
pub(crate) fn respond(
    assets: &Assets,
    origin: &Origin,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let (name, mut answer) = match file(assets, method, uri, headers) {
        Ok((name, answer)) => (name, answer),
        Err(page) => (String::new(), page.respond(headers, method)),
    };
    protect(&mut answer, assets, origin, &name);
    answer
}

fn file(
    assets: &Assets,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(String, Response), Page> {
    let asked = path::decode(uri.path())
        .map_err(|error| Page::new(StatusCode::BAD_REQUEST, error.to_string(), ""))?;
    let name = if asked.names.is_empty() { "index.html" } else { asked.names.as_str() };
    if let Some(answer) = assets.respond(Kind::App, name, method, headers) {
        return Ok((name.to_owned(), answer));
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains('.') && assets.has_app() && name != "index.html" {
        let text = format!("the app has no file {}", crate::console::printable(name));
        return Err(Page::new(StatusCode::NOT_FOUND, text, ""));
    }
    // A route of the app's own.
    match assets.respond(Kind::App, "index.html", method, headers) {
        Some(answer) => Ok(("index.html".to_owned(), answer)),
        None => Err(Page::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this binary was built without the web app",
            "Run `make build` in the source tree; it builds the app and then the binary. \
             The node, its sites and the command line work without it.",
        )),
    }
}

/// The app's policy: its own code only, frames of sites only, framed by nobody; the bridge alone
/// may be framed by sites.
fn protect(answer: &mut Response, assets: &Assets, origin: &Origin, name: &str) {
    if answer.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        // A page about an error has a policy of its own, which says nothing of frames.
        let policy = HeaderValue::from_static("frame-ancestors 'self'");
        answer.headers_mut().append(header::CONTENT_SECURITY_POLICY, policy);
    } else {
        let sites = origin.sites();
        let (scripts, styles) = if name.ends_with(".html") {
            (assets.inline_hashes(name, "script"), assets.inline_hashes(name, "style"))
        } else {
            (String::new(), String::new())
        };
        let is_bridge = name == BRIDGE || name.ends_with("/bridge.html");
        let framed_by = if is_bridge { format!("'self' {sites}") } else { "'self'".to_owned() };
        let policy = format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{scripts}; \
             style-src 'self'{styles}; style-src-attr 'unsafe-inline'; \
             img-src 'self' data: blob: {sites}; media-src 'self' blob: {sites}; \
             connect-src 'self' ws: wss: {sites}; frame-src 'self' {sites}; worker-src 'self'; \
             object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framed_by}"
        );
        set(answer, header::CONTENT_SECURITY_POLICY, &policy);
    }
    let permissions = "publickey-credentials-get=(self), publickey-credentials-create=(self), \
                       camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), \
                       hid=(), midi=(), display-capture=()";
    set(answer, HeaderName::from_static("permissions-policy"), permissions);
    set(answer, HeaderName::from_static("origin-agent-cluster"), "?1");
    // A site that opens the app gets no window of it to message, navigate or count frames in.
    set(answer, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(answer, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(answer, header::REFERRER_POLICY, "no-referrer");
}

/// What a tab needs to know to reach this relay.
#[derive(Serialize)]
struct RelayInfo<'a> {
    peer_id: PeerId,
    addrs: &'a [String],
    relays: &'a [String],
    domain: &'a str,
    port: u16,
    gateway: String,
    /// For RTCPeerConnections: none on the same machine, where every address is known anyway.
    stun: Vec<String>,
}

/// Answers `/relay.json`.
pub(crate) async fn relay_info(
    http: &Http,
    origin: &Origin,
    host: &str,
    peer: SocketAddr,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let status = match http.node.session().call(Command::Status).await {
        Ok(Reply::Status(status)) => status,
        Ok(_) => {
            let text = "the node did not say who it is";
            return Page::new(StatusCode::INTERNAL_SERVER_ERROR, text, "").respond(headers, method);
        }
        Err(error) => return Page::of_error(&error).respond(headers, method),
    };
    let local = is_local(host, &origin.domain) && peer.ip().to_canonical().is_loopback();
    let asks = Asks { host, local, tls: origin.scheme == "https" };
    let addrs = dialable(&status.addresses, &http.announce, asks, status.peer_id);
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let stun = http.stun.filter(|_| !local).map(|port| format!("stun:{name}:{port}"));
    let default = if origin.scheme == "https" { 443 } else { 80 };
    let info = RelayInfo {
        peer_id: status.peer_id,
        addrs: &addrs,
        relays: &addrs,
        domain: &origin.domain,
        port: origin.port.unwrap_or(default),
        gateway: origin.gateway(),
        stun: stun.into_iter().collect(),
    };
    let text = serde_json::to_string(&info).unwrap_or_default();
    let length = text.len();
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(text) };
    let mut answer = Response::new(body);
    set(&mut answer, header::CONTENT_TYPE, "application/json");
    set(&mut answer, header::CONTENT_LENGTH, &length.to_string());
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    set(&mut answer, header::ACCESS_CONTROL_ALLOW_ORIGIN, &origin.app());
    set(&mut answer, header::VARY, "Origin");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// Whether a host is a way to say "this machine".
fn is_local(host: &str, domain: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || domain == "localhost" || domain.ends_with(".localhost"),
    }
}

/// How a browser reached us.
#[derive(Clone, Copy)]
struct Asks<'a> {
    host: &'a str,
    /// From this machine.
    local: bool,
    /// Over HTTPS, so that it dials TLS only.
    tls: bool,
}

/// WebSocket addresses that the browser behind this request can dial: on the same machine its
/// loopback, elsewhere what was configured, or else the host that it reached us by.
fn dialable(
    listening: &[String],
    announced: &[String],
    asks: Asks<'_>,
    peer_id: PeerId,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |addr: String| {
        if !found.contains(&addr) {
            found.push(addr);
        }
    };
    if !asks.local {
        announced.iter().for_each(|addr| add(with_peer(addr, peer_id)));
    }
    for addr in listening {
        let Some((port, tls)) = websocket_port(addr) else { continue };
        // A certificate names a host, never loopback; and a page from HTTPS may dial no other.
        let (wrong, named) = if asks.local { (tls, false) } else { (asks.tls && !tls, tls) };
        if wrong {
            continue;
        }
        let ip = match asks.host.parse::<IpAddr>() {
            _ if asks.local && addr.starts_with("/ip6/") => "/ip6/::1".to_owned(),
            _ if asks.local => "/ip4/127.0.0.1".to_owned(),
            Ok(IpAddr::V4(ip)) => format!("/ip4/{ip}"),
            Ok(IpAddr::V6(ip)) => format!("/ip6/{ip}"),
            Err(_) => format!("/dns/{}", asks.host),
        };
        let ws = if named { "tls/ws" } else { "ws" };
        add(format!("{ip}/tcp/{port}/{ws}/p2p/{peer_id}"));
    }
    // Browsers fail slowly where IPv6 is off; a plain WebSocket is the last resort.
    found.sort_by_key(|addr| {
        (addr.starts_with("/ip6/::1/"), addr.contains("/ws/") && is_plain(addr))
    });
    found
}

fn is_plain(addr: &str) -> bool {
    !addr.contains("/tls/ws") && !addr.contains("/wss")
}

fn with_peer(addr: &str, peer_id: PeerId) -> String {
    if addr.contains("/p2p/") { addr.to_owned() } else { format!("{addr}/p2p/{peer_id}") }
}

/// The TCP port of a WebSocket address that is not itself relayed, and whether it speaks TLS.
fn websocket_port(addr: &str) -> Option<(u16, bool)> {
    if addr.contains("/p2p-circuit") {
        return None;
    }
    let (before, after) = addr.split_once("/tcp/")?;
    let (port, rest) = after.split_once('/')?;
    let tls = rest.starts_with("tls/ws") || rest.starts_with("wss");
    let is_websocket = tls || rest == "ws" || rest.starts_with("ws/");
    if !is_websocket || before.contains("/tcp") {
        return None;
    }
    Some((port.parse().ok()?, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_gets_addresses_that_it_can_dial() {
        let id = PeerId::from_public_key([1; 32]);
        let listening = [
            format!("/ip4/10.0.0.5/tcp/4001/p2p/{id}"),
            format!("/ip4/10.0.0.5/tcp/4002/ws/p2p/{id}"),
            format!("/ip4/172.17.0.2/tcp/4002/ws/p2p/{id}"),
            format!("/ip6/fd00::5/tcp/4002/ws/p2p/{id}"),
            format!("/ip4/1.2.3.4/tcp/4002/ws/p2p/{id}/p2p-circuit"),
        ];
        let announced = ["/dns4/relay.example/tcp/443/wss".to_owned()];
        let of = |host: &str, local| {
            dialable(&listening, &announced, Asks { host, local, tls: false }, id)
        };
        assert_eq!(
            of("app.craftec.localhost", true),
            [
                format!("/ip4/127.0.0.1/tcp/4002/ws/p2p/{id}"),
                format!("/ip6/::1/tcp/4002/ws/p2p/{id}")
            ]
        );
        assert_eq!(
            of("app.example.org", false),
            [
                format!("/dns4/relay.example/tcp/443/wss/p2p/{id}"),
                format!("/dns/app.example.org/tcp/4002/ws/p2p/{id}")
            ]
        );
        let secure = [listening[1].clone(), format!("/ip4/10.0.0.5/tcp/4003/tls/ws/p2p/{id}")];
        let of_secure =
            |host: &str, local, tls| dialable(&secure, &[], Asks { host, local, tls }, id);
        let named = format!("/dns/app.example.org/tcp/4003/tls/ws/p2p/{id}");
        assert_eq!(of_secure("app.example.org", false, true), [named.as_str()]);
        assert_eq!(of_secure("app.example.org", false, false)[0], named);
        assert_eq!(
            of_secure("localhost", true, false),
            [format!("/ip4/127.0.0.1/tcp/4002/ws/p2p/{id}")]
        );
        assert_eq!(of("192.0.2.9", false)[1], format!("/ip4/192.0.2.9/tcp/4002/ws/p2p/{id}"));
        assert!(is_local("app.craftec.localhost", "craftec.localhost"));
        assert!(is_local("127.0.0.1", "example.org") && !is_local("10.1.1.1", "x.localhost"));
        assert!(!is_local("app.example.org", "example.org"));
    }
}
