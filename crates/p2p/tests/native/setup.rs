//! Nodes, clocks and patience for the tests.

use std::{
    net::UdpSocket,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use craftec_core::TransportKey;
use craftec_p2p::{
    Handler, Key, NetError, Network, Protocol, Record, RecordCheck, RecordChoice, Rpc,
    native::{self, NativeConfig, NativeNetwork},
};
use craftec_platform::{Clock, UnixMs};
use futures::{FutureExt, future::LocalBoxFuture};

pub(crate) const ECHO: Protocol = Protocol { name: "test-echo", versions: &[1] };
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestClock(Instant);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMs {
        UnixMs(0)
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed_local()
    }
    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }
}

/// Runs a test on one thread with spawning, for at most two minutes.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(PATIENCE * 6, test).await.expect("the test takes too long");
    });
}

/// Takes records whose value starts with `ok`; the longer one is the newer. Counts its calls.
#[derive(Default)]
pub(crate) struct Check(pub(crate) AtomicUsize);

impl RecordCheck for Check {
    fn choose(&self, new: &Record, held: Option<&Record>) -> Result<RecordChoice, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !new.value.starts_with(b"ok") {
            return Err("it does not start with ok".to_owned());
        }
        let newer = held.is_none_or(|held| new.value.len() > held.value.len());
        Ok(if newer { RecordChoice::Take } else { RecordChoice::Keep })
    }
}

/// Takes anything: what a node that lies to others runs.
pub(crate) struct Anything;

impl RecordCheck for Anything {
    fn choose(&self, _: &Record, _: Option<&Record>) -> Result<RecordChoice, String> {
        Ok(RecordChoice::Take)
    }
}

pub(crate) fn key(n: u8) -> TransportKey {
    TransportKey::from_seed([n; 32])
}

pub(crate) fn dht_key(n: u8) -> Key {
    Key([n; 32])
}

/// A node that listens on free loopback ports with every transport, IPv6 first.
pub(crate) fn config(n: u8) -> NativeConfig {
    let mut config = NativeConfig::new(key(n), Arc::new(Check::default()));
    config.listen = ["udp/0/quic-v1", "tcp/0", "tcp/0/ws"]
        .iter()
        .flat_map(|rest| [format!("/ip6/::1/{rest}"), format!("/ip4/127.0.0.1/{rest}")])
        .collect();
    config
}

/// A node that nobody can dial: it only dials relays, and holds reservations there.
pub(crate) fn hidden(n: u8, relays: Vec<String>) -> NativeConfig {
    let mut config = NativeConfig::new(key(n), Arc::new(Check::default()));
    config.listen = Vec::new();
    config.relay_server = false;
    config.relays = relays;
    config.reserve = true;
    config.agent = "craftec/0.0.0 (tab)".to_owned();
    config
}

pub(crate) async fn start(config: NativeConfig) -> NativeNetwork {
    native::start(config).await.unwrap()
}

/// A node's address over one transport.
pub(crate) fn address(node: &NativeNetwork, transport: &str) -> String {
    let (all, v4) = (node.addresses(), "/ip4/127.0.0.1/");
    let fits = |addr: &&String| {
        let ws = addr.contains("/ws");
        addr.starts_with(v4)
            && match transport {
                "quic" => addr.contains("/quic-v1"),
                "tcp" => addr.contains("/tcp/") && !ws,
                _ => ws,
            }
    };
    all.iter().find(fits).unwrap_or_else(|| panic!("no {transport} in {all:?}")).clone()
}

/// Waits until `done` says so.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(SECOND / 50).await;
    }
}

/// Tries `call` until it succeeds.
pub(crate) async fn eventually<T, F: Future<Output = Result<T, NetError>>>(
    what: &str,
    mut call: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{what}: {error}"),
        }
        tokio::time::sleep(SECOND / 10).await;
    }
}

pub(crate) fn rpc(node: &NativeNetwork) -> Rpc {
    Rpc::new(Rc::new(node.clone()), Rc::new(TestClock(Instant::now())))
}

pub(crate) fn echo() -> Handler {
    Rc::new(|_, _, body| async move { body }.boxed_local())
}

/// A port that nothing uses now.
pub(crate) fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
