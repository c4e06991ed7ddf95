//! A native node: QUIC, TCP and WebSocket, a relay for others, a server of the DHT.
//!
//! The swarm runs on threads of its own; the [`Handle`] is used from the node's single thread. This
//! module chooses transports and leaves everything else to the shared driver.
//!
//! | module | decides |
//! |---|---|
//! | `admission`, `denied`, `memory` | who may connect |
//! | `relaying` | who may reserve a place and open circuits |
//! | `meter` | how fast bytes move |
//! | `secure` | TLS for WebSocket |

mod admission;
mod denied;
mod memory;
mod meter;
mod relaying;
mod secure;

use std::{
    io,
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
    tcp, yamux,
};
use craftec_core::TransportKey;
use tokio::runtime::Runtime;

use self::{admission::Admission, meter::Meter, relaying::Relaying, secure::WebSocket};
use crate::{
    Limits, NetError, RecordCheck,
    counters::Counters,
    libp2p::{
        self, AutonatClient, AutonatServer, Driver, Guarded, Handle, Parts, Settings,
        autonat_server, parse,
    },
};

pub use self::{
    denied::{Block, BlockError, Denials, Denied},
    secure::{Certificate, Tls, TlsError},
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
    /// What strangers may take.
    pub limits: Limits,
    /// Where what happens is counted.
    pub counters: Arc<Counters>,
    /// Whom the operator does not serve.
    pub denials: Denials,
    /// The certificate for `/tls/ws`, and which authorities are believed.
    pub tls: Tls,
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
            limits: Limits::default(),
            counters: Arc::default(),
            denials: Denials::default(),
            tls: Tls::default(),
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
    admission: Admission,
    relay: Toggle<Relaying>,
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
    let (handle, mut driver) = {
        let _inside = threads.enter();
        Driver::new(parts(&config)?)?
    };
    driver.limit(&config.limits, &config.counters);
    threads.spawn(async move {
        driver.run().await;
        // The guard may be gone already.
        let _ = end.send(());
    });
    let handle = handle.guarded_by(Arc::new(guard)).limited(config.limits, config.counters);
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
    let (limits, counters) = (&config.limits, &config.counters);
    let relaying = || Relaying::new(local, limits, counters.clone());
    let relay_server = config.relay_server.then(relaying);
    let denials = config.denials.clone();
    let extra = Extra {
        admission: Admission::new(limits.clone(), counters.clone(), denials),
        relay: relay_server.into(),
        dcutr: Guarded::new(dcutr::Behaviour::new(local)),
        autonat_client: AutonatClient::new(local),
        autonat_server: config.relay_server.then(autonat_server).into(),
    };
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
        transport: transport(config, &key, relay_transport)?,
        relay_client,
        extra,
        swarm: swarm::Config::with_tokio_executor(),
        settings,
        key,
    })
}

/// Circuits, WebSocket, QUIC and TCP, in the order in which an address is offered to them.
fn transport(
    config: &NativeConfig,
    key: &Keypair,
    relay: relay::client::Transport,
) -> Result<Muxed, NetError> {
    let noise = noise::Config::new(key).map_err(|error| NetError::Address {
        addr: key.public().to_peer_id().to_string(),
        reason: format!("the key cannot be used: {error}"),
    })?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS);
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let named = |below| dns::tokio::Transport::system(below).map_err(|error| unavailable(&error));
    let meter = Meter::new(config.limits.clone(), config.counters.clone());
    let quic = quic::tokio::Transport::new(quic_config(key)).map(meter.watching());
    let ws = WebSocket::new(named(tcp())?, config.tls.clone())
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux.clone())
        .timeout(HANDSHAKE)
        .map(meter.watching());
    let tcp = tcp()
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux.clone())
        .timeout(HANDSHAKE)
        .map(meter.watching());
    let relay = relay
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let direct = dns::tokio::Transport::system(choose(quic.boxed(), tcp.boxed()));
    let direct = direct.map_err(|error| unavailable(&error))?;
    Ok(choose(relay.boxed(), choose(ws.boxed(), direct.boxed())))
}

fn quic_config(key: &Keypair) -> quic::Config {
    let mut quic = quic::Config::new(key);
    quic.handshake_timeout = HANDSHAKE;
    // A peer that vanished is noticed after 15 s.
    quic.max_idle_timeout = 15_000;
    quic.keep_alive_interval = Duration::from_secs(5);
    quic.max_concurrent_stream_limit = STREAMS as u32;
    quic.max_stream_data = QUIC_STREAM_BYTES;
    quic.max_connection_data = QUIC_CONNECTION_BYTES;
    quic
}

type Muxed = Boxed<(PeerId, StreamMuxerBox)>;

/// The first transport that understands an address takes it.
fn choose(first: Muxed, second: Muxed) -> Muxed {
    first.or_transport(second).map(|either, _| either.into_inner()).boxed()
}
