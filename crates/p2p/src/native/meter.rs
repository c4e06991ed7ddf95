//! Counts the bytes of every stream, and slows a prefix down that moves more than its share: its
//! streams are read and written later, and back-pressure does the rest. Nothing is cut or queued.
//!
//! Sits between the multiplexer and the protocols, so it covers circuits, requests and the DHT
//! alike, whatever the transport.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Instant,
};

use futures::{AsyncRead, AsyncWrite, FutureExt};
use futures_timer::Delay;
use libp2p::{
    PeerId,
    core::{
        ConnectedPoint, StreamMuxer,
        muxing::{StreamMuxerBox, StreamMuxerEvent},
    },
};

use super::admission::carrier_of;
use crate::{
    Limits, Prefix,
    counters::{Carrier, Counters},
    rate::{Bucket, Rate},
};

/// Prefixes remembered before those without connections are dropped.
const BEFORE_SWEEP: usize = 256;

type Shared = Arc<Mutex<Bucket>>;

/// Measures connections.
#[derive(Clone)]
pub(super) struct Meter(Arc<Inner>);

struct Inner {
    limits: Limits,
    counters: Arc<Counters>,
    /// `None` without a limit.
    rate: Option<Rate>,
    buckets: Mutex<BTreeMap<Prefix, Weak<Mutex<Bucket>>>>,
    started: Instant,
}

impl Meter {
    pub(super) fn new(limits: Limits, counters: Arc<Counters>) -> Self {
        let most = limits.bytes_per_prefix_and_second;
        // Twice as much at once: what a large window has in flight.
        let rate = (most > 0).then(|| Rate::per_second(most, most.saturating_mul(2)));
        let (buckets, started) = (Mutex::default(), Instant::now());
        Self(Arc::new(Inner { limits, counters, rate, buckets, started }))
    }

    /// Measures a connection from now on.
    pub(super) fn watch<M>(&self, muxer: M, at: &ConnectedPoint) -> StreamMuxerBox
    where
        M: StreamMuxer + Unpin + Send + 'static,
        M::Substream: Unpin + Send + 'static,
        M::Error: Send + Sync + 'static,
    {
        let carrier = carrier_of(at);
        let prefix = Prefix::of_addr(&at.get_remote_address().to_string());
        let prefix = prefix.filter(|prefix| self.0.limits.counts(*prefix));
        let bucket = self.0.rate.and(prefix).map(|prefix| self.bucket(prefix));
        let gauge = Gauge { inner: self.0.clone(), carrier, bucket };
        StreamMuxerBox::new(Watched { muxer, gauge })
    }

    /// The same as what a transport maps its connections by.
    pub(super) fn watching<M>(&self) -> impl Watching<M> + use<M>
    where
        M: StreamMuxer + Unpin + Send + 'static,
        M::Substream: Unpin + Send + 'static,
        M::Error: Send + Sync + 'static,
    {
        let meter = self.clone();
        move |(peer, muxer): (PeerId, M), at: ConnectedPoint| (peer, meter.watch(muxer, &at))
    }

    fn bucket(&self, prefix: Prefix) -> Shared {
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > BEFORE_SWEEP {
            buckets.retain(|_, bucket| bucket.strong_count() > 0);
        }
        if let Some(bucket) = buckets.get(&prefix).and_then(Weak::upgrade) {
            return bucket;
        }
        let bucket = Shared::default();
        buckets.insert(prefix, Arc::downgrade(&bucket));
        bucket
    }
}

/// Makes a measured connection of a bare one.
pub(super) trait Watching<M>:
    FnOnce((PeerId, M), ConnectedPoint) -> (PeerId, StreamMuxerBox) + Clone + Send + 'static
{
}

impl<M, F> Watching<M> for F where
    F: FnOnce((PeerId, M), ConnectedPoint) -> (PeerId, StreamMuxerBox) + Clone + Send + 'static
{
}

#[derive(Clone)]
struct Gauge {
    inner: Arc<Inner>,
    carrier: Carrier,
    bucket: Option<Shared>,
}

