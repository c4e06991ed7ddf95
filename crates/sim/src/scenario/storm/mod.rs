//! `storm`: everything that can go wrong at once, then healing, then nothing may be missing.
//!
//! Fifty peers: relays, tabs that freeze and thaw, and liars. While they put, publish, read, pin and
//! resolve, links delay, lose, reorder and replay, partitions open one way, machines lose power in
//! the middle of a write, some disks lose flushes, rot or fill up, and liars send wrong bytes, keep
//! stale records, forge heads, contradict themselves, flood, and promise copies that they don't
//! keep.
//!
//! **Safety**, at every moment: no read returns wrong bytes; a name never goes back for a reader that
//! saw it newer, nor has two roots under one number; what an honest disk acknowledged or promised is
//! there after a power loss, and a disk that lied is reported or empty, never believed.
//!
//! **Liveness**, once faults have stopped (liars go on): within bounds every object with an honest
//! holder is read exactly, every wanted copy is promised and kept, every name resolves to its newest
//! head everywhere, and a contradiction is shown.

mod clients;
mod custody;
mod faults;
mod liars;
mod liveness;
#[cfg(test)]
mod tests;
mod world;

use std::time::Duration;

use craftec_p2p::Role;
use futures::future::{Either, join, select};

use self::world::{Shared, World};
use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct StormSize {
    /// Honest native nodes.
    pub relays: usize,
    /// Honest nodes in tabs.
    pub tabs: usize,
    /// Nodes that send wrong bytes for the blocks they hold.
    pub bent: usize,
    /// Nodes whose part of the DHT lies.
    pub warped: usize,
    /// Honest machines with bad disks.
    pub weak_disks: usize,
    /// Objects put.
    pub objects: usize,
    /// Names, each published several times.
    pub names: usize,
    /// Versions of each name.
    pub versions: usize,
    /// Reads of objects.
    pub gets: usize,
    /// Reads of names.
    pub resolves: usize,
    /// How long the storm lasts.
    pub storm: Duration,
}

impl StormSize {
    /// Fifty peers: 46 nodes, and four liars that are no nodes at all.
    pub const STANDARD: Self = Self {
        relays: 26,
        tabs: 16,
        bent: 2,
        warped: 2,
        weak_disks: 4,
        objects: 16,
        names: 4,
        versions: 4,
        gets: 48,
        resolves: 40,
        storm: Duration::from_secs(90),
    };

    fn honest(&self) -> usize {
        self.relays + self.tabs
    }
}

/// Runs the scenario in a world of `seed`.
pub fn storm(seed: u64, size: StormSize) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::FAIR, LIMIT, move |cluster| scenario(cluster, size))
}

async fn scenario(cluster: Cluster, size: StormSize) -> Result<Report, ClusterError> {
    // What must be there before anything can go wrong.
    cluster.start(size.relays, Role::Relay).await?;
    cluster.start(size.tabs, Role::Tab).await?;
    cluster.start(size.bent + size.warped, Role::Relay).await?;
    client::mesh(&cluster, 2).await?;
    let world = World::new(cluster.clone(), size);
    let liars = liars::start(&world).await?;
    let keeper = Box::pin(faults::keep_connected(world.clone()));
    let acts = Box::pin(async {
        let clients = Box::pin(clients::all(&world));
        let faults = Box::pin(faults::all(&world));
        let lies = Box::pin(liars.act(&world));
        // Faults and liars go on for ever; clients end.
        select(clients, select(faults, lies)).await;
        liveness::heal(&world).await?;
        liars.contradict(&world);
        // Liars go on lying while everybody else recovers.
        let lies = Box::pin(liars.act(&world));
        match select(Box::pin(liveness::check(&world)), lies).await {
            Either::Left((checked, _)) => checked,
            Either::Right(((), _)) => Ok(()),
        }
    });
    match select(acts, keeper).await {
        Either::Left((done, _)) => done?,
        Either::Right(((), _)) => {}
    }
    Ok(report(&world))
}

fn report(world: &Shared) -> Report {
    let trace = world.cluster.fabric().trace();
    let state = world.state.borrow();
    let mut numbers = vec![("peers", world.cluster.len() as u64 + liars::FOREIGN as u64)];
    numbers.push(("objects", state.objects.len() as u64));
    numbers.extend(state.counts.iter().map(|(name, count)| (*name, *count)));
    numbers.extend([("messages", trace.messages()), ("bytes", trace.bytes())]);
    Report {
        failures: state.failures.clone(),
        ratios: Vec::new(),
        numbers,
        times: vec![
            ("put", state.put_times.clone()),
            ("get", state.get_times.clone()),
            ("healed_get", state.healed_times.clone()),
        ],
        trace: trace.hash(),
    }
}

/// Runs both to their end.
async fn both(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    join(a, b).await;
}
