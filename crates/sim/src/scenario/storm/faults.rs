//! What goes wrong: power, disks, links, partitions, tabs that stand still. Each fault goes on until
//! it is dropped; [`super::liveness::heal`] mends what is left.

use std::time::Duration;

use craftec_core::PeerId;
use craftec_obj::store::{INDEX_FILE, PACK_FILE};
use craftec_platform::sim::Damage;
use futures::future::{join_all, select_all};

use super::{
    custody::{self, Promised},
    world::{Shared, World},
};
use crate::Weather;

/// Honest machines that are down at one time, at most.
const DOWN: usize = 6;
/// Connections that every node keeps to relays.
const LINKS: usize = 3;
/// How often nodes look after their connections.
const KEEP: Duration = Duration::from_secs(3);
/// Changes of a disk within which power fails in the middle of something.
const CHANGES: u64 = 12;
/// Bytes that a disk that fills up has left.
const LEFT_BYTES: u64 = 300_000;

const SECOND: Duration = Duration::from_secs(1);

/// All faults at once, for ever.
pub(super) async fn all(world: &Shared) {
    let mut faults: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for _ in 0..DOWN {
        let world = world.clone();
        faults.push(Box::pin(async move { world.power().await }));
    }
    for _ in 0..2 {
        let world = world.clone();
        faults.push(Box::pin(async move { world.freezes().await }));
    }
    let (a, b, c) = (world.clone(), world.clone(), world.clone());
    faults.push(Box::pin(async move { a.partitions().await }));
    faults.push(Box::pin(async move { b.storms().await }));
    faults.push(Box::pin(async move { c.rot_and_fill().await }));
    select_all(faults).await;
}

/// What every shell's network does: stays connected to a few relays.
pub(super) async fn keep_connected(world: Shared) {
    loop {
        world.cluster.sleep(KEEP).await;
        let mut lonely = Vec::new();
        for index in 0..world.cluster.len() {
            let Ok(peer) = world.cluster.peer(index) else { continue };
            if world.cluster.is_awake(index) && world.cluster.fabric().links(&peer) < LINKS {
                lonely.push(index);
            }
        }
        let connects = lonely.into_iter().map(|index| {
            let relay = world.awake_relay();
            let cluster = world.cluster.clone();
            async move {
                if let Some(relay) = relay.filter(|relay| *relay != index) {
                    // It failed: another is tried next time.
                    let _ = cluster.connect(index, relay).await;
                }
            }
        });
        join_all(connects).await;
    }
}

impl World {
    /// One machine after the other loses power and comes back.
    async fn power(&self) {
        loop {
            self.cluster.sleep(self.between(2 * SECOND, 12 * SECOND)).await;
            let Some(victim) = self.awake() else { continue };
            if self.state.borrow().down.contains_key(&victim) {
                continue;
            }
            self.lose_power(victim).await;
            self.cluster.sleep(self.between(2 * SECOND, 25 * SECOND)).await;
            self.come_back(victim).await;
        }
    }

    /// Takes a machine's power, in the middle of a write where one comes soon.
    async fn lose_power(&self, victim: usize) {
        self.note_promises(victim);
        let Ok(disk) = self.cluster.disk(victim) else { return };
        if self.weak.contains(&victim) && self.below(2) == 0 {
            self.state.borrow_mut().suspect.insert(victim);
            disk.lose_flushes(1 + self.cluster.dice().below(6));
            self.count("flushes_lost");
            self.cluster.sleep(self.between(SECOND, 5 * SECOND)).await;
        } else if self.below(2) == 0 {
            disk.power_off_at(disk.changes() + self.cluster.dice().below(CHANGES));
            self.cluster.sleep(self.between(SECOND, 3 * SECOND)).await;
        }
        let damage = match self.below(4) {
            0 => Damage::Lost,
            1 => Damage::Kept,
            _ => Damage::Torn(self.cluster.dice().below(u64::MAX)),
        };
        tracing::debug!(victim, ?damage, "power is lost");
        self.cluster.crash(victim, damage);
        self.count("crashes");
        if self.weak.contains(&victim) && self.below(4) == 0 {
            self.rot(victim, INDEX_FILE);
        }
    }

    /// Notes what a machine that is about to lose power has promised so far.
    fn note_promises(&self, victim: usize) {
        let Ok(store) = self.cluster.store(victim) else { return };
        let promised = custody::promised(&store).unwrap_or_else(|error| {
            self.unless_suspect(victim, &error.to_string());
            Promised::new()
        });
        self.state.borrow_mut().down.insert(victim, promised);
    }

