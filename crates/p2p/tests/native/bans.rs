//! Whoever is disconnected for a time stays away for that time, also when it dials us.

use craftec_p2p::{NetError, Network};

use crate::setup::{
    ECHO, PATIENCE, SECOND, address, config, echo, eventually, rpc, run, start, until,
};

#[test]
fn a_banned_peer_is_dropped_and_comes_back_only_later() {
    run(async {
        let (a, b) = (start(config(1)).await, start(config(2)).await);
        rpc(&b).serve(ECHO, echo());
        rpc(&a).serve(ECHO, echo());
        let (to, from) = (address(&b, "quic"), address(&a, "quic"));
        let liar = a.connect(&to).await.unwrap();
        let client = rpc(&a);
        client.request(liar, ECHO, "x", PATIENCE).await.unwrap();
        a.disconnect(liar, SECOND * 4, "it sent wrong bytes");
        until("both see it gone", || a.peers().is_empty() && b.peers().is_empty()).await;
        let ours = client.request(liar, ECHO, "x", PATIENCE).await;
        assert!(matches!(ours, Err(NetError::Unreachable { .. })), "{ours:?}");
        // It believes to be connected for a moment, and is not.
        let _ = b.connect(&from).await;
        let theirs = rpc(&b).request(a.local_peer(), ECHO, "x", SECOND).await;
        assert!(theirs.is_err(), "{theirs:?}");
        assert!(a.peers().is_empty());
        // Its side of a handshake is done before ours refuses: only an answer shows that it is back.
        let answer = eventually("it may come back", || {
            let (connecting, client) = (b.connect(&from), &client);
            async move {
                connecting.await?;
                client.request(liar, ECHO, "y", SECOND * 5).await
            }
        })
        .await;
        assert_eq!(answer, "y");
    });
}

#[test]
fn a_disconnect_without_a_ban_is_for_now() {
    run(async {
        let (a, b) = (start(config(1)).await, start(config(2)).await);
        rpc(&b).serve(ECHO, echo());
        let peer = a.connect(&address(&b, "tcp")).await.unwrap();
        a.disconnect(peer, std::time::Duration::ZERO, "for now");
        until("it is gone", || a.peers().is_empty()).await;
        a.connect(&address(&b, "tcp")).await.unwrap();
        rpc(&a).request(peer, ECHO, "x", PATIENCE).await.unwrap();
    });
}
