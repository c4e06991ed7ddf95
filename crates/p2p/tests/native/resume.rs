//! Coming back: after a long absence of the relay a node that is told that the network is back does
//! not sit out its pause.

use std::time::Instant;

use craftec_p2p::{Network, native};

use crate::setup::{SECOND, config, eventually, free_port, hidden, run, start, until};

#[test]
fn a_node_that_wakes_up_dials_at_once() {
    run(async {
        let port = free_port();
        let at = vec![format!("/ip4/127.0.0.1/tcp/{port}")];
        let (woken, asleep) =
            (start(hidden(2, at.clone())).await, start(hidden(3, at.clone())).await);
        // Each failed dial doubles the pause, to half a minute at last.
        tokio::time::sleep(SECOND * 24).await;
        let mut relay = config(1);
        relay.listen = at;
        let relay = eventually("starts", || native::start(relay.clone())).await;
        let begun = Instant::now();
        woken.resume();
        until("it is connected", || !woken.peers().is_empty()).await;
        let took = begun.elapsed();
        println!(
            "connected {took:?} after waking up; the other is {}",
            if asleep.peers().is_empty() { "not yet" } else { "by chance, too" }
        );
        assert!(took < SECOND * 3, "{took:?}");
        drop(relay);
    });
}
