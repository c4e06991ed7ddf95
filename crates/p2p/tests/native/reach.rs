//! What a node finds out about its own reachability, and what others may make it dial.

use craftec_p2p::{Network, Reachability};

use crate::setup::{address, config, hidden, run, start, until};

#[test]
fn a_node_that_listens_is_confirmed_and_one_that_does_not_is_found_wanting() {
    run(async {
        let relay = start(config(1)).await;
        let mut listening = config(2);
        listening.relays = vec![address(&relay, "quic")];
        let listening = start(listening).await;
        let hidden = start(hidden(3, vec![address(&relay, "tcp")])).await;
        assert_eq!(listening.reach().state, Reachability::Unknown, "nobody has tried yet");
        until("it is reached", || listening.reach().state == Reachability::Public).await;
        let reach = listening.reach();
        let us = format!("/p2p/{}", listening.local_peer());
        assert!(reach.confirmed.iter().all(|addr| addr.ends_with(&us)), "{reach:?}");
        assert!(reach.confirmed.iter().any(|addr| addr.contains("/quic-v1")), "{reach:?}");
        until("it is not reached", || hidden.reach().state == Reachability::Nat).await;
        assert!(hidden.reach().confirmed.is_empty());
        // Nobody can be asked by a node that dials nobody.
        assert_eq!(relay.reach().state, Reachability::Unknown);
    });
}
