//! `liar`: holders of an object send wrong bytes for its blocks.
//!
//! Must hold: every read returns exactly the object's bytes, from those who are honest, and a reader
//! that was lied to stops asking the liar and is no longer connected to it.

use std::time::Duration;

use craftec_api::{Command, Reply};
use craftec_core::Cid;
use craftec_p2p::Role;
use craftec_platform::{Clock, sim::Damage};

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Nodes: an author, holders and readers.
const NODES: usize = 16;
/// Nodes that hold everything; all but the last of them lie.
const HOLDERS: usize = 4;
/// Objects, of two leaves and more, so that one read asks several holders.
const OBJECTS: usize = 6;
/// Length of an object in bytes.
const LENGTH: usize = 1_200_000;
/// Objects in which one reader may meet one liar: what was under way when the first wrong block was
/// noticed belongs to the same object, and then the liar is dropped.
const MET: usize = 1;

/// Runs the scenario in a world of `seed`.
pub fn liar(seed: u64) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::CALM, LIMIT, scenario)
}

async fn scenario(cluster: Cluster) -> Result<Report, ClusterError> {
    cluster.start(NODES, Role::Relay).await?;
    client::mesh(&cluster, 4).await?;
    let (mut failures, mut objects) = (Vec::new(), Vec::<(Cid, Vec<u8>)>::new());
    let author = cluster.session(0)?;
    for number in 0..OBJECTS {
        let content = client::content(cluster.dice(), LENGTH);
        match client::put(&author, &content, 0).await {
            Ok(cid) => objects.push((cid, content)),
            Err(error) => failures.push(format!("put {number}: {error}")),
        }
    }
    for holder in 1..=HOLDERS {
        for (cid, _) in &objects {
            match cluster.session(holder)?.call(Command::Pin { cid: *cid }).await {
                Ok(Reply::Done) => {}
                Ok(other) => failures.push(format!("pin at {holder}: {other:?}")),
                Err(error) => failures.push(format!("pin at {holder}: {error}")),
            }
        }
    }
    // The author goes to sleep; of those who hold copies, one is honest.
    cluster.sleep(Duration::from_secs(30)).await;
    cluster.crash(0, Damage::Kept);
    for index in 1..HOLDERS {
        cluster.fabric().bend(cluster.peer(index)?, true);
    }
    let mut gets = Vec::new();
    for reader in HOLDERS + 1..NODES {
        let mut met = [0; HOLDERS];
        for (cid, content) in &objects {
            let before = lies_to(&cluster, reader)?;
            let begun = cluster.clock().monotonic();
            match client::get(&cluster.session(reader)?, *cid).await {
                Ok(found) if found == *content => gets.push(cluster.clock().monotonic() - begun),
                Ok(_) => failures.push(format!("reader {reader} got wrong bytes of {cid}")),
                Err(error) => failures.push(format!("reader {reader}, {cid}: {error}")),
            }
            let after = lies_to(&cluster, reader)?;
            let told = before.iter().zip(after).map(|(before, after)| usize::from(after > *before));
            met.iter_mut().zip(told).for_each(|(met, told)| *met += told);
        }
        failures.extend(still_linked(&cluster, reader).await?);
        for (liar, met) in met.iter().enumerate().filter(|(_, met)| **met > MET) {
            failures.push(format!("reader {reader} listened to liar {liar} for {met} objects"));
        }
    }
    let mut lies = 0;
    for reader in HOLDERS + 1..NODES {
        lies += lies_to(&cluster, reader)?.iter().sum::<u64>();
    }
    if lies == 0 {
        failures.push("no liar was ever asked: the scenario shows nothing".to_owned());
    }
    let trace = cluster.fabric().trace();
    Ok(Report {
        failures,
        ratios: Vec::new(),
        numbers: vec![
            ("nodes", NODES as u64),
            ("objects", objects.len() as u64),
            ("gets", gets.len() as u64),
            ("lies", lies),
            ("messages", trace.messages()),
            ("bytes", trace.bytes()),
        ],
        times: vec![("get", gets)],
        trace: trace.hash(),
    })
}

/// Liars that lied to `reader` and are connected to it none the less.
async fn still_linked(cluster: &Cluster, reader: usize) -> Result<Vec<String>, ClusterError> {
    let lies = lies_to(cluster, reader)?;
    let Ok(Reply::Status(status)) = cluster.session(reader)?.call(Command::Status).await else {
        return Ok(vec![format!("reader {reader} has no status")]);
    };
    let mut linked = Vec::new();
    for (holder, _) in lies.iter().enumerate().filter(|(_, told)| **told > 0) {
        let liar = cluster.peer(holder + 1)?;
        if status.peers.iter().any(|peer| peer.peer_id == liar) {
            linked.push(format!("reader {reader} is still connected to liar {holder}"));
        }
    }
    Ok(linked)
}

/// Wrong pieces of answers that each holder sent to `reader` so far.
fn lies_to(cluster: &Cluster, reader: usize) -> Result<[u64; HOLDERS], ClusterError> {
    let reader = cluster.peer(reader)?;
    let mut told = [0; HOLDERS];
    for (holder, told) in told.iter_mut().enumerate() {
        *told = cluster.fabric().lies(&cluster.peer(holder + 1)?, &reader);
    }
    Ok(told)
}
