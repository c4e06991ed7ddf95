//! What this node keeps for the DHT, in memory: records and providers, bounded in number, in bytes,
//! per peer and per prefix of addresses.
//!
//! When full, the prefix that has most gives way first; among equals what is farthest from our own
//! id goes, since others are responsible for it. Nothing of our own is ever evicted. Whether a
//! record is valid was decided before it comes here.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use craftec_core::limits;
use libp2p::{
    PeerId,
    kad::{
        KBucketDistance as Distance, KBucketKey, ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};
use web_time::Instant;

use crate::{Limits, Prefix, counters::Counters};

/// What a peer or a prefix has here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    records: usize,
    bytes: usize,
    keys: usize,
}

/// A peer's share, and the prefix that it was first counted under.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    share: Share,
    prefix: Option<Prefix>,
}

/// Records and providers, ordered by the distance of their keys from us.
pub(crate) struct Store {
    local: PeerId,
    local_key: KBucketKey<PeerId>,
    limits: Limits,
    counters: Arc<Counters>,
    records: BTreeMap<Distance, Record>,
    record_bytes: usize,
    providers: BTreeMap<Distance, Vec<ProviderRecord>>,
    /// Our own entries among `providers`.
    provided: BTreeMap<Distance, ProviderRecord>,
    sources: BTreeMap<PeerId, Source>,
    /// The same by prefix; those without one (relayed, or this machine) together.
    prefixes: BTreeMap<Option<Prefix>, Share>,
}

