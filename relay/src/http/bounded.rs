//! Connections that keep within bounds: one that fails when its client reads nothing, one that brings
//! few bytes before it is answered. They know no HTTP beyond that.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

/// How long, and how many bytes, of a request that was refused are still read: a head of 64 KiB
/// and a packet of upload, so that the client gets to see why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

/// Unanswered bytes of a connection that need no place: a head as browsers send it, and what came of
/// the next one meanwhile.
const BRIEF_BYTES: usize = 64 << 10;

/// A connection that fails when the other side accepts nothing for too long, and that reads what
/// still comes before it closes: else the system would throw our last answer away.
pub(super) struct Patient<T> {
    io: T,
    limit: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Once our side is closed: until when the rest is read, and how much of it.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<T> Patient<T> {
    pub(super) fn new(io: T, limit: Duration) -> Self {
        Self { io, limit, stalled: None, lingering: None }
    }

    /// Passes on what is ready; while nothing is, watches the time.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let limit = self.limit;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            let result = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.watch(cx, result))?;
            this.lingering = Some((Box::pin(tokio::time::sleep(LINGER)), LINGER_BYTES));
        }
        let Some((until, left)) = &mut this.lingering else { return Poll::Ready(Ok(())) };
        let mut scratch = [0; 4096];
        while *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    *left = left.saturating_sub(buf.filled().len());
                }
                // The end, one way or the other.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection that brings few bytes between two answers. One that brings more takes one of a few
/// places until it is answered, and breaks where there is none: hyper keeps a head in memory until
/// it is whole. Once it speaks something else than HTTP it is left alone.
pub(super) struct Brief<T> {
    io: T,
    unanswered: usize,
    places: Arc<Semaphore>,
    place: Option<OwnedSemaphorePermit>,
    pub(super) talks_http: Arc<AtomicBool>,
}

impl<T> Brief<T> {
    pub(super) fn new(io: T, places: Arc<Semaphore>) -> Self {
        let talks_http = Arc::new(AtomicBool::new(true));
        Self { io, unanswered: 0, places, place: None, talks_http }
    }

    fn came(&mut self, bytes: usize) -> io::Result<()> {
        self.unanswered = self.unanswered.saturating_add(bytes);
        let long = self.unanswered > BRIEF_BYTES;
        if long && self.place.is_none() && self.talks_http.load(Ordering::Relaxed) {
            let place = self.places.clone().try_acquire_owned();
            self.place = Some(place.map_err(|_| io::Error::other("too many long heads"))?);
        }
        Ok(())
    }

    fn answered(&mut self) {
        self.unanswered = 0;
        self.place = None;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Brief<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        Poll::Ready(self.came(buf.filled().len() - before))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Brief<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answered();
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.answered();
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn long_heads_take_places_until_they_are_answered() {
        let places = Arc::new(Semaphore::new(1));
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (other, mut other_far) = tokio::io::duplex(1 << 20);
        let (mut near, mut other) = (Brief::new(near, places.clone()), Brief::new(other, places));
        let mut read = vec![0; 100 << 10];
        far.write_all(&read.clone()).await.unwrap();
        near.read_exact(&mut read).await.unwrap();
        // The one place is taken.
        other_far.write_all(&read.clone()).await.unwrap();
        other.read_exact(&mut read).await.unwrap_err();
        near.write_all(b"answer").await.unwrap();
        let (other, mut other_far) = tokio::io::duplex(1 << 20);
        let mut other = Brief::new(other, near.places.clone());
        other_far.write_all(&read.clone()).await.unwrap();
        other.read_exact(&mut read).await.unwrap();
        // What speaks another protocol needs none.
        near.talks_http.store(false, Ordering::Relaxed);
        far.write_all(&read.clone()).await.unwrap();
        near.read_exact(&mut read).await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_stops_is_let_go() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Patient::new(near, Duration::from_millis(50));
        near.write_all(b"12345678").await.unwrap();
        let stuck = near.write_all(b"9").await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        let mut read = [0; 8];
        far.read_exact(&mut read).await.unwrap();
        near.write_all(b"9").await.unwrap();
    }
}
