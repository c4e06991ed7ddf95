//! Serves one session to a client that speaks frames: the same loop behind the local socket and
//! the WebSocket. It bounds what a client can have in flight; it knows no transport.

use std::future::Future;

use craftec_api::FromNode;
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

use crate::{frames, session::Session};

/// Commands of one client that run at one time. A folder upload keeps 16 in flight; more than
/// this is only queued on the wire, where back-pressure holds it.
const COMMANDS_IN_FLIGHT: usize = 64;

/// Where frames come from and go to.
pub(crate) trait FrameIo {
    /// The next frame; `None` at the end, also after an error of the transport. Must be
    /// cancellation safe.
    fn next(&mut self) -> impl Future<Output = Option<Vec<u8>>> + Send;
    /// Sends a frame; `false` when the client is gone.
    fn send(&mut self, frame: Vec<u8>) -> impl Future<Output = bool> + Send;
}

/// Runs until the client leaves or the node stops.
pub(crate) async fn serve(mut session: Session, mut io: impl FrameIo) {
    let mut running = FuturesUnordered::new();
    loop {
        let frame = tokio::select! {
            frame = io.next(), if running.len() < COMMANDS_IN_FLIGHT => {
                let Some(frame) = frame else { break };
                match frames::decode(&frame) {
                    Ok(ask) => {
                        let answer = session.call(ask.command);
                        running.push(answer.map(move |answer| match answer {
                            Ok(reply) => FromNode::Ok { id: ask.id, reply },
                            Err(error) => FromNode::Err { id: ask.id, error },
                        }));
                        continue;
                    }
                    Err(Some((id, error))) => FromNode::Err { id, error },
                    Err(None) => break,
                }
            }
            Some(answer) = running.next() => answer,
            event = session.event() => match event {
                Some(event) => FromNode::Event { event },
                None => break,
            },
        };
        if !io.send(frames::encode(&frame)).await {
            break;
        }
    }
}
