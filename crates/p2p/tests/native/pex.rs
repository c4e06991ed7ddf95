//! Peer exchange over real connections: who never heard of each other gets to know each other, links
//! directly where that works, and holds together when the relay is gone.

use std::{rc::Rc, time::Instant};

use craftec_core::PeerId;
use craftec_p2p::{
    Link, Network, Role, Rpc,
    native::NativeNetwork,
    pex::{
        self,
        wire::{Answer, Ask, PEERS, PROTOCOL},
    },
};
use craftec_platform::native::OsEntropy;

use crate::setup::{
    ECHO, PATIENCE, SECOND, TestClock, address, config, echo, hidden, rpc, run, start, until,
};

fn exchange(node: &NativeNetwork, role: Role) -> Rpc {
    let rpc = rpc(node);
    pex::start(&rpc, Rc::new(TestClock::new()), Rc::new(OsEntropy), role);
    rpc
}

/// A node that says it is a tab, and can be dialed over QUIC (as tabs can over WebRTC).
async fn tab(n: u8, relay: &str) -> (NativeNetwork, Rpc) {
    let mut config = hidden(n, vec![relay.to_owned()]);
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
    let node = start(config).await;
    let rpc = exchange(&node, Role::Tab);
    (node, rpc)
}

fn direct(node: &NativeNetwork) -> Vec<PeerId> {
    let peers = node.peers().into_iter();
    peers.filter(|p| p.role == Role::Tab && p.link != Link::Relayed).map(|p| p.peer).collect()
}

#[test]
fn nodes_of_one_relay_link_to_each_other_and_outlive_it() {
    const TABS: u8 = 7;
    run(async {
        let relay = start(config(1)).await;
        let relay_rpc = exchange(&relay, Role::Relay);
        let at = address(&relay, "tcp");
        let mut tabs = Vec::new();
        for n in 0..TABS {
            tabs.push(tab(20 + n, &at).await);
        }
        let begun = Instant::now();
        until("each has links of its own", || tabs.iter().all(|(tab, _)| direct(tab).len() >= 4))
            .await;
        println!("{TABS} nodes linked after {:?}", begun.elapsed());
        // Nobody of them ever asked another for anything else. The relay dies.
        drop(relay_rpc);
        relay.shutdown();
        let gone = relay.local_peer();
        until("the relay is gone", || {
            tabs.iter().all(|(tab, _)| tab.peers().iter().all(|p| p.peer != gone))
        })
        .await;
        tokio::time::sleep(SECOND * 6).await;
        for (tab, rpc) in &tabs {
            rpc.serve(ECHO, echo());
            assert!(direct(tab).len() >= 4, "{:?}", tab.peers());
        }
        for (tab, rpc) in &tabs {
            let to = direct(tab)[0];
            assert_eq!(rpc.request(to, ECHO, "still here", PATIENCE).await.unwrap(), "still here");
        }
    });
}

#[test]
fn answers_are_bounded_and_not_too_frequent() {
    run(async {
        let relay = start(config(1)).await;
        let _relay_rpc = exchange(&relay, Role::Relay);
        let at = address(&relay, "quic");
        let mut others = Vec::new();
        for n in 0..PEERS as u8 + 4 {
            others.push(start(hidden(30 + n, vec![at.clone()])).await);
        }
        until("all are known as what they are", || {
            relay.peers().iter().filter(|p| p.role == Role::Tab).count() == others.len()
        })
        .await;
        let (asker, known) = (rpc(&others[0]), others[1..].iter().map(Network::local_peer));
        let known: Vec<PeerId> = known.collect();
        let ask = |count| Ask { count }.encode().unwrap();
        let to = relay.local_peer();
        let answer = asker.request(to, PROTOCOL, ask(255), PATIENCE).await.unwrap();
        let answer = Answer::decode(&answer).unwrap();
        assert_eq!(answer.peers.len(), PEERS);
        assert!(answer.peers.iter().all(|told| known.contains(&told.id)));
        assert!(answer.wait_ms > 0);
        let again = asker.request(to, PROTOCOL, ask(255), PATIENCE).await.unwrap();
        assert!(Answer::decode(&again).unwrap().peers.is_empty(), "it asked too soon");
        let other = rpc(&others[1]).request(to, PROTOCOL, ask(2), PATIENCE).await.unwrap();
        assert_eq!(Answer::decode(&other).unwrap().peers.len(), 2);
        let nonsense = rpc(&others[2]).request(to, PROTOCOL, "nonsense", PATIENCE).await.unwrap();
        assert!(Answer::decode(&nonsense).unwrap().peers.is_empty());
    });
}
