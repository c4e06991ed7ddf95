//! Requests, subscriptions and raw streams between two nodes.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use craftec_core::limits;
use craftec_p2p::{
    Link, NetError, NetEvent, Network, Protocol, Role, frame, native, native::NativeConfig,
};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, future::join_all, stream};

use crate::setup::{
    Check, ECHO, PATIENCE, SECOND, address, config, echo, free_port, key, rpc, run, start, until,
};

fn over(transport: &'static str, link: Link) {
    run(async {
        let (a, b) = (start(config(1)).await, start(config(2)).await);
        let server = rpc(&b);
        server.serve(ECHO, echo());
        let count = Protocol { name: "test-count", versions: &[1] };
        server.serve_subscriptions(
            count,
            Rc::new(|_, _, body: Bytes| {
                stream::iter((0..body[0]).map(|i| Bytes::from(vec![i; 100_000]))).boxed_local()
            }),
        );
        let to = a.connect(&address(&b, transport)).await.unwrap();
        assert_eq!(to, b.local_peer());
        assert_eq!(a.peers()[0].link, link);
        let client = rpc(&a);
        for len in [0, 1, 1 << 20, limits::FRAME_BYTES] {
            let body = Bytes::from((0..len).map(|i| i as u8).collect::<Vec<_>>());
            let answer = client.request(to, ECHO, body.clone(), PATIENCE).await.unwrap();
            assert!(answer == body, "{len} bytes came back changed");
        }
        let many = (0..100u8).map(|i| client.request(to, ECHO, vec![i; 50_000], PATIENCE));
        assert!(join_all(many).await.into_iter().all(|answer| answer.is_ok()));
        let items: Vec<_> = client.subscribe(to, count, vec![40]).collect().await;
        assert_eq!(items.len(), 40);
        assert!(
            items.into_iter().enumerate().all(|(i, item)| item.unwrap()[..] == [i as u8; 100_000])
        );
        until("both know each other", || {
            a.peers().iter().chain(&b.peers()).filter(|p| p.role == Role::Relay).count() == 2
                && a.peers()[0].rtt_ms.is_some()
        })
        .await;
        let expected = match link {
            Link::WebSocket => limits::IN_FLIGHT_BYTES_TAB,
            _ => limits::IN_FLIGHT_BYTES_NATIVE,
        };
        assert_eq!(a.in_flight_bytes(to), expected);
    });
}

#[test]
fn quic_carries_requests_and_subscriptions() {
    over("quic", Link::Quic);
}

#[test]
fn tcp_carries_requests_and_subscriptions() {
    over("tcp", Link::Tcp);
}

#[test]
fn websocket_carries_requests_and_subscriptions() {
    over("ws", Link::WebSocket);
}

#[test]
fn versions_are_agreed_on_and_unknown_protocols_refused() {
    const NEW: Protocol = Protocol { name: "test-version", versions: &[2, 1] };
    const OLD: Protocol = Protocol { name: "test-version", versions: &[1] };
    const OTHER: Protocol = Protocol { name: "test-version", versions: &[3] };
    run(async {
        let (a, b) = (start(config(1)).await, start(config(2)).await);
        let to = a.connect(&address(&b, "quic")).await.unwrap();
        let unserved = a.open(to, NEW).await.map(|_| ());
        assert!(matches!(unserved, Err(NetError::Unsupported { protocol: "test-version", .. })));
        // Served from now on, on a connection that is already up.
        let mut incoming = b.accept(OLD);
        let mut opened = a.open(to, NEW).await.unwrap();
        assert_eq!(opened.version, 1);
        let (from, mut accepted) = incoming.next().await.unwrap();
        assert_eq!((from, accepted.version), (a.local_peer(), 1));
        opened.write_all(b"hello").await.unwrap();
        opened.close().await.unwrap();
        let mut got = Vec::new();
        accepted.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"hello");
        let other = a.open(to, OTHER).await.map(|_| ());
        assert!(matches!(other, Err(NetError::Unsupported { .. })), "{other:?}");
        drop(incoming);
        let mut both = b.accept(NEW);
        assert_eq!(a.open(to, NEW).await.unwrap().version, 2);
        assert_eq!(both.next().await.unwrap().1.version, 2);
    });
}

#[test]
fn broken_frames_are_typed_errors() {
    run(async {
        let (a, b) = (start(config(1)).await, start(config(2)).await);
        let to = a.connect(&address(&b, "tcp")).await.unwrap();
        let mut incoming = b.accept(ECHO);
        let serve = async {
            let answers: [&[u8]; 2] = [&[0xff, 0xff, 0xff, 0x7f], &[100, 1, 2, 3]];
            for raw in answers {
                let (_, mut stream) = incoming.next().await.unwrap();
                frame::read_frame(&mut stream, 100).await.unwrap();
                stream.write_all(raw).await.unwrap();
                stream.close().await.unwrap();
            }
        };
        let client = rpc(&a);
        let ask = async {
            let oversized = client.request(to, ECHO, "x", PATIENCE).await;
            assert!(matches!(oversized, Err(NetError::Protocol { .. })), "{oversized:?}");
            let truncated = client.request(to, ECHO, "x", PATIENCE).await;
            assert!(matches!(truncated, Err(NetError::Lost { .. })), "{truncated:?}");
        };
        futures::join!(serve, ask);
    });
}

