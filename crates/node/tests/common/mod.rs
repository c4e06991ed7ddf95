//! Several nodes in one process over a network in memory: no delay, a DHT that everyone shares.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

#[cfg(feature = "sql")]
pub(crate) mod sql;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use craftec_api::{Command, Reply, Role};
use craftec_core::{Cid, PeerId, cbor, limits};
use craftec_node::{Config, Keys, Node, Ports, Session, record_check};
use craftec_obj::{
    Store,
    exchange::wire::{Answer, Blocks, Item, PROTOCOL, Request},
};
use craftec_p2p::{
    ByteStream, Key, Link, NetError, NetEvent, Network, PeerInfo, Protocol, Record, RecordChoice,
    Rpc,
};
use craftec_platform::{
    UnixMs,
    sim::{Executor, SimClock, SimDisk, SimEntropy},
};
use futures::{
    AsyncRead, AsyncWrite, FutureExt, StreamExt,
    channel::mpsc,
    future::{LocalBoxFuture, ready},
    stream::{self, LocalBoxStream},
};
use serde_bytes::ByteBuf;

/// Virtual time that a test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(3600);
/// Bytes in flight in each direction of a pipe.
const PIPE_BYTES: usize = 256 << 10;

#[derive(Default)]
struct Half {
    bytes: VecDeque<u8>,
    ended: bool,
    waiting: Vec<Waker>,
}

impl Half {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// One end of a two-way pipe.
struct Pipe {
    from: Rc<RefCell<Half>>,
    to: Rc<RefCell<Half>>,
}

impl Pipe {
    fn pair() -> (Self, Self) {
        let (a, b): (Rc<RefCell<Half>>, Rc<RefCell<Half>>) = Default::default();
        (Self { from: a.clone(), to: b.clone() }, Self { from: b, to: a })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for half in [&self.from, &self.to] {
            let mut half = half.borrow_mut();
            half.ended = true;
            half.wake();
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut half = self.from.borrow_mut();
        if half.bytes.is_empty() && !half.ended {
            half.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        let n = io::Read::read(&mut half.bytes, buf)?;
        half.wake();
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut half = self.to.borrow_mut();
        if half.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = PIPE_BYTES - half.bytes.len();
        if room == 0 {
            half.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        let n = buf.len().min(room);
        half.bytes.extend(&buf[..n]);
        half.wake();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = self.to.borrow_mut();
        half.ended = true;
        half.wake();
        Poll::Ready(Ok(()))
    }
}

type Incoming = mpsc::UnboundedSender<(PeerId, ByteStream)>;

/// What all nodes of a test share.
#[derive(Default)]
struct Mesh {
    served: RefCell<BTreeMap<(PeerId, &'static str), Incoming>>,
    listeners: RefCell<BTreeMap<PeerId, Vec<mpsc::UnboundedSender<NetEvent>>>>,
    links: RefCell<BTreeSet<(PeerId, PeerId)>>,
    providers: RefCell<BTreeMap<[u8; 32], BTreeSet<PeerId>>>,
    records: RefCell<BTreeMap<[u8; 32], Vec<Vec<u8>>>>,
    away: RefCell<BTreeSet<PeerId>>,
    now_ms: Cell<u64>,
}

/// One node's end of the mesh.
pub(crate) struct MeshNet {
    id: PeerId,
    mesh: Rc<Mesh>,
    window: usize,
}

impl MeshNet {
    fn info(&self, peer: PeerId) -> PeerInfo {
        PeerInfo {
            peer,
            link: Link::Quic,
            role: craftec_p2p::Role::Relay,
            rtt_ms: Some(1),
            addr: "/memory/1".to_owned(),
            agent: "test".to_owned(),
            via: None,
        }
    }
}

impl Network for MeshNet {
    fn local_peer(&self) -> PeerId {
        self.id
    }

    fn addresses(&self) -> Vec<String> {
        vec![format!("/memory/1/p2p/{}", self.id)]
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let links = self.mesh.links.borrow();
        let mine = links.iter().filter(|(from, _)| *from == self.id);
        mine.map(|(_, to)| self.info(*to)).collect()
    }

    fn events(&self) -> LocalBoxStream<'static, NetEvent> {
        let (sender, events) = mpsc::unbounded();
        self.mesh.listeners.borrow_mut().entry(self.id).or_default().push(sender);
        events.boxed_local()
    }

    fn connect(&self, addr: &str) -> LocalBoxFuture<'static, Result<PeerId, NetError>> {
        let addr = addr.to_owned();
        ready(Err(NetError::Address { addr, reason: "nothing listens there".to_owned() }))
            .boxed_local()
    }

    fn open(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> LocalBoxFuture<'static, Result<ByteStream, NetError>> {
        let unreachable = || NetError::Unreachable { peer, reason: "away".to_owned() };
        let away = self.mesh.away.borrow();
        if away.contains(&peer) || away.contains(&self.id) {
            return ready(Err(unreachable())).boxed_local();
        }
        let (ours, theirs) = Pipe::pair();
        let version = protocol.versions[0];
        let served = self.mesh.served.borrow();
        let opened = match served.get(&(peer, protocol.name)) {
            Some(incoming) => incoming
                .unbounded_send((self.id, ByteStream::new(version, theirs)))
                .map(|()| ByteStream::new(version, ours))
                .map_err(|_| unreachable()),
            None => Err(NetError::Unsupported { peer, protocol: protocol.name }),
        };
        ready(opened).boxed_local()
    }

    fn accept(&self, protocol: Protocol) -> LocalBoxStream<'static, (PeerId, ByteStream)> {
        let (sender, incoming) = mpsc::unbounded();
        self.mesh.served.borrow_mut().insert((self.id, protocol.name), sender);
        incoming.boxed_local()
    }

    fn in_flight_bytes(&self, _: PeerId) -> usize {
        self.window
    }

    fn provide(&self, key: Key) -> LocalBoxFuture<'static, Result<(), NetError>> {
        if self.peers().is_empty() {
            return ready(Err(NetError::Dht("nobody is connected".to_owned()))).boxed_local();
        }
        self.mesh.providers.borrow_mut().entry(key.0).or_default().insert(self.id);
        ready(Ok(())).boxed_local()
    }

