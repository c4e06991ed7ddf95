//! `mesh`: tabs that know nothing but one relay, which then loses power.
//!
//! Must hold: before it does, each tab has direct links of its own; afterwards they hold together
//! (every tab reaches every other over links of tabs), also when some tabs leave, and what one tab
//! has, those linked to it read. (Who is not linked to a holder finds none: the DHT went with the
//! relay.)

use std::{collections::BTreeSet, time::Duration};

use craftec_api::{Command, Link, Reply};
use craftec_core::PeerId;
use craftec_p2p::Role;
use craftec_platform::{Clock, sim::Damage};

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Tabs; the relay is the first node.
const TABS: usize = 30;
/// Tabs that leave without goodbye after the relay.
const LEAVING: usize = 6;
/// Direct links that each tab must have.
const LINKS: usize = 4;
/// How long they may take to come about.
const SETTLE: Duration = Duration::from_secs(120);

/// Runs the scenario in a world of `seed`.
pub fn mesh(seed: u64) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::ROUGH, LIMIT, scenario)
}

async fn scenario(cluster: Cluster) -> Result<Report, ClusterError> {
    cluster.start(1, Role::Relay).await?;
    cluster.start(TABS, Role::Tab).await?;
    for tab in 1..=TABS {
        client::join(&cluster, tab, 0).await?;
    }
    let mut failures = Vec::new();
    let (fewest, linked) = link_up(&cluster).await?;
    if fewest < LINKS {
        failures.push(format!("a tab has {fewest} direct links after {linked:?}"));
    }
    cluster.crash(0, Damage::Kept);
    let leaving: BTreeSet<usize> =
        (0..LEAVING).map(|_| 1 + cluster.dice().below(TABS as u64) as usize).collect();
    leaving.iter().for_each(|tab| cluster.crash(*tab, Damage::Kept));
    cluster.sleep(Duration::from_secs(60)).await;
    let left: Vec<usize> = (1..=TABS).filter(|tab| cluster.is_up(*tab)).collect();
    let parts = parts(&cluster, &left).await?;
    if parts != 1 {
        failures.push(format!("{} tabs fell into {parts} parts", left.len()));
    }
    let content = client::content(cluster.dice(), 300_000);
    let author = left[0];
    let near = links(&cluster, author).await?;
    let mut readers = Vec::new();
    for tab in &left {
        if near.contains(&cluster.peer(*tab)?) {
            readers.push(*tab);
        }
    }
    match client::put(&cluster.session(author)?, &content, 0).await {
        Ok(cid) => {
            for reader in &readers {
                match client::get(&cluster.session(*reader)?, cid).await {
                    Ok(found) if found == content => {}
                    Ok(_) => failures.push(format!("tab {reader} read other bytes")),
                    Err(error) => failures.push(format!("tab {reader} without a relay: {error}")),
                }
            }
        }
        Err(error) => failures.push(format!("put: {error}")),
    }
    let trace = cluster.fabric().trace();
    Ok(Report {
        failures,
        ratios: Vec::new(),
        numbers: vec![
            ("tabs", TABS as u64),
            ("left", left.len() as u64),
            ("parts", parts as u64),
            ("readers", readers.len() as u64),
            ("messages", trace.messages()),
            ("bytes", trace.bytes()),
        ],
        times: vec![("linked", vec![linked])],
        trace: trace.hash(),
    })
}

/// Waits until all tabs have links enough; the fewest of any tab, and how long it took.
async fn link_up(cluster: &Cluster) -> Result<(usize, Duration), ClusterError> {
    let begun = cluster.clock().monotonic();
    loop {
        cluster.sleep(Duration::from_secs(1)).await;
        let mut fewest = usize::MAX;
        for tab in 1..=TABS {
            let found = links(cluster, tab).await?.len();
            if found == 0 {
                // A storm may have cut it off from the relay; real networks dial theirs again.
                client::join(cluster, tab, 0).await?;
            }
            fewest = fewest.min(found);
        }
        let waited = cluster.clock().monotonic() - begun;
        if fewest >= LINKS || waited >= SETTLE {
            return Ok((fewest, waited));
        }
    }
}

/// To whom a tab has direct links to other tabs.
async fn links(cluster: &Cluster, tab: usize) -> Result<BTreeSet<PeerId>, ClusterError> {
    let Ok(Reply::Status(status)) = cluster.session(tab)?.call(Command::Status).await else {
        return Ok(BTreeSet::new());
    };
    let direct = status.peers.into_iter().filter(|peer| peer.link == Link::Webrtc);
    Ok(direct.map(|peer| peer.peer_id).collect())
}

/// Into how many parts the tabs fall that are left.
async fn parts(cluster: &Cluster, left: &[usize]) -> Result<usize, ClusterError> {
    let mut unseen: BTreeSet<usize> = left.iter().copied().collect();
    let mut parts = 0;
    while let Some(first) = unseen.pop_first() {
        parts += 1;
        let mut reached = vec![first];
        while let Some(tab) = reached.pop() {
            let linked = links(cluster, tab).await?;
            let mut near = Vec::new();
            for other in &unseen {
                if linked.contains(&cluster.peer(*other)?) {
                    near.push(*other);
                }
            }
            unseen.retain(|other| !near.contains(other));
            reached.extend(near);
        }
    }
    Ok(parts)
}
