//! A native node: QUIC, TCP and WebSocket, a relay for others, a server of the DHT.
//!
//! The swarm runs on threads of its own; the [`Handle`] is used from the node's single thread. This
//! module chooses transports and limits and leaves everything else to the shared driver.

use std::{
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use ::libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, upgrade::Version},
    },
    dcutr, dns,
    identity::Keypair,
    noise, quic, relay,
    swarm::{self, NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, websocket, yamux,
};
use craftec_core::TransportKey;
use tokio::runtime::Runtime;

use crate::{
    NetError, RecordCheck,
    libp2p::{
        self, AutonatClient, AutonatServer, Driver, Guarded, Handle, Parts, Settings,
        autonat_server, parse,
    },
};

/// A running native network.
pub type NativeNetwork = Handle;

/// How long a transport's handshake may take. Less than the ten seconds that an AutoNAT server gives a
/// dial back: one into the void must end in time to be told.
const HANDSHAKE: Duration = Duration::from_secs(7);
/// How long the listening addresses may take to show up.
const LISTEN: Duration = Duration::from_secs(5);
/// How long a network may take to end.
const GOODBYE: Duration = Duration::from_secs(3);
/// Streams of one connection.
const STREAMS: usize = 1024;
/// What one QUIC stream may have in flight: a gigabit link of 60 ms and some.
const QUIC_STREAM_BYTES: u32 = 16 << 20;
/// What one QUIC connection may have in flight.
const QUIC_CONNECTION_BYTES: u32 = 64 << 20;
/// Nodes that may hold a reservation with us.
const RESERVATIONS: usize = 4096;
/// Circuits that we carry at one time.
const CIRCUITS: usize = 1024;
/// Circuits from one node.
const CIRCUITS_PER_PEER: usize = 64;
/// What one circuit may carry: a large site, for peers that find no direct way.
const CIRCUIT_BYTES: u64 = 4 << 30;
/// How long a circuit may last.
const CIRCUIT_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// Reservations and circuits that one node may ask for in a minute.
const ASKED_PER_MINUTE: u32 = 240;
/// The same for one IP address: many tabs behind one router, or one test machine.
const ASKED_PER_MINUTE_AND_IP: u32 = 6000;

/// How a native node is set up.
#[derive(Clone)]
pub struct NativeConfig {
    /// Who the node is.
    pub key: TransportKey,
    /// Multiaddrs to listen on; see [`NativeConfig::listen_on`].
    pub listen: Vec<String>,
    /// Addresses at which others reach this node that it cannot see by itself (behind a proxy).
    pub external: Vec<String>,
    /// Nodes to stay connected to: the way into the DHT.
    pub relays: Vec<String>,
    /// Whether to hold a reservation with each of `relays`, to be reachable behind a router.
    pub reserve: bool,
    /// Whether to relay for others.
    pub relay_server: bool,
    /// What the node says it runs: `craftec/<version> (relay)`.
    pub agent: String,
    /// Decides about records that others offer.
    pub check: Arc<dyn RecordCheck>,
}

impl NativeConfig {
    /// A node that listens on free ports, relays for others and knows nobody.
    pub fn new(key: TransportKey, check: Arc<dyn RecordCheck>) -> Self {
        Self {
            key,
            listen: Self::listen_on(0),
            external: Vec::new(),
            relays: Vec::new(),
            reserve: true,
            relay_server: true,
            agent: concat!("craftec/", env!("CARGO_PKG_VERSION"), " (relay)").to_owned(),
            check,
        }
    }

    /// All interfaces, IPv6 first: QUIC and TCP on `port`, WebSocket on the next one (all free
    /// ports for 0).
    pub fn listen_on(port: u16) -> Vec<String> {
        let ws = if port == 0 { 0 } else { port.saturating_add(1) };
        ["ip6/::", "ip4/0.0.0.0"]
            .into_iter()
            .flat_map(|ip| {
                [
                    format!("/{ip}/udp/{port}/quic-v1"),
                    format!("/{ip}/tcp/{port}"),
                    format!("/{ip}/tcp/{ws}/ws"),
                ]
            })
            .collect()
    }
}

/// What only native nodes run.
#[derive(NetworkBehaviour)]
struct Extra {
    relay: Toggle<relay::Behaviour>,
    dcutr: Guarded<dcutr::Behaviour>,
    autonat_client: AutonatClient,
    autonat_server: Toggle<AutonatServer>,
}

impl libp2p::Extra for Extra {
    fn candidate(&mut self, addr: &Multiaddr) {
        self.dcutr.candidate(addr);
        self.autonat_client.candidate(addr);
    }

    fn tested(event: &ExtraEvent) -> Option<(&Multiaddr, bool)> {
        match event {
            ExtraEvent::AutonatClient(tested) => Some((&tested.tested_addr, tested.result.is_ok())),
            _ => None,
        }
    }
}

/// Ends the runtime, without blocking whoever drops the last handle: a thread of its own lets the
/// driver say goodbye first.
struct Guard {
    runtime: Option<Runtime>,
    ended: Option<mpsc::Receiver<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (Some(runtime), Some(ended)) = (self.runtime.take(), self.ended.take()) else { return };
        let runtime = Arc::new(Mutex::new(Some(runtime)));
        let ending = runtime.clone();
        let thread = std::thread::Builder::new().name("craftec-net-end".to_owned());
        let spawned = thread.spawn(move || {
            // Late or gone: there is nothing more to wait for.
            let _ = ended.recv_timeout(GOODBYE);
            shut_down(&ending);
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "the network ends without goodbye");
            shut_down(&runtime);
        }
    }
}