impl Gauge {
    fn moved(&self, bytes: usize, inbound: bool) {
        self.inner.counters.bytes.of(self.carrier, inbound).add(bytes as u64);
        if let (Some(bucket), Some(rate)) = (&self.bucket, &self.inner.rate) {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.spend(rate, bytes as u64, self.inner.started.elapsed());
        }
    }

    /// How long the prefix has to wait.
    fn wait(&self) -> Option<Delay> {
        let (bucket, rate) = (self.bucket.as_ref()?, self.inner.rate.as_ref()?);
        let bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = bucket.wait(rate, self.inner.started.elapsed());
        (!wait.is_zero()).then(|| {
            self.inner.counters.slowed.up();
            Delay::new(wait)
        })
    }
}

struct Watched<M> {
    muxer: M,
    gauge: Gauge,
}

impl<M> StreamMuxer for Watched<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
{
    type Substream = Measured<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.muxer).poll_inbound(cx))?;
        Poll::Ready(Ok(Measured::new(stream, self.gauge.clone())))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.muxer).poll_outbound(cx))?;
        Poll::Ready(Ok(Measured::new(stream, self.gauge.clone())))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.muxer).poll_close(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.muxer).poll(cx)
    }
}

/// A stream that is counted and, in debt, waits.
struct Measured<S> {
    stream: S,
    gauge: Gauge,
    read_later: Option<Delay>,
    write_later: Option<Delay>,
}

impl<S> Measured<S> {
    fn new(stream: S, gauge: Gauge) -> Self {
        Self { stream, gauge, read_later: None, write_later: None }
    }
}

/// Ready when the prefix is out of debt.
fn turn(later: &mut Option<Delay>, gauge: &Gauge, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        if let Some(delay) = later {
            ready!(delay.poll_unpin(cx));
        }
        // Others of the same prefix may have moved bytes meanwhile.
        *later = gauge.wait();
        if later.is_none() {
            return Poll::Ready(());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(turn(&mut this.read_later, &this.gauge, cx));
        let bytes = ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.gauge.moved(bytes, true);
        Poll::Ready(Ok(bytes))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(turn(&mut this.write_later, &this.gauge, cx));
        let bytes = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.gauge.moved(bytes, false);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, io::Cursor};

    use super::*;

    fn gauge(meter: &Meter, ip: [u8; 4]) -> Gauge {
        let prefix = Prefix::of(ip.into());
        let bucket = meter.0.limits.counts(prefix).then(|| meter.bucket(prefix));
        Gauge { inner: meter.0.clone(), carrier: Carrier::Quic, bucket }
    }

    #[test]
    fn a_greedy_prefix_is_slowed_down_and_others_are_not() {
        let limits = Limits { bytes_per_prefix_and_second: 100_000, ..Limits::default() };
        let meter = Meter::new(limits, Arc::default());
        let bytes = vec![7; 250_000];
        let mut first = Measured::new(Cursor::new(bytes.clone()), gauge(&meter, [9, 9, 9, 1]));
        let mut read = Vec::new();
        let begun = Instant::now();
        block_on(first.read_to_end(&mut read)).unwrap();
        assert_eq!(read.len(), 250_000);
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(400), "200 KB at once, 50 KB later: {took:?}");
        // A neighbour shares the debt, a stranger and this machine do not.
        assert!(gauge(&meter, [9, 9, 9, 2]).bucket.is_some());
        let begun = Instant::now();
        for ip in [[8, 8, 8, 8], [127, 0, 0, 1]] {
            let mut other = Measured::new(Cursor::new(Vec::new()), gauge(&meter, ip));
            block_on(other.write_all(&bytes[..150_000])).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_millis(300));
        let counters = &meter.0.counters;
        assert_eq!(counters.bytes.of(Carrier::Quic, true).now(), 250_000);
        assert_eq!(counters.bytes.of(Carrier::Quic, false).now(), 300_000);
        assert!(counters.slowed.now() > 0);
    }
}
