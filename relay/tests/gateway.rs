//! Two running nodes, HTTP as browsers and programs speak it, and what strangers try.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use craftec_api::{Command, ErrorCode, FromNode, Reply, ToNode};
use craftec_core::{Cid, Codec, cbor};
use futures::{SinkExt, StreamExt};
use support::{Answer, Daemon, noise};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};

const BIG: usize = 2_500_000;

/// Two connected nodes; the first has published a site.
struct Pair {
    a: Daemon,
    b: Daemon,
    cid: String,
    label: String,
}

impl Pair {
    fn start() -> Self {
        let a = Daemon::start(&[]);
        let home = &a.home;
        home.write("site/index.html", "<h1>hello</h1>");
        home.write("site/docs/index.html", "docs");
        home.write("site/docs/日本 語.txt", "nihongo");
        home.write("site/plain/a.css", "a{}");
        home.write("site/404.html", "nothing here");
        home.write("site/big.bin", noise(7, BIG));
        let published = home.run(["site", "publish", "site", "--name", "blog"]).ok();
        let cid = published["cid"].as_str().unwrap().to_owned();
        let label = published["label"].as_str().unwrap().to_owned();
        assert_eq!(
            published["url"],
            format!("http://{label}.craftec.localhost:{}/", a.port),
            "links lead to the running gateway"
        );
        let b = Daemon::start(&[]);
        let connected = b.home.run(["connect", &a.addr()]);
        assert_eq!(connected.code, 0, "{connected:?}");
        Self { a, b, cid, label }
    }

    fn host(&self) -> String {
        format!("{}.craftec.localhost", self.cid)
    }
}

#[test]
fn a_site_published_on_one_node_opens_from_another() {
    let pair = Pair::start();
    let host = pair.host();
    let home = pair.b.get(&host, "/");
    assert_eq!((home.status, home.text().as_str()), (200, "<h1>hello</h1>"), "{home:?}");
    assert_eq!(home.header("content-type"), "text/html; charset=utf-8");
    assert!(home.header("cache-control").contains("immutable"));
    protected(&home);
    let file = pair.b.get(&host, "/docs/%E6%97%A5%E6%9C%AC%20%E8%AA%9E.txt");
    assert_eq!((file.status, file.text().as_str()), (200, "nihongo"));
    let folder = pair.b.get(&host, "/docs?x=1");
    assert_eq!((folder.status, folder.header("location")), (302, "/docs/?x=1"));
    assert_eq!(pair.b.get(&host, "/docs/").text(), "docs");
    assert_eq!(pair.b.get(&host, "/plain/").status, 404);
    assert_eq!(pair.b.get(&host, "/plain/a.css").header("content-type"), "text/css; charset=utf-8");
    let missing = pair.b.get(&host, "/nothing.html");
    assert_eq!((missing.status, missing.text().as_str()), (404, "nothing here"));
    assert!(missing.header("content-type").starts_with("text/html"));
    assert_eq!(missing.header("etag"), "");
    let big = pair.b.get(&host, "/big.bin");
    assert!(big.body == noise(7, BIG), "every byte");

    let named = pair.a.get(&format!("{}.craftec.localhost", pair.label), "/");
    assert_eq!((named.status, named.text().as_str()), (200, "<h1>hello</h1>"), "{named:?}");
    assert_eq!(named.header("cache-control"), "no-cache", "a name may point elsewhere tomorrow");
}

fn protected(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("origin-agent-cluster"), "?1");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-site");
    assert!(answer.header("permissions-policy").contains("publickey-credentials-get=()"));
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("frame-ancestors 'self' http://app.craftec.localhost:"), "{policy}");
    assert_eq!(answer.header("set-cookie"), "");
}

