//! What strangers may take of a node: connections, circuits, records, bytes, and the patience of a
//! slow reader's other side.

use std::rc::Rc;

use craftec_p2p::{
    Limits, Link, Network, Protocol,
    counters::{Carrier, Refusal},
    native::{Certificate, Denied, NativeConfig, NativeNetwork, Tls},
};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, future::join_all};

use crate::setup::{ECHO, PATIENCE, SECOND, address, config, echo, hidden, rpc, run, start, until};

/// A node that counts this machine by prefix, as if the clients came from a street.
fn strict(n: u8, set: impl FnOnce(&mut Limits)) -> NativeConfig {
    let mut config = config(n);
    config.limits.limit_loopback = 1;
    set(&mut config.limits);
    config
}

#[test]
fn a_street_has_its_share_of_connections_and_who_is_in_is_served_on() {
    run(async {
        let strict = strict(1, |limits| limits.connections_per_prefix = 3);
        let counters = strict.counters.clone();
        let server = start(strict).await;
        rpc(&server).serve(ECHO, echo());
        let clients = join_all((10..16).map(|n| start(hidden(n, Vec::new())))).await;
        let mut inside = Vec::new();
        for client in &clients {
            let there = client.connect(&address(&server, "tcp")).await.is_ok();
            // A dialer believes in a connection until it hears otherwise.
            until("it is decided", || {
                let refused = counters.refused[Refusal::Prefix as usize].now();
                refused as usize + counters.open.of(Carrier::Tcp, true).now() as usize
                    > inside.len()
            })
            .await;
            if there {
                inside.push(client);
            }
        }
        until("the rest is refused", || {
            counters.open.of(Carrier::Tcp, true).now() == 3
                && counters.refused[Refusal::Prefix as usize].now() >= 3
        })
        .await;
        let to = server.local_peer();
        let ask = |client: &NativeNetwork| {
            let client = rpc(client);
            async move { client.request(to, ECHO, "x", SECOND * 3).await.is_ok() }
        };
        let served = join_all(clients.iter().map(ask)).await;
        assert_eq!(served.into_iter().filter(|served| *served).count(), 3);
    });
}

#[test]
fn a_denied_peer_is_shown_out_and_stays_out() {
    run(async {
        let setup = config(1);
        let (denials, counters) = (setup.denials.clone(), setup.counters.clone());
        let (server, good, bad) =
            (start(setup).await, start(config(2)).await, start(config(3)).await);
        for client in [&good, &bad] {
            client.connect(&address(&server, "quic")).await.unwrap();
        }
        until("both are connected", || server.peers().len() == 2).await;
        let mut denied = Denied::default();
        denied.add_peer(bad.local_peer());
        denials.replace(denied);
        until("one is shown out", || {
            server.peers().iter().all(|peer| peer.peer != bad.local_peer())
        })
        .await;
        until("it knows", || bad.peers().iter().all(|peer| peer.peer != server.local_peer())).await;
        // Whatever it tries, and whatever we try.
        let _ = bad.connect(&address(&server, "tcp")).await;
        assert!(server.connect(&address(&bad, "tcp")).await.is_err());
        tokio::time::sleep(SECOND / 2).await;
        let names: Vec<_> = server.peers().iter().map(|peer| peer.peer).collect();
        assert_eq!(names, [good.local_peer()]);
        assert!(counters.refused[Refusal::Denied as usize].now() >= 3);
    });
}

#[test]
fn without_memory_newcomers_are_refused() {
    run(async {
        let mut setup = config(1);
        setup.limits.memory_bytes = 1;
        let counters = setup.counters.clone();
        let (server, client) = (start(setup).await, start(hidden(2, Vec::new())).await);
        for transport in ["tcp", "quic", "ws"] {
            let _ = client.connect(&address(&server, transport)).await;
        }
        until("all are refused", || counters.refused[Refusal::Memory as usize].now() >= 3).await;
        assert!(server.peers().is_empty());
    });
}

#[test]
fn circuits_and_reservations_of_a_street_are_bounded() {
    run(async {
        let strict = strict(1, |limits| {
            limits.reservations_per_prefix = 2;
            limits.circuits_per_prefix = 1;
        });
        let counters = strict.counters.clone();
        let relay = start(strict).await;
        let known = vec![address(&relay, "tcp")];
        let nodes = join_all((20..24).map(|n| start(hidden(n, known.clone())))).await;
        let reserved = |node: &&NativeNetwork| {
            node.addresses().iter().any(|addr| addr.contains("p2p-circuit"))
        };
        until("two hold a reservation, the others are refused", || {
            nodes.iter().filter(reserved).count() == 2 && counters.reservations_refused.now() >= 2
        })
        .await;
        assert_eq!(counters.reservations.now(), 2);
        let (inside, outside): (Vec<_>, Vec<_>) = nodes.iter().partition(reserved);
        rpc(inside[0]).serve(ECHO, echo());
        let to = inside[0].local_peer();
        let first = rpc(outside[0]).request(to, ECHO, "x", PATIENCE).await;
        assert!(first.is_ok(), "{first:?}");
        let second = rpc(outside[1]).request(to, ECHO, "x", SECOND * 5).await;
        assert!(second.is_err(), "one circuit for one street");
        assert_eq!((counters.circuits.now(), counters.circuits_accepted.now()), (1, 1));
        assert!(counters.circuits_refused.now() >= 1);
    });
}

