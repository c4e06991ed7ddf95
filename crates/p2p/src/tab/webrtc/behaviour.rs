//! Watches connections and carries out what the [`Policy`] decides; finds the relayed connection
//! that a dial signals over, and dials the circuit where there is none. Never moves a byte.

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll},
};

use either::Either;
use futures::{FutureExt, StreamExt, channel::mpsc};
use futures_timer::Delay;
use libp2p::{
    Multiaddr, PeerId, Stream,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};
use web_time::Instant;

use super::{
    Mode, RtcError,
    address::{is_webrtc, over_webrtc},
    handler::{Handler, Heard, Open, Reply},
    policy::{Action, Path, Policy},
};

/// A dial's wish for a signaling stream.
pub(crate) struct Request {
    /// To whom.
    pub(crate) peer: PeerId,
    /// The circuit to it, should there be no connection yet.
    pub(crate) circuit: Multiaddr,
    /// The circuit is being dialed together with this address.
    pub(crate) circuit_dialed: bool,
    /// Where the stream goes.
    pub(crate) reply: Reply,
}

/// A signaling stream that a peer opened.
pub(crate) struct Arrival {
    /// Who.
    pub(crate) peer: PeerId,
    /// Where it would be dialed in turn.
    pub(crate) address: Multiaddr,
    /// The stream.
    pub(crate) stream: Stream,
    /// By its protocol.
    pub(crate) mode: Mode,
}

type Event = ToSwarm<std::convert::Infallible, Either<Open, std::convert::Infallible>>;

/// The behaviour of the WebRTC transport.
pub(crate) struct Behaviour {
    policy: Policy,
    requests: mpsc::Receiver<Request>,
    arrivals: mpsc::Sender<Arrival>,
    /// Dials that wait for their circuit; bounded by the transport's handshakes.
    waiting: BTreeMap<PeerId, (ConnectionId, Vec<Reply>)>,
    events: VecDeque<Event>,
    /// When the policy is asked again.
    timer: Option<(Instant, Delay)>,
}

impl Behaviour {
    pub(super) fn new(
        local: PeerId,
        requests: mpsc::Receiver<Request>,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Self {
        Self {
            policy: Policy::new(local),
            requests,
            arrivals,
            waiting: BTreeMap::new(),
            events: VecDeque::new(),
            timer: None,
        }
    }

    fn handler(address: &Multiaddr) -> THandler<Self> {
        match path(address, None) {
            Path::Relayed { .. } => Either::Left(Handler::default()),
            Path::WebRtc | Path::Other => Either::Right(dummy::ConnectionHandler),
        }
    }

    fn on_request(&mut self, request: Request) {
        let Request { peer, circuit, circuit_dialed, reply } = request;
        if let Some(connection) = self.policy.relayed(&peer) {
            self.open(peer, connection, reply);
        } else if circuit_dialed {
            drop(reply.send(Err(RtcError::CircuitFirst)));
        } else if let Some((_, replies)) = self.waiting.get_mut(&peer) {
            replies.push(reply);
        } else {
            let opts = DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(vec![circuit])
                .build();
            self.waiting.insert(peer, (opts.connection_id(), vec![reply]));
            self.events.push_back(ToSwarm::Dial { opts });
        }
    }

    fn open(&mut self, peer: PeerId, connection: ConnectionId, reply: Reply) {
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Either::Left(Open(reply)),
        });
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let (address, dialed) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (address, true),
            ConnectedPoint::Listener { local_addr, .. } => (local_addr, false),
        };
        let path = path(address, Some(peer));
        let relayed = matches!(path, Path::Relayed { .. });
        self.policy.connected(peer, id, path, dialed, Instant::now());
        if relayed && let Some((_, replies)) = self.waiting.remove(&peer) {
            for reply in replies {
                self.open(peer, id, reply);
            }
        }
    }

    fn on_dial_failure(&mut self, peer: PeerId, id: ConnectionId, error: &DialError) {
        self.policy.dial_failed(peer, id, Instant::now());
        if self.waiting.get(&peer).is_some_and(|(dial, _)| *dial == id)
            && let Some((_, replies)) = self.waiting.remove(&peer)
        {
            for reply in replies {
                drop(reply.send(Err(RtcError::NoCircuit(error.to_string()))));
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial(peer, address) => {
                let opts = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![address])
                    .build();
                tracing::debug!(%peer, "upgrading to a direct connection");
                self.policy.dialing(peer, opts.connection_id());
                self.events.push_back(ToSwarm::Dial { opts });
            }
            Action::Close(peer_id, id) => {
                // Told apart from a loss: the policy forgets it now and never closes it twice.
                self.policy.closed(peer_id, id);
                let connection = CloseConnection::One(id);
                self.events.push_back(ToSwarm::CloseConnection { peer_id, connection });
            }
        }
    }
}

/// How a connection with this address of ours (listener) or of the peer (dialer) runs.
fn path(address: &Multiaddr, peer: Option<PeerId>) -> Path {
    if is_webrtc(address) {
        return Path::WebRtc;
    }
    match over_webrtc(address, peer) {
        Some(webrtc) => Path::Relayed { webrtc },
        None => Path::Other,
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Either<Handler, dummy::ConnectionHandler>;
    type ToSwarm = std::convert::Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Self::handler(local))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Self::handler(address))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) => {
                self.on_connected(e.peer_id, e.connection_id, e.endpoint);
            }
            FromSwarm::ConnectionClosed(e) => self.policy.closed(e.peer_id, e.connection_id),
            FromSwarm::DialFailure(e) => {
                if let Some(peer) = e.peer_id {
                    self.on_dial_failure(peer, e.connection_id, e.error);
                }
            }
            // Whoever reaches us over a circuit may also dial us directly from the start.
            FromSwarm::ExternalAddrConfirmed(e) if !is_webrtc(e.addr) => {
                if let Some(address) = over_webrtc(e.addr, None) {
                    self.events.push_back(ToSwarm::ExternalAddrConfirmed(address));
                }
            }
            FromSwarm::ExternalAddrExpired(e) if !is_webrtc(e.addr) => {
                if let Some(address) = over_webrtc(e.addr, None) {
                    self.events.push_back(ToSwarm::ExternalAddrExpired(address));
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(Heard::Signals(signals)) => self.policy.signals(peer, signals),
            Either::Left(Heard::Arrived(stream, mode)) => {
                if !self.policy.admits(peer, Instant::now()) {
                    tracing::debug!(%peer, "we are dialing it already; signaling stream refused");
                    return;
                }
                let Some(address) = self.policy.webrtc_address(&peer, id) else { return };
                // A full queue means as many handshakes as we hold: this one is refused.
                if self.arrivals.try_send(Arrival { peer, address, stream, mode }).is_err() {
                    tracing::debug!(%peer, "too many handshakes; signaling stream refused");
                }
            }
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if let Poll::Ready(Some(request)) = self.requests.poll_next_unpin(cx) {
                self.on_request(request);
                continue;
            }
            let now = Instant::now();
            let (actions, next) = self.policy.due(now);
            if !actions.is_empty() {
                actions.into_iter().for_each(|action| self.act(action));
                continue;
            }
            // Replaced only for another moment: in a tab a timer that is dropped wakes its task, so
            // a new one at each poll would be polled again for ever.
            if self.timer.as_ref().map(|(at, _)| *at) != next {
                let timer = |at: Instant| (at, Delay::new(at.saturating_duration_since(now)));
                self.timer = next.map(timer);
            }
            match self.timer.as_mut().map(|(_, timer)| timer.poll_unpin(cx)) {
                Some(Poll::Ready(())) => self.timer = None,
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    }
}