    fn stop_providing(&self, key: Key) {
        if let Some(providers) = self.mesh.providers.borrow_mut().get_mut(&key.0) {
            providers.remove(&self.id);
        }
    }

    fn providers(&self, key: Key) -> LocalBoxStream<'static, PeerId> {
        let found = self.mesh.providers.borrow().get(&key.0).cloned().unwrap_or_default();
        stream::iter(found).boxed_local()
    }

    fn put_record(&self, record: Record) -> LocalBoxFuture<'static, Result<(), NetError>> {
        if self.peers().is_empty() {
            return ready(Err(NetError::Dht("nobody is connected".to_owned()))).boxed_local();
        }
        let now_ms = self.mesh.now_ms.get();
        let check = record_check(move || UnixMs(now_ms));
        let mut records = self.mesh.records.borrow_mut();
        let stored = records.entry(record.key.0).or_default();
        let held = stored.first().map(|value| Record { key: record.key, value: value.clone() });
        let result = match check.choose(&record, held.as_ref()) {
            Ok(RecordChoice::Take) => {
                *stored = vec![record.value];
                Ok(())
            }
            Ok(RecordChoice::Prove(proof)) => {
                *stored = vec![proof];
                Ok(())
            }
            Ok(RecordChoice::Keep) => Ok(()),
            Err(reason) => Err(NetError::Dht(reason)),
        };
        ready(result).boxed_local()
    }

    fn records(&self, key: Key) -> LocalBoxFuture<'static, Result<Vec<Record>, NetError>> {
        let found = self.mesh.records.borrow().get(&key.0).cloned().unwrap_or_default();
        let records = found.into_iter().map(|value| Record { key, value }).collect();
        ready(Ok(records)).boxed_local()
    }

    fn shutdown(&self) {
        self.mesh.served.borrow_mut().retain(|(id, _), _| *id != self.id);
    }
}

/// A test's nodes and their clock.
pub(crate) struct World {
    executor: Executor,
    mesh: Rc<Mesh>,
    /// The clock of the test itself.
    pub(crate) clock: SimClock,
}

