//! `craftec up`: the node with its relay, gateway and web app, until it is told to end. The ready
//! line is printed once everything answers.

use std::{sync::Arc, time::Duration};

use craftec_api::{Command, Reply};
use craftec_core::PeerId;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Signals;
use crate::{
    access,
    config::Settings,
    console::Console,
    edge::{Edge, Stun},
    error::{RelayError, Result},
    folder::{self, Gateway},
    http::{Gatehouse, Http, Server},
    node_thread::{NodeThread, Work},
    session::{Session, unexpected},
    socket::LocalSocket,
};

/// How long another process may take to let go of the folder (a restart, a command that ends).
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Ready {
    url: String,
    peer_id: PeerId,
    addrs: Vec<String>,
    #[serde(flatten)]
    ports: Ports,
}

/// Ports beside the gateway's own.
#[derive(Clone, Copy, Serialize)]
struct Ports {
    #[serde(skip_serializing_if = "Option::is_none", rename = "https_port")]
    https: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "stun_port")]
    stun: Option<u16>,
}

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(settings: Settings, console: Console) -> Result<()> {
    folder::create(&settings.data)?;
    let lock = lock(&settings).await?;
    // Everything that can be refused is tried before the node joins the network.
    Edge::raise_descriptors();
    let edge = Edge::open(&settings.edge)?;
    let gatehouse = Gatehouse::new(
        settings.http_connections,
        settings.edge.http_limits.clone(),
        edge.limits.clone(),
        edge.denials(),
        edge.own.clone(),
    );
    let server = Server::bind(settings.http, None, gatehouse.clone()).await?;
    let secure = match settings.edge.https {
        Some(addr) => Some(Server::bind(addr, edge.certificates.clone(), gatehouse).await?),
        None => None,
    };
    let stun = edge.stun(settings.listen_chosen).await?;
    let gateway = Gateway { domain: settings.domain.clone(), port: server.addr().port() };
    let data = settings.data.clone();
    let socket = LocalSocket::bind(&data)?;
    let mut node = NodeThread::start(settings.clone(), edge.clone(), Work::Serve).await?;
    let stun_port = stun.as_ref().map(Stun::port);
    let https_port = secure.as_ref().map(|server| server.addr().port());
    let http = Arc::new(Http::new(node.handle(), &settings, &edge, stun_port)?);
    gateway.save(&data)?;

    let stop = CancellationToken::new();
    let local = tokio::spawn(socket.serve(node.handle()));
    let serving = tokio::spawn(serve_all(server, secure, http.clone(), stop.clone()));
    if let Some(stun) = stun {
        tokio::spawn(stun.serve(stop.clone()));
    }
    tokio::spawn(edge.follow_files(stop.clone()));
    http.set_ready(true);
    let mut signals = Signals::watch();
    let session = node.handle().session();
    let ports = Ports { https: https_port, stun: stun_port };
    print_ready(&session, &gateway, ports, &settings, &console).await?;

    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        () = node.failed() => Err(RelayError::Ended),
    };
    console.note("Stopping: requests in flight may end. Press Ctrl-C again to stop at once.");
    http.set_ready(false);
    stop.cancel();
    let drain = async {
        if let Err(error) = serving.await {
            tracing::error!(%error, "HTTP broke off");
        }
        drop(session);
        local.abort();
        // Cancelled, so that the socket is gone before the process is.
        drop(local.await);
        gateway.forget(&data);
        node.stop().await;
    };
    tokio::select! {
        () = drain => {}
        () = signals.next() => {}
    }
    drop(lock);
    ended
}

/// Serves plain HTTP, and HTTPS where there is a certificate.
async fn serve_all(
    plain: Server,
    secure: Option<Server>,
    http: Arc<Http>,
    stop: CancellationToken,
) {
    let secure = async {
        if let Some(server) = secure {
            server.serve(http.clone(), stop.clone()).await;
        }
    };
    tokio::join!(plain.serve(http.clone(), stop.clone()), secure);
}

async fn lock(settings: &Settings) -> Result<folder::FolderLock> {
    let start = std::time::Instant::now();
    loop {
        if let Some(lock) = folder::try_lock(&settings.data)? {
            return Ok(lock);
        }
        let is_node = access::running(settings).await.is_ok_and(|session| session.is_some());
        if is_node || start.elapsed() > LOCK_WAIT {
            return Err(folder::in_use(&settings.data));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

async fn print_ready(
    session: &Session,
    gateway: &Gateway,
    ports: Ports,
    settings: &Settings,
    console: &Console,
) -> Result<()> {
    let status = match session.call(Command::Status).await? {
        Reply::Status(status) => status,
        other => return Err(unexpected("status", &other)),
    };
    let url = format!("{}/", gateway.app_origin());
    let ready = Ready { url, peer_id: status.peer_id, addrs: status.addresses, ports };
    console.result(&ready, || {
        let mut text = format!("Craftec is ready at {}\n", ready.url);
        text.push_str(&format!("peer {}\n", ready.peer_id));
        for addr in &ready.addrs {
            text.push_str(&format!("  {addr}\n"));
        }
        text.push_str(&format!("data in {}", settings.data.display()));
        text
    });
    Ok(())
}
