//! A network in memory for the tests of what is written over the port: pipes with back-pressure,
//! no delay, no DHT.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use craftec_core::PeerId;
use craftec_platform::{Clock, UnixMs};
use futures::{
    AsyncRead, AsyncWrite, FutureExt, StreamExt,
    channel::mpsc,
    future::{LocalBoxFuture, ready},
    stream::{self, LocalBoxStream},
};

use crate::{ByteStream, Key, Link, NetError, NetEvent, Network, PeerInfo, Protocol, Record, Role};

/// Bytes in flight in each direction of a pipe.
const PIPE_BYTES: usize = 64 << 10;

pub(crate) fn peer(n: u8) -> PeerId {
    PeerId::from_public_key([n; 32])
}

pub(crate) struct TestClock(Instant);

impl TestClock {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self(Instant::now()))
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

/// Runs a test on one thread with spawning.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(30), test).await.unwrap();
    });
}

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
pub(crate) struct Pipe {
    from: Rc<RefCell<Half>>,
    to: Rc<RefCell<Half>>,
}

impl Pipe {
    pub(crate) fn pair() -> (Self, Self) {
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
        let n = buf.len().min(half.bytes.len());
        for (to, byte) in buf.iter_mut().zip(half.bytes.drain(..n)) {
            *to = byte;
        }
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

/// All nodes of one test.
#[derive(Default)]
pub(crate) struct Mesh {
    served: RefCell<BTreeMap<(PeerId, &'static str), Incoming>>,
    listeners: RefCell<BTreeMap<PeerId, Vec<mpsc::UnboundedSender<NetEvent>>>>,
    /// Streams opened so far, by who opened them.
    pub(crate) opened: RefCell<BTreeMap<PeerId, usize>>,
}

impl Mesh {
    pub(crate) fn node(self: &Rc<Self>, n: u8) -> Rc<Node> {
        Rc::new(Node { id: peer(n), mesh: self.clone() })
    }

    /// Tells `to` that its best link to `about` changed.
    pub(crate) fn link(&self, to: PeerId, about: PeerId, link: Link) {
        let info = PeerInfo {
            peer: about,
            link,
            role: Role::Tab,
            rtt_ms: None,
            addr: String::new(),
            agent: String::new(),
            via: None,
        };
        for listener in self.listeners.borrow().get(&to).into_iter().flatten() {
            listener.unbounded_send(NetEvent::Changed(info.clone())).unwrap();
        }
    }
}

pub(crate) struct Node {
    id: PeerId,
    mesh: Rc<Mesh>,
}

impl Network for Node {
    fn local_peer(&self) -> PeerId {
        self.id
    }
    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }
    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }
    fn events(&self) -> LocalBoxStream<'static, NetEvent> {
        let (sender, events) = mpsc::unbounded();
        self.mesh.listeners.borrow_mut().entry(self.id).or_default().push(sender);
        events.boxed_local()
    }
    fn connect(&self, _: &str) -> LocalBoxFuture<'static, Result<PeerId, NetError>> {
        ready(Err(NetError::Closed)).boxed_local()
    }
    fn open(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> LocalBoxFuture<'static, Result<ByteStream, NetError>> {
        let (ours, theirs) = Pipe::pair();
        let version = protocol.versions[0];
        let served = self.mesh.served.borrow();
        let opened = match served.get(&(peer, protocol.name)) {
            Some(incoming) => {
                *self.mesh.opened.borrow_mut().entry(self.id).or_default() += 1;
                let theirs = ByteStream::new(version, theirs);
                incoming.unbounded_send((self.id, theirs)).unwrap();
                Ok(ByteStream::new(version, ours))
            }
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
        PIPE_BYTES
    }
    fn provide(&self, _: Key) -> LocalBoxFuture<'static, Result<(), NetError>> {
        ready(Ok(())).boxed_local()
    }
    fn stop_providing(&self, _: Key) {}
    fn providers(&self, _: Key) -> LocalBoxStream<'static, PeerId> {
        stream::empty().boxed_local()
    }
    fn put_record(&self, _: Record) -> LocalBoxFuture<'static, Result<(), NetError>> {
        ready(Ok(())).boxed_local()
    }
    fn records(&self, _: Key) -> LocalBoxFuture<'static, Result<Vec<Record>, NetError>> {
        ready(Ok(Vec::new())).boxed_local()
    }
    fn shutdown(&self) {}
}
