//! One `RTCDataChannel` in this worker as [`Messages`]. Holds the writer back at the connection's
//! unsent bytes and cuts off a peer that sends far ahead of the reader.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

use super::{
    limits::{LOW_BYTES, UNSENT_BYTES},
    link::Link,
    messages::Messages,
    page::MUX_LABEL,
};

#[derive(Default)]
struct Inbox {
    messages: VecDeque<Bytes>,
    unread: usize,
    reader: Option<Waker>,
    /// Waits for the channel to open.
    opening: Option<Waker>,
}

impl Inbox {
    fn wake_both(inbox: &RefCell<Self>) {
        let (reader, opening) = {
            let mut inbox = inbox.borrow_mut();
            (inbox.reader.take(), inbox.opening.take())
        };
        reader.into_iter().chain(opening).for_each(Waker::wake);
    }
}

/// The channel and its handlers; the last owner closes it.
pub(crate) struct Inner {
    dc: RtcDataChannel,
    link: Rc<Link>,
    inbox: Rc<RefCell<Inbox>>,
    _on_change: Closure<dyn FnMut(Event)>,
    _on_low: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Inner {
    /// Bytes not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.dc.buffered_amount() as usize
    }

    /// Wakes whoever waits for this channel.
    pub(crate) fn wake(&self) {
        Inbox::wake_both(&self.inbox);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.dc.set_onopen(None);
        self.dc.set_onclose(None);
        self.dc.set_onmessage(None);
        self.dc.set_onbufferedamountlow(None);
        // What is buffered is still sent.
        self.dc.close();
        self.link.remove(self.inbox.borrow().unread);
    }
}

/// A data channel; closed when dropped.
pub(crate) struct Channel(Rc<Inner>);

impl Channel {
    /// Takes over a channel in the very task in which it arrived.
    pub(crate) fn new(dc: RtcDataChannel, link: Rc<Link>) -> Self {
        dc.set_binary_type(RtcDataChannelType::Arraybuffer);
        // The event fires at a channel's own threshold only. With several channels a writer may wait
        // for the sum to fall while each is below any threshold but 0.
        let low = if dc.label() == MUX_LABEL { LOW_BYTES } else { 0 };
        dc.set_buffered_amount_low_threshold(low);
        let inbox = Rc::<RefCell<Inbox>>::default();
        let on_change = Closure::<dyn FnMut(Event)>::new({
            let (inbox, link) = (inbox.clone(), link.clone());
            move |_| {
                Inbox::wake_both(&inbox);
                link.wake();
                link.wake_writers();
            }
        });
        let on_low = Closure::<dyn FnMut(Event)>::new({
            let link = link.clone();
            move |_| link.wake_writers()
        });
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let (inbox, link) = (inbox.clone(), link.clone());
            move |event: MessageEvent| on_message(&inbox, &link, &event)
        });
        dc.set_onopen(Some(on_change.as_ref().unchecked_ref()));
        dc.set_onclose(Some(on_change.as_ref().unchecked_ref()));
        dc.set_onbufferedamountlow(Some(on_low.as_ref().unchecked_ref()));
        dc.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let inner = Rc::new(Inner {
            dc,
            link,
            inbox,
            _on_change: on_change,
            _on_low: on_low,
            _on_message: on_message,
        });
        inner.link.add(Rc::downgrade(&inner));
        Self(inner)
    }

    /// What the opener called it.
    pub(crate) fn label(&self) -> String {
        self.0.dc.label()
    }

    /// Whether nothing more will be sent or received; unread messages may remain.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.0.dc.ready_state();
        self.0.link.ended()
            || matches!(state, RtcDataChannelState::Closing | RtcDataChannelState::Closed)
    }

    /// Whether a message waits to be read; if not, the task of `cx` is woken by the next one.
    pub(crate) fn has_message(&self, cx: &Context<'_>) -> bool {
        let mut inbox = self.0.inbox.borrow_mut();
        if inbox.messages.is_empty() {
            inbox.reader = Some(cx.waker().clone());
        }
        !inbox.messages.is_empty()
    }
}

fn on_message(inbox: &RefCell<Inbox>, link: &Link, event: &MessageEvent) {
    let Some(dc) = event.target().and_then(|t| t.dyn_into::<RtcDataChannel>().ok()) else {
        return;
    };
    // Text would be read as a length by the view below.
    let Ok(data) = event.data().dyn_into::<ArrayBuffer>() else {
        tracing::warn!("a peer sent text on a data channel; channel closed");
        return dc.close();
    };
    let message = Uint8Array::new(&data).to_vec();
    if message.is_empty() || !link.receive(message.len(), &dc) {
        return;
    }
    let reader = {
        let mut inbox = inbox.borrow_mut();
        inbox.unread += message.len();
        inbox.messages.push_back(message.into());
        inbox.reader.take()
    };
    match reader {
        Some(reader) => reader.wake(),
        // A protocol handler may hold a stream that it looks at only when its connection is polled
        // (libp2p's ping between two pings does).
        None => link.wake(),
    }
}

impl Messages for Channel {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut inbox = self.0.inbox.borrow_mut();
        if let Some(message) = inbox.messages.pop_front() {
            inbox.unread -= message.len();
            self.0.link.read(message.len());
            return Poll::Ready(Ok(Some(message)));
        }
        if self.0.link.ended() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // `Closing` is not the end yet: messages sent before may still be on their way here.
        if self.0.dc.ready_state() == RtcDataChannelState::Closed {
            return Poll::Ready(Ok(None));
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        let Inner { dc, link, inbox, .. } = &*self.0;
        if link.ended() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        match dc.ready_state() {
            RtcDataChannelState::Open => {}
            RtcDataChannelState::Connecting => {
                inbox.borrow_mut().opening = Some(cx.waker().clone());
                return Poll::Pending;
            }
            _ => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        let unsent = link.unsent();
        if unsent > 0 && unsent + message.len() > UNSENT_BYTES {
            link.register_writer(cx);
            return Poll::Pending;
        }
        let sent = dc.send_with_u8_array(message);
        Poll::Ready(sent.map_err(|e| io::Error::other(format!("data channel: {e:?}"))))
    }

    fn close(&mut self) {
        self.0.dc.close();
    }
}
