//! The end of the faults, and what must then come true within bounds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_api::{Command, Reply};
use craftec_node::Session;
use craftec_obj::StoreError;
use craftec_platform::{Clock, sim::Damage};

use super::{
    client, custody,
    world::{Object, Shared, World},
};
use crate::{ClusterError, Weather};

/// How long copies may take to be promised after the faults: a peer that refused is asked again
/// after ten minutes at most, and one that came back at once.
const COPIES: Duration = Duration::from_secs(15 * 60);
/// How long records and announcements may take to be where they belong.
const RECORDS: Duration = Duration::from_secs(6 * 60);
/// How long one read may take, with as many tries as fit.
const READ: Duration = Duration::from_secs(120);
/// Pause between two looks, or two tries.
const AGAIN: Duration = Duration::from_secs(5);

/// Ends all faults: links are fair, nothing is cut, every machine runs with room on its disk.
pub(super) async fn heal(world: &Shared) -> Result<(), ClusterError> {
    let cluster = &world.cluster;
    cluster.fabric().set_weather(Weather::FAIR);
    cluster.fabric().heal();
    for index in 0..cluster.len() {
        cluster.disk(index)?.set_capacity(None);
        cluster.thaw(index);
        // Whoever was about to lose power does so now.
        if world.state.borrow().down.contains_key(&index) {
            cluster.crash(index, Damage::Torn(cluster.dice().below(u64::MAX)));
            world.come_back(index).await;
        }
        if !cluster.is_up(index) {
            world.fail(format!("node {index} is down after the storm"));
        }
    }
    relink(world).await
}

/// Connects every node to the next one and to some others. Who sent wrong bytes is still kept away by
/// whom it sent them to.
async fn relink(world: &Shared) -> Result<(), ClusterError> {
    let (cluster, honest) = (&world.cluster, world.size.honest());
    for index in 0..cluster.len() {
        let next = (index + 1) % cluster.len();
        for other in [next, world.below(cluster.len()), world.below(cluster.len())] {
            let joined = client::join(cluster, index, other).await;
            if index < honest && other < honest {
                joined?;
            }
        }
    }
    Ok(())
}

/// Everything that must hold now.
pub(super) async fn check(world: &Shared) -> Result<(), ClusterError> {
    world.wait_for_copies().await;
    world.check_objects().await;
    world.check_names().await;
    world.check_contradiction().await;
    world.check_disks()
}

impl World {
    /// Objects that somebody still answers for.
    fn kept(&self) -> Vec<Object> {
        let objects = self.state.borrow().objects.clone();
        objects.into_iter().filter(|object| !object.withdrawn).collect()
    }

    /// Every author that is still itself has as many promises as it wants.
    async fn wait_for_copies(&self) {
        let begun = self.cluster.clock().monotonic();
        loop {
            let short = self.short_of_copies().await;
            if short.is_empty() {
                let took = self.cluster.clock().monotonic() - begun;
                self.add("copies_after_s", took.as_secs());
                return;
            }
            if self.cluster.clock().monotonic() - begun > COPIES {
                short.into_iter().for_each(|what| self.fail(what));
                return;
            }
            self.cluster.sleep(AGAIN).await;
        }
    }

    async fn short_of_copies(&self) -> Vec<String> {
        let mut short = Vec::new();
        let kept = self.kept();
        let asked = kept.iter().filter(|object| self.answers_for(object.author, object.disk));
        for author in asked.clone().map(|object| object.author).collect::<BTreeSet<_>>() {
            let list = |session: Session| async move { session.call(Command::Objects).await };
            let Some(Ok(Reply::Objects { objects })) = self.attempt(author, list).await else {
                self.fail(format!("node {author} does not list its objects"));
                continue;
            };
            let rows: BTreeMap<_, _> =
                objects.into_iter().map(|row| (row.cid, row.health.signed)).collect();
            for Object { cid, wanted, .. } in asked.clone().filter(|o| o.author == author) {
                match rows.get(cid) {
                    Some(signed) if signed >= wanted => {}
                    Some(signed) => short.push(format!(
                        "{cid} of node {author} has {signed} of {wanted} copies after {COPIES:?}"
                    )),
                    None => short.push(format!("node {author} forgot {cid}")),
                }
            }
        }
        short
    }

