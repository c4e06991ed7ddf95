//! How a command reaches a node: the running one of its data folder, over the local socket, or one
//! that it runs itself for as long as it needs. A folder never has two nodes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use craftec_api::{Command, VERSIONS};

use crate::{
    config::Settings,
    console::Console,
    edge::Edge,
    error::{RelayError, Result},
    folder::{self, FolderLock, Gateway},
    node_thread::{NodeThread, Work},
    session::Session,
    socket,
};

/// How long a command waits for another that holds the folder without answering on its socket: a
/// node that starts or stops, or another command that runs the node itself.
const BUSY_WAIT: Duration = Duration::from_secs(30);
/// Pause between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// A session, and the node behind it where it runs in this process.
pub(crate) struct Access {
    /// The session.
    pub(crate) session: Session,
    /// Where sites of this folder are opened.
    pub(crate) gateway: Gateway,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Set when the node runs in this process.
    relays: bool,
    own: Option<(NodeThread, FolderLock)>,
}

impl Access {
    /// Connects to the running node, or runs one.
    pub(crate) async fn open(settings: &Settings, console: &Console) -> Result<Self> {
        folder::create(&settings.data)?;
        let start = Instant::now();
        let mut told = false;
        loop {
            let relays = !settings.relay.is_empty();
            let gateway = || gateway(settings);
            if let Some(session) = running(settings).await? {
                let data = settings.data.clone();
                return Ok(Self { session, gateway: gateway(), data, relays, own: None });
            }
            if let Some(lock) = folder::try_lock(&settings.data)? {
                let edge = Edge::open(&settings.edge)?;
                let node = NodeThread::start(settings.clone(), edge, Work::Command).await?;
                let session = node.handle().session();
                greet(&session).await?;
                let data = settings.data.clone();
                let own = Some((node, lock));
                return Ok(Self { session, gateway: gateway(), data, relays, own });
            }
            if start.elapsed() > BUSY_WAIT {
                return Err(folder::in_use(&settings.data));
            }
            if !told && start.elapsed() > Duration::from_secs(1) {
                console.note("Waiting for another craftec process that uses the data folder.");
                told = true;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }

    /// One more session with the same node.
    pub(crate) async fn another(&self) -> Result<Session> {
        let session = match &self.own {
            Some((node, _)) => node.handle().session(),
            None => socket::connect(&self.data).await?.ok_or_else(crate::session::gone)?,
        };
        greet(&session).await?;
        Ok(session)
    }

    /// Whether the node runs in this process, and so ends with it.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Whether this run connects to other nodes by itself.
    pub(crate) fn has_relays(&self) -> bool {
        self.relays
    }

    /// Ends the session, and the node where it is ours.
    pub(crate) async fn close(self) {
        drop(self.session);
        if let Some((node, lock)) = self.own {
            node.stop().await;
            drop(lock);
        }
    }
}

/// A session with the running node of the folder; `None` when none runs.
pub(crate) async fn running(settings: &Settings) -> Result<Option<Session>> {
    let Some(session) = socket::connect(&settings.data).await? else { return Ok(None) };
    match greet(&session).await {
        Ok(()) => Ok(Some(session)),
        // It stopped between the connection and the greeting.
        Err(RelayError::Api(error)) if error == crate::session::gone() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn greet(session: &Session) -> Result<()> {
    let hello = session.call(Command::Hello { versions: VERSIONS.to_vec() }).await?;
    Ok(socket::check_hello(&hello)?)
}

/// The gateway that runs on the folder, or that would by its settings.
fn gateway(settings: &Settings) -> Gateway {
    Gateway::load(&settings.data).unwrap_or_else(|| Gateway {
        domain: settings.domain.clone(),
        port: match settings.http.port() {
            0 => 4080,
            port => port,
        },
    })
}
