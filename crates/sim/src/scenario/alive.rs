//! `alive`: coded objects outlive their authors, and every node that ever held a part of them.
//!
//! Authors leave for good as soon as their objects are spread. Then one node after the other is
//! replaced by a new one with an empty disk, until nobody is left who was there at the beginning, and
//! a third of all lose power together in between and come back later. Must hold: whoever reads an
//! object, at any time and in any place, reads exactly what its author put.

use std::{rc::Rc, time::Duration};

use craftec_api::{Command, Reply};
use craftec_core::Cid;
use craftec_p2p::Role;
use craftec_platform::{Clock, sim::Damage};

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Nodes at any time, authors not counted.
const NODES: usize = 14;
/// Objects, each with an author of its own.
const OBJECTS: usize = 2;
/// Lengths of the objects begin here.
const LENGTH: u64 = 1_200_000;
/// How long an object may take to be spread.
const SPREAD: Duration = Duration::from_secs(10 * 60);
/// From one replaced node to the next: some turns.
const ROUND: Duration = Duration::from_secs(3 * 60);
/// Links of a new node.
const LINKS: usize = 7;
/// Times that a person tries to read: a connection may break.
const TRIES: usize = 3;
/// The round after which a third of all lose power together, and the one after which they are back.
const DARK: [usize; 2] = [4, 7];

struct Object {
    cid: Cid,
    content: Vec<u8>,
}

/// Runs the scenario in a world of `seed`.
pub fn alive(seed: u64) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::ROUGH, LIMIT, scenario)
}

async fn scenario(cluster: Cluster) -> Result<Report, ClusterError> {
    cluster.start(OBJECTS + NODES, Role::Relay).await?;
    client::mesh(&cluster, 5).await?;
    let mut failures = Vec::new();
    let objects = spread(&cluster, &mut failures).await?;
    (0..OBJECTS).for_each(|author| cluster.crash(author, Damage::Kept));
    let (mut gets, mut reads, mut dark) = (Vec::new(), 0, Vec::new());
    for round in 0..NODES + 2 {
        if round == DARK[0] {
            dark = up(&cluster).into_iter().step_by(3).collect();
            dark.iter().for_each(|index| cluster.crash(*index, Damage::Lost));
        }
        if round == DARK[1] {
            for index in std::mem::take(&mut dark) {
                cluster.boot(index).await?;
                join(&cluster, index).await?;
            }
        }
        let new = cluster.start(1, Role::Relay).await?;
        join(&cluster, new).await?;
        cluster.sleep(ROUND).await;
        // The oldest goes, whether it is here or in the dark.
        let gone = OBJECTS + round;
        cluster.crash(gone, Damage::Kept);
        dark.retain(|index| *index != gone);
        for object in &objects {
            let begun = cluster.clock().monotonic();
            match read(&cluster, new, object).await {
                Ok(()) => gets.push(cluster.clock().monotonic() - begun),
                Err(error) => failures.push(format!("round {round}: {error}")),
            }
            reads += 1;
        }
    }
    let mended = mended(&cluster).await?;
    let trace = cluster.fabric().trace();
    Ok(Report {
        failures,
        numbers: vec![
            ("nodes", cluster.len() as u64),
            ("objects", objects.len() as u64),
            ("gets", reads),
            ("mended_shards", mended),
            ("messages", trace.messages()),
            ("bytes", trace.bytes()),
        ],
        ratios: Vec::new(),
        times: vec![("get", gets)],
        trace: trace.hash(),
    })
}

/// Puts the objects and waits until each shard has a holder.
async fn spread(
    cluster: &Cluster,
    failures: &mut Vec<String>,
) -> Result<Vec<Rc<Object>>, ClusterError> {
    let (mut objects, mut put) = (Vec::new(), Vec::new());
    for author in 0..OBJECTS {
        // The weather may have left it with few links, and then it would ask for whole copies.
        join(cluster, author).await?;
        let length = LENGTH + cluster.dice().below(LENGTH);
        let content = client::content(cluster.dice(), length as usize);
        match client::put_coded(&cluster.session(author)?, &content).await {
            Ok(cid) => {
                put.push((author, cid));
                objects.push(Rc::new(Object { cid, content }));
            }
            Err(error) => failures.push(format!("node {author} could not put: {error}")),
        }
    }
    failures.extend(client::await_spread(cluster, &put, SPREAD).await?);
    Ok(objects)
}

fn up(cluster: &Cluster) -> Vec<usize> {
    (OBJECTS..cluster.len()).filter(|index| cluster.is_up(*index)).collect()
}

/// Connects a node to some that are up.
async fn join(cluster: &Cluster, index: usize) -> Result<(), ClusterError> {
    let mut others = up(cluster);
    others.retain(|other| *other != index);
    for _ in 0..LINKS.min(others.len()) {
        let at = cluster.dice().below(others.len() as u64) as usize;
        client::join(cluster, index, others.swap_remove(at)).await?;
    }
    Ok(())
}

async fn read(cluster: &Cluster, index: usize, object: &Object) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let session = cluster.session(index).map_err(|error| error.to_string())?;
        match client::get(&session, object.cid).await {
            Ok(found) if found == object.content => return Ok(()),
            Ok(_) => return Err(format!("node {index} read other bytes of {}", object.cid)),
            Err(error) => last = format!("node {index} could not read {}: {error}", object.cid),
        }
        cluster.sleep(Duration::from_secs(10)).await;
    }
    Err(last)
}

/// Shards that those who are up have made again.
async fn mended(cluster: &Cluster) -> Result<u64, ClusterError> {
    let mut mended = 0;
    for index in up(cluster) {
        if let Ok(Reply::Status(status)) = cluster.session(index)?.call(Command::Status).await {
            mended += status.mended.unwrap_or_default().shards;
        }
    }
    Ok(mended)
}