fn limit(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Store {
    pub(crate) fn new(local: PeerId, limits: Limits, counters: Arc<Counters>) -> Self {
        Self {
            local,
            local_key: local.into(),
            limits,
            counters,
            records: BTreeMap::new(),
            record_bytes: 0,
            providers: BTreeMap::new(),
            provided: BTreeMap::new(),
            sources: BTreeMap::new(),
            prefixes: BTreeMap::new(),
        }
    }

    /// Other limits and counters from now on.
    pub(crate) fn limit(&mut self, limits: Limits, counters: Arc<Counters>) {
        (self.limits, self.counters) = (limits, counters);
    }

    /// Says where a peer is connected from, before what it offers is put.
    pub(crate) fn comes_from(&mut self, peer: PeerId, prefix: Option<Prefix>) {
        let prefix = prefix.filter(|prefix| self.limits.counts(*prefix));
        let source = self.sources.entry(peer).or_default();
        // What is here was counted under the prefix of then.
        if source.share == Share::default() {
            source.prefix = prefix;
        }
    }

    fn distance(&self, key: &RecordKey) -> Distance {
        self.local_key.distance(&KBucketKey::new(key.clone()))
    }

    fn of_peer(&self, peer: &PeerId) -> Source {
        self.sources.get(peer).copied().unwrap_or_default()
    }

    fn of_prefix(&self, prefix: Option<Prefix>) -> Share {
        self.prefixes.get(&prefix).copied().unwrap_or_default()
    }

    /// Counts what a peer and its prefix have by `change`, and forgets who has nothing.
    fn count(&mut self, peer: PeerId, change: impl Fn(&mut Share)) {
        let source = self.sources.entry(peer).or_default();
        let prefix = source.prefix;
        change(&mut source.share);
        if source.share == Share::default() {
            self.sources.remove(&peer);
        }
        // Our own is in nobody's way.
        if peer != self.local {
            let share = self.prefixes.entry(prefix).or_default();
            change(share);
            if *share == Share::default() {
                self.prefixes.remove(&prefix);
            }
        }
        self.counters.records.set(self.records.len() as u64);
        self.counters.record_bytes.set(self.record_bytes as u64);
        self.counters.provider_keys.set(self.providers.len() as u64);
    }

    fn source(&self, record: &Record) -> PeerId {
        record.publisher.unwrap_or(self.local)
    }

    fn drop_record(&mut self, at: Distance) {
        if let Some(record) = self.records.remove(&at) {
            let bytes = record.value.len();
            self.record_bytes -= bytes;
            self.count(self.source(&record), |share| {
                (share.records, share.bytes) = (share.records - 1, share.bytes - bytes);
            });
        }
    }

    fn drop_key(&mut self, at: Distance) {
        for provider in self.providers.remove(&at).unwrap_or_default() {
            self.count(provider.provider, |share| share.keys -= 1);
        }
    }

    /// Nothing of a peer was taken; it is forgotten if it has nothing here.
    fn refused(&mut self, peer: PeerId) {
        self.counters.records_refused.up();
        if self.of_peer(&peer).share == Share::default() {
            self.sources.remove(&peer);
        }
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.records.len() >= limit(self.limits.records)
            || self.record_bytes + bytes > limit(self.limits.record_bytes)
    }

    /// Makes room for a record of `bytes` at distance `at` from `prefix`, or refuses.
    fn make_room(&mut self, at: Distance, bytes: usize, prefix: Option<Prefix>) -> Result<()> {
        if !self.is_full(bytes) {
            return Ok(());
        }
        let now = Instant::now();
        let expired: Vec<_> =
            self.records.iter().filter(|(_, r)| r.is_expired(now)).map(|(at, _)| *at).collect();
        expired.into_iter().for_each(|at| self.drop_record(at));
        while self.is_full(bytes) {
            let Some(victim) = self.victim(at, bytes, prefix) else {
                return Err(Error::MaxRecords);
            };
            self.counters.records_evicted.up();
            self.drop_record(victim);
        }
        Ok(())
    }

    /// The record that gives way to another from `prefix` at distance `at`.
    fn victim(&self, at: Distance, bytes: usize, prefix: Option<Prefix>) -> Option<Distance> {
        let by_bytes = self.records.len() < limit(self.limits.records);
        let size = |share: &Share| if by_bytes { share.bytes } else { share.records };
        let adds = if by_bytes { bytes } else { 1 };
        let mine = size(&self.of_prefix(prefix)) + adds;
        let most = self.prefixes.iter().max_by_key(|(_, share)| size(share));
        if let Some((greedy, share)) = most
            && *greedy != prefix
            && size(share) > mine
        {
            return self.farthest(|source| source.prefix == *greedy);
        }
        self.farthest(|_| true).filter(|other| *other > at)
    }

    fn farthest(&self, of: impl Fn(Source) -> bool) -> Option<Distance> {
        self.records.iter().rev().find_map(|(at, record)| {
            let source = self.source(record);
            (source != self.local && of(self.of_peer(&source))).then_some(*at)
        })
    }

    /// Whether a record of `source` fits its shares, once `freed` bytes of a record of its own
    /// (if `same`) have made room.
    fn fits(&self, source: &PeerId, bytes: usize, same: bool, freed: usize) -> bool {
        let peer = self.of_peer(source);
        let prefix = self.of_prefix(peer.prefix);
        let (one, freed) = if same { (1, freed) } else { (0, 0) };
        peer.share.records < limit(self.limits.records_per_peer) + one
            && (peer.prefix.is_none()
                || (prefix.records < limit(self.limits.records_per_prefix) + one
                    && prefix.bytes + bytes
                        <= limit(self.limits.record_bytes_per_prefix).saturating_add(freed)))
    }
}

impl Store {
    /// Makes room for another provider of a key at distance `at` that has `known` of them.
    fn room_for_provider(
        &mut self,
        record: &ProviderRecord,
        at: Distance,
        known: usize,
    ) -> Result<()> {
        let source = self.of_peer(&record.provider);
        let of_prefix = source.prefix.map_or(0, |prefix| self.of_prefix(Some(prefix)).keys);
        if source.share.keys >= limit(self.limits.provider_keys_per_peer)
            || of_prefix >= limit(self.limits.provider_keys_per_prefix)
        {
            return Err(Error::MaxProvidedKeys);
        }
        if known >= limit(self.limits.providers_per_key) {
            let now = Instant::now();
            let held = self.providers.get(&at).into_iter().flatten();
            let Some(expired) = held.filter(|p| p.is_expired(now)).map(|p| p.provider).next()
            else {
                return Err(Error::MaxProvidedKeys);
            };
            self.remove_provider(&record.key, &expired);
        }
        if known == 0 && self.providers.len() >= limit(self.limits.provider_keys) {
            let provided = &self.provided;
            let farthest = self.providers.keys().rev().find(|at| !provided.contains_key(at));
            match farthest.copied() {
                Some(other) if other > at => self.drop_key(other),
                _ => return Err(Error::MaxProvidedKeys),
            }
        }
        Ok(())
    }
}

impl RecordStore for Store {
    type RecordsIter<'a> = std::iter::Map<
        std::collections::btree_map::Values<'a, Distance, Record>,
        fn(&'a Record) -> Cow<'a, Record>,
    >;
    type ProvidedIter<'a> = std::iter::Map<
        std::collections::btree_map::Values<'a, Distance, ProviderRecord>,
        fn(&'a ProviderRecord) -> Cow<'a, ProviderRecord>,
    >;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.records.get(&self.distance(key)).map(Cow::Borrowed)
    }

    fn put(&mut self, record: Record) -> Result<()> {
        if record.value.len() > limits::RECORD_BYTES {
            return Err(Error::ValueTooLarge);
        }
        let (at, source) = (self.distance(&record.key), self.source(&record));
        let bytes = record.value.len();
        // The one it replaces makes room for it.
        let held = self.records.get(&at).map(|held| (self.source(held), held.value.len()));
        let (same, freed) = held.map_or((false, 0), |(from, bytes)| (from == source, bytes));
        let prefix = self.of_peer(&source).prefix;
        if source != self.local {
            let room = if !self.fits(&source, bytes, same, freed) {
                Err(Error::MaxRecords)
            } else if held.is_none() {
                self.make_room(at, bytes, prefix)
            } else if self.record_bytes - freed + bytes > limit(self.limits.record_bytes) {
                Err(Error::MaxRecords)
            } else {
                Ok(())
            };
            if room.is_err() {
                self.refused(source);
                return room;
            }
        }
        self.drop_record(at);
        // It may have been the last of this source, which was then forgotten.
        self.sources.entry(source).or_insert(Source { prefix, ..Source::default() });
        self.record_bytes += bytes;
        self.records.insert(at, record);
        self.count(source, |share| {
            (share.records, share.bytes) = (share.records + 1, share.bytes + bytes);
        });
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) {
        self.drop_record(self.distance(key));
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.records.values().map(Cow::Borrowed)
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        let at = self.distance(&record.key);
        let (ours, provider) = (record.provider == self.local, record.provider);
        if ours {
            self.provided.insert(at, record.clone());
        }
        let known = self.providers.get(&at).map_or(0, Vec::len);
        if let Some(held) =
            self.providers.get_mut(&at).into_iter().flatten().find(|held| held.provider == provider)
        {
            *held = record;
            return Ok(());
        }
        if !ours && let Err(full) = self.room_for_provider(&record, at, known) {
            self.refused(provider);
            return Err(full);
        }
        self.providers.entry(at).or_default().push(record);
        self.count(provider, |share| share.keys += 1);
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.providers.get(&self.distance(key)).cloned().unwrap_or_default()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.provided.values().map(Cow::Borrowed)
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        let at = self.distance(key);
        if *provider == self.local {
            self.provided.remove(&at);
        }
        let Some(providers) = self.providers.get_mut(&at) else { return };
        let before = providers.len();
        providers.retain(|held| held.provider != *provider);
        let removed = before - providers.len();
        if providers.is_empty() {
            self.providers.remove(&at);
        }
        if removed > 0 {
            self.count(*provider, |share| share.keys -= removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(us: PeerId) -> Store {
        let limits = Limits {
            records: 8,
            record_bytes: 100,
            records_per_peer: 6,
            records_per_prefix: 7,
            record_bytes_per_prefix: 60,
            provider_keys: 8,
            providers_per_key: 2,
            provider_keys_per_peer: 6,
            provider_keys_per_prefix: 7,
            ..Limits::default()
        };
        Store::new(us, limits, Arc::default())
    }

    fn record(key: u8, bytes: usize, publisher: PeerId) -> Record {
        Record {
            key: RecordKey::new(&[key; 32]),
            value: vec![key; bytes],
            publisher: Some(publisher),
            expires: None,
        }
    }

    fn provider(key: u8, provider: PeerId) -> ProviderRecord {
        ProviderRecord::new(RecordKey::new(&[key; 32]), provider, Vec::new())
    }

    #[test]
    fn one_source_cannot_fill_the_store() {
        let (us, liar) = (PeerId::random(), PeerId::random());
        let mut store = small(us);
        let taken = (0..20).filter(|&key| store.put(record(key, 1, liar)).is_ok()).count();
        assert_eq!(taken, 6);
        // What it has it may replace.
        assert!(store.put(record(0, 2, liar)).is_ok());
        let keys = (0..20).filter(|&key| store.add_provider(provider(key, liar)).is_ok()).count();
        assert_eq!(keys, 6);
        store.remove(&RecordKey::new(&[0; 32]));
        store.remove_provider(&RecordKey::new(&[0; 32]), &liar);
        assert!(store.put(record(50, 1, liar)).is_ok());
        assert!(store.add_provider(provider(50, liar)).is_ok());
    }

    #[test]
    fn a_full_store_keeps_the_nearest_and_its_own() {
        let us = PeerId::random();
        let mut store = small(us);
        store.put(record(255, 10, us)).unwrap();
        for key in 0..200 {
            let _ = store.put(record(key, 10, PeerId::random()));
            let _ = store.add_provider(provider(key, PeerId::random()));
        }
        assert_eq!(store.records.len(), 8);
        assert_eq!(store.providers.len(), 8);
        let mut all: Vec<_> =
            (0..200).map(|key| store.distance(&RecordKey::new(&[key; 32]))).collect();
        all.sort();
        assert!(store.providers.keys().eq(&all[..8]));
        assert!(store.get(&RecordKey::new(&[255; 32])).is_some());
        assert_eq!(store.record_bytes, 80);
        // Bytes are bounded too.
        assert!(store.put(record(201, 101, PeerId::random())).is_err());
        assert!(matches!(store.put(record(1, 33 << 10, us)), Err(Error::ValueTooLarge)));
    }

    #[test]
    fn providers_of_one_key_are_bounded_and_ours_are_listed() {
        let us = PeerId::random();
        let mut store = small(us);
        for _ in 0..5 {
            let _ = store.add_provider(provider(1, PeerId::random()));
        }
        let key = RecordKey::new(&[1; 32]);
        assert_eq!(store.providers(&key).len(), 2);
        store.add_provider(provider(1, us)).unwrap();
        assert_eq!(store.provided().count(), 1);
        store.remove_provider(&key, &us);
        assert_eq!((store.provided().count(), store.providers(&key).len()), (0, 2));
    }

    #[test]
    fn one_prefix_cannot_fill_the_store_and_gives_way_to_others() {
        let us = PeerId::random();
        let mut store = small(us);
        let [street, town] = [Prefix::V4([192, 0, 2]), Prefix::V4([198, 51, 100])];
        let put = |store: &mut Store, key: u8, bytes: usize, prefix| {
            let peer = PeerId::random();
            store.comes_from(peer, Some(prefix));
            let _ = store.add_provider(provider(key, peer));
            store.comes_from(peer, Some(prefix));
            store.put(record(key, bytes, peer)).is_ok()
        };
        let taken = (0..20).filter(|&key| put(&mut store, key, 1, street)).count();
        assert_eq!((taken, store.providers.len()), (7, 7), "one each from many identities");
        assert!(put(&mut store, 20, 1, town));
        // Full: newcomers of a smaller prefix find room, wherever their keys are.
        assert!((21..24).all(|key| put(&mut store, key, 1, town)));
        assert_eq!(store.of_prefix(Some(street)).records, 4);
        assert_eq!(store.of_prefix(Some(town)).records, 4);
        assert_eq!((store.records.len(), store.counters.records_evicted.now()), (8, 3));
        // Bytes are shared out in the same way.
        let (mut store, cold) = (small(us), Prefix::V4([203, 0, 113]));
        assert!((0..3).all(|key| put(&mut store, key, 20, street)));
        assert!(!put(&mut store, 3, 1, street), "60 bytes are its share");
        assert!((4..6).all(|key| put(&mut store, key, 20, town)));
        assert!(put(&mut store, 6, 20, cold));
        assert_eq!(store.of_prefix(Some(street)).bytes, 40);
        assert_eq!(store.record_bytes, 100);
        // What is gone is forgotten, prefix and all.
        for key in 0..8 {
            store.remove(&RecordKey::new(&[key; 32]));
            for held in store.providers(&RecordKey::new(&[key; 32])) {
                store.remove_provider(&held.key, &held.provider);
            }
        }
        assert!(store.sources.is_empty() && store.prefixes.is_empty());
        assert_eq!((store.counters.records.now(), store.counters.record_bytes.now()), (0, 0));
    }

    #[test]
    fn this_machine_is_no_prefix_unless_told() {
        let us = PeerId::random();
        let mut store = small(us);
        for key in 0..8 {
            let peer = PeerId::random();
            store.comes_from(peer, Some(Prefix::V4([127, 0, 0])));
            assert!(store.put(record(key, 1, peer)).is_ok());
        }
    }
}