#[test]
fn who_cannot_be_reached_fails_soon_and_says_why() {
    run(async {
        let a = start(config(1)).await;
        let stranger = key(99).peer_id();
        let begun = Instant::now();
        let unknown = a.open(stranger, ECHO).await.map(|_| ());
        assert!(matches!(unknown, Err(NetError::Unreachable { .. })), "{unknown:?}");
        assert!(begun.elapsed() < SECOND, "nobody to ask, nothing to wait for");
        // An address where nobody answers: packets to it vanish.
        let addr = format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{stranger}", free_port());
        let begun = Instant::now();
        let dead = a.connect(&addr).await;
        assert!(matches!(dead, Err(NetError::Unreachable { .. })), "{dead:?}");
        assert!(begun.elapsed() < PATIENCE);
        let wrong = a.connect("not an address").await;
        assert!(matches!(wrong, Err(NetError::Address { .. })));
        // Somebody else lives there.
        let b = start(config(2)).await;
        let addr = address(&b, "tcp").replace(&b.local_peer().to_string(), &stranger.to_string());
        let wrong = a.connect(&addr).await;
        assert!(matches!(wrong, Err(NetError::Unreachable { .. })), "{wrong:?}");
        assert!(a.open(a.local_peer(), ECHO).await.is_err());
    });
}

#[test]
fn a_port_in_use_is_said_and_events_follow_a_peer() {
    run(async {
        let a = start(config(1)).await;
        let mut events = a.events();
        let b = start(config(2)).await;
        let taken = address(&b, "quic");
        let mut clash = config(3);
        clash.listen = vec![taken.split("/p2p/").next().unwrap().to_owned()];
        let error = native::start(clash).await.unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        b.connect(&address(&a, "quic")).await.unwrap();
        let peer = b.local_peer();
        let first = events.next().await.unwrap();
        assert!(matches!(first, NetEvent::Connected(info) if info.peer == peer));
        let (protocol, late) = (ECHO, a.clone());
        b.shutdown();
        let gone = async { while events.next().await != Some(NetEvent::Disconnected(peer)) {} };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
        assert!(late.peers().is_empty());
        until("it is shut down", || {
            matches!(
                b.open(a.local_peer(), protocol).map(|r| r.map(|_| ())).now_or_never(),
                Some(Err(NetError::Closed))
            )
        })
        .await;
        assert!(matches!(b.records(crate::setup::dht_key(1)).await, Err(NetError::Closed)));
    });
}

#[test]
fn by_default_it_listens_everywhere_with_every_transport() {
    run(async {
        let node = start(NativeConfig::new(key(1), Arc::new(Check::default()))).await;
        let all = node.addresses();
        for transport in ["/quic-v1", "/tcp/", "/ws"] {
            assert!(all.iter().any(|a| a.starts_with("/ip4/") && a.contains(transport)), "{all:?}");
        }
        let us = format!("/p2p/{}", node.local_peer());
        assert!(all.iter().all(|addr| addr.ends_with(&us) && !addr.contains("/0.0.0.0/")));
        let none = NativeConfig { listen: vec!["/ip4/127.0.0.1/sctp/1".to_owned()], ..config(2) };
        assert!(matches!(native::start(none).await, Err(NetError::Address { .. })));
    });
}

/// Not a benchmark, but it notices when a window stands still: 64 MiB in well under the time.
#[test]
fn a_large_transfer_does_not_stand_still() {
    run(async {
        for transport in ["quic", "tcp", "ws"] {
            let (a, b) = (start(config(1)).await, start(config(2)).await);
            let block = Bytes::from(vec![7; 1 << 20]);
            rpc(&b).serve(
                ECHO,
                Rc::new(move |_, _, _| {
                    let block = block.clone();
                    async move { block }.boxed_local()
                }),
            );
            let to = a.connect(&address(&b, transport)).await.unwrap();
            let client = rpc(&a);
            let begun = Instant::now();
            let asks = stream::iter(0..64).map(|_| client.request(to, ECHO, "x", PATIENCE));
            let all: Vec<_> = asks.buffer_unordered(4).collect().await;
            assert!(all.iter().all(|answer| answer.as_ref().unwrap().len() == 1 << 20));
            let took = begun.elapsed();
            println!("{transport}: {:.0} MB/s", 64.0 * 1.048_576 / took.as_secs_f64());
            assert!(took < Duration::from_secs(30), "{transport}: {took:?}");
        }
    });
}