    /// Every object with an honest holder is read exactly, by somebody who does not hold it.
    async fn check_objects(&self) {
        for object in self.kept() {
            let holders = self.holders(&object.cid);
            if holders.is_empty() {
                if self.answers_for(object.author, object.disk) {
                    self.fail(format!("{} is on no honest disk, its author's too", object.cid));
                }
                // Its author's disk lied, and nobody had signed for a copy yet.
                self.count("lost_with_bad_disks");
                continue;
            }
            let readers: Vec<usize> =
                (0..self.size.honest()).filter(|index| !holders.contains(index)).collect();
            let Some(reader) = readers.get(self.below(readers.len())).copied() else { continue };
            let begun = self.cluster.clock().monotonic();
            while !self.read(reader, &object).await {
                if self.cluster.clock().monotonic() - begun > READ {
                    let cid = object.cid;
                    self.fail(format!(
                        "node {reader} cannot read {cid} after {READ:?}; {holders:?} hold it"
                    ));
                    break;
                }
                self.cluster.sleep(AGAIN).await;
            }
            let took = self.cluster.clock().monotonic() - begun;
            self.state.borrow_mut().healed_times.push(took);
        }
    }

    /// Every name resolves to its newest head, at nodes that know it and at nodes that don't.
    async fn check_names(&self) {
        let names = self.state.borrow().names.len();
        for name in 0..names {
            let (author, disk, acknowledged) = {
                let state = self.state.borrow();
                let name = &state.names[name];
                (name.author, name.disk, name.acknowledged)
            };
            if acknowledged.is_none() || !self.answers_for(author, disk) {
                continue;
            }
            let Some(newest) = self.resolve(author, name).await else {
                self.fail(format!("the author of name {name} does not know it"));
                continue;
            };
            let version = self.read_page(author, name, newest.0, newest.1).await;
            if version.is_none_or(|version| Some(version) < acknowledged) {
                self.fail(format!(
                    "name {name} is at version {version:?}, acknowledged was {acknowledged:?}"
                ));
            }
            for reader in [self.honest(), self.honest()] {
                self.check_name(name, reader, newest).await;
            }
        }
    }

    async fn check_name(&self, name: usize, reader: usize, newest: (u64, craftec_core::Cid)) {
        let begun = self.cluster.clock().monotonic();
        loop {
            let told = self.resolve(reader, name).await;
            let page = match told {
                Some((seq, root)) if told == Some(newest) => {
                    self.read_page(reader, name, seq, root).await
                }
                _ => None,
            };
            if page.is_some() {
                return;
            }
            if self.cluster.clock().monotonic() - begun > RECORDS {
                self.fail(format!(
                    "name {name} at node {reader}: {told:?} after {RECORDS:?}, not {newest:?}"
                ));
                return;
            }
            self.cluster.sleep(AGAIN).await;
        }
    }

    async fn check_contradiction(&self) {
        let reader = self.honest();
        let begun = self.cluster.clock().monotonic();
        while !self.sees_contradiction(reader).await {
            if self.cluster.clock().monotonic() - begun > RECORDS {
                self.fail(format!("node {reader} is not told that a name contradicts itself"));
                return;
            }
            self.cluster.sleep(AGAIN).await;
        }
    }

    /// Reads every block of every honest disk.
    fn check_disks(&self) -> Result<(), ClusterError> {
        for index in (0..self.size.honest()).filter(|index| self.is_sound(*index)) {
            let store = self.cluster.store(index)?;
            let broken = |source: StoreError| ClusterError::Store { index, source };
            let mut cursor = None;
            loop {
                let page = store.iterate(cursor.as_ref(), 256).map_err(broken)?;
                let Some(last) = page.last() else { break };
                cursor = Some(*last);
                for cid in &page {
                    if let Err(error) = store.get(cid) {
                        self.fail(format!("the disk of node {index}: {error}"));
                    }
                }
            }
            self.check_promises(index)?;
        }
        Ok(())
    }

    /// What a machine has signed for is there.
    fn check_promises(&self, index: usize) -> Result<(), ClusterError> {
        let store = self.cluster.store(index)?;
        let broken = |source: StoreError| ClusterError::Store { index, source };
        for (root, _) in custody::promised(&store).map_err(broken)? {
            if !custody::is_whole(&store, &root).map_err(broken)? {
                self.fail(format!("node {index} promised {root} and does not have all of it"));
            }
        }
        Ok(())
    }
}