impl Default for World {
    fn default() -> Self {
        let executor = Executor::new();
        let (clock, _) = executor.clock();
        let mesh = Rc::new(Mesh::default());
        mesh.now_ms.set(craftec_platform::Clock::now(&clock).0);
        Self { executor, mesh, clock }
    }
}

/// Runs a test over a world of its own.
pub(crate) fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<World>) -> F) {
    run_for(LIMIT, test);
}

/// The same, with more virtual time.
pub(crate) fn run_for<F: Future<Output = ()> + 'static>(
    limit: Duration,
    test: impl FnOnce(Rc<World>) -> F,
) {
    let world = Rc::new(World::default());
    world.executor.run_until(limit, test(world.clone())).expect("the test ends");
}

impl World {
    /// The network of `id`.
    pub(crate) fn network(&self, id: PeerId, window: usize) -> Rc<MeshNet> {
        Rc::new(MeshNet { id, mesh: self.mesh.clone(), window })
    }

    /// A node on `disk`, with an identity from `seed` where the disk has none.
    pub(crate) async fn node_on(&self, seed: u64, disk: &SimDisk, config: Config) -> Rc<Node> {
        let store = Store::open(disk).await.expect("the store opens");
        let entropy = SimEntropy::new(seed);
        let keys = Keys::load_or_create(&store, &entropy).expect("keys");
        let ports = Ports {
            network: self.network(keys.peer_id(), 8 << 20),
            clock: Rc::new(self.executor.clock().0),
            entropy: Rc::new(entropy),
        };
        Node::start(ports, store, keys, config).await.expect("the node starts")
    }

    /// A native node on a disk of its own.
    pub(crate) async fn node(&self, seed: u64) -> Rc<Node> {
        self.node_on(seed, &SimDisk::new(), Config::new(Role::Relay)).await
    }

    /// Connects two peers.
    pub(crate) fn link(&self, a: PeerId, b: PeerId) {
        for (from, to) in [(a, b), (b, a)] {
            self.mesh.links.borrow_mut().insert((from, to));
            let info = self.network(from, 0).info(to);
            self.tell(from, NetEvent::Connected(info));
        }
    }

    /// Takes a peer off the network.
    pub(crate) fn leave(&self, gone: PeerId) {
        self.mesh.away.borrow_mut().insert(gone);
        let links = self.mesh.links.take();
        let (cut, rest) = links.into_iter().partition(|(a, b)| *a == gone || *b == gone);
        self.mesh.links.replace(rest);
        let cut: BTreeSet<(PeerId, PeerId)> = cut;
        for (from, to) in cut {
            self.tell(from, NetEvent::Disconnected(to));
        }
    }

    /// Lets a peer back; its links are made anew by [`World::link`].
    pub(crate) fn come_back(&self, peer: PeerId) {
        self.mesh.away.borrow_mut().remove(&peer);
    }

    fn tell(&self, to: PeerId, event: NetEvent) {
        for listener in self.mesh.listeners.borrow().get(&to).into_iter().flatten() {
            let _ = listener.unbounded_send(event.clone());
        }
    }

    /// Replaces what the DHT holds under a key.
    pub(crate) fn set_records(&self, key: [u8; 32], values: Vec<Vec<u8>>) {
        self.mesh.records.borrow_mut().insert(key, values);
    }

    /// What the DHT holds under a key.
    pub(crate) fn records(&self, key: [u8; 32]) -> Vec<Vec<u8>> {
        self.mesh.records.borrow().get(&key).cloned().unwrap_or_default()
    }

    /// Says that `peer` provides `cid`, whether it does or not.
    pub(crate) fn provide(&self, cid: &Cid, peer: PeerId) {
        self.mesh.providers.borrow_mut().entry(*cid.hash()).or_default().insert(peer);
    }

    /// The DHT forgets who provides what.
    pub(crate) fn forget_providers(&self) {
        self.mesh.providers.borrow_mut().clear();
    }

    /// Waits.
    pub(crate) async fn sleep(&self, seconds: u64) {
        craftec_platform::Clock::sleep(&self.clock, Duration::from_secs(seconds)).await;
    }