#[test]
fn requests_that_come_too_fast_wait_and_are_answered() {
    run(async {
        let strict = strict(1, |limits| limits.requests_per_peer_and_second = 20);
        let counters = strict.counters.clone();
        let (server, client) = (start(strict).await, start(config(2)).await);
        let to = client.connect(&address(&server, "quic")).await.unwrap();
        let serving = rpc(&server);
        serving.serve(ECHO, echo());
        let client = rpc(&client);
        let begun = std::time::Instant::now();
        let all = join_all((0..110).map(|_| client.request(to, ECHO, "x", PATIENCE))).await;
        assert!(all.iter().all(Result::is_ok));
        // Eighty at once, and the other thirty at twenty a second.
        assert!(begun.elapsed() > SECOND, "{:?}", begun.elapsed());
        assert_eq!(counters.requests.now(), 110);
        assert!(counters.requests_slowed.now() >= 20);
    });
}

#[test]
fn a_slow_reader_costs_no_memory_and_no_connection() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 96;
    let raw = Protocol { name: "test-raw", versions: &[1] };
    run(async {
        for transport in ["quic", "tcp", "ws"] {
            let (a, b) = (start(config(1)).await, start(config(2)).await);
            let (asks, answers) = (rpc(&a), rpc(&b));
            answers.serve(ECHO, echo());
            let mut incoming = b.accept(raw);
            let to = a.connect(&address(&b, transport)).await.unwrap();
            let mut out = a.open(to, raw).await.unwrap();
            let written = Rc::new(std::cell::Cell::new(0));
            let (so_far, piece) = (written.clone(), vec![7; PIECE]);
            let writing = tokio::task::spawn_local(async move {
                for _ in 0..PIECES {
                    out.write_all(&piece).await.unwrap();
                    so_far.set(so_far.get() + PIECE);
                }
                out.close().await.unwrap();
            });
            let (_, mut slow) = incoming.next().await.unwrap();
            // It stands still once all windows are full, on a busy machine a little later.
            let (mut stuck, mut still) = (0, 0);
            until("the writer waits", || {
                still = if written.get() > stuck { 0 } else { still + 1 };
                stuck = written.get();
                still >= 100
            })
            .await;
            assert!(stuck <= 24 << 20, "{transport}: {stuck} bytes on their way, a window or two");
            // Others on the same connection are not held up.
            let answer = asks.request(to, ECHO, vec![1; 100_000], PATIENCE).await;
            assert!(answer.is_ok(), "{transport}: {answer:?}");
            let mut read = Vec::new();
            slow.read_to_end(&mut read).await.unwrap();
            assert!(read.len() == PIECE * PIECES && read.iter().all(|byte| *byte == 7));
            writing.await.unwrap();
            assert_eq!(a.peers().len(), 1, "{transport}: still the same connection");
        }
    });
}

fn certificate(name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Certificate { chain: vec![made.cert.der().to_vec()], key: made.key_pair.serialize_der() }
}

#[test]
fn websocket_in_tls_and_a_new_certificate_without_a_restart() {
    run(async {
        let (first, second) = (certificate("localhost"), certificate("localhost"));
        let mut setup = config(1);
        setup.listen = vec!["/ip4/127.0.0.1/tcp/0/tls/ws".to_owned()];
        setup.tls = Tls::new(Some(&first), Vec::new()).unwrap();
        let (tls, counters) = (setup.tls.clone(), setup.counters.clone());
        let server = start(setup).await;
        let port = address(&server, "ws").split('/').nth(4).unwrap().to_owned();
        let at = format!("/dns4/localhost/tcp/{port}/tls/ws/p2p/{}", server.local_peer());
        let client = |n, trusted: &Certificate| {
            let mut setup = hidden(n, Vec::new());
            setup.tls = Tls::new(None, trusted.chain.clone()).unwrap();
            start(setup)
        };
        let (old, new) = (client(2, &first).await, client(3, &second).await);
        old.connect(&at).await.unwrap();
        assert_eq!(old.peers()[0].link, Link::WebSocket);
        assert!(new.connect(&at).await.is_err(), "it does not know this certificate");
        tls.replace(&second).unwrap();
        assert_eq!(new.connect(&at).await.unwrap(), server.local_peer());
        assert_eq!(old.peers().len(), 1, "who was connected stays so");
        until("both are seen", || counters.open.of(Carrier::Wss, true).now() == 2).await;
        let other = certificate("a.example");
        let mixed = Certificate { chain: other.chain, key: second.key.clone() };
        assert!(tls.replace(&mixed).is_err(), "a key of another certificate");
        let garbage = Certificate { chain: second.chain.clone(), key: b"no key".to_vec() };
        assert!(tls.replace(&garbage).is_err());
    });
}
