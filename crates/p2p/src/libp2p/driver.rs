//! The swarm's event loop. It owns everything about the network that changes, and acts on commands
//! from [`Handle`](super::Handle)s and on what the swarm reports.
//!
//! One future, [`Driver::run`], to be spawned on whatever runs the target's tasks. It never waits
//! for anyone: replies that nobody takes are dropped.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    channel::{mpsc, oneshot},
    select,
};
use futures_timer::Delay;
use libp2p::{
    Multiaddr, Swarm, TransportError,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, ListenerId},
    },
    identify,
    identity::Keypair,
    relay,
    swarm::{self, NetworkBehaviour, SwarmEvent},
};

use super::{
    address::{Scope, believable, from_libp2p, is_circuit, scope, with_peer},
    behaviour::{Behaviour, BehaviourEvent, KAD, Settings},
    book::Book,
    bounds::Bounds,
    dht::{Dht, Want},
    dialing::{ConnectReply, Dials},
    handle::Handle,
    hints::{Hint, Hinted},
    peers::Peers,
    reach::{Extra, Tested},
    relays::Relay,
    shared::Shared,
    streams::{Accepting, Reply},
};
use crate::{Key, Link, NetError, NetEvent, Protocol, RecordCheck};

/// How often the driver looks for what is due.
const TICK: Duration = Duration::from_millis(250);
/// How long a connection without streams is kept.
const IDLE: Duration = Duration::from_secs(300);
/// How long closing all connections may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the transports get to send what closing produced.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// Streams of one connection that may be agreeing on a protocol at one time.
const NEGOTIATING: usize = 512;
/// Addresses that we believe of one peer.
const CLAIMED_ADDRESSES: usize = 16;

/// What a [`Handle`](super::Handle) asks for. The queue needs no limit: each command comes from a
/// caller of this node, who waits for its reply.
pub(crate) enum Command {
    Open(libp2p::PeerId, Protocol, Reply),
    Connect(Multiaddr, ConnectReply),
    /// The accepted protocols changed.
    Announce,
    Dht(Want),
    StopProviding(Key),
    Hint(Hint),
    /// Tell when every address that we listen on is known.
    Listening(oneshot::Sender<()>),
    Shutdown,
}

/// What a target brings to build a node of.
pub(crate) struct Parts<X> {
    pub(crate) key: Keypair,
    /// All transports of the target, the relay client's among them, upgraded.
    pub(crate) transport: Boxed<(libp2p::PeerId, StreamMuxerBox)>,
    /// The other half of the relay client's transport.
    pub(crate) relay_client: relay::client::Behaviour,
    /// What only this target runs. It may dial and keep connections alive by itself.
    pub(crate) extra: X,
    /// With the target's executor: `with_tokio_executor` or `with_wasm_executor`.
    pub(crate) swarm: swarm::Config,
    pub(crate) settings: Settings,
}

