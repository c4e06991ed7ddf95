//! What the pure parts need of a data channel: whole messages, in order. Never touches a browser
//! API itself, so that everything above it is tested natively.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures::{AsyncRead, AsyncWrite};

use super::limits::MESSAGE_BYTES;

/// One data channel.
pub(crate) trait Messages {
    /// The next message; `None` once the channel is closed and everything was read.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;
    /// Sends one message of at most [`MESSAGE_BYTES`]; pends while it would exceed the
    /// connection's unsent bytes.
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>>;
    /// Closes the channel; what was sent before still arrives.
    fn close(&mut self);
}

/// A data channel as a byte stream, for a multiplexer above it. Gathers small writes (yamux sends
/// its 12-byte headers apart) into full messages.
pub(crate) struct Gather<M> {
    messages: M,
    unread: Bytes,
    unsent: Vec<u8>,
}

impl<M: Messages> Gather<M> {
    /// Bytes over `messages`.
    pub(crate) fn new(messages: M) -> Self {
        Self { messages, unread: Bytes::new(), unsent: Vec::with_capacity(MESSAGE_BYTES) }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            ready!(self.messages.poll_send(cx, &self.unsent))?;
            self.unsent.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<M: Messages + Unpin> AsyncRead for Gather<M> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.unread.is_empty() {
            match ready!(self.messages.poll_receive(cx))? {
                Some(message) => self.unread = message,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let n = buf.len().min(self.unread.len());
        self.unread.copy_to_slice(&mut buf[..n]);
        Poll::Ready(Ok(n))
    }
}

impl<M: Messages + Unpin> AsyncWrite for Gather<M> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsent.len() >= MESSAGE_BYTES {
            ready!(self.poll_unsent(cx))?;
        }
        let n = buf.len().min(MESSAGE_BYTES - self.unsent.len());
        self.unsent.extend_from_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_unsent(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = ready!(self.poll_unsent(cx));
        self.messages.close();
        Poll::Ready(sent)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A pair of connected channels in memory.

    use super::*;
    use std::{cell::RefCell, collections::VecDeque, rc::Rc};

    #[derive(Default)]
    struct Side {
        queue: VecDeque<Bytes>,
        closed: bool,
    }

    /// One end of a pair.
    pub(crate) struct FakeChannel {
        inbox: Rc<RefCell<Side>>,
        outbox: Rc<RefCell<Side>>,
        /// Messages that the other end may still be sent before `poll_send` pends.
        pub(crate) room: Rc<RefCell<usize>>,
    }

    /// Two ends.
    pub(crate) fn pair() -> (FakeChannel, FakeChannel) {
        let (a, b) = (Rc::<RefCell<Side>>::default(), Rc::<RefCell<Side>>::default());
        let end = |inbox: &Rc<RefCell<Side>>, outbox: &Rc<RefCell<Side>>| FakeChannel {
            inbox: inbox.clone(),
            outbox: outbox.clone(),
            room: Rc::new(RefCell::new(usize::MAX)),
        };
        (end(&a, &b), end(&b, &a))
    }

    impl FakeChannel {
        /// Messages on their way to the other end.
        pub(crate) fn sent(&self) -> Vec<Bytes> {
            self.outbox.borrow().queue.iter().cloned().collect()
        }

        /// Whether this end closed.
        pub(crate) fn is_closed(&self) -> bool {
            self.outbox.borrow().closed
        }
    }

    impl Messages for FakeChannel {
        fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
            let mut side = self.inbox.borrow_mut();
            match side.queue.pop_front() {
                Some(message) => Poll::Ready(Ok(Some(message))),
                None if side.closed => Poll::Ready(Ok(None)),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }

        fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
            assert!(message.len() <= MESSAGE_BYTES, "message of {} bytes", message.len());
            if self.outbox.borrow().closed || self.inbox.borrow().closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = *self.room.borrow();
            if room == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *self.room.borrow_mut() = room - 1;
            self.outbox.borrow_mut().queue.push_back(Bytes::copy_from_slice(message));
            Poll::Ready(Ok(()))
        }

        fn close(&mut self) {
            self.outbox.borrow_mut().closed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on};

    #[test]
    fn small_writes_leave_as_full_messages() {
        let (a, b) = fake::pair();
        let (mut a, mut b) = (Gather::new(a), Gather::new(b));
        let data: Vec<u8> = (0..40_000u32).map(|i| i as u8).collect();
        block_on(async {
            for part in data.chunks(12) {
                a.write_all(part).await.unwrap();
            }
            a.flush().await.unwrap();
        });
        let sizes: Vec<usize> = a.messages.sent().iter().map(Bytes::len).collect();
        assert_eq!(sizes, [MESSAGE_BYTES, MESSAGE_BYTES, 40_000 - 2 * MESSAGE_BYTES]);
        block_on(a.close()).unwrap();
        let mut got = Vec::new();
        block_on(b.read_to_end(&mut got)).unwrap();
        assert_eq!(got, data);
    }

    #[test]
    fn a_full_channel_holds_the_writer_back() {
        let (a, _b) = fake::pair();
        *a.room.borrow_mut() = 1;
        let mut a = Gather::new(a);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut taken = 0;
        while let Poll::Ready(n) = Pin::new(&mut a).poll_write(&mut cx, &[7; 4096]) {
            taken += n.unwrap();
        }
        // One message is out, one is gathered; no more is taken.
        assert_eq!(taken, 2 * MESSAGE_BYTES);
    }
}
