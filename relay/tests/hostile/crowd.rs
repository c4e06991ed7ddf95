//! A crowd without manners: connections that say nothing, a byte at a time, or 64 KiB of head.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::Handle,
};

use crate::{Load, support::Daemon, up};

/// Clients that send a head a byte at a time, and hold the connection.
const SLOW: u8 = 75;
/// The same number of silent connections on each of the peers' ports.
const SILENT: u8 = 30;
/// Streets that the crowd comes from.
const STREETS: u8 = 8;

/// Sets the crowd loose: over a thousand connections, each made anew when it is closed.
pub(crate) fn start(threads: &Handle, node: &Daemon, load: &Arc<Load>) {
    let http = node.port;
    let ports: Vec<u16> = node.ready["addrs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|addr| addr.as_str()?.split("/tcp/").nth(1)?.split('/').next()?.parse().ok())
        .collect();
    for street in 66..66 + STREETS {
        for n in 0..SLOW {
            threads.spawn(slow(from(street, n), http, load.clone()));
        }
        for (at, &port) in ports.iter().enumerate() {
            for n in 0..SILENT {
                threads.spawn(silent(from(street, 100 + n), port, at % 2 == 0, load.clone()));
            }
        }
    }
    for n in 0..4 {
        threads.spawn(large_heads(from(66 + n, 250), http, load.clone()));
    }
}

fn from(street: u8, n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, street, 1 + n)
}

async fn connect(from: Ipv4Addr, port: u16) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.ok()
}

/// Starts at a time of its own, so that not all come at once.
async fn stagger(from: Ipv4Addr) {
    let [_, _, street, n] = from.octets();
    tokio::time::sleep(Duration::from_millis(u64::from(street % 8) * 300 + u64::from(n) * 8)).await;
}

async fn slow(at: Ipv4Addr, port: u16, load: Arc<Load>) {
    stagger(at).await;
    while !load.is_over() {
        if let Some(mut stream) = connect(at, port).await {
            up(&load.connections);
            let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
            let mut rest = head.iter().copied().chain(std::iter::repeat(b'x'));
            while !load.is_over() {
                let Some(byte) = rest.next() else { break };
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1500)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn silent(at: Ipv4Addr, port: u16, speaks: bool, load: Arc<Load>) {
    stagger(at).await;
    while !load.is_over() {
        if let Some(mut stream) = connect(at, port).await {
            up(&load.connections);
            if speaks {
                // The beginning of a WebSocket, or of nothing.
                drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webso").await);
            }
            let mut rest = [0; 64];
            let ended = async { while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {} };
            drop(tokio::time::timeout(Duration::from_secs(20), ended).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn large_heads(at: Ipv4Addr, port: u16, load: Arc<Load>) {
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    while !load.is_over() {
        if let Some(mut stream) = connect(at, port).await {
            up(&load.heads);
            drop(stream.write_all(head.as_bytes()).await);
            let mut answer = [0; 32];
            let read = stream.read(&mut answer);
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(5), read).await
                && answer.starts_with(b"HTTP/1.1 431")
            {
                up(&load.heads_told);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