/// The event loop and its state.
pub(crate) struct Driver<X: NetworkBehaviour> {
    pub(super) swarm: Swarm<Behaviour<X>>,
    pub(super) peers: Peers,
    pub(super) dials: Dials,
    pub(super) relays: Vec<Relay>,
    pub(super) book: Book,
    pub(super) dht: Dht,
    pub(super) check: Arc<dyn RecordCheck>,
    pub(super) server: bool,
    pub(super) reserve: bool,
    pub(super) bounds: Bounds,
    pub(super) tested: Tested,
    pub(super) hinted: Hinted,
    pub(super) shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    accepting: Accepting,
    /// What we listen on, circuits apart.
    pub(super) listening: BTreeSet<Multiaddr>,
    /// What of that we told the swarm is reachable.
    advertised: BTreeSet<Multiaddr>,
    /// Listeners that have not said yet where they listen, and who waits for them.
    starting: HashSet<ListenerId>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl<X: Extra> Driver<X>
where
    X::ToSwarm: Debug,
{
    /// Builds a node and starts to listen; nothing moves until [`Driver::run`] is polled.
    pub(crate) fn new(parts: Parts<X>) -> Result<(Handle, Self), NetError> {
        let Parts { key, transport, relay_client, extra, swarm, settings } = parts;
        let local = key.public().to_peer_id();
        let accepting = Accepting::default();
        let behaviour = Behaviour::new(&key, relay_client, extra, accepting.clone(), &settings);
        let config = swarm
            .with_idle_connection_timeout(IDLE)
            .with_max_negotiating_inbound_streams(NEGOTIATING);
        let mut swarm = Swarm::new(transport, behaviour, local, config);
        let starting = listen(&mut swarm, &settings.listen)?;
        for addr in settings.external {
            swarm.add_external_address(addr);
        }
        let (sender, commands) = mpsc::unbounded();
        let shared = Arc::new(Shared::default());
        let handle = Handle::new(local, sender, shared.clone(), accepting.clone())?;
        let driver = Self {
            swarm,
            peers: Peers::default(),
            dials: Dials::default(),
            relays: settings.relays.into_iter().map(Relay::new).collect(),
            book: Book::default(),
            dht: Dht::new(),
            check: settings.check,
            server: settings.server,
            reserve: settings.reserve,
            bounds: Bounds::default(),
            tested: Tested::default(),
            hinted: Hinted::default(),
            shared,
            commands,
            accepting,
            listening: BTreeSet::new(),
            advertised: BTreeSet::new(),
            starting,
            waiting: Vec::new(),
        };
        Ok((handle, driver))
    }

    /// Runs until shut down, or until no handle is left.
    pub(crate) async fn run(mut self) {
        let mut tick = Delay::new(TICK).fuse();
        loop {
            select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.next() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(command) => self.on_command(command),
                },
                () = tick => {
                    self.on_tick();
                    tick = Delay::new(TICK).fuse();
                }
            }
        }
        self.accepting.close();
        self.shared.close();
        self.say_goodbye().await;
    }

    /// Closes all connections, so that peers know at once and not only when pings fail.
    async fn say_goodbye(&mut self) {
        for peer in self.swarm.connected_peers().copied().collect::<Vec<_>>() {
            // Gone in the meantime is as good.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let mut deadline = Delay::new(GOODBYE).fuse();
        while self.swarm.connected_peers().next().is_some() {
            select! {
                _ = self.swarm.select_next_some() => {}
                () = deadline => return,
            }
        }
        Delay::new(LAST_WORDS).await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Open(peer, protocol, reply) => self.open(peer, protocol, reply),
            Command::Connect(addr, reply) => self.connect(addr, reply),
            Command::Announce => self.swarm.behaviour_mut().streams.announce(),
            Command::Dht(want) => self.want(want),
            Command::StopProviding(key) => self.stop_providing(key),
            Command::Hint(hint) => self.hint(hint),
            Command::Listening(reply) => {
                self.waiting.push(reply);
                self.tell_listening();
            }
            Command::Shutdown => {}
        }
    }

    fn on_tick(&mut self) {
        self.tend_sleep();
        self.tend_relays();
        self.advance_dials();
        self.tend_dht();
        let streams = &self.swarm.behaviour().streams;
        for id in self.peers.superfluous(|id| streams.live(id)) {
            tracing::debug!(%id, "a direct connection is up, the relayed one is closed");
            self.swarm.close_connection(id);
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent<X>>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let news = self.peers.connected(peer_id, connection_id, &endpoint);
                self.tell(news);
                let link = super::address::link_of(&endpoint);
                self.relay_dialed(peer_id, connection_id, link);
                self.keep_new(&peer_id, connection_id, link);
                self.dial_succeeded(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                let news = self.peers.closed(peer_id, connection_id);
                let direct = self.peers.connections(&peer_id).iter();
                if direct.filter(|c| c.link != Link::Relayed).count() == 0 {
                    self.relay_lost(peer_id);
                }
                self.tell(news);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error } => {
                self.relay_dial_failed(connection_id);
                self.dial_failed(peer_id, connection_id, &error);
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                if !is_circuit(&address) {
                    self.listening.insert(address);
                    self.advertise();
                    if self.starting.is_empty() {
                        tracing::debug!("a network came up; relays are dialed at once");
                        self.resume_relays();
                    }
                }
                self.tell_addresses();
                self.starting.remove(&listener_id);
                self.tell_listening();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.unlisten(&[address]),
            SwarmEvent::ListenerClosed { listener_id, addresses, .. } => {
                self.relay_listener_closed(listener_id);
                self.unlisten(&addresses);
                self.starting.remove(&listener_id);
                self.tell_listening();
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                // Providers' addresses are part of what the DHT keeps.
                self.dht.announce_soon();
                self.tested(&address, true);
                self.tell_addresses();
            }
            SwarmEvent::ExternalAddrExpired { .. } => self.tell_addresses(),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent<X>) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                connection_id,
                info,
            }) => {
                self.on_identified(peer_id, connection_id, info);
            }
            BehaviourEvent::Ping(event) => {
                let rtt = event.result.as_ref().ok().copied();
                let (news, dead) = self.peers.pinged(event.peer, event.connection, rtt);
                self.tell(news);
                if dead {
                    tracing::debug!(peer = %event.peer, "a connection answers no pings");
                    self.swarm.close_connection(event.connection);
                }
            }
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::RelayClient(relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                ..
            }) => self.relay_reserved(relay_peer_id),
            BehaviourEvent::Extra(event) => {
                tracing::trace!(?event, "target's own behaviour");
                if let Some((addr, reached)) = X::tested(&event) {
                    self.tested(&addr.clone(), reached);
                }
            }
            _ => {}
        }
    }

    fn on_identified(
        &mut self,
        peer: libp2p::PeerId,
        connection: swarm::ConnectionId,
        info: identify::Info,
    ) {
        let all = self.peers.connections(&peer);
        let Some(over) = all.iter().find(|c| c.id == connection) else { return };
        // Dialed from the socket that we listen on, which a WebSocket is not.
        let telling = over.dialed.is_some() && matches!(over.link, Link::Quic | Link::Tcp);
        let over = over.scope;
        if telling {
            self.observed(&info.observed_addr);
        }
        let mut addresses = info.listen_addrs;
        addresses.retain(|addr| believable(addr, over));
        addresses.truncate(CLAIMED_ADDRESSES);
        if let Some(ours) = from_libp2p(&peer) {
            let claimed = addresses.iter().map(ToString::to_string).collect();
            self.shared.set_claimed(ours, claimed);
        }
        // The newest come first in the book, the peer's own order is by preference.
        for addr in addresses.iter().rev() {
            self.book.add(peer, addr.clone());
        }
        if info.protocols.contains(&KAD) {
            addresses.retain(|addr| !is_circuit(addr));
            self.add_server(peer, &addresses, self.peers.is_unidentified(&peer));
        }
        let relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let news = self.peers.identified(peer, &info.agent_version, relays);
        self.tell(news);
    }

    fn tell(&self, news: Option<NetEvent>) {
        if let Some(event) = news {
            self.shared.publish(event);
        }
    }

    fn tell_listening(&mut self) {
        if self.starting.is_empty() {
            for reply in self.waiting.drain(..) {
                // Whoever waited may have given up.
                let _ = reply.send(());
            }
        }
    }

    fn unlisten(&mut self, gone: &[Multiaddr]) {
        for addr in gone {
            self.listening.remove(addr);
        }
        self.advertise();
        self.tell_addresses();
    }
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: Debug,
{
    /// Advertises what we listen on: public addresses if there are any; else the local ones, so
    /// that a network of one house or one machine works too. Not what others tried in vain.
    pub(super) fn advertise(&mut self) {
        let public = self.listening.iter().any(|addr| scope(addr) == Scope::Public);
        let wanted: BTreeSet<Multiaddr> = self
            .listening
            .iter()
            .filter(|addr| !public || scope(addr) == Scope::Public)
            .filter(|addr| !self.tested.is_vain(addr))
            .cloned()
            .collect();
        for addr in self.advertised.difference(&wanted) {
            self.swarm.remove_external_address(addr);
        }
        for addr in wanted.difference(&self.advertised) {
            self.swarm.add_external_address(addr.clone());
        }
        self.advertised = wanted;
    }

    pub(super) fn tell_addresses(&self) {
        let local = *self.swarm.local_peer_id();
        let ours = self.swarm.external_addresses().chain(self.swarm.listeners());
        let all: BTreeSet<String> =
            ours.map(|addr| with_peer(addr.clone(), local).to_string()).collect();
        let all: Vec<_> = all.into_iter().collect();
        if all != self.shared.addresses() {
            self.shared.publish(NetEvent::Addresses(all));
        }
    }
}

