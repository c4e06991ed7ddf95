//! What is kept for others, on disk: namespace `Lent`, key root (36 bytes) and the asking peer (32
//! bytes), value canonical DAG-CBOR of [`LentRecord`], at most [`LENT_BYTES`].

use std::collections::BTreeMap;

use bytes::Bytes;
use craftec_core::{Cid, Did, PeerId, cbor, cid::CID_BYTES};
use serde::{Deserialize, Serialize};

use crate::{
    Store, StoreError,
    store::{Batch, Meta, Pin, PinReason},
};

/// Largest encoded record.
const LENT_BYTES: usize = 512;

/// A copy that is kept for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LentRecord {
    /// Version of this structure: 1.
    pub v: u8,
    /// The root.
    pub root: Cid,
    /// For whom.
    pub owner: Did,
    /// The peer that asked, and may end it.
    pub asker: PeerId,
    /// Bytes of its blocks (as announced, until it is complete).
    pub bytes: u64,
    /// The placement's epoch.
    pub epoch: u64,
    /// Until when it is kept (ms since 1970).
    pub until_ms: u64,
    /// Everything is here, and a promise was signed.
    pub complete: bool,
}

impl LentRecord {
    /// By who asked, which the transport proves, and not by the owner, which is only claimed: nobody
    /// can end a copy that somebody else asked for.
    fn key(root: &Cid, asker: &PeerId) -> Vec<u8> {
        [root.to_bytes().as_slice(), asker.public_key()].concat()
    }

    /// All records, by root.
    pub(crate) fn all(store: &Store) -> Result<Vec<Self>, StoreError> {
        let rows = store.meta_scan(Meta::Lent)?;
        rows.iter().map(|(_, value)| Self::read(value)).collect()
    }

    /// The records of one root: everyone who asked for it.
    pub(crate) fn of(store: &Store, root: &Cid) -> Result<Vec<Self>, StoreError> {
        let rows = store.meta_scan_prefix(Meta::Lent, root.to_bytes())?;
        rows.iter().map(|(_, value)| Self::read(value)).collect()
    }

    /// The record of one copy.
    pub(crate) fn find(
        store: &Store,
        root: &Cid,
        asker: &PeerId,
    ) -> Result<Option<Self>, StoreError> {
        let value = store.meta_get(Meta::Lent, Self::key(root, asker))?;
        value.map(|value| Self::read(&value)).transpose()
    }

    /// Bytes of complete copies; a root that several asked for is there once.
    pub(crate) fn lent_bytes(store: &Store) -> Result<u64, StoreError> {
        let mut roots = BTreeMap::new();
        for record in Self::all(store)?.into_iter().filter(|record| record.complete) {
            roots.insert(record.root, record.bytes);
        }
        Ok(roots.values().sum())
    }

    fn read(value: &[u8]) -> Result<Self, StoreError> {
        Ok(cbor::decode(value, LENT_BYTES)?)
    }

    /// Makes the record and the pin durable.
    pub(crate) fn keep(&self, store: &Store, now_ms: u64) -> Result<(), StoreError> {
        let value: Bytes = cbor::encode(self)?.into();
        let mut batch = Batch::new();
        batch.meta_put(Meta::Lent, Self::key(&self.root, &self.asker), value);
        batch.pin(self.root, Pin::new(PinReason::Lent, now_ms, "", self.bytes));
        store.commit(batch)
    }

    /// Removes the record, and the pin if nobody else wants the root kept.
    pub(crate) fn drop(&self, store: &Store) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.meta_delete(Meta::Lent, Self::key(&self.root, &self.asker));
        let prefix = self.root.to_bytes();
        let others = store.meta_scan_prefix(Meta::Lent, prefix)?;
        debug_assert!(others.iter().all(|(key, _)| key.len() == CID_BYTES + 32));
        if others.len() <= 1 {
            batch.unpin(self.root, Some(PinReason::Lent));
        }
        store.commit(batch)
    }
}
