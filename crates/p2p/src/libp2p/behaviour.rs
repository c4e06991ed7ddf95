//! The protocols that every node runs, and their settings.

use std::{sync::Arc, time::Duration};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    connection_limits::{self, ConnectionLimits},
    identify,
    identity::Keypair,
    kad, ping, relay,
    swarm::NetworkBehaviour,
};

use super::{
    bans, dht,
    store::Store,
    streams::{self, Accepting},
};
use crate::{Limits, RecordCheck};

/// The DHT's protocol: ours alone, so that other networks' nodes never land in our tables.
pub(crate) const KAD: StreamProtocol = StreamProtocol::new("/craftec/kad/1");
/// What identify says that the network is.
const NETWORK: &str = "/craftec/1";
/// How often a connection is pinged.
const PING: Duration = Duration::from_secs(10);
/// How long a pong may take: a busy machine or a large transfer delays it by seconds.
const PONG: Duration = Duration::from_secs(10);

/// How a node is set up; the same on every target.
pub(crate) struct Settings {
    /// `craftec/<version> (tab|relay)`.
    pub(crate) agent: String,
    /// Where to listen.
    pub(crate) listen: Vec<Multiaddr>,
    /// Addresses at which others reach us that we cannot find out by ourselves.
    pub(crate) external: Vec<Multiaddr>,
    /// Relays to stay connected to; they are also the way into the DHT.
    pub(crate) relays: Vec<Multiaddr>,
    /// Whether to hold a reservation with each relay.
    pub(crate) reserve: bool,
    /// Whether to answer others' DHT queries and keep their records.
    pub(crate) server: bool,
    /// Decides about records.
    pub(crate) check: Arc<dyn RecordCheck>,
}

/// All protocols of a node. `X` is what only one target runs.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour<X: NetworkBehaviour> {
    pub(crate) bans: bans::Behaviour,
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<Store>,
    pub(crate) streams: streams::Behaviour,
    pub(crate) extra: X,
}

impl<X: NetworkBehaviour> Behaviour<X> {
    pub(crate) fn new(
        key: &Keypair,
        relay_client: relay::client::Behaviour,
        extra: X,
        accepting: Accepting,
        settings: &Settings,
    ) -> Self {
        let local: PeerId = key.public().to_peer_id();
        let limits = Limits::default();
        let identify = identify::Config::new(NETWORK.to_owned(), key.public())
            .with_agent_version(settings.agent.clone())
            .with_push_listen_addr_updates(true)
            // Our own address book filters what peers claim; identify's does not.
            .with_cache_size(0);
        let store = Store::new(local, limits.clone(), Arc::default());
        let mut kad = kad::Behaviour::with_config(local, store, dht::config(KAD));
        kad.set_mode(Some(if settings.server { kad::Mode::Server } else { kad::Mode::Client }));
        Self {
            bans: bans::Behaviour::default(),
            limits: connection_limits::Behaviour::new(connections(&limits)),
            relay_client,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(PONG)),
            kad,
            streams: streams::Behaviour::new(accepting),
            extra,
        }
    }
}

/// The limits on connections that libp2p counts itself.
pub(crate) fn connections(limits: &Limits) -> ConnectionLimits {
    let most = |value: u64| Some(u32::try_from(value).unwrap_or(u32::MAX));
    ConnectionLimits::default()
        .with_max_established(most(limits.connections))
        .with_max_established_per_peer(most(limits.connections_per_peer))
        .with_max_pending_incoming(most(limits.handshakes))
}
