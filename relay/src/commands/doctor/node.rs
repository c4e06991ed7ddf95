//! The running node: whether it answers, whom it is connected to, and who could reach it.

use std::time::Duration;

use craftec_api::{Command, Link, Reply, SiteRow, Status};
use tokio::net::TcpStream;

use super::{
    Check, Verdict,
    addr::{Place, Transport, is_public},
};
use crate::{access, cli::Group, config::Settings, folder, session::Session};

/// How long the node may take to answer, and a relay to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is found at the data folder's socket.
pub(super) enum Running {
    /// Nobody listens.
    No,
    /// Something does, and does not answer as it should.
    Broken(String),
    /// A node.
    Yes {
        /// What it says of itself.
        status: Box<Status>,
        /// Its process, where known.
        pid: Option<u32>,
        /// What it published.
        sites: Vec<SiteRow>,
    },
}

impl Running {
    /// Looks for the node of the data folder.
    pub(super) async fn find(settings: &Settings) -> Self {
        let found = async {
            match access::running(settings).await {
                Ok(Some(session)) => ask(&session, settings).await,
                Ok(None) => Self::No,
                Err(error) => Self::Broken(error.to_string()),
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| {
            Self::Broken(format!("it did not answer within {} s", PATIENCE.as_secs()))
        })
    }

    /// What the node says of itself.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Yes { status, .. } => Some(status),
            Self::No | Self::Broken(_) => None,
        }
    }
}

async fn ask(session: &Session, settings: &Settings) -> Running {
    let status = match session.call(Command::Status).await {
        Ok(Reply::Status(status)) => Box::new(status),
        Ok(other) => return Running::Broken(format!("it answered {other:?}")),
        Err(error) => return Running::Broken(error.to_string()),
    };
    let sites = match session.call(Command::Sites).await {
        Ok(Reply::Sites { sites }) => sites,
        _ => Vec::new(),
    };
    let pid = match folder::owner(&settings.data) {
        Ok(folder::Owner::Process(pid)) => pid,
        Ok(folder::Owner::Nobody) | Err(_) => None,
    };
    Running::Yes { status, pid, sites }
}

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check::new(Group::Node, name, verdict, found)
}

/// Everything about the node.
pub(super) async fn checks(settings: &Settings, running: &Running, wanted: bool) -> Vec<Check> {
    match running {
        Running::No => {
            let verdict = if wanted { Verdict::Problem } else { Verdict::Ok };
            let found = "no node runs on this data folder";
            let mut checks =
                vec![check("running", verdict, found).advice("`craftec up` starts one.")];
            for addr in &settings.relay {
                checks.push(relay_answers(addr).await);
            }
            checks
        }
        Running::Broken(reason) => {
            let found = format!("the node's socket is there, but {reason}");
            let advice = "Restart the node; if client and node differ in version, update both.";
            vec![check("running", Verdict::Problem, found).advice(advice)]
        }
        Running::Yes { status, pid, .. } => {
            let mut checks = vec![alive(status, *pid), peers(status, settings)];
            checks.extend(relays(status, settings));
            checks.push(reachability(status));
            checks
        }
    }
}

fn alive(status: &Status, pid: Option<u32>) -> Check {
    let process = pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
    let found = format!("{} runs{process} for {} s", status.agent, status.uptime_ms / 1000);
    check("running", Verdict::Ok, found)
}

fn peers(status: &Status, settings: &Settings) -> Check {
    let links = [Link::Quic, Link::Tcp, Link::Websocket, Link::Webrtc, Link::Relayed];
    let by_link: Vec<_> = links
        .iter()
        .filter_map(|link| match status.peers.iter().filter(|peer| peer.link == *link).count() {
            0 => None,
            count => Some(format!("{count} {}", format!("{link:?}").to_lowercase())),
        })
        .collect();
    if !by_link.is_empty() {
        let found = format!("{} connected ({})", status.peers.len(), by_link.join(", "));
        return check("peers", Verdict::Ok, found);
    }
    let first = settings.relay.is_empty();
    let found = "nobody is connected: only what is on this machine can be found";
    let advice = match first {
        true => {
            "The first node of a network waits for others. To join one, name a node of it: \
                 `craftec up --relay ADDR`."
        }
        false => "The checks of relays below say more.",
    };
    check("peers", if first { Verdict::Ok } else { Verdict::Warning }, found).advice(advice)
}

