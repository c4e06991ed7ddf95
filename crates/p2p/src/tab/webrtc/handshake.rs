//! One handshake: session descriptions and candidates over a signaling stream, until the peer
//! connection is up. Needs no Noise: the stream runs over an authenticated connection, and the
//! DTLS fingerprints in the descriptions bind the new connection to the same peer.

use std::pin::pin;

use futures::{
    AsyncReadExt, AsyncWriteExt, FutureExt,
    future::{Either, select},
    io::{ReadHalf, WriteHalf},
};
use futures_timer::Delay;
use libp2p::{Stream, core::muxing::StreamMuxerBox};
use wasm_bindgen::JsValue;

use super::{
    Mode, RtcError,
    limits::HANDSHAKE,
    mux,
    page::{ChannelRequest, MUX_LABEL, Page, PeerConnection},
    signaling::{Signal, Signals, write_signal},
    spec::{ChannelMuxer, INIT_LABEL},
};

/// Which side of the signaling stream we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Opened it: makes the offer.
    Dialer,
    /// Accepted it.
    Listener,
}

/// Runs a handshake to its end, for [`HANDSHAKE`] at most.
pub(crate) async fn run(
    page: &Page,
    config: &JsValue,
    stream: Stream,
    side: Side,
    mode: Mode,
) -> Result<StreamMuxerBox, RtcError> {
    let handshake = pin!(connect(page, config, stream, side, mode));
    match select(handshake, Delay::new(HANDSHAKE)).await {
        Either::Left((muxer, _)) => muxer,
        Either::Right(_) => Err(RtcError::Timeout("the handshake", HANDSHAKE)),
    }
}

async fn connect(
    page: &Page,
    config: &JsValue,
    stream: Stream,
    side: Side,
    mode: Mode,
) -> Result<StreamMuxerBox, RtcError> {
    let connection = page.open(config);
    let (reader, mut writer) = stream.split();
    let mut signals = Signals::new(reader);
    // Asked for before the offer is made, else the offer has no section for data channels.
    let first = match (mode, side) {
        (Mode::Mux, _) => Some(connection.channel(MUX_LABEL, Some(0))),
        (Mode::Spec, Side::Dialer) => Some(connection.channel(INIT_LABEL, None)),
        (Mode::Spec, Side::Listener) => None,
    };
    match side {
        Side::Dialer => offer(&connection, &mut signals, &mut writer).await?,
        Side::Listener => answer(&connection, &mut signals, &mut writer).await?,
    }
    let first = taken(first).await?;
    {
        let exchange = pin!(exchange(&connection, &mut signals, &mut writer));
        let connected = pin!(connection.connected());
        match select(connected, exchange).await {
            Either::Left((connected, _)) => connected?,
            Either::Right((error, _)) => return Err(error),
        }
    }
    // The other side may have closed the stream first.
    let _ = writer.close().await;
    match (mode, first) {
        (Mode::Mux, Some(channel)) => mux::muxer(connection, channel, side == Side::Dialer).await,
        // The dialer's `init` channel is dropped here, and so closed.
        _ => Ok(ChannelMuxer::boxed(connection)),
    }
}

async fn taken(
    request: Option<ChannelRequest>,
) -> Result<Option<super::channel::Channel>, RtcError> {
    match request {
        Some(request) => request.await.map(Some),
        None => Ok(None),
    }
}

async fn offer(
    connection: &PeerConnection,
    signals: &mut Signals<ReadHalf<Stream>>,
    writer: &mut WriteHalf<Stream>,
) -> Result<(), RtcError> {
    let offer = connection.create("createOffer").await?;
    write_signal(writer, &Signal::Offer(offer.clone())).await?;
    connection.describe("setLocal", "offer", &offer).await?;
    let answer = signals.answer().await?;
    connection.describe("setRemote", "answer", &answer).await
}

async fn answer(
    connection: &PeerConnection,
    signals: &mut Signals<ReadHalf<Stream>>,
    writer: &mut WriteHalf<Stream>,
) -> Result<(), RtcError> {
    let offer = signals.offer().await?;
    connection.describe("setRemote", "offer", &offer).await?;
    let answer = connection.create("createAnswer").await?;
    write_signal(writer, &Signal::Answer(answer.clone())).await?;
    connection.describe("setLocal", "answer", &answer).await
}

/// Passes candidates both ways. Ends only with what the peer did wrong: a stream that merely ended
/// may have brought all that is needed.
async fn exchange(
    connection: &PeerConnection,
    signals: &mut Signals<ReadHalf<Stream>>,
    writer: &mut WriteHalf<Stream>,
) -> RtcError {
    let outgoing = async {
        loop {
            let signal = Signal::Candidate(connection.candidate().await);
            if write_signal(writer, &signal).await.is_err() {
                return std::future::pending::<RtcError>().await;
            }
        }
    };
    let incoming = async {
        loop {
            match signals.next().await {
                Ok(Signal::Candidate(c)) if Signal::is_end_of_candidates(&c) => {}
                Ok(Signal::Candidate(c)) => connection.add_candidate(&c),
                Ok(other) => return RtcError::Protocol(format!("{} came late", other.name())),
                Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return e.into(),
                Err(_) => return std::future::pending().await,
            }
        }
    };
    select(pin!(outgoing), pin!(incoming)).map(|either| either.factor_first().0).await
}
