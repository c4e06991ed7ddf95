//! Client of the page that lends peer connections. `RTCPeerConnection` exists only in a window, so
//! the page owns them under ids that we choose and does with them what we ask over a `MessagePort`;
//! every data channel is transferred to this worker in the task that created it. No byte of a
//! stream passes through here.
//!
//! To the page: `{op, pc, seq?, …}` with `op` one of `new {config}`, `createOffer`, `createAnswer`,
//! `setLocal {type, sdp}`, `setRemote {type, sdp}`, `addIce {candidate}`,
//! `createDataChannel {label, init}`, `close`, `alive {name}`. From the page: `{ev, pc?, seq?, …}`
//! with `ev` one of `ok {value}`, `err {error}`, `channel {dc}` (each answers a `seq`),
//! `ice {candidate}`, `state {state}`, `inbound {dc}`. The page's half is `sdk-js/src/rtc.ts`.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::{Rc, Weak},
    task::{Context, Poll},
};

use futures::channel::oneshot;
use futures_timer::Delay;
use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{MessageEvent, MessagePort, RtcDataChannel};

use super::{
    RtcError,
    channel::Channel,
    limits::{CANDIDATES, CHANNELS, DISCONNECTED},
    link::Link,
};

/// The label of the one channel in mux mode.
pub(crate) const MUX_LABEL: &str = "mux";

/// What the page answered.
enum Answer {
    Text(String),
    Channel(Channel),
}

type OnMessage = Closure<dyn FnMut(MessageEvent)>;
type Pending = oneshot::Sender<Result<Answer, RtcError>>;

/// The page, as the worker sees it. Clones share one port.
#[derive(Clone)]
pub(crate) struct Page(Rc<Inner>);

struct Inner {
    port: MessagePort,
    next_id: Cell<u32>,
    calls: RefCell<BTreeMap<u32, Pending>>,
    connections: RefCell<BTreeMap<u32, Weak<State>>>,
    on_message: RefCell<Option<OnMessage>>,
}

/// What the page told us of one peer connection.
#[derive(Default)]
pub(crate) struct State {
    /// Counts, wakers and the verdict that the channels share.
    pub(crate) link: Rc<Link>,
    inbound: RefCell<VecDeque<Channel>>,
    candidates: RefCell<VecDeque<String>>,
    state: RefCell<String>,
    /// Grows with each change of `state`.
    changes: Cell<u32>,
}

fn field(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // Setting a property of a plain object of our own cannot fail.
    let _ = Reflect::set(object, &key.into(), value);
}

impl Page {
    /// Talks over `port`, and lets the page know when this worker ends in whatever way.
    pub(crate) fn new(port: MessagePort) -> Self {
        let inner = Rc::new(Inner {
            port,
            next_id: Cell::new(0),
            calls: RefCell::default(),
            connections: RefCell::default(),
            on_message: RefCell::default(),
        });
        let weak = Rc::downgrade(&inner);
        let on_message = OnMessage::new(move |event: MessageEvent| {
            if let Some(inner) = weak.upgrade() {
                inner.on_message(&event.data());
            }
        });
        // Setting the handler also starts the port.
        inner.port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        *inner.on_message.borrow_mut() = Some(on_message);
        let page = Self(inner);
        super::life::hold_lock({
            let page = page.clone();
            move |name| page.post("alive", 0, &[("name", name.into())])
        });
        page
    }

    /// A new peer connection; `config` is an `RTCConfiguration` that the page uses as it is.
    pub(crate) fn open(&self, config: &JsValue) -> PeerConnection {
        let id = self.fresh_id();
        let state = Rc::new(State::default());
        self.0.connections.borrow_mut().insert(id, Rc::downgrade(&state));
        self.post("new", id, &[("config", config.clone())]);
        PeerConnection { id, page: self.clone(), state }
    }

    fn fresh_id(&self) -> u32 {
        let id = self.0.next_id.get();
        self.0.next_id.set(id.wrapping_add(1));
        id
    }

    fn post(&self, op: &str, connection: u32, fields: &[(&str, JsValue)]) {
        let message = Object::new();
        set(&message, "op", &op.into());
        set(&message, "pc", &connection.into());
        for (key, value) in fields {
            set(&message, key, value);
        }
        if let Err(error) = self.0.port.post_message(&message) {
            tracing::warn!(op, ?error, "the page's port does not take messages");
        }
    }

    /// Sends now, not when polled; the answer arrives on what is returned.
    fn call(
        &self,
        op: &str,
        connection: u32,
        fields: &[(&str, JsValue)],
    ) -> oneshot::Receiver<Result<Answer, RtcError>> {
        let seq = self.fresh_id();
        let (answer, receiver) = oneshot::channel();
        // Bounded by the handshakes and streams that wait for their answer.
        self.0.calls.borrow_mut().insert(seq, answer);
        let mut fields = fields.to_vec();
        fields.push(("seq", seq.into()));
        self.post(op, connection, &fields);
        receiver
    }
}

