//! The DHT as a model: records and provider entries live on the relays nearest to their key, and die
//! with them. Looking up costs hops; what does not answer is skipped.
//!
//! It never routes: the nearest nodes are known to the fabric. What is modelled is what nodes can
//! see of a DHT: delay, partial answers, refused records, loss of what nobody announces again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_core::{PeerId, limits};
use craftec_p2p::{Key, NetError, Record, RecordChoice, Role};
use craftec_platform::Clock;
use futures::{StreamExt, stream, stream::LocalBoxStream};

use super::{Weather, fabric::Fabric};

/// Nodes that keep an entry, as in Kademlia.
const NEAREST: usize = 20;
/// Round trips until the nearest nodes are found.
const HOPS: u32 = 2;
/// How long a provider entry is kept without being announced again.
const PROVIDER_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Providers that one search returns, as the port says.
const PROVIDERS: usize = 20;

/// What one node keeps of the DHT. It is in memory only.
#[derive(Default)]
pub(super) struct Shelf {
    records: BTreeMap<Key, Record>,
    providers: BTreeMap<Key, BTreeMap<PeerId, Duration>>,
    /// Whether it lies; see [`Fabric::warp`].
    pub(super) lies: bool,
}

impl Fabric {
    /// The nodes nearest to `key`, and when each of them would have answered `me`, earliest first.
    fn nearest(&self, me: &PeerId, key: Key) -> Result<Vec<(Duration, PeerId)>, NetError> {
        if self.neighbours(me).is_empty() {
            return Err(NetError::Dht("nobody is connected".to_owned()));
        }
        let mut nearest: Vec<([u8; 32], PeerId)> = {
            let peers = self.0.peers.borrow();
            let relays =
                peers.iter().filter(|(id, peer)| *id != me && peer.up && peer.role == Role::Relay);
            relays.map(|(id, _)| (distance(id, key), *id)).collect()
        };
        nearest.sort();
        nearest.truncate(NEAREST);
        let now = self.clock().monotonic();
        let mut answers: Vec<(Duration, PeerId)> = nearest
            .into_iter()
            .filter(|(_, peer)| self.reaches(me, peer))
            .map(|(_, peer)| {
                let delay = self.delay(me, &peer);
                // A request that is lost for good is answered late, by a retry.
                let late = self.weather().mishap(self.dice(), delay, 512);
                let late = late.unwrap_or(Duration::from_secs(5));
                (now + delay * 2 * (HOPS + 1) + late, peer)
            })
            .collect();
        answers.sort();
        Ok(answers)
    }

    async fn until(&self, at: Duration) {
        let now = self.clock().monotonic();
        self.clock().sleep(at.saturating_sub(now)).await;
    }

    pub(super) async fn provide(&self, me: PeerId, key: Key) -> Result<(), NetError> {
        let mut kept = 0;
        for (at, peer) in self.nearest(&me, key)? {
            self.until(at).await;
            if !self.reaches(&me, &peer) {
                continue;
            }
            self.trace().record("provide", self.clock().monotonic(), &me, &peer, &key.0);
            let expires = self.clock().monotonic() + PROVIDER_TTL;
            kept += usize::from(self.keep_provider(&peer, key, me, expires));
            self.replay(peer, move |fabric| {
                fabric.keep_provider(&peer, key, me, expires);
            });
        }
        at_least_one(kept, "no node took the announcement")
    }

    fn keep_provider(&self, peer: &PeerId, key: Key, provider: PeerId, expires: Duration) -> bool {
        let mut peers = self.0.peers.borrow_mut();
        let Some(entry) = peers.get_mut(peer) else { return false };
        entry.shelf.providers.entry(key).or_default().insert(provider, expires);
        true
    }

    /// By the dice, does `again` what a message to `peer` did, some time later.
    fn replay(&self, peer: PeerId, again: impl FnOnce(&Self) + 'static) {
        let chance = self.weather().replay_per_million;
        if chance == 0 || !self.dice().chance(chance) {
            return;
        }
        let late = Duration::from_millis(self.dice().below(Weather::REPLAY.as_millis() as u64));
        let fabric = self.clone();
        self.clock().spawn(Box::pin(async move {
            fabric.clock().sleep(late).await;
            if fabric.reaches(&peer, &peer) {
                fabric.trace().record("again", fabric.clock().monotonic(), &peer, &peer, &[]);
                again(&fabric);
            }
        }));
    }

    /// Takes the announcement back where it can be reached; elsewhere it expires.
    pub(super) fn stop_providing(&self, me: &PeerId, key: Key) {
        for peer in self.0.peers.borrow_mut().values_mut() {
            if let Some(providers) = peer.shelf.providers.get_mut(&key) {
                providers.remove(me);
            }
        }
    }