    /// Boots a machine that lost power. A disk that was honest must be as it was left; one that was
    /// not may be refused, which its owner is told, and is then replaced.
    pub(super) async fn come_back(&self, index: usize) {
        match self.cluster.boot(index).await {
            Ok(()) => {
                let promised = self.state.borrow_mut().down.remove(&index).unwrap_or_default();
                if self.is_sound(index) {
                    self.check_custody(index, &promised);
                }
            }
            Err(error) => {
                self.state.borrow_mut().down.remove(&index);
                self.unless_suspect(index, &error.to_string());
                self.replace(index).await;
            }
        }
    }

    async fn replace(&self, index: usize) {
        self.count("disks_refused");
        self.cluster.crash(index, Damage::Lost);
        self.cluster.replace_disk(index);
        {
            let mut state = self.state.borrow_mut();
            *state.disks.entry(index).or_default() += 1;
            state.suspect.remove(&index);
            state.seen.retain(|(reader, _), _| *reader != index);
        }
        if let Err(error) = self.cluster.boot(index).await {
            self.fail(format!("node {index} does not start on an empty disk: {error}"));
        }
    }

    fn unless_suspect(&self, index: usize, error: &str) {
        if !self.state.borrow().suspect.contains(&index) {
            self.fail(format!("the honest disk of node {index} is refused: {error}"));
        }
    }

    async fn freezes(&self) {
        loop {
            self.cluster.sleep(self.between(SECOND, 6 * SECOND)).await;
            let tab = self.size.relays + self.below(self.size.tabs);
            if self.cluster.is_awake(tab) {
                self.cluster.freeze(tab);
                self.count("freezes");
                self.cluster.sleep(self.between(SECOND / 2, 30 * SECOND)).await;
                self.cluster.thaw(tab);
            }
        }
    }

    /// One partition at a time, most of them one way.
    async fn partitions(&self) {
        loop {
            self.cluster.sleep(self.between(5 * SECOND, 15 * SECOND)).await;
            let (mut from, mut to) = (Vec::new(), Vec::new());
            let (share, each) = (2 + self.below(4), self.cluster.len());
            for peer in (0..each).filter_map(|index| self.cluster.peer(index).ok()) {
                let side: &mut Vec<PeerId> =
                    if self.below(share) == 0 { &mut from } else { &mut to };
                side.push(peer);
            }
            self.cluster.fabric().cut(&from, &to);
            if self.below(3) == 0 {
                self.cluster.fabric().cut(&to, &from);
            }
            self.count("partitions");
            self.cluster.sleep(self.between(3 * SECOND, 25 * SECOND)).await;
            self.cluster.fabric().heal();
        }
    }

    async fn storms(&self) {
        loop {
            let weather = match self.below(3) {
                0 => Weather::ROUGH,
                _ => Weather::STORM,
            };
            self.cluster.fabric().set_weather(weather);
            self.cluster.sleep(self.between(5 * SECOND, 20 * SECOND)).await;
        }
    }

    /// Weak disks rot under running nodes, and any disk may fill up for a while.
    async fn rot_and_fill(&self) {
        loop {
            self.cluster.sleep(self.between(5 * SECOND, 15 * SECOND)).await;
            if self.below(2) == 0 {
                let weak: Vec<usize> = self.weak.iter().copied().collect();
                let Some(victim) = weak.get(self.below(weak.len())).copied() else { continue };
                self.rot(victim, PACK_FILE);
            } else {
                let victim = self.honest();
                let Ok(disk) = self.cluster.disk(victim) else { continue };
                disk.set_capacity(Some(disk.used_bytes() + self.below(2) as u64 * LEFT_BYTES));
                self.count("disks_full");
                self.cluster.sleep(self.between(5 * SECOND, 30 * SECOND)).await;
                disk.set_capacity(None);
            }
        }
    }

    /// Flips some bits of one byte.
    fn rot(&self, victim: usize, file: &str) {
        let Ok(disk) = self.cluster.disk(victim) else { return };
        let Some(bytes) = disk.len_of(file).filter(|bytes| *bytes > 0) else { return };
        self.state.borrow_mut().suspect.insert(victim);
        let offset = self.cluster.dice().below(bytes);
        if disk.rot(file, offset, 1 + self.below(255) as u8) {
            self.count("bytes_rotten");
        }
    }
}
