//! What nodes want at the same time: every six hours one of them has something for each of the others,
//! who all come for it at once. (What all want alike they would give each other.)

use std::time::Duration;

use craftec_api::Command;
use craftec_core::Cid;
use craftec_platform::Clock;
use futures::future::join_all;

use super::{CONTRIBUTORS, END, Kind, RIDERS, SharedTally, client, hours};
use crate::{Cluster, ClusterError};

/// Between two of them.
const EVERY: Duration = hours(6);
/// Length: a file of some 40 leaves. All of them together are far more than the burst of one upload.
const BYTES: usize = 1_400_000;
/// How long somebody tries to read it.
const PATIENCE: Duration = Duration::from_secs(45 * 60);

/// Rounds until the end; who has the object changes.
pub(super) async fn rounds(cluster: &Cluster, tally: &SharedTally) -> Result<(), ClusterError> {
    for round in 0.. {
        cluster.sleep(EVERY).await;
        if cluster.clock().monotonic() >= END {
            break;
        }
        let author = round % CONTRIBUTORS;
        let session = cluster.session(author)?;
        let mut presents = Vec::new();
        for node in (0..CONTRIBUTORS + RIDERS).filter(|node| *node != author) {
            let content = client::content(cluster.dice(), BYTES);
            match client::put(&session, &content, 0).await {
                Ok(cid) => presents.push((node, cid, content)),
                Err(error) => {
                    tally.borrow_mut().failures.push(format!("put of round {round}: {error}"));
                }
            }
        }
        let reads =
            presents.iter().map(|(node, cid, content)| read(cluster, *node, *cid, content, tally));
        join_all(reads).await.into_iter().collect::<Result<(), _>>()?;
        for (_, cid, _) in presents {
            if let Err(error) = session.call(Command::Unpin { cid }).await {
                tally.borrow_mut().failures.push(format!("unpin of round {round}: {error}"));
            }
        }
    }
    Ok(())
}

/// Reads until it is there, trying again as a person would.
async fn read(
    cluster: &Cluster,
    node: usize,
    cid: Cid,
    content: &[u8],
    tally: &SharedTally,
) -> Result<(), ClusterError> {
    let begun = cluster.clock().monotonic();
    let session = cluster.session(node)?;
    let outcome = loop {
        let waited = cluster.clock().monotonic() - begun;
        match client::get(&session, cid).await {
            Ok(found) if found == content => break Ok(()),
            Ok(found) => break Err(format!("{} wrong bytes", found.len())),
            Err(error) if waited > PATIENCE => break Err(error.to_string()),
            Err(_) => cluster.sleep(Duration::from_secs(1)).await,
        }
    };
    let took = cluster.clock().monotonic() - begun;
    let mut tally = tally.borrow_mut();
    match outcome {
        Ok(()) => {
            tally.reads += 1;
            if let Some(found) = tally.window(begun) {
                let kind = usize::from(Kind::of(node) == Kind::Rider);
                found.speed[kind].add(content.len() as u64, took.as_millis() as u64);
            }
        }
        Err(reason) => tally.failures.push(format!("node {node} read {cid}: {reason}")),
    }
    Ok(())
}
