//! One stream on one data channel, with its two halves closed apart by flags, as js-libp2p speaks
//! it. Never closes the channel under data that the other side may still be reading: that is left
//! to the [`Farewell`] that a dropped stream becomes.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures::{AsyncRead, AsyncWrite, channel::mpsc};

use super::{
    frame::{Flag, Frame, FrameError, Frames, encode_data},
    messages::Messages,
};

impl From<FrameError> for io::Error {
    fn from(e: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, e)
    }
}

/// How far a half of the stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Open,
    Closed,
    Reset,
}

/// The protocol's state, apart from buffers of bytes.
struct Wire<M> {
    messages: M,
    frames: Frames,
    /// Flags still to be sent: at most one each of `FinAck`, `StopSending`, `Fin` and `Reset`.
    flags: VecDeque<Flag>,
    read: Half,
    write: Half,
    fin_acked: bool,
    /// The channel itself ended.
    ended: bool,
}

impl<M: Messages> Wire<M> {
    fn poll_flags(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(flag) = self.flags.front() {
            ready!(self.messages.poll_send(cx, &flag.encode()))?;
            self.flags.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    /// The data of the next frame, its flag already dealt with; `None` when the channel ended.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Poll::Ready(Ok(Some(self.on_frame(frame))));
            }
            match ready!(self.messages.poll_receive(cx))? {
                Some(message) => self.frames.push(&message),
                None => {
                    self.ended = true;
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Bytes {
        match frame.flag {
            Some(Flag::Fin) if self.read == Half::Open => {
                self.read = Half::Closed;
                self.flags.push_back(Flag::FinAck);
            }
            Some(Flag::StopSending) if self.write == Half::Open => self.write = Half::Closed,
            Some(Flag::Reset) => (self.read, self.write) = (Half::Reset, Half::Reset),
            Some(Flag::FinAck) => self.fin_acked = true,
            _ => {}
        }
        frame.data
    }
}

/// A stream of bytes over one data channel.
pub(crate) struct ChannelStream<M> {
    /// `None` only while it is being dropped.
    wire: Option<Wire<M>>,
    unread: Bytes,
    dropped: mpsc::UnboundedSender<Farewell<M>>,
}

impl<M: Messages> ChannelStream<M> {
    /// A stream over `messages`. What remains to be said when the stream is dropped goes to
    /// `dropped` (no more entries than there are channels).
    pub(crate) fn new(messages: M, dropped: mpsc::UnboundedSender<Farewell<M>>) -> Self {
        let wire = Wire {
            messages,
            frames: Frames::default(),
            flags: VecDeque::new(),
            read: Half::Open,
            write: Half::Open,
            fin_acked: false,
            ended: false,
        };
        Self { wire: Some(wire), unread: Bytes::new(), dropped }
    }

    fn parts(&mut self) -> io::Result<(&mut Wire<M>, &mut Bytes)> {
        match &mut self.wire {
            Some(wire) => Ok((wire, &mut self.unread)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<M: Messages + Unpin> AsyncRead for ChannelStream<M> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (wire, unread) = self.parts()?;
        loop {
            if wire.read == Half::Reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !unread.is_empty() {
                let n = buf.len().min(unread.len());
                unread.copy_to_slice(&mut buf[..n]);
                return Poll::Ready(Ok(n));
            }
            if wire.read == Half::Closed {
                // The confirmation is a courtesy: a full buffer must not hide the end of data.
                let _ = wire.poll_flags(cx)?;
                return Poll::Ready(Ok(0));
            }
            match ready!(wire.poll_frame(cx))? {
                Some(data) => *unread = data,
                // A channel that ends without a flag was cut off: not a clean end of data.
                None => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }
}

impl<M: Messages + Unpin> AsyncWrite for ChannelStream<M> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (wire, _) = self.parts()?;
        // Nobody reads any more: look for a flag that stops us.
        while wire.read == Half::Closed && !wire.ended {
            if wire.poll_frame(cx)?.is_pending() {
                break;
            }
        }
        match wire.write {
            Half::Open => {}
            Half::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Half::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
        ready!(wire.poll_flags(cx))?;
        let (frame, n) = encode_data(buf);
        ready!(wire.messages.poll_send(cx, &frame))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.parts()?.0.poll_flags(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (wire, _) = self.parts()?;
        match wire.write {
            Half::Open => {
                wire.write = Half::Closed;
                wire.flags.push_back(Flag::Fin);
            }
            Half::Closed => {}
            Half::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
        wire.poll_flags(cx)
    }
}

impl<M> Drop for ChannelStream<M> {
    fn drop(&mut self) {
        let Some(mut wire) = self.wire.take() else { return };
        match (wire.write, wire.read) {
            (Half::Open, _) => wire.flags.push_back(Flag::Reset),
            (Half::Closed, Half::Open) => wire.flags.push_back(Flag::StopSending),
            _ => {}
        }
        // Nobody listens when the whole connection is gone, and then nothing is left to say.
        let _ = self.dropped.unbounded_send(Farewell { wire });
    }
}

/// What a dropped stream still owes the other side: its last flags, and the channel kept open until
/// the end of our data is confirmed. Completes when the channel may be closed (dropping closes it);
/// whoever polls it gives it [`super::limits::FIN_ACK`] at most.
pub(crate) struct Farewell<M> {
    wire: Wire<M>,
}

impl<M: Messages + Unpin> Future for Farewell<M> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let wire = &mut self.wire;
        // What still arrives is read and thrown away: the flags between it matter.
        let receiving = loop {
            match wire.poll_frame(cx) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        if ready!(wire.poll_flags(cx)).is_err() {
            return Poll::Ready(());
        }
        // A reset needs no confirmation; a clean end waits for both.
        let clean = wire.write == Half::Closed && wire.read != Half::Reset;
        if clean && !(wire.fin_acked && wire.read == Half::Closed) {
            receiving
        } else {
            Poll::Ready(())
        }
    }
}

#[cfg(test)]
#[path = "channel_stream_tests.rs"]
mod tests;
