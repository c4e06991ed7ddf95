//! Spec mode, with foreign clients: one data channel per stream. Opening one needs the page's main
//! thread; moving bytes does not.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, Stream as _, StreamExt,
    channel::mpsc,
    future::{Select, select},
    stream::FuturesUnordered,
};
use futures_timer::Delay;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use send_wrapper::SendWrapper;

use super::{
    channel::Channel,
    channel_stream::{ChannelStream, Farewell},
    limits::{CHANNELS, FIN_ACK},
    page::{ChannelRequest, PeerConnection},
};

/// The label of the dialer's throw-away channel, there only to put data channels into the offer.
pub(crate) const INIT_LABEL: &str = "init";

/// One stream.
pub(crate) struct Stream(SendWrapper<ChannelStream<Channel>>);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_close(cx)
    }
}

struct Channels {
    connection: PeerConnection,
    /// Channels asked for; the swarm asks for one at a time.
    asked: VecDeque<ChannelRequest>,
    /// Inbound channels without a first byte: only with one do they become streams, so a peer may
    /// keep spare channels.
    silent: Vec<Channel>,
    /// Inbound `init` channels. Closing one before the dialer saw it open leaves js-libp2p waiting
    /// for ever, so they stay until the dialer closes them.
    init: Vec<Channel>,
    dropped: (mpsc::UnboundedSender<Farewell<Channel>>, mpsc::UnboundedReceiver<Farewell<Channel>>),
    farewells: FuturesUnordered<Select<Farewell<Channel>, Delay>>,
}

/// The multiplexer of a connection with one channel per stream.
pub(crate) struct ChannelMuxer(SendWrapper<Channels>);

impl ChannelMuxer {
    /// Over a connected peer connection.
    pub(crate) fn boxed(connection: PeerConnection) -> StreamMuxerBox {
        StreamMuxerBox::new(Self(SendWrapper::new(Channels {
            connection,
            asked: VecDeque::new(),
            silent: Vec::new(),
            init: Vec::new(),
            dropped: mpsc::unbounded(),
            farewells: FuturesUnordered::new(),
        })))
    }
}

impl Channels {
    fn stream(&self, channel: Channel) -> Stream {
        Stream(SendWrapper::new(ChannelStream::new(channel, self.dropped.0.clone())))
    }

    fn sort_inbound(&mut self) {
        while let Some(channel) = self.connection.inbound() {
            let list = match channel.label().as_str() {
                INIT_LABEL => &mut self.init,
                _ => &mut self.silent,
            };
            // One too many is dropped, and so closed.
            if list.len() < CHANNELS {
                list.push(channel);
            }
        }
        self.init.retain(|channel| !channel.is_closed());
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        self.connection.link().register(cx);
        self.sort_inbound();
        if let Some(i) = self.silent.iter().position(|channel| channel.has_message(cx)) {
            let channel = self.silent.remove(i);
            return Poll::Ready(Ok(self.stream(channel)));
        }
        self.silent.retain(|channel| !channel.is_closed());
        Poll::Pending
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        if self.asked.is_empty() {
            self.asked.push_back(self.connection.channel("", None));
        }
        let Some(request) = self.asked.front_mut() else { return Poll::Pending };
        let channel = futures::ready!(request.poll_unpin(cx));
        self.asked.pop_front();
        Poll::Ready(channel.map(|channel| self.stream(channel)).map_err(io::Error::other))
    }

    fn poll_farewells(&mut self, cx: &mut Context<'_>) {
        loop {
            while let Poll::Ready(Some(farewell)) = Pin::new(&mut self.dropped.1).poll_next(cx) {
                self.farewells.push(select(farewell, Delay::new(FIN_ACK)));
            }
            match self.farewells.poll_next_unpin(cx) {
                // The channel closes as what is left of the stream is dropped.
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }
}

impl StreamMuxer for ChannelMuxer {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        self.0.poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        self.0.poll_outbound(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Dropping the connection closes it.
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        if self.0.connection.link().ended() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.0.connection.link().register(cx);
        self.0.poll_farewells(cx);
        Poll::Pending
    }
}
