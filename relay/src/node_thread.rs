//! The node on a thread of its own. A node is single-threaded; commands, HTTP and sockets are not.
//! They reach it through sessions, which are channels; nothing else crosses.

use std::{fmt::Write as _, rc::Rc, time::Duration};

use craftec_api::Role;
use craftec_node::{Access, Config, Keys, Node, Ports, record_check};
use craftec_obj::Store;
use craftec_p2p::{Network, native};
use craftec_platform::{
    Clock, UnixMs,
    native::{NativeClock, NativeFolder, OsEntropy},
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    config::Settings,
    edge::Edge,
    error::{RelayError, Result},
    folder,
    session::{Ask, Session, SessionEnd},
};

/// How long the node may take to end: its last writes, and goodbyes to peers.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the listeners may take to be bound.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a node that runs for one command waits for its first relay.
const RELAY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks at the network.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a statement of a database computes at one go: what others who ask the node meanwhile wait for.
const STATEMENT_SLICE: Duration = Duration::from_millis(5);

/// What the node runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Everybody: it listens and relays.
    Serve,
    /// One command: it connects to its relays, where it has any, and listens for their sake only.
    Command,
}

/// What a session may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The owner's own processes: everything.
    Owner,
    /// A page with a token: all but the backup words, which would hand over the identity for good.
    Page,
}

/// Opens sessions with the node, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct NodeHandle {
    sessions: mpsc::UnboundedSender<(SessionEnd, Trust)>,
}

impl NodeHandle {
    /// A handle whose node is gone.
    #[cfg(test)]
    pub(crate) fn without_node() -> Self {
        Self { sessions: mpsc::unbounded_channel().0 }
    }

    /// A session with all rights. If the node has stopped, every call on it says so.
    pub(crate) fn session(&self) -> Session {
        self.session_with(Trust::Owner)
    }

    /// A session with the rights of `trust`.
    pub(crate) fn session_with(&self, trust: Trust) -> Session {
        let (session, end) = Session::pair();
        // Where nobody receives it, the end is dropped and the session answers for itself.
        drop(self.sessions.send((end, trust)));
        session
    }
}

/// The running thread.
pub(crate) struct NodeThread {
    handle: NodeHandle,
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

impl NodeThread {
    /// Starts the node; done when it answers.
    pub(crate) async fn start(settings: Settings, edge: Edge, work: Work) -> Result<Self> {
        let (sessions, incoming) = mpsc::unbounded_channel();
        let (started, starting) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        std::thread::Builder::new()
            .name("craftec-node".to_owned())
            .spawn(move || {
                let ran = NativeClock::run(async move {
                    match launch(&settings, &edge, work).await {
                        Ok(node) => {
                            if started.send(Ok(())).is_ok() {
                                run(&node, incoming, stopping).await;
                            }
                            node.stop().await;
                        }
                        // The other side gave up waiting; then nobody needs to know.
                        Err(error) => drop(started.send(Err(error))),
                    }
                });
                if let Err(error) = ran {
                    tracing::error!(%error, "the node's thread has no runtime");
                }
                drop(ending);
            })
            .map_err(|error| RelayError::Start(format!("no thread for it: {error}")))?;
        match starting.await {
            Ok(started) => started?,
            Err(_) => return Err(RelayError::Start("its thread broke off".to_owned())),
        }
        Ok(Self { handle: NodeHandle { sessions }, stop, ended: Some(ended) })
    }

    /// For sessions.
    pub(crate) fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Completes when the thread ends without being asked to.
    pub(crate) async fn failed(&mut self) {
        if let Some(ended) = &mut self.ended {
            // Nothing is ever sent; the sender is dropped at the end.
            drop(ended.await);
            self.ended = None;
        }
    }

    /// Ends the node and waits, for a bounded time.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_TIMEOUT, self.failed()).await.is_err() {
            tracing::warn!("the node did not end in time");
        }
    }
}

/// Builds the node from the data folder and starts its network.
async fn launch(settings: &Settings, edge: &Edge, work: Work) -> Result<Rc<Node>> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| RelayError::Start(format!("{what}: {error}"));
    let folder = NativeFolder::open(folder::store(&settings.data))
        .map_err(RelayError::file("open the store in", &settings.data))?;
    let folder = Rc::new(folder);
    let store = Store::open(&*folder)
        .await
        .map_err(|error| failed("the store cannot be opened", &error))?;
    let entropy = OsEntropy;
    let keys = Keys::load_or_create(&store, &entropy)
        .map_err(|error| failed("its keys cannot be read", &error))?;
    let clock = NativeClock::new();
    let network = start_network(settings, edge, work, &keys).await?;
    let ports = Ports { network, clock: Rc::new(clock), entropy: Rc::new(entropy) };
    let mut config = Config::new(Role::Relay);
    config.lend_limit = match work {
        Work::Serve => settings.lend,
        // It ends with its command: nobody could rely on what it promised.
        Work::Command => Some(0),
    };
    config.serve_rate = settings.serve_rate;
    config.serve_monthly = settings.serve_monthly;
    config.mend_slot = settings.mend_seconds.map(Duration::from_secs);
    config.statement_slice = Some(STATEMENT_SLICE);
    config.folder = Some(folder);
    let denylist = edge.denylist.clone();
    config.denied = Some(Rc::new(move |cid| denylist.has(cid)));
    Node::start(ports, store, keys, config).await.map_err(|error| failed("it refused", &error))
}

