//! The port: what a node asks of a network. Small on purpose; request/response and subscriptions
//! are written once, over [`Network::open`] and [`Network::accept`].

use std::{pin::Pin, rc::Rc, sync::Arc, time::Duration};

use craftec_core::PeerId;
use futures::{AsyncRead, AsyncWrite, future::LocalBoxFuture, stream::LocalBoxStream};

use crate::{Limits, NetError, counters::Counters};

/// An application protocol: a name and the versions spoken, newest first (N and N−1).
///
/// On the wire each version is `/craftec/<name>/<version>`; the two sides agree on the newest that
/// both speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol {
    /// The name, for instance `obj`.
    pub name: &'static str,
    /// Versions spoken, newest first.
    pub versions: &'static [u16],
}

/// A two-way byte stream to one peer, with back-pressure.
pub struct ByteStream {
    /// The version that both sides agreed on.
    pub version: u16,
    io: Pin<Box<dyn Io>>,
}

trait Io: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Io for T {}

impl ByteStream {
    /// Wraps a transport's stream.
    pub fn new(version: u16, io: impl AsyncRead + AsyncWrite + 'static) -> Self {
        Self { version, io: Box::pin(io) }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.io.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.io.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.io.as_mut().poll_flush(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.io.as_mut().poll_close(cx)
    }
}

/// How bytes travel to a peer. The variants are what the network picture draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// Tab to tab over a WebRTC data channel.
    WebRtc,
    /// Native to native over QUIC.
    Quic,
    /// Native to native over TCP.
    Tcp,
    /// Over a WebSocket (a tab to a relay).
    WebSocket,
    /// Through a relay's circuit: the relay carries the (encrypted) bytes.
    Relayed,
}

/// What kind of node a peer says it is. A claim, never a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A node in a browser tab.
    Tab,
    /// A native node that relays for others.
    Relay,
    /// Something that does not speak Craftec's protocols.
    Foreign,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// The best link to it.
    pub link: Link,
    /// What it says it is.
    pub role: Role,
    /// Last measured round trip in milliseconds.
    pub rtt_ms: Option<u32>,
    /// The multiaddr in use.
    pub addr: String,
    /// Its agent string, as sent by identify (at most 128 characters).
    pub agent: String,
    /// The relay that carries a relayed link.
    pub via: Option<PeerId>,
}

/// A change in who is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// A first connection to a peer.
    Connected(PeerInfo),
    /// Its link, round trip or role changed.
    Changed(PeerInfo),
    /// The last connection to it is gone.
    Disconnected(PeerId),
    /// Our own reachable addresses changed.
    Addresses(Vec<String>),
}

/// Whether others can dial a node without help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reachability {
    /// Nobody has tried yet, or nobody can be asked.
    #[default]
    Unknown,
    /// Another node dialed one of our addresses from outside, on our request.
    Public,
    /// Others tried and failed: a router or a firewall is between.
    Nat,
}

/// What a node knows of its own reachability.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The verdict.
    pub state: Reachability,
    /// The addresses at which others have reached us, as multiaddrs.
    pub confirmed: Vec<String>,
}

/// A key in the DHT (a BLAKE3-256 hash).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

/// A signed record as the DHT carries it: opaque here, checked by the [`RecordCheck`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it belongs.
    pub key: Key,
    /// The signed bytes (at most `limits::RECORD_BYTES`).
    pub value: Vec<u8>,
}

/// Decides about records that a peer offers; called before one is stored or returned.
pub trait RecordCheck: Send + Sync {
    /// Whether `new` is valid for its key and, if a record is `held` already, which of the two to
    /// keep.
    fn choose(&self, new: &Record, held: Option<&Record>) -> Result<RecordChoice, String>;
}

/// What to do with an offered record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChoice {
    /// Valid and newer: store it.
    Take,
    /// Valid, but what is held is as new or newer.
    Keep,
    /// Valid, and what is held contradicts it: store these bytes, which prove it, instead of both.
    Prove(Vec<u8>),
}