#[test]
fn parts_and_conditions_are_answered_as_the_standard_says() {
    let pair = Pair::start();
    let (host, node) = (pair.host(), &pair.a);
    let bytes = noise(7, BIG);
    let ask = |range: &str| node.ask("GET", &host, "/big.bin", &[("Range", range)]);
    let part = ask("bytes=1000000-1000099");
    assert_eq!(part.status, 206);
    assert_eq!(part.body, &bytes[1_000_000..1_000_100]);
    assert_eq!(part.header("content-range"), format!("bytes 1000000-1000099/{BIG}"));
    assert_eq!(ask("bytes=-5").body, &bytes[BIG - 5..]);
    assert_eq!(ask("bytes=2499999-").body, &bytes[BIG - 1..]);
    let beyond = ask("bytes=2500000-");
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{BIG}"));
    assert_eq!(ask("bytes=5-1").status, 200);

    let head = node.ask("HEAD", &host, "/big.bin", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), BIG.to_string());
    let etag = head.header("etag").to_owned();
    etag.trim_matches('"').parse::<Cid>().expect("the tag is the CID");
    let held = node.ask("GET", &host, "/big.bin", &[("If-None-Match", &etag)]);
    assert_eq!((held.status, held.body.len()), (304, 0));
    protected(&held);
    let other = [("Range", "bytes=0-0"), ("If-Range", "\"other\"")];
    assert_eq!(node.ask("GET", &host, "/big.bin", &other).status, 200);
    let same = [("Range", "bytes=0-0"), ("If-Range", etag.as_str())];
    assert_eq!(node.ask("GET", &host, "/big.bin", &same).status, 206);
    let post = node.ask("POST", &host, "/", &[("Content-Length", "0")]);
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
}

#[test]
fn strangers_get_a_clear_answer_and_nothing_else() {
    let pair = Pair::start();
    let (host, node) = (pair.host(), &pair.a);
    let at = |host: &str, target: &str| node.get(host, target);
    for dots in
        ["/../x", "/%2e%2e/x", "/a/%2E%2E", "//evil.example", "/a%2fb", "/%00", "/%zz", "/%ff"]
    {
        let answer = at(&host, dots);
        assert_eq!(answer.status, 400, "{dots}: {answer:?}");
        protected(&answer);
    }
    let upper = at(&format!("{}.craftec.localhost", pair.cid.to_uppercase()), "/");
    assert_eq!(upper.status, 400);
    assert!(upper.text().contains(&pair.cid), "{upper:?}");
    let bad = at("hello.craftec.localhost", "/");
    assert!(bad.status == 400 && bad.text().contains("hello"), "{bad:?}");
    assert_eq!(at(&format!("x.{host}"), "/").status, 400);
    for foreign in ["evil.example", "craftec.localhost.evil.example"] {
        assert_eq!(at(foreign, "/").status, 421, "{foreign}");
        assert_eq!(at(foreign, "/healthz").status, 421, "no DNS rebinding");
    }
    let markup = node.ask("GET", "<b>.craftec.localhost", "/", &[("Accept", "text/html")]);
    assert!(markup.status == 400 && !markup.text().contains("<b>"), "{markup:?}");
    assert_eq!(node.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);
    let two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n";
    assert_eq!(node.raw(two).status, 400);
    let long = "a".repeat(772 << 10);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
    assert_eq!(node.raw(long.as_bytes()).status, 431);
    let missing = Cid::of(Codec::Raw, b"nobody has this").to_string();
    let unavailable =
        node.ask("GET", &format!("{missing}.craftec.localhost"), "/", &[("Accept", "text/html")]);
    assert_eq!(unavailable.status, 504, "{unavailable:?}");
    assert!(unavailable.text().contains("<h1"), "a page for a person");
}

#[test]
fn a_site_has_no_worker_of_its_own_and_visits_get_the_boot_page() {
    let pair = Pair::start();
    let (host, node) = (pair.host(), &pair.a);
    let script = [("Service-Worker", "script"), ("Sec-Fetch-Dest", "serviceworker")];
    for path in ["/big.bin", "/", "/index.html", "/.craftec/boot.js", "/.craftec/sw.js/", "//x"] {
        assert_eq!(node.ask("GET", &host, path, &script).status, 403, "{path}");
    }
    assert_eq!(node.get(&host, "/.craftec/other.js").status, 404);
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    let ours = ["site", "sdk/site"].iter().any(|at| dist.join(at).join("boot.html").exists());
    let visit = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let first = node.ask("GET", &host, "/docs/", &visit);
    if ours {
        assert_eq!((first.status, first.header("cache-control")), (200, "no-store"));
        assert_ne!(first.text(), "docs");
        let worker = node.ask("GET", &host, "/.craftec/sw.js", &script);
        assert_eq!((worker.status, worker.header("service-worker-allowed")), (200, "/"));
        assert!(worker.header("content-type").starts_with("text/javascript"));
    } else {
        assert_eq!(first.text(), "docs", "without a boot page the content itself");
        assert_eq!(node.ask("GET", &host, "/.craftec/sw.js", &script).status, 404);
    }
    assert!(first.header("vary").contains("X-Craftec-Direct"));
    protected(&first);
    let direct = [&visit[..], &[("X-Craftec-Direct", "1")]].concat();
    assert_eq!(node.ask("GET", &host, "/docs/", &direct).text(), "docs");
}