async fn start_network(
    settings: &Settings,
    edge: &Edge,
    work: Work,
    keys: &Keys,
) -> Result<Rc<native::NativeNetwork>> {
    let wall = || -> UnixMs { NativeClock::new().now() };
    let mut config = native::NativeConfig::new(keys.transport().clone(), record_check(wall));
    let reachable = !settings.relay.is_empty();
    config.relays = settings.relay.clone();
    config.reserve = reachable;
    config.limits = edge.limits.clone();
    config.counters = edge.counters.clone();
    config.denials = edge.denials();
    config.tls = edge.tls.clone();
    match work {
        Work::Serve => {
            config.listen = settings.listen.clone();
            config.external = settings.announce.clone();
            config.relay_server = settings.relay_for_others;
        }
        Work::Command => {
            config.relay_server = false;
            if !reachable {
                config.listen.clear();
            }
        }
    }
    let network = native::start(config)
        .await
        .map_err(|error| RelayError::Start(format!("its network: {error}")))?;
    match work {
        Work::Serve => listening(settings, &network).await?,
        Work::Command if reachable => connected(&network).await,
        Work::Command => {}
    }
    Ok(Rc::new(network))
}

/// Which transport an address is of.
fn kind(addr: &str) -> &'static str {
    let has = |part: &str| addr.split('/').any(|found| found == part);
    match () {
        () if has("tls") || has("wss") => "WebSocket in TLS",
        () if has("ws") => "WebSocket",
        () if has("quic-v1") => "QUIC",
        () if has("tcp") => "TCP",
        () => "other",
    }
}

/// Waits until every kind of address asked for is bound. What was chosen by hand must work; of the
/// defaults, what does not is reported.
async fn listening(settings: &Settings, network: &native::NativeNetwork) -> Result<()> {
    let wanted: std::collections::BTreeSet<_> = settings.listen.iter().map(|a| kind(a)).collect();
    let missing = || {
        let bound = network.addresses();
        let is_missing = |wanted: &&str| !bound.iter().any(|addr| kind(addr) == *wanted);
        wanted.iter().copied().filter(is_missing).collect::<Vec<_>>()
    };
    let bound = async {
        while !missing().is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(LISTEN_TIMEOUT, bound).await.is_ok() {
        return Ok(());
    }
    let missing = missing().join(", ");
    let text =
        format!("no {missing} address could be listened on (of {})", settings.listen.join(" "));
    if settings.listen_chosen {
        return Err(RelayError::Start(format!("{text}; another program may have the port")));
    }
    tracing::warn!("{text}: peers reach this node by the others only");
    Ok(())
}

/// Waits, bounded, for the first relay, without which a command finds nobody.
async fn connected(network: &native::NativeNetwork) {
    let connected = async {
        while network.peers().is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(RELAY_TIMEOUT, connected).await.is_err() {
        tracing::warn!("no relay answered; only what is on this machine can be found");
    }
}

/// Opens sessions until it is stopped.
async fn run(
    node: &Rc<Node>,
    mut incoming: mpsc::UnboundedReceiver<(SessionEnd, Trust)>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            next = incoming.recv() => match next {
                Some((end, trust)) => {
                    let session = node.session_with(match trust {
                        Trust::Owner => Access::Local,
                        Trust::Page => Access::Remote,
                    });
                    spawn_local(run_session(session, end, stop.clone()));
                }
                None => return,
            },
        }
    }
}

/// Carries one session's commands to the node; they run side by side. A command whose asker has
/// gone is dropped, which stops it.
async fn run_session(session: craftec_node::Session, end: SessionEnd, stop: CancellationToken) {
    let SessionEnd { mut asks, events } = end;
    let mut running = FuturesUnordered::new();
    let mut told = session.events();
    loop {
        // Events wait in the node, which counts what it must drop, until there is room here.
        let event = async {
            let room = events.reserve().await;
            (room, told.next().await)
        };
        tokio::select! {
            () = stop.cancelled() => return,
            ask = asks.recv() => match ask {
                Some(ask) => running.push(run_ask(&session, ask)),
                None => return,
            },
            Some(()) = running.next() => {}
            (Ok(room), Some(event)) = event => room.send(event),
        }
    }
}

/// The first word of how a value is debugged: a variant's name, without what it holds.
struct FirstWord(String);

impl FirstWord {
    fn of(value: &impl std::fmt::Debug) -> String {
        let mut word = Self(String::new());
        // It ends with an error at the second word, which keeps the rest from being written.
        let _ = write!(word, "{value:?}");
        word.0
    }
}

impl std::fmt::Write for FirstWord {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = text.find(|c: char| !c.is_alphanumeric());
        self.0.push_str(&text[..end.unwrap_or(text.len())]);
        if end.is_some() { Err(std::fmt::Error) } else { Ok(()) }
    }
}

async fn run_ask(session: &craftec_node::Session, ask: Ask) {
    let Ask { command, mut answer } = ask;
    let span = tracing::info_span!("command", name = %FirstWord::of(&command));
    let outcome = tokio::select! {
        biased;
        outcome = session.call(command).instrument(span) => outcome,
        () = answer.closed() => return,
    };
    // The asker may have left just now.
    drop(answer.send(outcome));
}