/// Whether the relays named in the settings are connected.
fn relays(status: &Status, settings: &Settings) -> Vec<Check> {
    let connected = |addr: &String| {
        let peer = Place::of(addr).and_then(|place| place.peer);
        peer.map(|peer| status.peers.iter().any(|p| p.peer_id.to_string() == peer))
    };
    let any = settings.relay.iter().any(|addr| connected(addr) == Some(true));
    let row = |addr: &String| match connected(addr) {
        Some(true) => check("relay", Verdict::Ok, format!("{addr} is connected")),
        // One relay is enough; none leaves the node alone.
        Some(false) => {
            let verdict = if any { Verdict::Warning } else { Verdict::Problem };
            check("relay", verdict, format!("{addr} is not connected")).advice(
                "Check that it runs, that its address and peer id are right, and that no firewall \
                 on the way blocks its port.",
            )
        }
        None => check("relay", Verdict::Unknown, format!("{addr} names no peer id"))
            .advice("Write it with /p2p/ID at its end; then it can be told from others."),
    };
    settings.relay.iter().map(row).collect()
}

/// Without a node of our own: whether a relay's port accepts connections. UDP says nothing.
async fn relay_answers(addr: &str) -> Check {
    let Some(place) = Place::of(addr).filter(|place| place.transport == Transport::Tcp) else {
        let found = format!("{addr} can only be tried by a running node");
        return check("relay", Verdict::Unknown, found);
    };
    let host = match &place.host {
        Ok(ip) => ip.to_string(),
        Err(name) => name.clone(),
    };
    match tokio::time::timeout(PATIENCE, TcpStream::connect((host.as_str(), place.port))).await {
        Ok(Ok(_)) => check("relay", Verdict::Ok, format!("{addr} accepts connections")),
        Ok(Err(error)) => check("relay", Verdict::Problem, format!("{addr}: {error}"))
            .advice("Check that the relay runs and that its address is right."),
        Err(_) => check("relay", Verdict::Problem, format!("{addr} does not answer"))
            .advice("A firewall on the way, most likely; or the relay is off."),
    }
}

/// What others could dial. Whether they get through is only known to them.
fn reachability(status: &Status) -> Check {
    let hosts = status.addresses.iter().filter_map(|addr| Place::of(addr)?.host.ok());
    let public: Vec<_> = hosts.filter(|ip| is_public(*ip)).map(|ip| ip.to_string()).collect();
    let named =
        status.addresses.iter().filter_map(|addr| Place::of(addr)?.host.err()).collect::<Vec<_>>();
    let circuits = status.addresses.iter().filter(|addr| addr.contains("/p2p-circuit")).count();
    let not_tried = "whether strangers get through is not tried from here";
    let mut outside = [public, named].concat();
    outside.sort();
    outside.dedup();
    if !outside.is_empty() {
        let found = format!("dialable at {}; {not_tried}", outside.join(", "));
        return check("reachable", Verdict::Unknown, found)
            .advice("Let TCP and UDP of its ports pass the firewall, and try from elsewhere.");
    }
    if circuits > 0 {
        let found =
            format!("only through {circuits} relay addresses; no public address of its own");
        return check("reachable", Verdict::Ok, found);
    }
    let found = "no public address: only machines of this network can dial this node";
    check("reachable", Verdict::Warning, found).advice(
        "For a relay that others use, run it where there is a public address, or name the one in \
         front of it in `announce`. A node that only fetches and puts needs a `relay` instead.",
    )
}