fn shut_down(runtime: &Mutex<Option<Runtime>>) {
    let runtime = runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(runtime) = runtime {
        runtime.shutdown_background();
    }
}

/// Starts a node; done when it listens. Dropping the last clone of the handle stops it.
pub async fn start(config: NativeConfig) -> Result<NativeNetwork, NetError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("craftec-net")
        .enable_all()
        .build()
        .map_err(|error| unavailable(&error))?;
    let threads = runtime.handle().clone();
    let (end, ended) = mpsc::channel();
    let guard = Mutex::new(Guard { runtime: Some(runtime), ended: Some(ended) });
    let (handle, driver) = {
        let _inside = threads.enter();
        Driver::new(parts(&config)?)?
    };
    threads.spawn(async move {
        driver.run().await;
        // The guard may be gone already.
        let _ = end.send(());
    });
    let handle = handle.guarded_by(Arc::new(guard));
    handle.listening(LISTEN).await;
    Ok(handle)
}

fn unavailable(error: &io::Error) -> NetError {
    tracing::error!(%error, "no threads for the network");
    NetError::Limit("the system gives no threads for the network")
}

fn parts(config: &NativeConfig) -> Result<Parts<Extra>, NetError> {
    let mut seed = *config.key.seed();
    let key = Keypair::ed25519_from_bytes(&mut seed).map_err(|error| NetError::Address {
        addr: config.key.peer_id().to_string(),
        reason: format!("the key cannot be used: {error}"),
    })?;
    let local = key.public().to_peer_id();
    let (relay_transport, relay_client) = relay::client::new(local);
    let relay_server = config.relay_server.then(|| relay::Behaviour::new(local, relay_config()));
    let parse_all = |all: &[String]| all.iter().map(|a| parse(a)).collect::<Result<Vec<_>, _>>();
    let settings = Settings {
        agent: config.agent.clone(),
        listen: parse_all(&config.listen)?,
        external: parse_all(&config.external)?,
        relays: parse_all(&config.relays)?,
        reserve: config.reserve,
        server: true,
        check: config.check.clone(),
    };
    Ok(Parts {
        transport: transport(&key, relay_transport)?,
        relay_client,
        extra: Extra {
            relay: relay_server.into(),
            dcutr: Guarded::new(dcutr::Behaviour::new(local)),
            autonat_client: AutonatClient::new(local),
            autonat_server: config.relay_server.then(autonat_server).into(),
        },
        swarm: swarm::Config::with_tokio_executor(),
        settings,
        key,
    })
}

/// QUIC, WebSocket, TCP and circuits, in the order in which an address is offered to them.
fn transport(
    key: &Keypair,
    relay: relay::client::Transport,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let noise = noise::Config::new(key).map_err(|error| NetError::Address {
        addr: key.public().to_peer_id().to_string(),
        reason: format!("the key cannot be used: {error}"),
    })?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS);
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let mut quic = quic::Config::new(key);
    quic.handshake_timeout = HANDSHAKE;
    // A peer that vanished is noticed after 15 s.
    quic.max_idle_timeout = 15_000;
    quic.keep_alive_interval = Duration::from_secs(5);
    quic.max_concurrent_stream_limit = STREAMS as u32;
    quic.max_stream_data = QUIC_STREAM_BYTES;
    quic.max_connection_data = QUIC_CONNECTION_BYTES;
    let quic = quic::tokio::Transport::new(quic)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let ws = websocket::Config::new(tcp())
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux.clone())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let tcp = tcp()
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux.clone())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let relay = relay
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let direct = choose(quic.boxed(), choose(ws.boxed(), tcp.boxed()));
    let named = match dns::tokio::Transport::system(choose(relay.boxed(), direct)) {
        Ok(named) => named.boxed(),
        Err(error) => return Err(unavailable(&error)),
    };
    Ok(named)
}

type Muxed = Boxed<(PeerId, StreamMuxerBox)>;

/// The first transport that understands an address takes it.
fn choose(first: Muxed, second: Muxed) -> Muxed {
    first.or_transport(second).map(|either, _| either.into_inner()).boxed()
}

fn relay_config() -> relay::Config {
    let minute = Duration::from_secs(60);
    let of_peer = NonZeroU32::MIN.saturating_add(ASKED_PER_MINUTE - 1);
    let of_ip = NonZeroU32::MIN.saturating_add(ASKED_PER_MINUTE_AND_IP - 1);
    relay::Config {
        max_reservations: RESERVATIONS,
        max_circuits: CIRCUITS,
        max_circuits_per_peer: CIRCUITS_PER_PEER,
        max_circuit_duration: CIRCUIT_TIME,
        max_circuit_bytes: CIRCUIT_BYTES,
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    }
    .reservation_rate_per_peer(of_peer, minute)
    .reservation_rate_per_ip(of_ip, minute)
    .circuit_src_per_peer(of_peer, minute)
    .circuit_src_per_ip(of_ip, minute)
}
