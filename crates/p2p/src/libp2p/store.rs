//! What this node keeps for the DHT, in memory: records and providers, bounded in number, in bytes
//! and per source.
//!
//! When full, what is farthest from our own id goes: others are responsible for it. Nothing of our
//! own is ever evicted. Whether a record is valid was decided before it comes here.

use std::{borrow::Cow, collections::BTreeMap};

use craftec_core::limits;
use libp2p::{
    PeerId,
    kad::{
        KBucketDistance as Distance, KBucketKey, ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};
use web_time::Instant;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Records of others.
    pub(crate) records: usize,
    /// Bytes of all records' values.
    pub(crate) record_bytes: usize,
    /// Records from one source.
    pub(crate) records_per_source: usize,
    /// Keys with providers.
    pub(crate) keys: usize,
    /// Providers of one key; a reader asks for 20.
    pub(crate) providers_per_key: usize,
    /// Keys of one provider.
    pub(crate) keys_per_provider: usize,
}

impl Default for Capacity {
    /// About 64 MiB of records and 20 MiB of providers at most.
    fn default() -> Self {
        Self {
            records: 16 << 10,
            record_bytes: 64 << 20,
            records_per_source: 4 << 10,
            keys: 64 << 10,
            providers_per_key: 32,
            keys_per_provider: 16 << 10,
        }
    }
}

/// Records and providers, ordered by the distance of their keys from us.
pub(crate) struct Store {
    local: PeerId,
    local_key: KBucketKey<PeerId>,
    capacity: Capacity,
    records: BTreeMap<Distance, Record>,
    record_bytes: usize,
    providers: BTreeMap<Distance, Vec<ProviderRecord>>,
    /// Our own entries among `providers`.
    provided: BTreeMap<Distance, ProviderRecord>,
    /// Records by source and keys by provider.
    counts: BTreeMap<PeerId, (usize, usize)>,
}

impl Store {
    pub(crate) fn new(local: PeerId, capacity: Capacity) -> Self {
        Self {
            local,
            local_key: local.into(),
            capacity,
            records: BTreeMap::new(),
            record_bytes: 0,
            providers: BTreeMap::new(),
            provided: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    fn distance(&self, key: &RecordKey) -> Distance {
        self.local_key.distance(&KBucketKey::new(key.clone()))
    }

    fn count(&mut self, peer: PeerId) -> &mut (usize, usize) {
        self.counts.entry(peer).or_default()
    }

    fn uncount(&mut self, peer: PeerId, records: usize, keys: usize) {
        let count = self.count(peer);
        *count = (count.0.saturating_sub(records), count.1.saturating_sub(keys));
        if *count == (0, 0) {
            self.counts.remove(&peer);
        }
    }

    fn source(&self, record: &Record) -> PeerId {
        record.publisher.unwrap_or(self.local)
    }

    fn drop_record(&mut self, at: Distance) {
        if let Some(record) = self.records.remove(&at) {
            self.record_bytes -= record.value.len();
            self.uncount(self.source(&record), 1, 0);
        }
    }

    fn drop_key(&mut self, at: Distance) {
        for provider in self.providers.remove(&at).unwrap_or_default() {
            self.uncount(provider.provider, 0, 1);
        }
    }

    /// Makes room for a record of `bytes` at distance `at`, or refuses.
    fn make_room(&mut self, at: Distance, bytes: usize) -> Result<()> {
        let full = |store: &Self| {
            store.records.len() >= store.capacity.records
                || store.record_bytes + bytes > store.capacity.record_bytes
        };
        if !full(self) {
            return Ok(());
        }
        let now = Instant::now();
        let expired: Vec<_> =
            self.records.iter().filter(|(_, r)| r.is_expired(now)).map(|(at, _)| *at).collect();
        expired.into_iter().for_each(|at| self.drop_record(at));
        while full(self) {
            let local = self.local;
            let farthest = self.records.iter().rev().find(|(_, r)| r.publisher != Some(local));
            match farthest.map(|(other, _)| *other) {
                Some(other) if other > at => self.drop_record(other),
                _ => return Err(Error::MaxRecords),
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
        // The one it replaces makes room for it.
        let held = self.records.get(&at).map(|held| (self.source(held), held.value.len()));
        let (same, freed) = held.map_or((false, 0), |(from, bytes)| (from == source, bytes));
        let of_source = self.counts.get(&source).map_or(0, |count| count.0);
        if source != self.local {
            if of_source >= self.capacity.records_per_source + usize::from(same) {
                return Err(Error::MaxRecords);
            }
            if held.is_none() {
                self.make_room(at, record.value.len())?;
            } else if self.record_bytes - freed + record.value.len() > self.capacity.record_bytes {
                return Err(Error::MaxRecords);
            }
        }
        self.drop_record(at);
        self.record_bytes += record.value.len();
        self.count(source).0 += 1;
        self.records.insert(at, record);
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
        let of_provider = self.counts.get(&provider).map_or(0, |count| count.1);
        if !ours {
            if of_provider >= self.capacity.keys_per_provider {
                return Err(Error::MaxProvidedKeys);
            }
            if known >= self.capacity.providers_per_key {
                let now = Instant::now();
                let expired = self.providers.get(&at).into_iter().flatten();
                let Some(expired) =
                    expired.filter(|p| p.is_expired(now)).map(|p| p.provider).next()
                else {
                    return Err(Error::MaxProvidedKeys);
                };
                self.remove_provider(&record.key, &expired);
            }
            if known == 0 && self.providers.len() >= self.capacity.keys {
                let provided = &self.provided;
                let farthest = self.providers.keys().rev().find(|at| !provided.contains_key(at));
                match farthest.copied() {
                    Some(other) if other > at => self.drop_key(other),
                    _ => return Err(Error::MaxProvidedKeys),
                }
            }
        }
        self.count(provider).1 += 1;
        self.providers.entry(at).or_default().push(record);
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
            self.uncount(*provider, 0, removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Capacity = Capacity {
        records: 8,
        record_bytes: 100,
        records_per_source: 6,
        keys: 8,
        providers_per_key: 2,
        keys_per_provider: 6,
    };

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
        let mut store = Store::new(us, SMALL);
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
        let mut store = Store::new(us, SMALL);
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
        let mut store = Store::new(us, SMALL);
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
}
