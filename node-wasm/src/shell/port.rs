//! One session over one MessagePort: frames in, answers and events out.
//!
//! Beside frames (`Uint8Array`s) a port carries three words: `ping` is answered by
//! `pong` at once, `bye` ends the session from either side.

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use craftec_api::Command;
use craftec_core::limits::API_FRAME_BYTES;
use craftec_node::Session;
use craftec_platform::Clock;
use futures::{
    FutureExt, StreamExt,
    channel::mpsc,
    future::{self, Either},
    select_biased,
    stream::FuturesUnordered,
};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{MessageEvent, MessagePort};

use crate::{Asked, SiteRights, answer, ask, event};

pub(super) const BYE: &str = "bye";
const PING: &str = "ping";
const PONG: &str = "pong";

/// Commands of one session that run at the same time; more wait.
const RUNNING: usize = 64;
/// Frames that may wait; a client that sends more without reading answers is cut off.
const WAITING: usize = 4096;
/// The same of a site's, which only reads: a page asks for as many files as it has.
const SITE_WAITING: usize = 512;
/// Longest frame of a site: a path of 4 KiB and its envelope. What waits of one site is 4 MiB.
const SITE_FRAME_BYTES: u32 = 8 << 10;
/// Frames up to this length are copied: handing a buffer over costs 5 µs more than that.
const COPIED_BYTES: usize = 4 << 10;
/// A site that asks nothing for this long has lost its service worker.
const SITE_IDLE: Duration = Duration::from_secs(10 * 60);

/// What a session needs.
pub(super) struct Served {
    /// Where the client is.
    pub(super) port: MessagePort,
    /// The node's side.
    pub(super) session: Session,
    /// Of a site: what it may ask.
    pub(super) rights: Option<SiteRights>,
    /// Time.
    pub(super) clock: Rc<dyn Clock>,
    /// When the client last asked something.
    pub(super) used: Rc<Cell<Duration>>,
}

/// Says a word instead of a frame.
pub(super) fn say(port: &MessagePort, word: &str) {
    // A closed port drops it.
    let _ = port.post_message(&word.into());
}

/// Serves a port until its client says goodbye. Dropping the future ends everything it does.
pub(super) async fn serve(served: Served) {
    let (waiting, longest) = match served.rights {
        Some(_) => (SITE_WAITING, SITE_FRAME_BYTES),
        None => (WAITING, API_FRAME_BYTES as u32),
    };
    let (frames, mut asked) = mpsc::channel(waiting);
    let _listening = listen(&served.port, frames, longest);
    let mut events = served.session.events().fuse();
    let mut running = FuturesUnordered::new();
    loop {
        let free = running.len() < RUNNING;
        let mut next = pin!(
            async {
                if !free {
                    return future::pending().await;
                }
                idle(&served, asked.next()).await
            }
            .fuse()
        );
        select_biased! {
            frame = running.select_next_some() => send(&served.port, frame),
            frame = next => match frame.map(|frame| ask(&frame)) {
                Some(Asked::Command { id, command }) => running.push(call(&served, id, command)),
                Some(Asked::Refused { answer }) => send(&served.port, answer),
                Some(Asked::Foreign) | None => return,
            },
            news = events.select_next_some() => {
                if let Some(frame) = event(news) {
                    send(&served.port, frame);
                }
            }
        }
    }
}

/// The next frame; `None` when there is none any more, or a site was silent for too long.
async fn idle(served: &Served, next: impl Future<Output = Option<Vec<u8>>>) -> Option<Vec<u8>> {
    let frame = if served.rights.is_some() {
        match future::select(pin!(next), served.clock.sleep(SITE_IDLE)).await {
            Either::Left((frame, _)) => frame,
            Either::Right(_) => None,
        }
    } else {
        next.await
    };
    served.used.set(served.clock.monotonic());
    frame
}

/// Carries out one command, if the client may ask it.
async fn call(served: &Served, id: u64, command: Command) -> Vec<u8> {
    let refused = served.rights.and_then(|rights| rights.check(&command).err());
    let result = match refused {
        Some(refusal) => Err(refusal.into()),
        None => served.session.call(command).await,
    };
    answer(id, result)
}

/// Takes messages of `port`; the channel ends when the client says goodbye, sends more frames than
/// may wait, or one longer than any question: it is not even copied, since memory that runs out
/// ends the node.
fn listen(port: &MessagePort, frames: mpsc::Sender<Vec<u8>>, longest: u32) -> Listening {
    let (answering, mut frames) = (port.clone(), Some(frames));
    let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let data = message.data();
        let over = match data.dyn_ref::<Uint8Array>() {
            Some(frame) if frame.length() > longest => true,
            Some(frame) => frames.as_mut().is_some_and(|f| f.try_send(frame.to_vec()).is_err()),
            None => match data.as_string().as_deref() {
                Some(PING) => {
                    say(&answering, PONG);
                    false
                }
                word => word == Some(BYE),
            },
        };
        if over {
            frames = None;
        }
    });
    port.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    Listening { port: port.clone(), _heard: heard }
}

/// Listens as long as it lives.
struct Listening {
    port: MessagePort,
    _heard: Closure<dyn FnMut(MessageEvent)>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
    }
}

/// Sends a frame; a long one's buffer is transferred, not copied again.
fn send(port: &MessagePort, frame: Vec<u8>) {
    let bytes = Uint8Array::from(frame.as_slice());
    let sent = match frame.len() <= COPIED_BYTES {
        true => port.post_message(&bytes),
        false => port.post_message_with_transferable(&bytes, &Array::of1(&bytes.buffer())),
    };
    if sent.is_err() {
        // Only a port that can't take messages at all refuses one.
        web_sys::console::warn_1(&JsValue::from_str("craftec: an answer could not be sent"));
    }
}
