//! Back-pressure both ways, over every transport: a reader that does not read stops the writer and
//! nothing else, and a slow one gets everything.

use std::time::Instant;

use craftec_p2p::{ByteStream, Network, Protocol, native::NativeNetwork};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};

use crate::setup::{ECHO, PATIENCE, SECOND, address, config, echo, hidden, rpc, run, start, until};

const BULK: Protocol = Protocol { name: "test-bulk", versions: &[1] };
/// What may be under way to a reader that does not read: one stream's window, and what sockets and
/// hops hold. QUIC's window is 16 MiB; yamux begins with 256 KiB and grows only for who reads.
fn under_way(transport: &str) -> usize {
    if transport == "quic" { 18 << 20 } else { 4 << 20 }
}
/// More than may be under way.
const BULK_BYTES: usize = 64 << 20;
const PIECE: usize = 64 << 10;

/// Two nodes that are connected over a transport, and a relay where there is one.
async fn pair(transport: &str) -> (NativeNetwork, NativeNetwork, Option<NativeNetwork>) {
    if transport != "circuit" {
        let (a, b) = (start(config(1)).await, start(config(2)).await);
        a.connect(&address(&b, transport)).await.unwrap();
        return (a, b, None);
    }
    let relay = start(config(9)).await;
    let known = vec![address(&relay, "tcp")];
    let (a, b) = (start(hidden(1, known.clone())).await, start(hidden(2, known)).await);
    until("b holds a reservation", || b.addresses().iter().any(|a| a.contains("p2p-circuit")))
        .await;
    (a, b, Some(relay))
}

/// Writes until nothing more is taken for two seconds; how much that was.
async fn fill(stream: &mut ByteStream) -> usize {
    let piece = [7; PIECE];
    let mut written = 0;
    while written < BULK_BYTES {
        let at = written % PIECE;
        match tokio::time::timeout(SECOND * 2, stream.write(&piece[at..])).await {
            Ok(more) => written += more.unwrap(),
            Err(_) => break,
        }
    }
    written
}

fn a_reader_that_stops_stops_the_writer_alone(transport: &'static str) {
    run(async {
        let (a, b, _relay) = pair(transport).await;
        let server = rpc(&b);
        server.serve(ECHO, echo());
        let mut incoming = b.accept(BULK);
        let to = b.local_peer();
        let mut out = a.open(to, BULK).await.unwrap();
        let (_, mut input) = incoming.next().await.unwrap();
        let written = fill(&mut out).await;
        println!(
            "{transport}: {:.1} MiB under way to a reader that does not read",
            written as f64 / f64::from(1 << 20)
        );
        assert!(
            written < under_way(transport),
            "{transport}: {written} bytes are somewhere in memory"
        );
        // The connection lives and carries others' streams, well beyond two missed pings.
        let client = rpc(&a);
        let begun = Instant::now();
        while begun.elapsed() < SECOND * 4 {
            let body = vec![1; 100_000];
            assert_eq!(client.request(to, ECHO, body.clone(), PATIENCE).await.unwrap(), body);
            tokio::time::sleep(SECOND / 5).await;
        }
        assert!(a.peers().iter().any(|p| p.peer == to));
        // Once it reads, everything comes, and what follows too.
        let rest = async {
            let mut at = written;
            while at < written + (1 << 20) {
                at += out.write(&[7; PIECE]).await.unwrap();
            }
            out.close().await.unwrap();
            at
        };
        let read = async {
            let (mut got, mut piece) = (0, vec![0; PIECE]);
            loop {
                match input.read(&mut piece).await.unwrap() {
                    0 => return got,
                    more => {
                        assert!(piece[..more].iter().all(|byte| *byte == 7));
                        got += more;
                    }
                }
            }
        };
        let (sent, got) = futures::join!(rest, read);
        assert_eq!(sent, got, "{transport}");
    });
}

#[test]
fn quic_holds_a_writer_back() {
    a_reader_that_stops_stops_the_writer_alone("quic");
}

#[test]
fn tcp_holds_a_writer_back() {
    a_reader_that_stops_stops_the_writer_alone("tcp");
}

#[test]
fn websocket_holds_a_writer_back() {
    a_reader_that_stops_stops_the_writer_alone("ws");
}

#[test]
fn a_circuit_holds_a_writer_back() {
    a_reader_that_stops_stops_the_writer_alone("circuit");
}

/// A writer that trickles: nothing times out, nothing is lost.
#[test]
fn a_slow_writer_loses_nothing() {
    run(async {
        for transport in ["quic", "tcp", "ws", "circuit"] {
            let (a, b, _relay) = pair(transport).await;
            let mut incoming = b.accept(BULK);
            let mut out = a.open(b.local_peer(), BULK).await.unwrap();
            let (_, mut input) = incoming.next().await.unwrap();
            let write = async {
                for n in 0..40u8 {
                    out.write_all(&[n]).await.unwrap();
                    out.flush().await.unwrap();
                    tokio::time::sleep(SECOND / 10).await;
                }
                out.close().await.unwrap();
            };
            let mut got = Vec::new();
            let (read, ()) = futures::join!(input.read_to_end(&mut got), write);
            read.unwrap();
            assert!(got.into_iter().eq(0..40), "{transport}");
        }
    });
}
