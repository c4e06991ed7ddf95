//! The libp2p transport: dials `<circuit>/webrtc/p2p/<peer>` and takes what peers signal. Never
//! dials the circuit itself: the behaviour finds or makes the relayed connection.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::{mpsc, oneshot},
    future::{BoxFuture, Either, select},
};
use futures_timer::Delay;
use libp2p::{
    Multiaddr, PeerId,
    core::{
        muxing::StreamMuxerBox,
        transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    },
    multiaddr::Protocol,
};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsValue;
use web_time::Instant;

use super::{
    RtcError,
    address::{circuit_peer, split_webrtc},
    behaviour::{Arrival, Request},
    handshake::{self, Side},
    limits::{HANDSHAKES, HANDSHAKES_PER_PEER, SIGNALING_OPEN},
    page::Page,
};

/// Dials of one multi-address attempt begin within the same turn of the event loop.
const SAME_ATTEMPT: Duration = Duration::from_secs(1);

type Connected = BoxFuture<'static, Result<(PeerId, StreamMuxerBox), RtcError>>;

/// Handshakes that run now, by peer.
#[derive(Default)]
struct Running(Rc<RefCell<BTreeMap<PeerId, usize>>>);

/// One of them; counts until it is dropped.
struct Slot(Rc<RefCell<BTreeMap<PeerId, usize>>>, PeerId);

impl Running {
    fn take(&self, peer: PeerId, per_peer: usize) -> Result<Slot, RtcError> {
        let mut running = self.0.borrow_mut();
        if running.values().sum::<usize>() >= HANDSHAKES {
            return Err(RtcError::Limit(HANDSHAKES));
        }
        let count = running.entry(peer).or_default();
        if *count >= per_peer {
            return Err(RtcError::Limit(per_peer));
        }
        *count += 1;
        Ok(Slot(self.0.clone(), peer))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.0.borrow_mut();
        if let Some(count) = running.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.1);
            }
        }
    }
}

/// What lives on the worker's one thread.
struct Local {
    page: Page,
    config: JsValue,
    inbound: Running,
    outbound: Running,
    /// When the circuit to a peer was last dialed.
    circuits: BTreeMap<PeerId, Instant>,
}

/// The transport of one swarm.
pub(crate) struct Transport {
    local: SendWrapper<Rc<RefCell<Local>>>,
    requests: mpsc::Sender<Request>,
    arriving: mpsc::Receiver<Arrival>,
    listener: Option<ListenerId>,
}

impl Transport {
    pub(super) fn new(
        page: Page,
        config: JsValue,
        requests: mpsc::Sender<Request>,
        arriving: mpsc::Receiver<Arrival>,
    ) -> Self {
        let local = Local {
            page,
            config,
            inbound: Running::default(),
            outbound: Running::default(),
            circuits: BTreeMap::new(),
        };
        let local = SendWrapper::new(Rc::new(RefCell::new(local)));
        Self { local, requests, arriving, listener: None }
    }
}

impl Local {
    fn circuit_dialed(&mut self, peer: PeerId) {
        self.circuits.retain(|_, at| at.elapsed() < SAME_ATTEMPT);
        self.circuits.insert(peer, Instant::now());
    }
}

async fn dial(
    local: Rc<RefCell<Local>>,
    mut requests: mpsc::Sender<Request>,
    peer: PeerId,
    circuit: Multiaddr,
) -> Result<(PeerId, StreamMuxerBox), RtcError> {
    let (page, config, circuit_dialed, _slot) = {
        let local = local.borrow();
        let dialed = local.circuits.get(&peer).is_some_and(|at| at.elapsed() < SAME_ATTEMPT);
        let slot = local.outbound.take(peer, HANDSHAKES_PER_PEER)?;
        (local.page.clone(), local.config.clone(), dialed, slot)
    };
    let (reply, stream) = oneshot::channel();
    let request = Request { peer, circuit, circuit_dialed, reply };
    requests.send(request).await.map_err(|_| RtcError::Closed)?;
    // A circuit that must be dialed first gets the same time again.
    let (stream, mode) = match select(stream, Delay::new(SIGNALING_OPEN * 2)).await {
        Either::Left((answer, _)) => answer.map_err(|_| RtcError::Closed)??,
        Either::Right(_) => return Err(RtcError::Timeout("signaling", SIGNALING_OPEN * 2)),
    };
    let muxer = handshake::run(&page, &config, stream, Side::Dialer, mode).await?;
    Ok((peer, muxer))
}

async fn accept(
    local: Rc<RefCell<Local>>,
    arrival: Arrival,
) -> Result<(PeerId, StreamMuxerBox), RtcError> {
    let Arrival { peer, stream, mode, .. } = arrival;
    let (page, config, _slot) = {
        let local = local.borrow();
        let slot = local.inbound.take(peer, HANDSHAKES_PER_PEER)?;
        (local.page.clone(), local.config.clone(), slot)
    };
    let muxer = handshake::run(&page, &config, stream, Side::Listener, mode).await?;
    Ok((peer, muxer))
}

impl libp2p::Transport for Transport {
    type Output = (PeerId, StreamMuxerBox);
    type Error = RtcError;
    type ListenerUpgrade = Connected;
    type Dial = Connected;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<RtcError>> {
        let mut parts = address.iter();
        if (parts.next(), parts.next()) != (Some(Protocol::WebRTC), None) {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.listener = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|listener| *listener == id).is_some()
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Connected, TransportError<RtcError>> {
        let Some((circuit, peer)) = split_webrtc(&address) else {
            if let Some(peer) = circuit_peer(&address) {
                self.local.borrow_mut().circuit_dialed(peer);
            }
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let local = Rc::clone(&self.local);
        Ok(SendWrapper::new(dial(local, self.requests.clone(), peer, circuit)).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Connected, RtcError>> {
        let Some(listener_id) = self.listener else { return Poll::Pending };
        match self.arriving.poll_next_unpin(cx) {
            Poll::Ready(Some(arrival)) => {
                // What identify tells the peer of itself: a full address, as js-libp2p stumbles over
                // one that begins with `/webrtc`.
                let send_back_addr = arrival.address.clone();
                let local_addr = Multiaddr::from(Protocol::WebRTC);
                let upgrade = SendWrapper::new(accept(Rc::clone(&self.local), arrival)).boxed();
                Poll::Ready(TransportEvent::Incoming {
                    listener_id,
                    upgrade,
                    local_addr,
                    send_back_addr,
                })
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