/// Listens on all addresses. A machine without IPv6 is no error as long as something remains.
fn listen<X: NetworkBehaviour>(
    swarm: &mut Swarm<Behaviour<X>>,
    addresses: &[Multiaddr],
) -> Result<HashSet<ListenerId>, NetError> {
    let mut listening = HashSet::new();
    let mut skipped = None;
    for addr in addresses {
        match swarm.listen_on(addr.clone()) {
            Ok(id) => {
                listening.insert(id);
            }
            Err(error) => {
                let error = refused(addr, error);
                if !is_ip6(addr) || is_in_use(&error) {
                    return Err(error);
                }
                tracing::info!(%error, "not listening there");
                skipped = Some(error);
            }
        }
    }
    match skipped {
        Some(error) if listening.is_empty() => Err(error),
        _ => Ok(listening),
    }
}

fn is_ip6(addr: &Multiaddr) -> bool {
    matches!(addr.iter().next(), Some(libp2p::multiaddr::Protocol::Ip6(_)))
}

const IN_USE: &str = "the port is in use; stop the other program or choose another port";

fn is_in_use(error: &NetError) -> bool {
    matches!(error, NetError::Address { reason, .. } if reason == IN_USE)
}

fn refused(addr: &Multiaddr, error: TransportError<std::io::Error>) -> NetError {
    let reason = match error {
        TransportError::MultiaddrNotSupported(_) => {
            "no transport of this node listens on such an address".to_owned()
        }
        TransportError::Other(error) => match io_kind(&error) {
            std::io::ErrorKind::AddrInUse => IN_USE.to_owned(),
            _ => error.to_string(),
        },
    };
    NetError::Address { addr: addr.to_string(), reason }
}

/// The kind of an I/O error that transports have wrapped in others.
fn io_kind(error: &std::io::Error) -> std::io::ErrorKind {
    let mut kind = error.kind();
    let mut cause = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            kind = io.kind();
        }
        cause = error.source();
    }
    kind
}
