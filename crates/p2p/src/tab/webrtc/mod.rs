//! Tab to tab over WebRTC (`/webrtc`): a libp2p transport and the behaviour that upgrades relayed
//! connections to direct ones by itself.
//!
//! Two ways to carry streams, told apart by the signaling protocol's name, both always answered:
//! *mux* ([`SIGNALING_MUX`], between our nodes: yamux on one negotiated data channel) and *spec*
//! ([`SIGNALING_SPEC`], the libp2p specification's: one data channel per stream, which js-libp2p
//! speaks). Nothing here ever opens a connection that a relayed, authenticated one did not announce.
//!
//! The pure parts (codecs, streams over an abstract channel, the upgrade policy) compile for every
//! target and are tested natively; what touches the browser is for the tab alone.

mod address;
mod channel_stream;
mod frame;
pub(crate) mod limits;
mod messages;
mod policy;
mod signaling;

#[cfg(target_arch = "wasm32")]
mod behaviour;
#[cfg(target_arch = "wasm32")]
mod channel;
#[cfg(target_arch = "wasm32")]
mod handler;
#[cfg(target_arch = "wasm32")]
mod handshake;
#[cfg(target_arch = "wasm32")]
mod life;
#[cfg(target_arch = "wasm32")]
mod link;
#[cfg(target_arch = "wasm32")]
mod mux;
#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod spec;
#[cfg(target_arch = "wasm32")]
mod transport;

#[cfg(target_arch = "wasm32")]
pub(crate) use {behaviour::Behaviour, tab_only::*};

#[cfg(target_arch = "wasm32")]
mod tab_only {
    use std::{io, time::Duration};

    use futures::channel::mpsc;
    use libp2p::{PeerId, StreamProtocol};
    use wasm_bindgen::JsValue;
    use web_sys::MessagePort;

    use super::{Behaviour, limits::HANDSHAKES, page::Page, transport::Transport};

    /// Signaling for one data channel per stream, as specified.
    pub(crate) const SIGNALING_SPEC: StreamProtocol =
        StreamProtocol::new("/webrtc-signaling/0.0.1");
    /// Signaling for yamux on one data channel, ours.
    pub(crate) const SIGNALING_MUX: StreamProtocol =
        StreamProtocol::new("/craftec/webrtc-signaling/1");

    /// How streams are carried.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Mode {
        /// Yamux on one channel.
        Mux,
        /// One channel per stream.
        Spec,
    }

    /// Why a WebRTC connection did not come about.
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum RtcError {
        /// The page could not do what was asked.
        #[error("the page refused: {0}")]
        Page(String),
        /// The connection or the page is gone.
        #[error("the peer connection was closed")]
        Closed,
        /// ICE or DTLS failed.
        #[error("no way to the peer was found (ICE or DTLS failed)")]
        Failed,
        /// The peer broke the protocol.
        #[error("the peer broke the signaling protocol: {0}")]
        Protocol(String),
        /// The peer answers no signaling protocol.
        #[error("the peer speaks no WebRTC signaling")]
        Unsupported,
        /// There is no relayed connection to signal over.
        #[error("no circuit to the peer: {0}")]
        NoCircuit(String),
        /// The circuit itself is dialed together with this address and will be upgraded later.
        #[error("the circuit comes first; it will be upgraded by itself")]
        CircuitFirst,
        /// Took too long.
        #[error("{0} took more than {1:?}")]
        Timeout(&'static str, Duration),
        /// Too many at once.
        #[error("more than {0} handshakes at once")]
        Limit(usize),
        /// The signaling stream failed.
        #[error("signaling: {0}")]
        Io(#[from] io::Error),
    }

    /// The transport and its behaviour. `port` leads to a page that runs `serveRtc`; `config` is the
    /// `RTCConfiguration` (ICE servers) that the page uses as it is. The swarm must hold both, the
    /// transport before the relay client's, and must listen on `/webrtc`.
    pub(crate) fn pair(
        local: PeerId,
        port: MessagePort,
        config: JsValue,
    ) -> (Transport, Behaviour) {
        let page = Page::new(port);
        let (requests, asked) = mpsc::channel(HANDSHAKES);
        let (arrivals, arriving) = mpsc::channel(HANDSHAKES);
        let transport = Transport::new(page, config, requests, arriving);
        (transport, Behaviour::new(local, asked, arrivals))
    }
}
