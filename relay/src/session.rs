//! A session with a node, wherever the node runs: on a thread of this process or behind the local
//! socket. It carries commands and answers; it never looks into them.

use std::future::Future;

use bytes::Bytes;
use craftec_api::{ApiError, Command, ErrorCode, Event, Opened, Reply};
use tokio::sync::{mpsc, oneshot};

use crate::error::{RelayError, Result};

/// Events that wait for a slow reader; the node counts what does not fit (`Event::Lagged`).
pub(crate) const EVENT_QUEUE: usize = 256;

/// A command on its way to the node.
pub(crate) struct Ask {
    /// What to do.
    pub(crate) command: Command,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Result<Reply, ApiError>>,
}

/// One client's session. Dropping it ends it: open handles close and running commands stop.
///
/// The queue to the node is unbounded because every caller waits for its answers: it holds at most
/// what its callers have in flight.
#[derive(Debug)]
pub(crate) struct Session {
    asks: mpsc::UnboundedSender<Ask>,
    events: mpsc::Receiver<Event>,
}

/// The node's end of a [`Session`].
pub(crate) struct SessionEnd {
    /// What the client asks; ends when the session is dropped.
    pub(crate) asks: mpsc::UnboundedReceiver<Ask>,
    /// What the client is told.
    pub(crate) events: mpsc::Sender<Event>,
}

impl Session {
    /// A session and its far end.
    pub(crate) fn pair() -> (Self, SessionEnd) {
        let (ask_tx, ask_rx) = mpsc::unbounded_channel();
        let (event_tx, event_rx) = mpsc::channel(EVENT_QUEUE);
        let session = Self { asks: ask_tx, events: event_rx };
        (session, SessionEnd { asks: ask_rx, events: event_tx })
    }

    /// Sends a command at once; the future is its answer.
    pub(crate) fn call(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Reply, ApiError>> + Send + use<> {
        let (answer, wait) = oneshot::channel();
        let sent = self.asks.send(Ask { command, answer });
        async move {
            match sent {
                Ok(()) => wait.await.unwrap_or_else(|_| Err(gone())),
                Err(_) => Err(gone()),
            }
        }
    }

    /// The next event, after `Command::Subscribe`; `None` when the node is gone.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// A command whose answer is `Done`.
    pub(crate) async fn done(&self, command: Command) -> Result<()> {
        match self.call(command).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected("done", &other)),
        }
    }

    /// A command whose answer is a handle.
    pub(crate) async fn handle(&self, command: Command) -> Result<u64> {
        match self.call(command).await? {
            Reply::Handle { handle } => Ok(handle),
            other => Err(unexpected("handle", &other)),
        }
    }

    /// A command whose answer is opened content.
    pub(crate) async fn open(&self, command: Command) -> Result<Opened> {
        match self.call(command).await? {
            Reply::Opened(opened) => Ok(opened),
            other => Err(unexpected("opened", &other)),
        }
    }

    /// A command whose answer is bytes. Sent at once, like [`Session::call`].
    pub(crate) fn bytes(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Bytes>> + Send + use<> {
        let answer = self.call(command);
        async move {
            match answer.await? {
                Reply::Bytes { bytes } => Ok(bytes),
                other => Err(unexpected("bytes", &other)),
            }
        }
    }
}

/// The node ended while a command was running.
pub(crate) fn gone() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the node stopped before it answered")
        .hint("Start it again with `craftec up`.")
}

/// An answer that does not fit its question.
pub(crate) fn unexpected(wanted: &'static str, found: &Reply) -> RelayError {
    let text = format!("{found:?}");
    let found = text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
    RelayError::Answer { wanted, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_without_node_says_so() {
        let (session, end) = Session::pair();
        let answer = session.call(Command::Status);
        drop(end);
        assert_eq!(answer.await, Err(gone()));
        assert_eq!(session.call(Command::Status).await, Err(gone()));
        let wrong = unexpected("done", &Reply::Handle { handle: 1 });
        assert!(wrong.to_string().contains("`Handle`"));
    }
}
