//! Mux mode, between our own nodes: yamux on one negotiated data channel. New streams need neither
//! the page nor SCTP stream numbers, and yamux's windows hold a fast sender back.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    core::{
        muxing::StreamMuxerBox,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    },
    yamux,
};
use send_wrapper::SendWrapper;

use super::{
    RtcError,
    channel::Channel,
    messages::{Gather, Messages},
    page::PeerConnection,
};

/// What yamux is called where it is negotiated; here it always is what follows.
const YAMUX: &str = "/yamux/1.0.0";

/// The one channel, which keeps its peer connection alive.
struct OnlyChannel {
    channel: Channel,
    _connection: PeerConnection,
}

impl Messages for OnlyChannel {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.channel.poll_receive(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        self.channel.poll_send(cx, message)
    }

    fn close(&mut self) {
        self.channel.close();
    }
}

/// A worker has one thread, so what is made of browser objects never leaves it.
struct Io(SendWrapper<Gather<OnlyChannel>>);

impl AsyncRead for Io {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_close(cx)
    }
}

/// The connection's multiplexer.
pub(crate) async fn muxer(
    connection: PeerConnection,
    channel: Channel,
    dialer: bool,
) -> Result<StreamMuxerBox, RtcError> {
    let io = Io(SendWrapper::new(Gather::new(OnlyChannel { channel, _connection: connection })));
    let config = yamux::Config::default();
    let muxer = if dialer {
        config.upgrade_outbound(io, YAMUX).await
    } else {
        config.upgrade_inbound(io, YAMUX).await
    };
    Ok(StreamMuxerBox::new(muxer?))
}