impl Inner {
    fn on_message(&self, message: &JsValue) {
        let number = |key| field(message, key).as_f64().map(|n| n as u32);
        let event = field(message, "ev").as_string().unwrap_or_default();
        let state =
            number("pc").and_then(|id| self.connections.borrow().get(&id).and_then(Weak::upgrade));
        // Wrapped in this very task: a message that came before would be lost.
        let channel =
            field(message, "dc").dyn_into::<RtcDataChannel>().ok().and_then(|dc| match &state {
                Some(state) => Some(Channel::new(dc, state.link.clone())),
                None => {
                    dc.close();
                    None
                }
            });
        if let Some(seq) = number("seq") {
            let answer = match (event.as_str(), channel) {
                ("channel", Some(channel)) => Ok(Answer::Channel(channel)),
                ("channel", None) => Err(RtcError::Closed),
                ("ok", _) => {
                    Ok(Answer::Text(field(message, "value").as_string().unwrap_or_default()))
                }
                _ => Err(RtcError::Page(field(message, "error").as_string().unwrap_or_default())),
            };
            let call = self.calls.borrow_mut().remove(&seq);
            if let Some(call) = call {
                // Nobody waiting any more: the answer is dropped, which closes a channel in it.
                let _ = call.send(answer);
            }
            return;
        }
        let Some(state) = state else { return };
        match (event.as_str(), channel) {
            ("inbound", Some(channel)) => state.on_inbound(channel),
            ("ice", _) => state.on_candidate(field(message, "candidate")),
            ("state", _) => state.on_state(field(message, "state").as_string().unwrap_or_default()),
            _ => tracing::debug!(event, "unknown message from the page"),
        }
    }
}

impl State {
    fn on_inbound(&self, channel: Channel) {
        let mut inbound = self.inbound.borrow_mut();
        // One too many is dropped, and so closed.
        if inbound.len() < CHANNELS {
            inbound.push_back(channel);
        }
        drop(inbound);
        self.link.wake();
    }

    fn on_candidate(&self, candidate: JsValue) {
        let mut candidates = self.candidates.borrow_mut();
        if let Some(candidate) = candidate.as_string()
            && candidates.len() < CANDIDATES
        {
            candidates.push_back(candidate);
        }
        drop(candidates);
        self.link.wake();
    }

    fn on_state(self: &Rc<Self>, state: String) {
        let change = self.changes.get().wrapping_add(1);
        self.changes.set(change);
        match state.as_str() {
            "failed" | "closed" => self.link.end(),
            "disconnected" => {
                let weak = Rc::downgrade(self);
                wasm_bindgen_futures::spawn_local(async move {
                    Delay::new(DISCONNECTED).await;
                    if let Some(state) = weak.upgrade()
                        && state.changes.get() == change
                    {
                        state.link.end();
                    }
                });
            }
            _ => {}
        }
        *self.state.borrow_mut() = state;
        self.link.wake();
    }
}

/// One peer connection; dropping it closes the real one.
pub(crate) struct PeerConnection {
    id: u32,
    page: Page,
    state: Rc<State>,
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.state.link.end();
        self.page.0.connections.borrow_mut().remove(&self.id);
        self.page.post("close", self.id, &[]);
    }
}

/// A channel asked for; the page answers with the transferred channel.
pub(crate) struct ChannelRequest(oneshot::Receiver<Result<Answer, RtcError>>);

impl Future for ChannelRequest {
    type Output = Result<Channel, RtcError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|answer| match answer {
            Ok(Ok(Answer::Channel(channel))) => Ok(channel),
            Ok(Ok(Answer::Text(_))) => Err(RtcError::Page("no channel in its answer".into())),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(RtcError::Closed),
        })
    }
}

impl PeerConnection {
    /// Counts, wakers and the verdict that the channels share.
    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.state.link
    }

    /// The SDP of an offer or answer.
    pub(crate) async fn create(&self, op: &'static str) -> Result<String, RtcError> {
        self.text(op, &[]).await
    }

    /// Applies a local or remote description.
    pub(crate) async fn describe(
        &self,
        op: &'static str,
        kind: &str,
        sdp: &str,
    ) -> Result<(), RtcError> {
        self.text(op, &[("type", kind.into()), ("sdp", sdp.into())]).await.map(drop)
    }

    /// Adds a candidate of the peer. A bad one is the page's to refuse; others may still work.
    pub(crate) fn add_candidate(&self, candidate: &str) {
        self.page.post("addIce", self.id, &[("candidate", candidate.into())]);
    }

    /// Asks for a data channel, now; `negotiated` gives it a number that both sides know.
    pub(crate) fn channel(&self, label: &str, negotiated: Option<u16>) -> ChannelRequest {
        let init = Object::new();
        if let Some(id) = negotiated {
            set(&init, "negotiated", &true.into());
            set(&init, "id", &id.into());
        }
        let fields = [("label", label.into()), ("init", init.into())];
        ChannelRequest(self.page.call("createDataChannel", self.id, &fields))
    }

    /// The next of our own candidates.
    pub(crate) async fn candidate(&self) -> String {
        std::future::poll_fn(|cx| {
            self.state.link.register(cx);
            match self.state.candidates.borrow_mut().pop_front() {
                Some(candidate) => Poll::Ready(candidate),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Completes when ICE and DTLS have.
    pub(crate) async fn connected(&self) -> Result<(), RtcError> {
        std::future::poll_fn(|cx| {
            if self.state.link.ended() {
                return Poll::Ready(Err(RtcError::Failed));
            }
            if *self.state.state.borrow() == "connected" {
                return Poll::Ready(Ok(()));
            }
            self.state.link.register(cx);
            Poll::Pending
        })
        .await
    }

    /// A channel that the peer opened; whoever polls registers with the link for the next one.
    pub(crate) fn inbound(&self) -> Option<Channel> {
        self.state.inbound.borrow_mut().pop_front()
    }

    async fn text(&self, op: &str, fields: &[(&str, JsValue)]) -> Result<String, RtcError> {
        match self.page.call(op, self.id, fields).await {
            Ok(Ok(Answer::Text(text))) => Ok(text),
            Ok(Ok(Answer::Channel(_))) => Err(RtcError::Page("a channel for an answer".into())),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(RtcError::Closed),
        }
    }
}
