//! One direction of a stream, and the endpoints that programs hold.
//!
//! A pipe holds at most [`WINDOW_BYTES`] between its ends, under way or unread: a reader that
//! doesn't read stops the writer, as real transports do.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use craftec_core::PeerId;
use futures::{AsyncRead, AsyncWrite};

use super::fabric::Fabric;

/// Bytes between the two ends of a pipe: the stream window of common transports.
const WINDOW_BYTES: usize = 256 << 10;
/// Bytes that travel together.
const SEGMENT_BYTES: usize = 64 << 10;

/// What travels.
pub(super) enum Cargo {
    /// Bytes.
    Data(Vec<u8>),
    /// The writer closed.
    End,
    /// The writer is gone without closing.
    Abort,
}

/// One direction of a stream.
pub(super) struct Pipe {
    pub(super) from: PeerId,
    pub(super) to: PeerId,
    /// Whether it carries answers with blocks, which a liar bends (see [`Fabric::bend`]).
    pub(super) answers: bool,
    /// Sent and not delivered, with the time of sending.
    pub(super) under_way: VecDeque<(Duration, Cargo)>,
    /// Nothing is carried any more, and nobody has noticed yet: an end of it lost power.
    pub(super) silent: bool,
    /// Whether a carrier is at work.
    pub(super) carried: bool,
    /// When the link is free for the next segment.
    pub(super) free_at: Duration,
    unread: VecDeque<Vec<u8>>,
    read: usize,
    inside: usize,
    ended: bool,
    closing: bool,
    /// What the reader, and what the writer, is told of a connection that ended. They may learn it
    /// at different times.
    read_error: Option<String>,
    write_error: Option<String>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

pub(super) type SharedPipe = Rc<RefCell<Pipe>>;

impl Pipe {
    pub(super) fn new(from: PeerId, to: PeerId, answers: bool) -> SharedPipe {
        Rc::new(RefCell::new(Self {
            from,
            to,
            answers,
            under_way: VecDeque::new(),
            silent: false,
            carried: false,
            free_at: Duration::ZERO,
            unread: VecDeque::new(),
            read: 0,
            inside: 0,
            ended: false,
            closing: false,
            read_error: None,
            write_error: None,
            reader: None,
            writer: None,
        }))
    }

    /// Hands over what arrived.
    pub(super) fn deliver(&mut self, cargo: Cargo) {
        if self.read_error.is_some() {
            return;
        }
        match cargo {
            Cargo::Data(bytes) => self.unread.push_back(bytes),
            Cargo::End => self.ended = true,
            Cargo::Abort => {
                let reason = "the other side dropped the stream";
                self.read_error.get_or_insert_with(|| reason.to_owned());
            }
        }
        wake(&mut self.reader);
    }

    /// Ends both sides with an error; what was not delivered never will be.
    pub(super) fn break_off(&mut self, reason: &str) {
        let (from, to) = (self.from, self.to);
        self.break_for(&from, reason);
        self.break_for(&to, reason);
    }

    /// Ends the side that `peer` holds with an error.
    pub(super) fn break_for(&mut self, peer: &PeerId, reason: &str) {
        self.under_way.clear();
        if *peer == self.to {
            self.read_error.get_or_insert_with(|| reason.to_owned());
            wake(&mut self.reader);
        }
        if *peer == self.from {
            self.write_error.get_or_insert_with(|| reason.to_owned());
            wake(&mut self.writer);
        }
    }
}

fn error(reason: Option<&String>) -> Option<io::Error> {
    Some(io::Error::new(io::ErrorKind::ConnectionReset, reason?.clone()))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// One end of a stream.
pub(super) struct Endpoint {
    pub(super) fabric: Fabric,
    pub(super) incoming: SharedPipe,
    pub(super) outgoing: SharedPipe,
}

impl AsyncRead for Endpoint {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.incoming.borrow_mut();
        let start = pipe.read;
        let Some(first) = pipe.unread.front() else {
            if let Some(error) = error(pipe.read_error.as_ref()) {
                return Poll::Ready(Err(error));
            }
            if pipe.ended {
                return Poll::Ready(Ok(0));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let taken = buf.len().min(first.len() - start);
        buf[..taken].copy_from_slice(&first[start..start + taken]);
        if start + taken == first.len() {
            pipe.unread.pop_front();
            pipe.read = 0;
        } else {
            pipe.read = start + taken;
        }
        pipe.inside -= taken;
        wake(&mut pipe.writer);
        Poll::Ready(Ok(taken))
    }
}

impl AsyncWrite for Endpoint {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = {
            let mut pipe = self.outgoing.borrow_mut();
            if let Some(error) = error(pipe.write_error.as_ref()) {
                return Poll::Ready(Err(error));
            }
            if pipe.closing {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = buf.len().min(SEGMENT_BYTES).min(WINDOW_BYTES - pipe.inside);
            if taken == 0 && !buf.is_empty() {
                pipe.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            pipe.inside += taken;
            taken
        };
        if taken > 0 {
            self.fabric.send(&self.outgoing, Cargo::Data(buf[..taken].to_vec()));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let failure = error(self.outgoing.borrow().write_error.as_ref());
        Poll::Ready(failure.map_or(Ok(()), Err))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let first = !std::mem::replace(&mut self.outgoing.borrow_mut().closing, true);
        if first {
            self.fabric.send(&self.outgoing, Cargo::End);
        }
        Poll::Ready(Ok(()))
    }
}

/// What was written is still delivered; then the other side learns that nobody is there.
impl Drop for Endpoint {
    fn drop(&mut self) {
        let closed = std::mem::replace(&mut self.outgoing.borrow_mut().closing, true);
        if !closed {
            self.fabric.send(&self.outgoing, Cargo::Abort);
        }
        let mut incoming = self.incoming.borrow_mut();
        incoming.unread.clear();
        incoming.break_off("the other side stopped reading");
    }
}
