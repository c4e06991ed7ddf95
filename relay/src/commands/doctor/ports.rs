//! The addresses that a node listens on: free, ours, or somebody else's; and whether HTTP answers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, bind, ipproto, socket, sockopt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Check, Verdict,
    addr::{Place, Transport},
    node::Running,
};
use crate::{cli::Group, config::Settings, folder::Gateway};

/// How long HTTP may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the answer to `/healthz` has.
const ANSWER_BYTES: u64 = 4096;

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check::new(Group::Ports, name, verdict, found)
}

/// Every listen address, HTTP first.
pub(super) async fn checks(settings: &Settings, running: &Running) -> Vec<Check> {
    let mut checks = vec![http(settings, running).await];
    checks.extend(settings.listen.iter().map(|addr| peers(addr, settings, running)));
    checks
}

async fn http(settings: &Settings, running: &Running) -> Check {
    let mut addr = settings.http;
    let gateway = Gateway::load(&settings.data).filter(|_| running.status().is_some());
    if let Some(gateway) = &gateway {
        addr.set_port(gateway.port);
    }
    if addr.port() == 0 {
        return check("http", Verdict::Ok, format!("{addr}: any free port will do"));
    }
    let ask = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        _ => addr,
    };
    match (healthy(ask).await, running.status().is_some()) {
        (Ok(()), true) => check("http", Verdict::Ok, format!("{addr} answers /healthz")),
        (Ok(()), false) => {
            let found = format!("a node of another data folder has {addr}");
            check("http", Verdict::Problem, found).advice("Choose another with --http ADDR:PORT.")
        }
        (Err(error), true) => {
            check("http", Verdict::Problem, format!("{addr} does not answer /healthz: {error}"))
                .advice(
                    "If the node was started with another --http, give the same here; else \
                         look into its log.",
                )
        }
        (Err(_), false) => match try_bind(Transport::Tcp, addr) {
            Ok(()) => check("http", Verdict::Ok, format!("{addr} is free")),
            Err(error) => refused("http", &addr.to_string(), &error, true),
        },
    }
}

/// Whether a node's HTTP answers at `addr`.
async fn healthy(addr: SocketAddr) -> io::Result<()> {
    let asked = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES).read_to_string(&mut answer).await?;
        let first = answer.lines().next().unwrap_or("an empty answer");
        if first.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with("\r\n\r\nok") {
            return Ok(());
        }
        Err(io::Error::other(format!("the answer was `{first}`")))
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer");
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
}

fn peers(addr: &str, settings: &Settings, running: &Running) -> Check {
    let Some((place, at)) =
        Place::of(addr).and_then(|place| Some((place.clone(), place.socket()?)))
    else {
        return check("peers", Verdict::Unknown, format!("{addr} names no address of a machine"));
    };
    if place.port == 0 {
        return check("peers", Verdict::Ok, format!("{addr}: any free port will do"));
    }
    let error = match try_bind(place.transport, at) {
        Ok(()) if running.status().is_some() => {
            let found = format!("{addr} is free, though a node runs: it listens elsewhere");
            return check("peers", Verdict::Warning, found).advice(
                "If it was started with other flags, give the same here; else its log says \
                         why.",
            );
        }
        Ok(()) => return check("peers", Verdict::Ok, format!("{addr} is free")),
        Err(error) => error,
    };
    let is_ours = |ours: &String| {
        Place::of(ours).is_some_and(|ours| {
            (ours.transport, ours.port) == (place.transport, place.port)
                && ours.host.is_ok_and(|ip| ip.is_ipv4() == at.is_ipv4())
        })
    };
    let ours = running.status().is_some_and(|status| status.addresses.iter().any(is_ours));
    if ours && error.kind() == io::ErrorKind::AddrInUse {
        return check("peers", Verdict::Ok, format!("the running node listens on {addr}"));
    }
    refused("peers", addr, &error, settings.listen_chosen)
}

/// An address that can't be had. What nobody asked for by hand (IPv6 on a machine without) is a
/// warning.
fn refused(name: &'static str, addr: &str, error: &io::Error, chosen: bool) -> Check {
    let (verdict, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            Verdict::Problem,
            "Another program has it: end that (`ss -lptu` shows it), or choose another address.",
        ),
        io::ErrorKind::PermissionDenied => (
            Verdict::Problem,
            "Ports below 1024 need a right of their own: AmbientCapabilities=CAP_NET_BIND_SERVICE \
             in the systemd unit, or a port above.",
        ),
        _ if chosen => (Verdict::Problem, "This machine has no such address: choose another."),
        _ => (Verdict::Warning, "This machine has no such address; the others are used."),
    };
    check(name, verdict, format!("{addr} can't be listened on: {error}")).advice(advice)
}

/// Binds and lets go. IPv6 stays apart from IPv4, as the node's own listeners keep it.
fn try_bind(transport: Transport, addr: SocketAddr) -> io::Result<()> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match transport {
        Transport::Tcp => (SocketType::STREAM, ipproto::TCP),
        Transport::Udp => (SocketType::DGRAM, ipproto::UDP),
    };
    let socket = socket(family, kind, Some(protocol))?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if transport == Transport::Tcp {
        // Connections of a node that ended a moment ago don't count.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &addr)?;
    if transport == Transport::Tcp {
        // Two sockets may be bound to one address with the option above; only one may listen.
        rustix::net::listen(&socket, 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_refused_and_a_free_one_is_let_go() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = held.local_addr().unwrap();
        let error = try_bind(Transport::Tcp, addr).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        try_bind(Transport::Tcp, addr).unwrap();
        try_bind(Transport::Tcp, addr).unwrap();
        let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = held.local_addr().unwrap();
        let error = try_bind(Transport::Udp, addr).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