/// A network as one node sees it.
///
/// Implementations connect on demand: a call that names a peer dials it through whatever addresses
/// are known (its own, or a circuit through a shared relay).
pub trait Network {
    /// Our own transport identity.
    fn local_peer(&self) -> PeerId;
    /// Our own addresses that others can dial, as multiaddrs.
    fn addresses(&self) -> Vec<String>;
    /// Everyone connected now, sorted by peer id.
    fn peers(&self) -> Vec<PeerInfo>;
    /// Changes from now on. A listener that falls 1,024 events behind loses the oldest.
    fn events(&self) -> LocalBoxStream<'static, NetEvent>;
    /// Connects to a multiaddr that ends in `/p2p/<peer id>` or to a relay's address.
    fn connect(&self, addr: &str) -> LocalBoxFuture<'static, Result<PeerId, NetError>>;
    /// Ends all connections to a peer; for the time of `ban` (capped at a day) none is made or taken.
    /// A network without connections (a test's double) has nothing to do.
    fn disconnect(&self, peer: PeerId, ban: Duration, reason: &str) {
        let _ = (peer, ban, reason);
    }
    /// What is known of our own reachability.
    fn reach(&self) -> Reach {
        Reach::default()
    }
    /// Whether connections to `peer` stay open without streams, and are not closed as superfluous.
    fn keep(&self, peer: PeerId, keep: bool) {
        let _ = (peer, keep);
    }
    /// Addresses at which a connected peer says it can be dialed, believed as far as our own
    /// connection to it makes them believable.
    fn addresses_of(&self, peer: PeerId) -> Vec<String> {
        self.peers().into_iter().filter(|p| p.peer == peer).map(|p| p.addr).collect()
    }
    /// Remembers where `peer` may be dialed, as `teller` says. What a teller so far away cannot
    /// know (addresses of our machine or our own network) is dropped. Nothing is dialed.
    fn learn(&self, teller: PeerId, peer: PeerId, addresses: Vec<String>) {
        let _ = (teller, peer, addresses);
    }
    /// The machine woke up or its network changed: what waits to be tried again is tried now.
    fn resume(&self) {}
    /// Opens a stream. The open itself is bounded in time (10 s).
    fn open(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> LocalBoxFuture<'static, Result<ByteStream, NetError>>;
    /// Streams that peers open to us. Called once per protocol.
    fn accept(&self, protocol: Protocol) -> LocalBoxStream<'static, (PeerId, ByteStream)>;
    /// Bytes that we may have outstanding from `peer` at one time.
    fn in_flight_bytes(&self, peer: PeerId) -> usize;
    /// Announces that we hold what `key` names, and keeps announcing it.
    fn provide(&self, key: Key) -> LocalBoxFuture<'static, Result<(), NetError>>;
    /// Stops announcing.
    fn stop_providing(&self, key: Key);
    /// Who announced `key`, as found so far; ends when the search does (at most 20 peers).
    fn providers(&self, key: Key) -> LocalBoxStream<'static, PeerId>;
    /// Stores a signed record in the DHT; done when at least one other node took it.
    fn put_record(&self, record: Record) -> LocalBoxFuture<'static, Result<(), NetError>>;
    /// All distinct valid records found under `key`.
    fn records(&self, key: Key) -> LocalBoxFuture<'static, Result<Vec<Record>, NetError>>;
    /// What strangers may take.
    fn limits(&self) -> Limits {
        Limits::default()
    }
    /// Where what happens is counted.
    fn counters(&self) -> Arc<Counters> {
        Arc::default()
    }
    /// Ends all connections; further calls fail with [`NetError::Closed`].
    fn shutdown(&self);
}

/// A network shared by the parts of one node.
pub type SharedNetwork = Rc<dyn Network>;
