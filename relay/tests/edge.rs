//! TLS, STUN, limits and the denylist of the real binary, as strangers meet them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use stun_types::{
    attribute::{Fingerprint, XorMappedAddress},
    message::{BINDING, Message, MessageWriteVec},
    prelude::*,
};
use support::{Daemon, Home, noise};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};

const NAME: &str = "node.craftec.localhost";

/// An authority of the test's own.
struct Authority {
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self { cert: params.self_signed(&key).unwrap(), key }
    }

    /// Writes a certificate with a serial number, and its key.
    fn issue(&self, folder: &Path, serial: u8) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec![NAME.to_owned(), "localhost".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.serial_number = Some(vec![serial].into());
        let cert = params.signed_by(&key, &self.cert, &self.key).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// Asks over TLS; the answer and the certificate shown.
fn ask(
    client: &Arc<ClientConfig>,
    port: u16,
    host: &str,
    target: &str,
) -> (String, CertificateDer<'static>) {
    let name = ServerName::try_from(NAME).unwrap();
    let connection = ClientConnection::new(client.clone(), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The far end may leave out TLS's own goodbye.
    drop(stream.read_to_end(&mut answer));
    let shown = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
    (String::from_utf8_lossy(&answer).into_owned(), shown)
}

fn secure_home(authority: &Authority) -> Home {
    let home = Home::new();
    authority.issue(home.folder.path(), 1);
    fs::write(home.path("ca.pem"), authority.cert.pem()).unwrap();
    home
}

const SECURE: [&str; 8] = [
    "--https",
    "127.0.0.1:0",
    "--tls-cert",
    "cert.pem",
    "--tls-key",
    "key.pem",
    "--listen",
    "/ip4/127.0.0.1/tcp/0/tls/ws",
];

fn metric(node: &Daemon, name: &str) -> u64 {
    let text = node.get("localhost", "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Waits for what happens within some seconds.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < support::PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn browsers_are_served_over_tls_with_the_certificate_of_the_day() {
    let authority = Authority::new();
    let node = Daemon::start_in(secure_home(&authority), &SECURE);
    let port = u16::try_from(node.ready["https_port"].as_u64().unwrap()).unwrap();
    let client = authority.client();
    let (answer, first) = ask(&client, port, "localhost", "/healthz");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    node.home.write("a.txt", "over tls");
    let cid = node.home.run(["put", "a.txt"]).ok()["cid"].as_str().unwrap().to_owned();
    let (answer, _) = ask(&client, port, "localhost", &format!("/ipfs/{cid}?format=raw"));
    assert!(answer.ends_with("over tls"), "{answer}");
    let (answer, _) = ask(&client, port, "craftec.localhost", "/");
    let app = "location: https://app.craftec.localhost/\r\n";
    assert!(answer.contains(app), "the origin is that of https: {answer}");
    // A new certificate is shown without a restart; half of a change is not.
    authority.issue(node.home.folder.path(), 2);
    until("the certificate was read again", || {
        metric(&node, "craftec_reloads_total{file=\"certificate\"}") > 0
    });
    let (_, second) = ask(&client, port, "localhost", "/healthz");
    assert!(first != second);
    fs::write(node.home.path("cert.pem"), "nonsense").unwrap();
    until("it was refused", || metric(&node, "craftec_reloads_total{file=\"failed\"}") > 0);
    assert!(ask(&client, port, "localhost", "/healthz").1 == second);
    // A stranger to the authority is not fooled, and plain HTTP is no TLS.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    drop(plain.read_to_end(&mut rest));
    assert!(!rest.starts_with(b"HTTP"));
    assert_eq!(node.get("localhost", "/healthz").status, 200);
}

#[test]
fn peers_come_over_websocket_in_tls() {
    let authority = Authority::new();
    let node = Daemon::start_in(secure_home(&authority), &SECURE);
    node.home.write("a.bin", noise(1, 600_000));
    let cid = node.home.run(["put", "a.bin"]).ok()["cid"].as_str().unwrap().to_owned();
    let addrs = node.ready["addrs"].as_array().unwrap();
    let wss = addrs.iter().filter_map(|addr| addr.as_str()).find(|addr| addr.contains("/tls/ws"));
    let port = wss.unwrap().split('/').nth(4).unwrap();
    let addr = format!("/dns4/localhost/tcp/{port}/tls/ws/p2p/{}", node.peer_id());
    let other = Home::new();
    fs::write(other.path("ca.pem"), authority.cert.pem()).unwrap();
    let got = other.run(["--relay", &addr, "--tls-trust", "ca.pem", "get", &cid, "-o", "b.bin"]);
    assert_eq!(got.code, 0, "{got:?}");
    assert!(fs::read(other.path("b.bin")).unwrap() == noise(1, 600_000));
    let came = "craftec_connections_total{direction=\"in\",transport=\"wss\"}";
    assert_eq!(metric(&node, came), 1);
    let stranger = Home::new();
    let got = stranger.run(["--relay", &addr, "get", &cid, "-o", "b.bin"]);
    assert_ne!(got.code, 0, "who does not know the authority does not connect: {got:?}");
    assert_eq!(metric(&node, came), 1);
}

#[test]
fn mistakes_about_tls_end_the_start() {
    let home = Home::new();
    home.write("cert.pem", "nonsense");
    home.write("key.pem", "nonsense");
    let args = ["up", "--http", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let ran = home.run(args);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("key.pem cannot be used for TLS"), "{ran:?}");
    let ran = home.run(["up", "--tls-cert", "cert.pem"]);
    assert!(ran.code == 2 && ran.stderr.contains("without `tls_key`"), "{ran:?}");
}

#[test]
fn a_client_learns_its_address_by_stun() {
    let node = Daemon::start(&["--stun", "127.0.0.1:0"]);
    let port = u16::try_from(node.ready["stun_port"].as_u64().unwrap()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut asked = Message::builder_request(BINDING, MessageWriteVec::new());
    asked.add_fingerprint().unwrap();
    // Junk before and after does not stop it.
    socket.send_to(b"junk", ("127.0.0.1", port)).unwrap();
    socket.send_to(&asked.finish(), ("127.0.0.1", port)).unwrap();
    let mut packet = [0; 500];
    let (bytes, _) = socket.recv_from(&mut packet).unwrap();
    let said = Message::from_bytes(&packet[..bytes]).unwrap();
    let seen = said.attribute::<XorMappedAddress>().unwrap().addr(said.transaction_id());
    assert_eq!(seen, socket.local_addr().unwrap());
    assert!(said.has_attribute(Fingerprint::TYPE));
    assert_eq!(metric(&node, "craftec_stun_packets_total{outcome=\"answered\"}"), 1);
    assert_eq!(metric(&node, "craftec_stun_packets_total{outcome=\"invalid\"}"), 1);
    // A tab of this machine needs none; one from elsewhere is told.
    let here = node.get("app.craftec.localhost", "/relay.json").text();
    assert!(here.contains("\"stun\":[]"), "{here}");
    let taken =
        Home::new().run(["up", "--http", "127.0.0.1:0", "--stun", &format!("127.0.0.1:{port}")]);
    assert!(taken.code == 1 && taken.stderr.contains("STUN"), "{taken:?}");
}

#[test]
fn the_operators_list_holds_at_the_gateway_and_among_peers() {
    let home = Home::new();
    home.write("deny.txt", "# nothing yet\n");
    let node = Daemon::start_in(home, &["--denylist", "deny.txt"]);
    let home = &node.home;
    home.write("site/index.html", "fine");
    home.write("site/bad.html", "bad");
    let site = home.run(["site", "publish", "site"]).ok()["cid"].as_str().unwrap().to_owned();
    home.write("bad.html", "bad");
    let bad = home.run(["put", "bad.html"]).ok()["cid"].as_str().unwrap().to_owned();
    let host = format!("{site}.craftec.localhost");
    assert_eq!(node.get(&host, "/bad.html").text(), "bad");
    // Content first: nobody gets it, whichever way it is asked for.
    fs::write(home.path("deny.txt"), format!("{bad}\n")).unwrap();
    until("the list was read", || metric(&node, "craftec_reloads_total{file=\"denylist\"}") > 0);
    for (host, target) in [
        (host.clone(), "/bad.html".to_owned()),
        (format!("{bad}.craftec.localhost"), "/".to_owned()),
        ("localhost".to_owned(), format!("/ipfs/{bad}?format=raw")),
        ("localhost".to_owned(), format!("/ipfs/{site}/bad.html?format=raw")),
    ] {
        let answer = node.get(&host, &target);
        assert_eq!(answer.status, 451, "{host}{target}: {answer:?}");
        assert!(answer.text().contains("operator"), "{answer:?}");
    }
    assert_eq!(node.get(&host, "/").text(), "fine");
    let peer = Daemon::start(&[]);
    assert_eq!(peer.home.run(["connect", &node.addr()]).code, 0);
    assert_eq!(peer.get(&host, "/").text(), "fine");
    assert_eq!(peer.get(&format!("{bad}.craftec.localhost"), "/").status, 504);
    assert!(metric(&node, "craftec_http_refused_total{reason=\"content\"}") >= 4);
    // Then the peer: its connection ends and it does not come back.
    fs::write(home.path("deny.txt"), format!("{}\n", peer.peer_id())).unwrap();
    let connected = || {
        let peers = node.home.run(["status"]).ok();
        peers["peers"].as_array().is_some_and(|peers| !peers.is_empty())
    };
    assert!(connected());
    until("the denied peer is gone", || !connected());
    // The dialer may take it for a success before it hears that it was refused.
    peer.home.run(["connect", &node.addr()]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!connected(), "it stays out");
    assert!(metric(&node, "craftec_connections_refused_total{reason=\"denied\"}") >= 1);
    // And this machine, for HTTP.
    fs::write(home.path("deny.txt"), "127.0.0.0/8\n").unwrap();
    until("HTTP is closed", || {
        let mut stream = TcpStream::connect(("127.0.0.1", node.port)).unwrap();
        drop(stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let mut first = [0; 1];
        !matches!(stream.read(&mut first), Ok(1))
    });
}

#[test]
fn a_head_of_64_kib_is_told_what_is_wrong() {
    let node = Daemon::start(&[]);
    let head =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(64 << 10));
    for _ in 0..20 {
        assert_eq!(node.raw(head.as_bytes()).status, 431);
    }
    assert_eq!(metric(&node, "craftec_http_refused_total{reason=\"head\"}"), 20);
}

#[test]
fn a_street_that_asks_for_too_much_at_once_is_told_to_wait() {
    let home = Home::new();
    let limits = "limit_loopback = true\nhttp_requests_per_prefix = 2\n\
                  http_connections_per_prefix = 4";
    home.write("data/craftec.toml", format!("[limits]\n{limits}\n"));
    let node = Daemon::start_in(home, &[]);
    node.home.write("big.bin", noise(3, 30 << 20));
    let cid = node.home.run(["put", "big.bin"]).ok()["cid"].as_str().unwrap().to_owned();
    let host = format!("{cid}.craftec.localhost");
    // Two downloads that nobody reads.
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", node.port)).unwrap();
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let mut first = [0; 100];
            stream.read_exact(&mut first).unwrap();
            assert!(first.starts_with(b"HTTP/1.1 200"));
            stream
        })
        .collect();
    let busy = node.get(&host, "/");
    assert_eq!((busy.status, busy.header("retry-after")), (503, "1"), "{busy:?}");
    assert_eq!(node.get("localhost", "/healthz").status, 200, "who watches gets in");
    assert_eq!(metric(&node, "craftec_http_requests"), 2);
    assert_eq!(metric(&node, "craftec_http_refused_total{reason=\"busy\"}"), 1);
    // Idle connections make room for one more, busy ones do not.
    let idle: Vec<_> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", node.port)).unwrap()).collect();
    until("both are in", || metric(&node, "craftec_http_refused_total{reason=\"shed\"}") >= 1);
    drop(held);
    until("the downloads have ended", || node.get(&host, "/").status == 200);
    drop(idle);
}
