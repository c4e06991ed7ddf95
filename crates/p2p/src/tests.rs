//! Requests and subscriptions between nodes in memory: the ways they succeed, and the ways a peer
//! can misbehave.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{PeerId, limits};
use futures::{
    AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt,
    future::{join_all, pending},
    stream,
};

use crate::{
    Handler, Link, NetError, Network, Protocol, Rpc,
    bounds::Bounds,
    double::{Mesh, TestClock, peer, run},
    frame::{read_frame, write_frame},
};

const ECHO: Protocol = Protocol { name: "echo", versions: &[1] };
const TICK: Protocol = Protocol { name: "tick", versions: &[1] };
const SECOND: Duration = Duration::from_secs(1);

fn rpc(mesh: &Rc<Mesh>, n: u8, bounds: Bounds) -> Rpc {
    Rpc::bounded(mesh.node(n), TestClock::new(), bounds)
}

fn echo() -> Handler {
    Rc::new(|_, _, body| async move { body }.boxed_local())
}

/// A client and a server of [`ECHO`].
fn pair(bounds: Bounds) -> (Rc<Mesh>, Rpc, Rpc, PeerId) {
    let mesh = Rc::new(Mesh::default());
    let (client, server) = (rpc(&mesh, 1, bounds), rpc(&mesh, 2, bounds));
    server.serve(ECHO, echo());
    (mesh, client, server, peer(2))
}

#[test]
fn requests_reuse_one_stream_until_the_link_changes() {
    run(async {
        let (mesh, client, _server, to) = pair(Bounds::default());
        mesh.link(peer(1), to, Link::Relayed);
        tokio::task::yield_now().await;
        for len in [0, 1, 200_000, limits::FRAME_BYTES] {
            let body = Bytes::from(vec![7; len]);
            assert_eq!(client.request(to, ECHO, body.clone(), SECOND * 10).await.unwrap(), body);
        }
        assert_eq!(mesh.opened.borrow()[&peer(1)], 1);
        mesh.link(peer(1), to, Link::WebRtc);
        tokio::task::yield_now().await;
        client.request(to, ECHO, "x", SECOND).await.unwrap();
        assert_eq!(mesh.opened.borrow()[&peer(1)], 2);
    });
}

#[test]
fn too_long_unknown_and_unanswered_requests_fail_by_type() {
    run(async {
        let (mesh, client, server, to) = pair(Bounds::default());
        let long = vec![0; limits::FRAME_BYTES + 1];
        assert!(matches!(client.request(to, ECHO, long, SECOND).await, Err(NetError::Limit(_))));
        let unknown = client.request(to, TICK, "x", SECOND).await;
        assert!(matches!(unknown, Err(NetError::Unsupported { protocol: "tick", .. })));
        server.serve(TICK, Rc::new(|_, _, _| pending().boxed_local()));
        let late = client.request(to, TICK, "x", Duration::from_millis(50)).await;
        assert!(matches!(late, Err(NetError::Timeout { ms: 50, .. })));
        drop(mesh);
    });
}

#[test]
fn a_stale_pooled_stream_is_replaced_once() {
    run(async {
        let idle = Duration::from_millis(50);
        let (mesh, client, _server, to) = pair(Bounds { idle, ..Bounds::default() });
        client.request(to, ECHO, "a", SECOND).await.unwrap();
        // The server closes idle streams before our pool does.
        tokio::time::sleep(idle * 4).await;
        assert_eq!(client.request(to, ECHO, "b", SECOND).await.unwrap(), "b");
        assert_eq!(mesh.opened.borrow()[&peer(1)], 2);
    });
}

#[test]
fn a_server_that_closes_lies_or_stops_midway_is_a_typed_error() {
    run(async {
        let mesh = Rc::new(Mesh::default());
        let client = rpc(&mesh, 1, Bounds::default());
        let mut incoming = mesh.node(2).accept(ECHO);
        let answers: [&[u8]; 3] = [b"", &[0xff, 0xff, 0xff, 0xff, 0x7f], &[5, 1, 2]];
        for (nth, raw) in answers.into_iter().enumerate() {
            let asking = client.request(peer(2), ECHO, "x", SECOND);
            let serving = async {
                let (_, mut stream) = incoming.next().await.unwrap();
                read_frame(&mut stream, 10).await.unwrap();
                stream.write_all(raw).await.unwrap();
            };
            let (answer, ()) = futures::join!(asking, serving);
            match nth {
                1 => assert!(matches!(answer, Err(NetError::Protocol { .. })), "{answer:?}"),
                _ => assert!(matches!(answer, Err(NetError::Lost { .. })), "{answer:?}"),
            }
        }
    });
}

