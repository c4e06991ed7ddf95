//! Honest clients: small objects over HTTP, each over a connection of its own, and from a peer.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use craftec_core::{Cid, PeerId, TransportKey, cbor};
use craftec_obj::exchange::wire::{Answer, PROTOCOL, Request, Want};
use craftec_p2p::{
    Network, Record, RecordCheck, RecordChoice, Rpc,
    native::{self, NativeConfig},
};
use craftec_platform::native::NativeClock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::support::{Daemon, noise};

const OBJECTS: u64 = 16;
const BYTES: usize = 4096;
/// How long one request may take before it counts as refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// Honest clients' own street.
const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 99, 1);

/// How long each of many requests took.
pub(crate) struct Waits {
    sorted: Vec<Duration>,
    pub(crate) failed: usize,
}

impl Waits {
    fn of(mut waits: Vec<Option<Duration>>) -> Self {
        let failed = waits.iter().filter(|wait| wait.is_none()).count();
        let mut sorted: Vec<_> = waits.drain(..).flatten().collect();
        sorted.sort();
        Self { sorted, failed }
    }

    fn at(&self, hundredth: usize) -> Duration {
        let place = (self.sorted.len() * hundredth / 100).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(place).copied().unwrap_or(PATIENCE)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.at(99)
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, failed) = (self.sorted.len(), self.failed);
        write!(f, "p50 {:.1?} p99 {:.1?} ({n}, {failed} failed)", self.at(50), self.p99())
    }
}

struct Nothing;

impl RecordCheck for Nothing {
    fn choose(&self, _: &Record, _: Option<&Record>) -> Result<RecordChoice, String> {
        Err("it keeps none".to_owned())
    }
}

type Done = mpsc::Sender<Waits>;

/// What the thread of honest peers is asked to do.
enum Job {
    /// Ask over the connection that stands.
    Ask(usize, Done),
    /// Connect anew each time, then ask once.
    Arrive(usize, Done),
}

/// The clients, and what they ask for.
pub(crate) struct Honest {
    port: u16,
    cids: Vec<Cid>,
    peer: tokio::sync::mpsc::UnboundedSender<Job>,
}

impl Honest {
    pub(crate) fn start(node: &Daemon) -> Self {
        let names: Vec<_> = (0..OBJECTS).map(|n| format!("{n}.bin")).collect();
        for (n, name) in (0..OBJECTS).zip(&names) {
            node.home.write(name, noise(n, BYTES));
        }
        let cids = names.iter().map(|name| {
            let put = node.home.run(["put", name.as_str()]).ok();
            put["cid"].as_str().unwrap().parse().unwrap()
        });
        let cids: Vec<Cid> = cids.collect();
        let (peer, jobs) = tokio::sync::mpsc::unbounded_channel();
        let (addr, wanted) = (node.addr(), cids.clone());
        std::thread::spawn(move || NativeClock::run(serve(addr, wanted, jobs)).unwrap());
        Self { port: node.port, cids, peer }
    }

    pub(crate) fn over_http(&self, rounds: usize) -> Waits {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let waits = (0..rounds).map(|n| {
            let cid = self.cids[n % self.cids.len()];
            runtime.block_on(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let begun = Instant::now();
                let got = tokio::time::timeout(PATIENCE, fetch(self.port, cid)).await;
                got.is_ok_and(|got| got.is_some_and(|got| cid.matches(&got)))
                    .then(|| begun.elapsed())
            })
        });
        Waits::of(waits.collect())
    }

    /// Requests of a peer that is connected.
    pub(crate) fn over_p2p(&self, rounds: usize) -> Waits {
        self.peers(|done| Job::Ask(rounds, done))
    }

    /// Peers that come just now, each with one request.
    pub(crate) fn newcomers(&self, rounds: usize) -> Waits {
        self.peers(|done| Job::Arrive(rounds, done))
    }

    fn peers(&self, job: impl FnOnce(Done) -> Job) -> Waits {
        let (done, waits) = mpsc::channel();
        assert!(self.peer.send(job(done)).is_ok());
        waits.recv().expect("the honest peers run")
    }
}

/// One object over a connection of its own.
async fn fetch(port: u16, cid: Cid) -> Option<Vec<u8>> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((HOME, 0).into()).ok()?;
    let mut stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.ok()?;
    let head = format!(
        "GET /ipfs/{cid}?format=raw HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.1 200").then(|| answer.split_off(end + 4))
}

async fn connect(n: u8, addr: &str) -> Option<(Rpc, PeerId)> {
    let key = TransportKey::from_seed([n; 32]);
    let mut config = NativeConfig::new(key, std::sync::Arc::new(Nothing));
    config.listen = Vec::new();
    config.relay_server = false;
    let network = native::start(config).await.ok()?;
    let node = network.connect(addr).await.ok()?;
    Some((Rpc::new(Rc::new(network), Rc::new(NativeClock::new())), node))
}

async fn ask(rpc: &Rpc, node: PeerId, cid: Cid) -> bool {
    let want = Want { root: cid, cids: vec![cid], budget: 1 << 20 };
    let body = cbor::encode(&Request::Want(want)).unwrap();
    let answer = rpc.request(node, PROTOCOL, body, PATIENCE).await;
    let got = answer.ok().and_then(|bytes| Answer::read(&bytes).ok());
    matches!(got, Some(Answer::Blocks(blocks))
        if blocks.blocks.first().is_some_and(|item| cid.matches(&item.bytes)))
}

/// The honest peers: one that is connected once and asks as a tab would, and newcomers.
async fn serve(addr: String, cids: Vec<Cid>, mut jobs: tokio::sync::mpsc::UnboundedReceiver<Job>) {
    let (rpc, node) = connect(99, &addr).await.unwrap();
    while let Some(job) = jobs.recv().await {
        let (mut waits, done) = (
            Vec::new(),
            match &job {
                Job::Ask(_, done) | Job::Arrive(_, done) => done.clone(),
            },
        );
        match job {
            Job::Ask(rounds, _) => {
                for n in 0..rounds {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let begun = Instant::now();
                    let right = ask(&rpc, node, cids[n % cids.len()]).await;
                    waits.push(right.then(|| begun.elapsed()));
                }
            }
            Job::Arrive(rounds, _) => {
                for n in 0..rounds {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let begun = Instant::now();
                    let right = match connect(100 + n as u8, &addr).await {
                        Some((rpc, node)) => ask(&rpc, node, cids[0]).await,
                        None => false,
                    };
                    waits.push(right.then(|| begun.elapsed()));
                }
            }
        }
        done.send(Waits::of(waits)).unwrap();
    }
}
