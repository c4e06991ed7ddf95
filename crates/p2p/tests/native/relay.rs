//! Nodes that only dial relays reach each other through them, also after a relay came back.

use craftec_p2p::{Link, NetError, Network, native};
use futures::{StreamExt, future::join_all};

use crate::setup::{
    ECHO, PATIENCE, SECOND, address, config, dht_key, echo, eventually, free_port, hidden, rpc,
    run, start, until,
};

#[test]
fn two_nodes_that_only_dial_the_relay_reach_each_other() {
    run(async {
        for transport in ["ws", "quic"] {
            let relay = start(config(1)).await;
            let known = vec![address(&relay, transport)];
            let (a, b) = (start(hidden(2, known.clone())).await, start(hidden(3, known)).await);
            let circuits = |addrs: Vec<String>| addrs.iter().any(|a| a.contains("p2p-circuit"));
            until("both hold a reservation", || circuits(a.addresses()) && circuits(b.addresses()))
                .await;
            rpc(&b).serve(ECHO, echo());
            let body = vec![9; 1 << 20];
            let answer = rpc(&a).request(b.local_peer(), ECHO, body.clone(), PATIENCE).await;
            assert!(answer.unwrap() == body);
            let peers = a.peers();
            let info = peers.iter().find(|p| p.peer == b.local_peer()).unwrap();
            assert_eq!((info.link, info.via), (Link::Relayed, Some(relay.local_peer())));
            let back = b.peers();
            let info = back.iter().find(|p| p.peer == a.local_peer()).unwrap();
            assert_eq!((info.link, info.via), (Link::Relayed, Some(relay.local_peer())));
        }
    });
}

#[test]
fn one_relay_carries_many_nodes_of_one_machine() {
    const NODES: u8 = 12;
    run(async {
        let relay = start(config(1)).await;
        let known = vec![address(&relay, "ws")];
        let starting = (0..NODES).map(|n| start(hidden(50 + n, known.clone())));
        let nodes = join_all(starting).await;
        for node in &nodes {
            until("it holds a reservation", || {
                node.addresses().iter().any(|a| a.contains("p2p-circuit"))
            })
            .await;
            rpc(node).serve(ECHO, echo());
        }
        let clients: Vec<_> = nodes.iter().map(rpc).collect();
        let mut asked = Vec::new();
        for (at, client) in clients.iter().enumerate() {
            // Several at once to a peer that is not connected yet share one dial.
            for step in [1, 1, 1, 2, 5] {
                let to = nodes[(at + step) % nodes.len()].local_peer();
                asked.push(client.request(to, ECHO, vec![at as u8; 10_000], PATIENCE));
            }
        }
        for answer in join_all(asked).await {
            assert_eq!(answer.unwrap().len(), 10_000);
        }
        assert_eq!(relay.peers().len(), usize::from(NODES));
    });
}

#[test]
fn a_direct_connection_takes_over_and_the_relayed_one_is_closed() {
    run(async {
        let relay = start(config(1)).await;
        let known = vec![address(&relay, "quic")];
        let a = start(hidden(2, known.clone())).await;
        let mut listening = hidden(3, known);
        listening.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
        let b = start(listening).await;
        let direct = address(&b, "quic");
        until("b holds a reservation", || b.addresses().iter().any(|a| a.contains("p2p-circuit")))
            .await;
        rpc(&b).serve(ECHO, echo());
        let client = rpc(&a);
        let to = b.local_peer();
        client.request(to, ECHO, "x", PATIENCE).await.unwrap();
        let link = |of: &native::NativeNetwork, peer| {
            of.peers().iter().find(|p| p.peer == peer).map(|p| p.link)
        };
        // Begun over the circuit; a punched hole may be as quick as this dial.
        assert!(matches!(link(&a, to), Some(Link::Relayed | Link::Quic)));
        a.connect(&direct).await.unwrap();
        assert_eq!(link(&a, to), Some(Link::Quic));
        until("b sees it too", || link(&b, a.local_peer()) == Some(Link::Quic)).await;
        // Requests go on meanwhile, and after the relay is gone.
        for _ in 0..70 {
            client.request(to, ECHO, "y", PATIENCE).await.unwrap();
            tokio::time::sleep(SECOND / 10).await;
        }
        relay.shutdown();
        until("the relay is gone", || link(&a, relay.local_peer()).is_none()).await;
        for _ in 0..20 {
            client.request(to, ECHO, "z", SECOND * 5).await.unwrap();
        }
        assert_eq!(link(&a, to), Some(Link::Quic));
    });
}

#[test]
fn a_peer_at_another_relay_is_found_and_reached() {
    run(async {
        let near = start(config(1)).await;
        let mut far = config(4);
        far.relays = vec![address(&near, "tcp")];
        let far = start(far).await;
        let a = start(hidden(2, vec![address(&near, "ws")])).await;
        let b = start(hidden(3, vec![address(&far, "ws")])).await;
        until("b holds a reservation", || b.addresses().iter().any(|a| a.contains("p2p-circuit")))
            .await;
        rpc(&b).serve(ECHO, echo());
        b.provide(dht_key(5)).await.unwrap();
        let found = eventually("finds it", || {
            let mut found = a.providers(dht_key(5));
            async move { found.next().await.ok_or(NetError::Dht("nobody".to_owned())) }
        })
        .await;
        let client = rpc(&a);
        let answer = eventually("reaches it", || client.request(found, ECHO, "x", PATIENCE)).await;
        assert_eq!(answer, "x");
    });
}

#[test]
fn a_relay_that_comes_back_is_found_again() {
    run(async {
        let port = free_port();
        let at = |port| vec![format!("/ip4/127.0.0.1/udp/{port}/quic-v1")];
        let mut config_of_relay = config(1);
        config_of_relay.listen = at(port);
        let relay = start(config_of_relay.clone()).await;
        // The address does not say who is there.
        let (a, b) = (start(hidden(2, at(port))).await, start(hidden(3, at(port))).await);
        let reserved = |node: &native::NativeNetwork| {
            node.addresses().iter().any(|a| a.contains("p2p-circuit"))
        };
        until("both hold a reservation", || reserved(&a) && reserved(&b)).await;
        rpc(&b).serve(ECHO, echo());
        a.provide(dht_key(6)).await.unwrap();
        let client = rpc(&a);
        client.request(b.local_peer(), ECHO, "x", PATIENCE).await.unwrap();
        relay.shutdown();
        drop(relay);
        until("the relay is gone", || a.peers().is_empty() && b.peers().is_empty()).await;
        let gone = client.request(b.local_peer(), ECHO, "x", SECOND * 12).await;
        assert!(matches!(gone, Err(NetError::Unreachable { .. })), "{gone:?}");
        let relay = eventually("starts again", || native::start(config_of_relay.clone())).await;
        until("both hold a reservation again", || reserved(&a) && reserved(&b)).await;
        let answer =
            eventually("reaches it", || client.request(b.local_peer(), ECHO, "y", PATIENCE)).await;
        assert_eq!(answer, "y");
        // The relay lost what it knew, and was told again.
        eventually("provides again", || {
            let mut found = relay.providers(dht_key(6));
            async move { found.next().await.ok_or(NetError::Dht("nobody".to_owned())) }
        })
        .await;
    });
}
