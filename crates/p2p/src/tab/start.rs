//! Puts a tab's transports under the shared driver. Chooses transports and limits, and leaves
//! everything else to the driver.

use std::{fmt, sync::Arc, time::Duration};

use ::libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, upgrade::Version},
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, relay, swarm, websocket_websys, yamux,
};
use craftec_core::TransportKey;
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{EventTarget, MessagePort};

use super::webrtc;
use crate::{
    NetError, Network, RecordCheck,
    libp2p::{Driver, Extra, Handle, Parts, Settings, parse},
};

// Nobody can dial a tab at an address: there is nothing to test.
impl Extra for webrtc::Behaviour {}

/// A running network of a tab.
pub type TabNetwork = Handle;

/// How long a WebSocket's or circuit's handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Streams of one connection.
const STREAMS: usize = 1024;

/// How a tab's network is set up.
pub struct TabConfig {
    /// Who the node is.
    pub key: TransportKey,
    /// Leads to the page that lends peer connections (`serveRtc` of the SDK).
    pub page: MessagePort,
    /// WebSocket multiaddrs of the relays to stay connected to.
    pub relays: Vec<String>,
    /// What the node says it runs: `craftec/<version> (tab)`.
    pub agent: String,
    /// Decides about records that others offer.
    pub check: Arc<dyn RecordCheck>,
    /// The `RTCConfiguration` (ICE servers) of every peer connection; `undefined` for none.
    pub ice: JsValue,
}

impl fmt::Debug for TabConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TabConfig({:?}, {:?}, {})", self.key, self.relays, self.agent)
    }
}

/// Starts the network on this worker's thread; returns at once, relays are connected later.
pub fn start(config: TabConfig) -> Result<TabNetwork, NetError> {
    let mut seed = *config.key.seed();
    let key = Keypair::ed25519_from_bytes(&mut seed).map_err(|e| bad_key(&config.key, &e))?;
    let local = key.public().to_peer_id();
    let noise = noise::Config::new(&key).map_err(|e| bad_key(&config.key, &e))?;
    let (relay_transport, relay_client) = relay::client::new(local);
    let (direct, upgrades) = webrtc::pair(local, config.page, config.ice);
    let relays = config.relays.iter().map(|relay| parse(relay)).collect::<Result<_, _>>()?;
    let parts = Parts {
        transport: transport(direct.boxed(), relay_transport, noise),
        relay_client,
        extra: upgrades,
        swarm: swarm::Config::with_wasm_executor(),
        settings: Settings {
            agent: config.agent,
            // What the WebRTC transport takes from peers; circuits are listened on by themselves.
            listen: vec![Multiaddr::from(Protocol::WebRTC)],
            external: Vec::new(),
            relays,
            reserve: true,
            // A tab is a client of the DHT: it may be gone the next moment.
            server: false,
            check: config.check,
        },
        key,
    };
    let (handle, driver) = Driver::new(parts)?;
    wasm_bindgen_futures::spawn_local(driver.run());
    let ear = Ear::new(handle.clone());
    Ok(handle.guarded_by(Arc::new(SendWrapper::new(ear))))
}

/// Hears that the browser is online again, and has what waits tried at once.
struct Ear {
    scope: EventTarget,
    on_online: Closure<dyn FnMut()>,
}

impl Ear {
    fn new(handle: Handle) -> Option<Self> {
        let scope = js_sys::global().dyn_into::<EventTarget>().ok()?;
        let on_online = Closure::<dyn FnMut()>::new(move || handle.resume());
        let callback = on_online.as_ref().unchecked_ref();
        scope.add_event_listener_with_callback("online", callback).ok()?;
        Some(Self { scope, on_online })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let callback = self.on_online.as_ref().unchecked_ref();
        // A scope that goes away takes its listeners along.
        let _ = self.scope.remove_event_listener_with_callback("online", callback);
    }
}

fn bad_key(key: &TransportKey, error: &dyn fmt::Display) -> NetError {
    NetError::Address {
        addr: key.peer_id().to_string(),
        reason: format!("the key cannot be used: {error}"),
    }
}

type Muxed = Boxed<(PeerId, StreamMuxerBox)>;

/// Data channels, circuits and WebSockets, in the order in which an address is offered to them: an
/// address of the first also looks like one of the second, and that like one of the third.
fn transport(direct: Muxed, relay: relay::client::Transport, noise: noise::Config) -> Muxed {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS);
    let relay = relay
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux.clone())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let socket = websocket_websys::Transport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    choose(direct, choose(relay.boxed(), socket.boxed()))
}

/// The first transport that understands an address takes it.
fn choose(first: Muxed, second: Muxed) -> Muxed {
    first.or_transport(second).map(|either, _| either.into_inner()).boxed()
}
