//! What a person does with a node, over a session.

use std::time::Duration;

use craftec_api::{ApiError, Command, Reply};
use craftec_core::Cid;
use craftec_node::Session;
use craftec_platform::{Clock, Entropy, sim::SimEntropy};
use serde_bytes::ByteBuf;

use crate::{Cluster, ClusterError};

/// Bytes of one upload chunk.
const CHUNK_BYTES: usize = 1 << 20;

/// Has a node do something that it must not refuse.
pub(super) async fn call(
    cluster: &Cluster,
    index: usize,
    command: Command,
) -> Result<Reply, ClusterError> {
    let reply = cluster.session(index)?.call(command).await;
    reply.map_err(|source| ClusterError::Refused { index, source })
}

/// Waits until each object has as many holders as are wanted for each of its shards, as its author sees it;
/// in words, which had not within `limit`.
pub(super) async fn await_spread(
    cluster: &Cluster,
    objects: &[(usize, Cid)],
    limit: Duration,
) -> Result<Vec<String>, ClusterError> {
    let begun = cluster.clock().monotonic();
    loop {
        let mut short = Vec::new();
        for (author, cid) in objects {
            let stat = cluster.session(*author)?.call(Command::Stat { cid: *cid }).await;
            let Ok(Reply::Stat(stat)) = stat else { continue };
            let health = stat.health;
            if health.needed == 1 || health.signed < health.wanted {
                short.push(format!("{cid} is not spread: {health:?}"));
            }
        }
        if short.is_empty() || cluster.clock().monotonic() - begun > limit {
            return Ok(short);
        }
        cluster.sleep(Duration::from_secs(2)).await;
    }
}

/// Puts `content` with the given number of copies.
pub(super) async fn put(session: &Session, content: &[u8], replicas: u16) -> Result<Cid, ApiError> {
    put_as(session, content, Some(replicas)).await
}

/// Puts `content` as the defaults say: coded, if it is large and there are enough nodes.
pub(super) async fn put_coded(session: &Session, content: &[u8]) -> Result<Cid, ApiError> {
    put_as(session, content, None).await
}

async fn put_as(session: &Session, content: &[u8], replicas: Option<u16>) -> Result<Cid, ApiError> {
    let open = Command::PutOpen { replicas, redundancy: None, name: None };
    let Reply::Handle { handle } = session.call(open).await? else { return Err(odd()) };
    for chunk in content.chunks(CHUNK_BYTES) {
        let bytes = ByteBuf::from(chunk);
        session.call(Command::PutChunk { handle, bytes }).await?;
    }
    match session.call(Command::PutClose { handle }).await? {
        Reply::Stored { cid, .. } => Ok(cid),
        _ => Err(odd()),
    }
}

/// Reads all of an object.
pub(super) async fn get(session: &Session, cid: Cid) -> Result<Vec<u8>, ApiError> {
    let open = Command::GetOpen { cid, path: String::new(), range: None };
    let Reply::Opened(opened) = session.call(open).await? else { return Err(odd()) };
    let handle = opened.handle;
    let mut content = Vec::new();
    loop {
        let Reply::Bytes { bytes } = session.call(Command::GetRead { handle }).await? else {
            return Err(odd());
        };
        if bytes.is_empty() {
            session.call(Command::Close { handle }).await?;
            return Ok(content);
        }
        content.extend_from_slice(&bytes);
    }
}

/// Random content.
pub(super) fn content(dice: &SimEntropy, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    dice.fill(&mut content);
    content
}

/// Connects every node to the next one and to some others, so that nobody is alone.
pub(super) async fn mesh(cluster: &Cluster, others: usize) -> Result<(), ClusterError> {
    let count = cluster.len();
    for index in 0..count {
        join(cluster, index, (index + 1) % count).await?;
        for _ in 0..others {
            let other = cluster.dice().below(count as u64) as usize;
            join(cluster, index, other).await?;
        }
    }
    Ok(())
}

/// Connects two nodes, trying again as a person would: a link may be lost in a storm.
pub(super) async fn join(
    cluster: &Cluster,
    index: usize,
    other: usize,
) -> Result<(), ClusterError> {
    if index == other {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        match cluster.connect(index, other).await {
            Err(_) if tries < 5 => tries += 1,
            result => return result,
        }
    }
}

fn odd() -> ApiError {
    ApiError::new(craftec_api::ErrorCode::Internal, "An answer of another kind.")
}