    pub(super) fn providers(&self, me: PeerId, key: Key) -> LocalBoxStream<'static, PeerId> {
        let Ok(answers) = self.nearest(&me, key) else { return stream::empty().boxed_local() };
        let fabric = self.clone();
        let answers = stream::iter(answers).then(move |(at, peer)| {
            let fabric = fabric.clone();
            async move {
                fabric.until(at).await;
                stream::iter(fabric.providers_at(&me, &peer, key))
            }
        });
        let mut seen = BTreeSet::from([me]);
        let fresh = answers.flatten().filter(move |peer| std::future::ready(seen.insert(*peer)));
        fresh.take(PROVIDERS).boxed_local()
    }

    fn providers_at(&self, me: &PeerId, peer: &PeerId, key: Key) -> Vec<PeerId> {
        if !self.reaches(me, peer) {
            return Vec::new();
        }
        let now = self.clock().monotonic();
        self.trace().record("providers", now, peer, me, &key.0);
        let peers = self.0.peers.borrow();
        let Some(entry) = peers.get(peer) else { return Vec::new() };
        let found = entry.shelf.providers.get(&key).into_iter().flatten();
        let live = found.filter(|(_, expires)| **expires > now).map(|(provider, _)| *provider);
        // A liar names somebody who does not exist, before those who do.
        let nobody = entry.shelf.lies.then(|| PeerId::from_public_key(key.0));
        nobody.into_iter().chain(live).collect()
    }

    pub(super) async fn put_record(&self, me: PeerId, record: Record) -> Result<(), NetError> {
        if record.value.len() > limits::RECORD_BYTES {
            return Err(NetError::Limit("a record is longer than a record may be"));
        }
        let (mut kept, mut refusal) = (0, "no node took the record".to_owned());
        for (at, peer) in self.nearest(&me, record.key)? {
            self.until(at).await;
            if !self.reaches(&me, &peer) {
                continue;
            }
            self.trace().record("record", self.clock().monotonic(), &me, &peer, &record.value);
            match self.offer(&peer, &record) {
                Ok(()) => kept += 1,
                Err(reason) => refusal = reason,
            }
            let record = record.clone();
            self.replay(peer, move |fabric| drop(fabric.offer(&peer, &record)));
        }
        at_least_one(kept, &refusal)
    }

    /// Lets `peer` decide about a record. The same or an older one than it holds is no refusal.
    pub fn offer(&self, peer: &PeerId, record: &Record) -> Result<(), String> {
        let mut peers = self.0.peers.borrow_mut();
        let Some(entry) = peers.get_mut(peer) else { return Err("it left".to_owned()) };
        let held = entry.shelf.records.get(&record.key);
        if entry.shelf.lies && held.is_some() {
            return Ok(());
        }
        let kept = match entry.check.choose(record, held)? {
            RecordChoice::Take => record.clone(),
            RecordChoice::Prove(value) => Record { key: record.key, value },
            RecordChoice::Keep => return Ok(()),
        };
        entry.shelf.records.insert(kept.key, kept);
        Ok(())
    }

    pub(super) async fn records(&self, me: PeerId, key: Key) -> Result<Vec<Record>, NetError> {
        let mut found: BTreeMap<Vec<u8>, Record> = BTreeMap::new();
        for (at, peer) in self.nearest(&me, key)? {
            self.until(at).await;
            if !self.reaches(&me, &peer) {
                continue;
            }
            let peers = self.0.peers.borrow();
            let held = peers.get(&peer).and_then(|entry| entry.shelf.records.get(&key));
            let Some(record) = held else { continue };
            self.trace().record("found", self.clock().monotonic(), &peer, &me, &record.value);
            let lies = peers.get(&peer).is_some_and(|entry| entry.shelf.lies);
            let forged = lies.then(|| forged(record));
            for record in forged.iter().chain([record]) {
                // As the driver over libp2p does.
                if peers.get(&me).is_some_and(|own| own.check.choose(record, None).is_ok()) {
                    found.insert(record.value.clone(), record.clone());
                }
            }
        }
        Ok(found.into_values().collect())
    }
}

/// The record with a bit of it changed.
fn forged(record: &Record) -> Record {
    let mut forged = record.clone();
    let middle = forged.value.len() / 2;
    if let Some(byte) = forged.value.get_mut(middle) {
        *byte ^= 1;
    }
    forged
}

/// Kademlia's distance of a node to a key.
fn distance(peer: &PeerId, key: Key) -> [u8; 32] {
    let mut distance: [u8; 32] = blake3::hash(peer.public_key()).into();
    for (byte, other) in distance.iter_mut().zip(key.0) {
        *byte ^= other;
    }
    distance
}

fn at_least_one(kept: usize, reason: &str) -> Result<(), NetError> {
    if kept == 0 { Err(NetError::Dht(reason.to_owned())) } else { Ok(()) }
}