    /// Seconds since the test began.
    pub(crate) fn seconds(&self) -> u64 {
        self.executor.time().as_secs()
    }
}

/// Bytes that compress badly and differ by seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    craftec_platform::Entropy::fill(&SimEntropy::new(seed), &mut out);
    out
}

/// Puts an object.
pub(crate) async fn put(session: &Session, content: &[u8], replicas: u16) -> Cid {
    put_as(session, content, Some(replicas)).await
}

/// Puts an object in so many copies, or as the defaults say.
pub(crate) async fn put_as(session: &Session, content: &[u8], replicas: Option<u16>) -> Cid {
    let open = Command::PutOpen { replicas, redundancy: None, name: None };
    let Ok(Reply::Handle { handle }) = session.call(open).await else { panic!("put_open") };
    for chunk in content.chunks(1 << 20) {
        let chunk = Command::PutChunk { handle, bytes: ByteBuf::from(chunk) };
        assert_eq!(session.call(chunk).await, Ok(Reply::Done));
    }
    match session.call(Command::PutClose { handle }).await {
        Ok(Reply::Stored { cid, size }) if size == content.len() as u64 => cid,
        other => panic!("put_close: {other:?}"),
    }
}

/// Puts a folder; its address and label.
pub(crate) async fn publish(
    session: &Session,
    files: &[(&str, &[u8])],
    name: Option<&str>,
    replicas: u16,
) -> (Cid, Option<String>) {
    let opened = session.call(Command::FolderOpen).await;
    let Ok(Reply::Handle { handle: folder }) = opened else { panic!("folder_open") };
    for (path, content) in files {
        let path = (*path).to_owned();
        let add = Command::FolderAdd { folder, path, bytes: ByteBuf::from(*content) };
        assert_eq!(session.call(add).await, Ok(Reply::Done));
    }
    let close = Command::FolderClose {
        folder,
        replicas: Some(replicas),
        site: true,
        name: name.map(str::to_owned),
    };
    match session.call(close).await {
        Ok(Reply::Published { cid, label, .. }) => (cid, label),
        other => panic!("folder_close: {other:?}"),
    }
}

/// Reads content to its end.
pub(crate) async fn get(
    session: &Session,
    cid: Cid,
    path: &str,
) -> Result<Vec<u8>, craftec_api::ApiError> {
    let open = Command::GetOpen { cid, path: path.to_owned(), range: None };
    let Reply::Opened(opened) = session.call(open).await? else { panic!("get_open") };
    let mut out = Vec::new();
    loop {
        match session.call(Command::GetRead { handle: opened.handle }).await? {
            Reply::Bytes { bytes } if bytes.is_empty() => break,
            Reply::Bytes { bytes } => out.extend_from_slice(&bytes),
            other => panic!("get_read: {other:?}"),
        }
    }
    session.call(Command::Close { handle: opened.handle }).await?;
    Ok(out)
}

/// Answers every request for blocks with wrong bytes in the place of `id`, which says that it has
/// everything. A node that runs under `id` no longer answers such requests.
pub(crate) fn lie_as(world: &World, id: PeerId) {
    let rpc = Rpc::new(world.network(id, 8 << 20), Rc::new(world.clock.clone()));
    rpc.serve(
        PROTOCOL,
        Rc::new(|_, _, body| {
            let request: Request = cbor::decode(&body, limits::FRAME_BYTES).expect("a request");
            let answer = match request {
                Request::Want(want) => {
                    let item = |(at, _): (usize, &Cid)| Item {
                        at: at as u16,
                        bytes: Bytes::from_static(b"lie"),
                    };
                    let blocks = want.cids.iter().enumerate().map(item).collect();
                    Answer::Blocks(Blocks { blocks, missing: Vec::new() })
                }
                Request::Have(have) => Answer::Held(vec![0xff; have.cids.len().div_ceil(8)].into()),
            };
            Box::pin(async move { Bytes::from(cbor::encode(&answer).expect("encodes")) })
        }),
    );
    // It must outlive the test; its tasks hold what it needs.
    std::mem::forget(rpc);
}