#[test]
fn eager_silent_and_slow_clients_lose_their_stream_only() {
    run(async {
        let bounds = Bounds {
            streams_per_peer: 3,
            idle: SECOND / 10,
            frame: SECOND / 10,
            ..Bounds::default()
        };
        let (mesh, client, _server, to) = pair(bounds);
        let eager = mesh.node(3);
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(eager.open(to, ECHO).await.unwrap());
        }
        tokio::task::yield_now().await;
        // The fourth was cut at once, the silent ones after the idle time.
        assert!(write_frame(&mut streams[3], b"x").await.is_err());
        // A frame that is promised and never sent.
        streams[0].write_all(&[100, 1, 2, 3]).await.unwrap();
        assert_eq!(client.request(to, ECHO, "fine", SECOND).await.unwrap(), "fine");
        tokio::time::sleep(SECOND / 2).await;
        for stream in &mut streams[..3] {
            assert!(write_frame(stream, b"x").await.is_err());
        }
        // A reader that never reads its answer.
        let mut slow = eager.open(to, ECHO).await.unwrap();
        write_frame(&mut slow, &[0; 300_000]).await.unwrap();
        tokio::time::sleep(SECOND / 2).await;
        let mut got = Vec::new();
        slow.read_to_end(&mut got).await.unwrap();
        assert!(got.len() < 300_000);
    });
}

#[test]
fn concurrency_is_bounded_on_both_sides() {
    run(async {
        let bounds = Bounds { requests_per_peer: 2, asked_per_peer: 5, ..Bounds::default() };
        let mesh = Rc::new(Mesh::default());
        let (client, server) = (rpc(&mesh, 1, bounds), rpc(&mesh, 2, bounds));
        let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let seen = most.clone();
        server.serve(
            ECHO,
            Rc::new(move |_, _, body| {
                let (running, most) = (running.clone(), most.clone());
                async move {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    tokio::time::sleep(SECOND / 100).await;
                    running.set(running.get() - 1);
                    body
                }
                .boxed_local()
            }),
        );
        let all = (0..30).map(|i: u8| client.request(peer(2), ECHO, vec![i], SECOND * 5));
        for (i, answer) in join_all(all).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), vec![i as u8]);
        }
        assert_eq!(seen.get(), 2);
        assert!(mesh.opened.borrow()[&peer(1)] <= 5);
    });
}

#[test]
fn a_subscription_yields_ends_and_is_cancelled_by_dropping() {
    run(async {
        let mesh = Rc::new(Mesh::default());
        let (client, server) = (rpc(&mesh, 1, Bounds::default()), rpc(&mesh, 2, Bounds::default()));
        let dropped = Rc::new(RefCell::new(Vec::new()));
        struct Told(Rc<RefCell<Vec<Bytes>>>, Bytes);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.borrow_mut().push(self.1.clone());
            }
        }
        let log = dropped.clone();
        server.serve_subscriptions(
            TICK,
            Rc::new(move |_, _, body: Bytes| {
                let told = Told(log.clone(), body.clone());
                let first = stream::iter((0..3u8).map(|i| Bytes::from(vec![i])));
                let rest = if body == "all" {
                    stream::empty().boxed_local()
                } else {
                    stream::pending().boxed_local()
                };
                first
                    .chain(rest)
                    .inspect(move |_| {
                        let _ = &told;
                    })
                    .boxed_local()
            }),
        );
        let all: Vec<_> = client.subscribe(peer(2), TICK, "all").collect().await;
        let all: Vec<u8> = all.into_iter().map(|item| item.unwrap()[0]).collect();
        assert_eq!(all, [0, 1, 2]);
        let mut some = client.subscribe(peer(2), TICK, "some");
        assert_eq!(some.next().await.unwrap().unwrap(), vec![0]);
        assert_eq!(*dropped.borrow(), ["all"]);
        drop(some);
        tokio::time::sleep(SECOND / 20).await;
        assert_eq!(*dropped.borrow(), ["all", "some"]);
        let none: Vec<_> = client.subscribe(peer(2), ECHO, "x").collect().await;
        assert!(matches!(none[..], [Err(NetError::Unsupported { .. })]));
    });
}