#[test]
fn the_bare_host_leads_to_the_app_and_tells_how_it_is() {
    let node = Daemon::start(&[]);
    let app = format!("http://app.craftec.localhost:{}", node.port);
    for host in ["localhost", "127.0.0.1", "[::1]", "craftec.localhost"] {
        let home = node.get(host, "/?a=b");
        assert_eq!(home.status, 307, "{host}");
        assert_eq!(home.header("location"), format!("{app}/?a=b"));
        assert_eq!(node.get(host, "/healthz").text(), "ok\n");
        assert_eq!(node.get(host, "/readyz").status, 200);
    }
    let metrics = node.get("localhost", "/metrics").text();
    for line in [
        "craftec_http_requests_total{class=\"service\",status=\"2xx\"}",
        "craftec_peers{link=\"quic\"} 0",
        "craftec_stored_bytes ",
        "craftec_uptime_seconds ",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let relay = node.ask("GET", "app.craftec.localhost", "/relay.json", &[("Origin", &app)]);
    assert_eq!(relay.header("access-control-allow-origin"), app);
    let info: serde_json::Value = serde_json::from_slice(&relay.body).unwrap();
    assert_eq!((&info["peer_id"], &info["port"]), (&node.ready["peer_id"], &node.port.into()));
    assert_eq!(info["domain"], "craftec.localhost");
    assert_eq!(info["gateway"], format!("http://craftec.localhost:{}", node.port));
    let addr = info["addrs"][0].as_str().expect("a WebSocket address");
    assert!(addr.starts_with("/ip4/127.0.0.1/tcp/"), "{addr}");
    assert!(addr.ends_with(&format!("/ws/p2p/{}", node.peer_id())), "{addr}");
    let page = node.get("app.craftec.localhost", "/");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src"), "{page:?}");
    assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(page.header("set-cookie"), "");
    let boot = node.get("app.craftec.localhost", "/site/boot.html");
    assert_eq!(boot.status, if page.status == 200 { 404 } else { page.status }, "{boot:?}");
}

#[test]
fn the_gateway_gives_blocks_and_car_files_only() {
    let pair = Pair::start();
    let node = &pair.b;
    let (cid, raw) = (&pair.cid, format!("/ipfs/{}?format=raw", pair.cid));
    let block = node.get("localhost", &raw);
    assert_eq!(block.status, 200, "{block:?}");
    assert!(cid.parse::<Cid>().unwrap().matches(&block.body));
    assert_eq!(block.header("content-type"), "application/vnd.ipld.raw");
    assert!(block.header("content-disposition").starts_with("attachment"));
    assert_eq!(block.header("x-content-type-options"), "nosniff");
    let etag = block.header("etag").to_owned();
    let held = node.ask("GET", "localhost", &raw, &[("If-None-Match", &etag)]);
    assert_eq!(held.status, 304);
    let part = node.ask("GET", "localhost", &raw, &[("Range", "bytes=1-3")]);
    assert_eq!((part.status, part.body.as_slice()), (206, &block.body[1..4]));
    let beyond = node.ask("GET", "localhost", &raw, &[("Range", "bytes=9999999-")]);
    assert_eq!(beyond.status, 416);
    let file = node.get("localhost", &format!("/ipfs/{cid}/docs/index.html?format=raw"));
    assert_eq!((file.status, file.text().as_str()), (200, "docs"), "{file:?}");
    let car = [("Accept", "application/vnd.ipld.car; version=1")];
    let car = node.ask("GET", "app.craftec.localhost", &format!("/ipfs/{cid}"), &car);
    assert_eq!(car.status, 200, "{car:?}");
    assert!(car.body.len() > BIG, "all of it: {}", car.body.len());
    assert_eq!(
        car.header("content-type"),
        "application/vnd.ipld.car; version=1; order=unk; dups=n"
    );
    assert_eq!(car.header("x-ipfs-path"), format!("/ipfs/{cid}"));
    let probe = node.ask("HEAD", "localhost", "/ipfs/bafkqaaa?format=raw", &[]);
    assert_eq!((probe.status, probe.header("content-length")), (200, "0"), "{probe:?}");
    assert_eq!(node.get("localhost", &format!("/ipfs/{cid}")).status, 406);
    assert_eq!(node.get("localhost", &format!("/ipfs/{cid}?format=html")).status, 400);
    assert_eq!(node.get("localhost", "/ipfs/hello?format=raw").status, 400);
    assert_eq!(node.get("localhost", &format!("/ipfs/{cid}/%2e%2e?format=raw")).status, 400);
    let script = [("Service-Worker", "script")];
    assert_eq!(node.ask("GET", "localhost", &raw, &script).status, 403);
    let evil = node.ask("GET", "localhost", &raw, &[("Origin", "http://evil.example")]);
    assert_eq!(evil.header("access-control-allow-origin"), "");
}

#[test]
fn other_pages_cannot_have_a_persons_own_node_look_things_up() {
    let pair = Pair::start();
    let (node, host) = (&pair.a, pair.host());
    let raw = format!("/ipfs/{}?format=raw", pair.cid);
    let from = |site| [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "no-cors")];
    for stranger in ["cross-site", "same-site"] {
        let refused = node.ask("GET", "app.craftec.localhost", &raw, &from(stranger));
        assert_eq!(refused.status, 403, "{stranger}: {refused:?}");
        assert_eq!(refused.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(refused.header("etag"), "");
    }
    for own in ["same-origin", "none"] {
        assert_eq!(node.ask("GET", "app.craftec.localhost", &raw, &from(own)).status, 200);
    }
    let app = format!("http://app.craftec.localhost:{}", node.port);
    let by_the_app = [&from("cross-site")[..], &[("Origin", &app)]].concat();
    assert_eq!(node.ask("GET", "localhost", &raw, &by_the_app).status, 200);
    // What nobody has would be searched for; a stranger's page is told nothing, at once.
    let nobody = Cid::of(Codec::Raw, b"nobody has this");
    let asked = std::time::Instant::now();
    let away = format!("{nobody}.craftec.localhost");
    assert_eq!(node.ask("GET", &away, "/", &from("cross-site")).status, 403);
    let raw = format!("/ipfs/{nobody}?format=raw");
    assert_eq!(node.ask("GET", "localhost", &raw, &from("cross-site")).status, 403);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    // Siblings may show a site's files, and a person may follow a link.
    assert_eq!(node.ask("GET", &host, "/plain/a.css", &from("same-site")).status, 200);
    let visit = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    assert_eq!(node.ask("GET", &host, "/", &visit).status, 200);
}

#[test]
fn cookies_of_sites_neither_shut_the_app_out_nor_stay() {
    let node = Daemon::start(&[]);
    let bomb = (0..180).map(|n| format!("c{n:03}={}", "x".repeat(4091))).collect::<Vec<_>>();
    let bomb = bomb.join("; ");
    let cookies = [("Cookie", bomb.as_str())];
    for (host, path, status) in [
        ("app.craftec.localhost", "/healthz", 200),
        ("localhost", "/readyz", 200),
        ("craftec.localhost", "/", 307),
    ] {
        let answer = node.ask("GET", host, path, &cookies);
        assert_eq!(answer.status, status, "{host}{path}");
        assert_eq!(answer.header("clear-site-data"), "\"cookies\"");
        assert_eq!(node.get(host, path).header("clear-site-data"), "");
    }
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn dial(
    node: &Daemon,
    host: &str,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, u16> {
    let url = format!("ws://127.0.0.1:{}/api/v1{query}", node.port);
    let mut request = url.into_client_request().unwrap();
    let host = format!("{host}:{}", node.port);
    request.headers_mut().insert("host", host.parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn call(socket: &mut Socket, id: u64, command: Command) -> FromNode {
    let frame = cbor::encode(&ToNode { id, command }).unwrap();
    socket.send(Message::Binary(frame.into())).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(frame) => return cbor::decode(&frame, 2 << 20).unwrap(),
            other => assert!(other.is_ping() || other.is_pong(), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_local_api_is_for_the_token_and_the_app_only() {
    let mut node = Daemon::start(&[]);
    let file = node.home.data().join("api.token");
    let token = std::fs::read_to_string(&file).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let good = format!("?token={token}");
    let app = format!("http://app.craftec.localhost:{}", node.port);
    let refused = async |host: &str, query: &str, headers: &[(&'static str, &str)]| {
        dial(&node, host, query, headers).await.map(drop).unwrap_err()
    };
    assert_eq!(refused("localhost", "", &[]).await, 401);
    assert_eq!(refused("localhost", "?token=0000", &[]).await, 401);
    assert_eq!(refused("localhost", &good, &[("origin", "http://evil.example")]).await, 403);
    assert_eq!(refused("localhost", &good, &[("origin", "null")]).await, 403);
    assert_eq!(refused("localhost", &good, &[("x-forwarded-for", "192.0.2.1")]).await, 403);
    assert_eq!(refused("evil.example", &good, &[]).await, 421);
    let plain = node.get("localhost", &format!("/api/v1{good}"));
    assert_eq!(plain.status, 426, "{plain:?}");

    let protocols = format!("craftec, token.{token}");
    let by_protocol = [("sec-websocket-protocol", protocols.as_str()), ("origin", app.as_str())];
    drop(dial(&node, "app.craftec.localhost", "", &by_protocol).await.expect("as a browser does"));

    let mut socket = dial(&node, "localhost", &good, &[]).await.unwrap();
    let hello = call(&mut socket, 1, Command::Hello { versions: vec![1] }).await;
    assert!(matches!(hello, FromNode::Ok { id: 1, reply: Reply::Hello { version: 1, .. } }));
    let status = call(&mut socket, 2, Command::Status).await;
    assert!(matches!(status, FromNode::Ok { id: 2, reply: Reply::Status(_) }), "{status:?}");
    match call(&mut socket, 3, Command::BackupWords).await {
        FromNode::Err { id: 3, error } => assert_eq!(error.code, ErrorCode::Refused),
        other => panic!("the words got out: {other:?}"),
    }
    socket.send(Message::Binary(b"\xff\xff".to_vec().into())).await.unwrap();
    let end = socket.next().await;
    assert!(!matches!(end, Some(Ok(Message::Binary(_)))), "{end:?}");
    let mut open = dial(&node, "localhost", &good, &[]).await.unwrap();
    assert_eq!(node.stop(), 0, "a client does not keep it from ending");
    let end = tokio::time::timeout(Duration::from_secs(10), open.next()).await;
    assert!(!matches!(end, Ok(Some(Ok(Message::Binary(_))))), "{end:?}");
}

#[test]
fn it_ends_cleanly_and_starts_again_with_what_it_had() {
    let mut node = Daemon::start(&[]);
    let second = node.home.run(["up", "--http", "127.0.0.1:0"]);
    assert_eq!(second.code, 4, "{second:?}");
    assert!(second.stderr.contains("in use by another craftec process"), "{second:?}");
    node.home.write("a.txt", "a");
    let cid = node.home.run(["put", "a.txt"]).ok()["cid"].clone();
    assert_eq!(node.stop(), 0);
    assert!(!node.home.data().join("craftec.sock").exists());
    assert!(!node.home.data().join("gateway.json").exists());
    let (ready, home) =
        (node.ready.clone(), std::mem::replace(&mut node.home, support::Home::new()));
    let again = Daemon::start_in(home, &[]);
    assert_eq!(again.ready["peer_id"], ready["peer_id"]);
    let host = format!("{}.craftec.localhost", cid.as_str().unwrap());
    assert_eq!(again.get(&host, "/").text(), "a");
}

#[test]
fn a_taken_port_is_named() {
    let node = Daemon::start(&[]);
    let other = support::Home::new();
    let ran = other.run(["up", "--http", &format!("127.0.0.1:{}", node.port)]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot listen on 127.0.0.1"), "{ran:?}");
}

#[test]
fn a_request_in_flight_ends_before_the_node_does() {
    let mut pair = Pair::start();
    let host = format!("{}:{}", pair.host(), pair.a.port);
    let mut slow = TcpStream::connect(("127.0.0.1", pair.a.port)).unwrap();
    let head = format!("GET /big.bin HTTP/1.1\r\nHost: {host}\r\n\r\n");
    slow.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 1000];
    slow.read_exact(&mut first).unwrap();
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).unwrap();
        first.len() + rest.len()
    });
    assert_eq!(pair.a.stop(), 0);
    assert!(reader.join().unwrap() > BIG, "the whole answer came");
}

#[test]
fn a_command_with_its_own_node_finds_and_leaves_content_through_a_relay() {
    let pair = Pair::start();
    let relay = pair.a.addr();
    let other = support::Home::new();
    let got = other.run(["--relay", &relay, "get", &pair.cid, "-o", "back"]);
    assert_eq!(got.ok()["files"], 6, "{got:?}");
    let back = support::files(&other.path("back"));
    assert!(back == support::files(&pair.a.home.path("site")), "every file is as it was");
    other.write("gift.bin", noise(9, 1_500_000));
    let put = other.run(["--relay", &relay, "put", "gift.bin"]);
    assert!(put.stderr.contains("Another node has a copy."), "{put:?}");
    let cid = put.ok()["cid"].clone();
    let gift = pair.a.get(&format!("{}.craftec.localhost", cid.as_str().unwrap()), "/");
    assert!(gift.status == 200 && gift.body == noise(9, 1_500_000), "its author is gone");
}
