//! Endpoints of a running node: whatever a peer writes on a stream, and whatever a client commands,
//! is answered or refused, and the node goes on.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]

use std::{rc::Rc, time::Duration};

use craftec_api::{Command, Reply, ToNode};
use craftec_core::{TransportKey, cbor, limits};
use craftec_obj::{audit, exchange, replicate};
use craftec_p2p::{Protocol, Role, SharedNetwork, frame::write_frame};
use craftec_platform::timeout;
use craftec_sim::{Cluster, ClusterError, Joined, Weather};
use futures::{AsyncReadExt, AsyncWriteExt, io::Cursor};

/// Virtual time for one input: more than any endpoint may take for an answer.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long a stranger waits for an answer: longer than a copy may be pulled.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `act` in a world with one node, which must still answer afterwards.
fn with_node<F: Future<Output = Result<(), ClusterError>> + 'static>(
    act: impl FnOnce(Cluster) -> F + 'static,
) {
    let run = Cluster::run(1, Weather::CALM, LIMIT, |cluster| async move {
        cluster.start(1, Role::Relay).await?;
        act(cluster.clone()).await?;
        let status = cluster.session(0)?.call(Command::Status).await;
        assert!(matches!(status, Ok(Reply::Status(_))), "{status:?}");
        Ok(())
    });
    assert!(run.is_ok(), "{run:?}");
}

/// What a stranger writes: the first byte chooses the protocol, and whether the rest is a frame.
pub fn stream(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (first, rest) = (*first, rest.to_vec());
    with_node(move |cluster| async move {
        let protocol: Protocol = match first & 5 {
            0 => exchange::wire::PROTOCOL,
            1 => replicate::wire::PROTOCOL,
            _ => audit::wire::PROTOCOL,
        };
        let mut sent = Cursor::new(Vec::new());
        if first & 2 == 0 {
            // Too long for a frame: it goes as it is.
            if write_frame(&mut sent, &rest).await.is_err() {
                sent = Cursor::new(rest);
            }
        } else {
            sent = Cursor::new(rest);
        }
        let peer = TransportKey::from_seed([9; 32]).peer_id();
        let check = cluster.record_check();
        let joined = Joined { peer, role: Role::Tab, check };
        let network: SharedNetwork = Rc::new(cluster.fabric().join(joined));
        let node = cluster.peer(0)?;
        let opened = network.open(node, protocol).await;
        assert!(opened.is_ok(), "{:?}", opened.err());
        let Ok(mut stream) = opened else { return Ok(()) };
        // It may cut us while we write, and need not answer.
        let _ = stream.write_all(&sent.into_inner()).await;
        let _ = stream.close().await;
        let mut answer = Vec::new();
        let mut most = stream.take(limits::FRAME_BYTES as u64 + 16);
        let reading = most.read_to_end(&mut answer);
        let ended = timeout(cluster.clock(), PATIENCE, reading).await;
        assert!(ended.is_ok(), "the stream stays open without an end");
        Ok(())
    });
}

/// A command of a client, whatever its arguments.
pub fn session(bytes: &[u8]) {
    let Ok(frame) = cbor::decode::<ToNode>(bytes, limits::API_FRAME_BYTES) else { return };
    with_node(move |cluster| async move {
        let called = cluster.session(0)?;
        let answer = timeout(cluster.clock(), PATIENCE, called.call(frame.command)).await;
        if let Err(error) = answer {
            panic!("no answer: {error}");
        }
        Ok(())
    });
}