#[test]
fn a_slow_reader_is_given_time_and_holds_the_server_back() {
    run(async {
        let limit = SECOND / 4;
        let bounds = Bounds { frame: limit, ..Bounds::default() };
        let (mesh, _client, server, to) = pair(bounds);
        let made = Rc::new(Cell::new(0usize));
        let count = made.clone();
        server.serve_subscriptions(
            TICK,
            Rc::new(move |_, _, _| {
                let count = count.clone();
                let items = stream::iter((0..1000u32).map(move |_| {
                    count.set(count.get() + 1);
                    Bytes::from(vec![5; 400_000])
                }));
                items.boxed_local()
            }),
        );
        let slow = mesh.node(3);
        let mut stream = slow.open(to, TICK).await.unwrap();
        write_frame(&mut stream, b"all").await.unwrap();
        // Far slower than `frame` for a whole item, and never still for that long.
        let begun = std::time::Instant::now();
        let (mut piece, mut got) = (vec![0; 16 << 10], 0);
        while got < 3 * 400_000 {
            got += stream.read(&mut piece).await.unwrap();
            tokio::time::sleep(limit / 20).await;
        }
        assert!(begun.elapsed() > limit * 3, "the test reads too fast to show anything");
        assert!(made.get() <= 5, "{} items were made for a reader of three", made.get());
        // One that stands still is cut.
        tokio::time::sleep(limit * 3).await;
        let mut rest = 0;
        while let Ok(more @ 1..) = stream.read(&mut piece).await {
            rest += more;
        }
        assert!(rest < 1_000_000, "{rest}");
        assert!(made.get() <= 6);
    });
}

#[test]
fn a_slow_writer_is_given_time_and_one_that_stands_still_is_cut() {
    run(async {
        let limit = SECOND / 4;
        let bounds = Bounds { frame: limit, ..Bounds::default() };
        let (mesh, _client, _server, to) = pair(bounds);
        let body = vec![3; 600_000];
        let slow = mesh.node(3);
        let mut stream = slow.open(to, ECHO).await.unwrap();
        let mut frame = Vec::new();
        write_frame(&mut frame, &body).await.unwrap();
        for piece in frame.chunks(16 << 10) {
            stream.write_all(piece).await.unwrap();
            tokio::time::sleep(limit / 20).await;
        }
        assert_eq!(read_frame(&mut stream, body.len()).await.unwrap().unwrap(), body);
        stream.write_all(&frame[..1000]).await.unwrap();
        tokio::time::sleep(limit * 2).await;
        assert!(stream.write_all(&frame[1000..]).await.is_err());
    });
}

#[test]
fn followers_are_bounded_per_peer_and_a_place_is_free_again() {
    run(async {
        let bounds = Bounds { subscriptions_per_peer: 2, ..Bounds::default() };
        let mesh = Rc::new(Mesh::default());
        let (client, server) = (rpc(&mesh, 1, bounds), rpc(&mesh, 2, bounds));
        server.serve_subscriptions(
            TICK,
            Rc::new(|_, _, _| {
                stream::iter([Bytes::from_static(b"x")]).chain(stream::pending()).boxed_local()
            }),
        );
        let mut held: Vec<_> = (0..2).map(|_| client.subscribe(peer(2), TICK, "x")).collect();
        for held in &mut held {
            assert_eq!(held.next().await.unwrap().unwrap(), "x");
        }
        let one_more = client.subscribe(peer(2), TICK, "x").next().await;
        assert!(!matches!(one_more, Some(Ok(_))), "{one_more:?}");
        held.pop();
        tokio::time::sleep(SECOND / 20).await;
        let again = client.subscribe(peer(2), TICK, "x").next().await;
        assert_eq!(again.unwrap().unwrap(), "x");
    });
}
