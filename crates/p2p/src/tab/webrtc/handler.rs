//! Opens and accepts signaling streams on one relayed connection. Never reads them.

use std::{
    collections::VecDeque,
    convert::Infallible,
    task::{Context, Poll, Waker},
};

use futures::{
    channel::oneshot,
    future::{Ready, ready},
};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
            ProtocolsChange,
        },
    },
};

use super::{Mode, RtcError, SIGNALING_MUX, SIGNALING_SPEC, limits::SIGNALING_OPEN};

/// Where an opened signaling stream goes.
pub(crate) type Reply = oneshot::Sender<Result<(Stream, Mode), RtcError>>;

/// Negotiates either signaling protocol, ours first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Negotiation;

impl UpgradeInfo for Negotiation {
    type Info = StreamProtocol;
    type InfoIter = std::array::IntoIter<StreamProtocol, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        [SIGNALING_MUX, SIGNALING_SPEC].into_iter()
    }
}

fn mode(protocol: &StreamProtocol) -> Mode {
    if *protocol == SIGNALING_MUX { Mode::Mux } else { Mode::Spec }
}

impl InboundUpgrade<Stream> for Negotiation {
    type Output = (Stream, Mode);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, mode(&protocol))))
    }
}

impl OutboundUpgrade<Stream> for Negotiation {
    type Output = (Stream, Mode);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, mode(&protocol))))
    }
}

/// To the handler: open a stream for this waiting dial.
#[derive(Debug)]
pub(crate) struct Open(pub(crate) Reply);

/// From the handler.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Identify says whether the peer answers a signaling protocol.
    Signals(bool),
    /// The peer opened a signaling stream.
    Arrived(Stream, Mode),
}

/// The handler of one relayed connection.
#[derive(Default)]
pub(crate) struct Handler {
    /// Dials that wait; bounded by the transport's handshakes.
    open: VecDeque<Reply>,
    heard: VecDeque<Heard>,
    waker: Option<Waker>,
    speaks: [bool; 2],
}

impl Handler {
    fn hear(&mut self, heard: Heard) {
        self.heard.push_back(heard);
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn on_protocols(&mut self, change: &ProtocolsChange<'_>) {
        let before = self.speaks.contains(&true);
        let (names, spoken): (Vec<&StreamProtocol>, bool) = match change {
            ProtocolsChange::Added(added) => (added.clone().collect(), true),
            ProtocolsChange::Removed(removed) => (removed.clone().collect(), false),
        };
        for (speaks, name) in self.speaks.iter_mut().zip(Negotiation.protocol_info()) {
            if names.contains(&&name) {
                *speaks = spoken;
            }
        }
        let after = self.speaks.contains(&true);
        if after != before {
            self.hear(Heard::Signals(after));
        }
    }
}

fn failure(error: StreamUpgradeError<Infallible>) -> RtcError {
    match error {
        StreamUpgradeError::Timeout => {
            RtcError::Timeout("opening the signaling stream", SIGNALING_OPEN)
        }
        StreamUpgradeError::NegotiationFailed => RtcError::Unsupported,
        StreamUpgradeError::Io(e) => e.into(),
        StreamUpgradeError::Apply(never) => match never {},
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Heard;
    type InboundProtocol = Negotiation;
    type OutboundProtocol = Negotiation;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Negotiation> {
        SubstreamProtocol::new(Negotiation, ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Negotiation, Reply, Heard>> {
        if let Some(heard) = self.heard.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(heard));
        }
        if let Some(reply) = self.open.pop_front() {
            let protocol = SubstreamProtocol::new(Negotiation, reply);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: protocol.with_timeout(SIGNALING_OPEN),
            });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, Open(reply): Open) {
        self.open.push_back(reply);
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Negotiation, Negotiation, (), Reply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, mode),
                ..
            }) => self.hear(Heard::Arrived(stream, mode)),
            // A dial that was given up waits no more; the stream is dropped.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => drop(info.send(Ok(protocol))),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                drop(info.send(Err(failure(error))));
            }
            ConnectionEvent::RemoteProtocolsChange(change) => self.on_protocols(&change),
            _ => {}
        }
    }
}
