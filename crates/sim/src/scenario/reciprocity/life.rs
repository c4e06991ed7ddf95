//! What nodes do all day: put small objects, want copies of them, let go of them.

use std::{collections::VecDeque, time::Duration};

use craftec_api::{Command, Reply};
use craftec_platform::Clock;

use super::{
    ARRIVAL, CONTRIBUTORS, END, Kind, NEWCOMERS, RIDERS, SharedTally, arrive, client, hours,
};
use crate::{Cluster, ClusterError};

/// Between two objects of one node, on average.
const PUT_EVERY: Duration = Duration::from_secs(30 * 60);
/// How long an object is wanted. Of each node, 24 are at one time: with three copies each, as much
/// as a contributor lends.
const LIFE: Duration = hours(12);
/// Length of an object, between one and two of these.
const OBJECT_BYTES: u64 = 13_300;
/// Copies wanted of each.
const COPIES: u16 = 3;
/// An object younger than this is still being copied.
const YOUNG_MS: u64 = 10 * 60 * 1000;
/// How long after its arrival a newcomer waits for a first copy at most.
const FIRST_COPY: Duration = hours(12);

/// One node's days.
pub(super) async fn live(
    cluster: &Cluster,
    node: usize,
    tally: &SharedTally,
) -> Result<(), ClusterError> {
    let session = cluster.session(node)?;
    let mut kept = VecDeque::new();
    loop {
        let pause = cluster.dice().below(2 * PUT_EVERY.as_secs());
        cluster.sleep(Duration::from_secs(pause)).await;
        let now = cluster.clock().monotonic();
        if now >= END {
            return Ok(());
        }
        while let Some((until, cid)) = kept.front().copied() {
            if until > now {
                break;
            }
            kept.pop_front();
            if let Err(error) = session.call(Command::Unpin { cid }).await {
                tally.borrow_mut().failures.push(format!("unpin at node {node}: {error}"));
            }
        }
        let bytes = OBJECT_BYTES + cluster.dice().below(OBJECT_BYTES);
        let content = client::content(cluster.dice(), bytes as usize);
        match client::put(&session, &content, COPIES).await {
            Ok(cid) => {
                kept.push_back((now + LIFE, cid));
                tally.borrow_mut().puts += 1;
            }
            Err(error) => {
                tally.borrow_mut().failures.push(format!("put at node {node}: {error}"));
            }
        }
    }
}

/// Notes every hour how many copies everybody has of those it wants.
pub(super) async fn sample(cluster: &Cluster, tally: &SharedTally) -> Result<(), ClusterError> {
    while cluster.clock().monotonic() < END {
        cluster.sleep(hours(1)).await;
        let (now, now_ms) = (cluster.clock().monotonic(), cluster.clock().now().0);
        for node in 0..CONTRIBUTORS + RIDERS {
            let Ok(Reply::Objects { objects }) =
                cluster.session(node)?.call(Command::Objects).await
            else {
                continue;
            };
            let grown = objects.iter().filter(|row| row.time_ms + YOUNG_MS <= now_ms);
            let (signed, wanted) = grown.fold((0, 0), |(signed, wanted), row| {
                let copies = row.health.signed.min(row.health.wanted);
                (signed + u64::from(copies), wanted + u64::from(row.health.wanted))
            });
            if let Some(found) = tally.borrow_mut().window(now) {
                found.share[usize::from(Kind::of(node) == Kind::Rider)].add(signed, wanted);
            }
        }
    }
    Ok(())
}

/// Newcomers arrive one after the other and put something.
pub(super) async fn newcomers(cluster: &Cluster, tally: &SharedTally) -> Result<(), ClusterError> {
    cluster.sleep(ARRIVAL).await;
    for node in CONTRIBUTORS + RIDERS..CONTRIBUTORS + RIDERS + NEWCOMERS {
        arrive(cluster, node).await?;
        let session = cluster.session(node)?;
        let content = client::content(cluster.dice(), OBJECT_BYTES as usize);
        let begun = cluster.clock().monotonic();
        let put = client::put(&session, &content, COPIES).await;
        let Ok(cid) = put else { continue };
        loop {
            let waited = cluster.clock().monotonic() - begun;
            let stat = session.call(Command::Stat { cid }).await;
            if matches!(stat, Ok(Reply::Stat(stat)) if stat.health.signed > 0) {
                tally.borrow_mut().newcomers.add(waited.as_secs(), 1);
                break;
            }
            if waited > FIRST_COPY {
                break;
            }
            cluster.sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}
