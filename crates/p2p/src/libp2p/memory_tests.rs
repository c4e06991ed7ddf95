//! The real driver and the real Kademlia between many nodes of one process, over libp2p's transport in
//! memory: no socket, no port, and every byte still goes through Noise and yamux.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{MemoryTransport, upgrade::Version},
    },
    identity::Keypair,
    noise, relay, swarm, yamux,
};

use super::{Driver, Handle, Parts, Settings};
use crate::{Key, NetError, Network, Record, RecordCheck, RecordChoice};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Takes what starts with `ok`; the longer one is the newer.
#[derive(Default)]
struct Longest(AtomicUsize);

impl RecordCheck for Longest {
    fn choose(&self, new: &Record, held: Option<&Record>) -> Result<RecordChoice, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !new.value.starts_with(b"ok") {
            return Err("it does not start with ok".to_owned());
        }
        let newer = held.is_none_or(|held| new.value.len() > held.value.len());
        Ok(if newer { RecordChoice::Take } else { RecordChoice::Keep })
    }
}

/// What a liar believes.
struct Anything;

impl RecordCheck for Anything {
    fn choose(&self, _: &Record, _: Option<&Record>) -> Result<RecordChoice, String> {
        Ok(RecordChoice::Take)
    }
}

/// Memory addresses of one process are told apart by a number.
fn free_address() -> Multiaddr {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    format!("/memory/{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

struct Node {
    handle: Handle,
    address: Multiaddr,
}

/// Nothing beyond what both targets run.
impl super::Extra for swarm::dummy::Behaviour {}

/// Starts a node that knows `relays`; a server keeps others' records.
fn start(relays: &[&Node], server: bool, check: Arc<dyn RecordCheck>) -> Node {
    let key = Keypair::generate_ed25519();
    let local = key.public().to_peer_id();
    let (relay_transport, relay_client) = relay::client::new(local);
    let memory = MemoryTransport::default().or_transport(relay_transport);
    let transport = memory
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    let address = free_address();
    let settings = Settings {
        agent: "craftec/0.0.0 (relay)".to_owned(),
        listen: vec![address.clone()],
        external: Vec::new(),
        relays: relays.iter().map(|node| node.dialed()).collect(),
        reserve: false,
        server,
        check,
    };
    let parts = Parts {
        key,
        transport,
        relay_client,
        extra: swarm::dummy::Behaviour,
        swarm: swarm::Config::with_tokio_executor(),
        settings,
    };
    let (handle, driver) = Driver::new(parts).unwrap();
    tokio::spawn(driver.run());
    Node { handle, address }
}

impl Node {
    fn dialed(&self) -> Multiaddr {
        let peer = super::address::to_libp2p(self.handle.local_peer()).unwrap();
        super::address::with_peer(self.address.clone(), peer)
    }
}

fn record(key: u8, value: &str) -> Record {
    Record { key: Key([key; 32]), value: value.as_bytes().to_vec() }
}

/// Tries `call` until it gives what is wanted.
async fn eventually<T, F: Future<Output = Result<T, NetError>>>(
    what: &str,
    mut call: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        match call().await {
            Ok(value) if wanted(&value) => return value,
            Ok(_) => assert!(begun.elapsed() < PATIENCE, "{what}: not yet"),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{what}: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A first server, more servers that know only it, and clients that know one server each.
fn network(servers: usize, clients: usize, check: &Arc<Longest>) -> (Vec<Node>, Vec<Node>) {
    let mut all = vec![start(&[], true, check.clone())];
    for _ in 1..servers {
        let node = start(&[&all[0]], true, check.clone());
        all.push(node);
    }
    let clients = (0..clients).map(|n| start(&[&all[n % servers]], false, check.clone())).collect();
    (all, clients)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 4, test).await.unwrap() });
}

#[test]
fn what_is_announced_anywhere_is_found_everywhere() {
    run(async {
        let (_servers, clients) = network(12, 4, &Arc::default());
        let key = Key([7; 32]);
        let (a, b) = (&clients[0].handle, &clients[1].handle);
        for provider in [a, b] {
            eventually("announces", || provider.provide(key), |()| true).await;
        }
        let both = BTreeSet::from([a.local_peer(), b.local_peer()]);
        for reader in &clients[2..] {
            let find = || {
                let found = reader.handle.providers(key);
                async move { Ok(found.collect::<BTreeSet<_>>().await) }
            };
            eventually("finds both", find, |found| *found == both).await;
        }
    });
}

#[test]
fn records_spread_newer_over_older_and_forged_ones_nowhere() {
    run(async {
        let check = Arc::new(Longest::default());
        let (servers, clients) = network(12, 3, &check);
        let liar = start(&[&servers[0], &servers[5]], true, Arc::new(Anything));
        let writer = &clients[0].handle;
        eventually("is stored", || writer.put_record(record(1, "ok old")), |()| true).await;
        eventually("is stored", || writer.put_record(record(1, "ok newer")), |()| true).await;
        // A put is done when one server has it: the others may be asked yet.
        let asked = || async { Ok(check.0.load(Ordering::Relaxed)) };
        eventually("servers ask their checks", asked, |asked| *asked > 12).await;
        // Forged under a key of its own, over a real one, and an old one again.
        for forged in [record(2, "forged"), record(1, "forged, and longer"), record(1, "ok old")] {
            let _ = liar.handle.put_record(forged).await;
        }
        for reader in clients.iter().chain(&servers[1..3]) {
            let read = || reader.handle.records(Key([1; 32]));
            let newest = |found: &Vec<Record>| found.contains(&record(1, "ok newer"));
            let found = eventually("reads the newest", read, newest).await;
            assert!(found.iter().all(|record| record.value.starts_with(b"ok")), "{found:?}");
            assert_eq!(reader.handle.records(Key([2; 32])).await.unwrap(), []);
        }
    });
}

#[test]
fn a_server_that_leaves_takes_nothing_with_it() {
    run(async {
        let (mut servers, clients) = network(10, 2, &Arc::default());
        let (writer, reader) = (&clients[0].handle, &clients[1].handle);
        let put = || writer.put_record(record(3, "ok"));
        eventually("is stored", put, |()| true).await;
        eventually("is read", || reader.records(Key([3; 32])), |found| !found.is_empty()).await;
        // Most of those that hold it go, and say so.
        for gone in servers.drain(2..8) {
            gone.handle.shutdown();
        }
        let read = || reader.records(Key([3; 32]));
        eventually("is still read", read, |found| *found == [record(3, "ok")]).await;
    });
}
