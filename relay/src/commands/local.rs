//! `craftec local`: the node for programs of this machine that have loaded `craftsql`, as long as one of
//! them uses it. It listens to nobody else.

use std::time::{Duration, Instant};

use super::Signals;
use crate::{
    access,
    config::Settings,
    edge::Edge,
    error::{RelayError, Result},
    folder::{self, FolderLock},
    node_thread::{NodeThread, Work},
    socket::LocalSocket,
};

/// How long it waits for a command that has the folder.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until nobody has used it for `idle`; at once where a node runs already.
pub(crate) async fn run(idle: Duration, settings: Settings) -> Result<()> {
    folder::create(&settings.data)?;
    let Some(lock) = lock(&settings).await? else { return Ok(()) };
    let edge = Edge::open(&settings.edge)?;
    let socket = LocalSocket::bind(&settings.data)?;
    let clients = socket.clients();
    let mut node = NodeThread::start(settings, edge, Work::Command).await?;
    let local = tokio::spawn(socket.serve(node.handle()));
    let mut signals = Signals::watch();
    let unused = async {
        let mut since = Instant::now();
        while since.elapsed() < idle {
            tokio::time::sleep(PAUSE).await;
            if clients.any() {
                since = Instant::now();
            }
        }
    };
    let ended = tokio::select! {
        () = unused => Ok(()),
        () = signals.next() => Ok(()),
        () = node.failed() => Err(RelayError::Ended),
    };
    local.abort();
    // Cancelled, so that the socket is gone before the process is.
    drop(local.await);
    node.stop().await;
    drop(lock);
    ended
}

/// The folder; `None` where a node runs on it.
async fn lock(settings: &Settings) -> Result<Option<FolderLock>> {
    let start = Instant::now();
    loop {
        if let Some(lock) = folder::try_lock(&settings.data)? {
            return Ok(Some(lock));
        }
        if access::running(settings).await.is_ok_and(|session| session.is_some()) {
            return Ok(None);
        }
        if start.elapsed() > LOCK_WAIT {
            return Err(folder::in_use(&settings.data));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
