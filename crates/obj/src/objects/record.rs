//! What is remembered about an object that was put or pinned here.
//!
//! On disk: namespace `Object`, key CID (36 bytes), value canonical DAG-CBOR of [`ObjectRecord`], at
//! most [`RECORD_BYTES`].

use bytes::Bytes;
use craftec_core::{Cid, cbor, limits::SMALL_OBJECT_BYTES};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError, coded::CODED_BYTES, store::Meta};

/// Largest encoded record: a name of 255 bytes and the fixed fields.
const RECORD_BYTES: usize = 1024;

/// About one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Version of this structure: 1, or 2 with `percent`.
    pub v: u8,
    /// The name it was put under.
    pub name: Option<String>,
    /// Bytes of content.
    pub size: u64,
    /// A folder rather than a file.
    pub folder: bool,
    /// Files below it; 1 for a file.
    pub files: u64,
    /// Blocks below it.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub block_bytes: u64,
    /// When it was put or pinned (ms since 1970).
    pub time_ms: u64,
    /// Copies wanted on other nodes; 0 for what was only pinned.
    pub wanted: u16,
    /// Pieces per hundred source pieces, where it is to be coded once there are enough holders; 0 for
    /// copies only. Left out where it is 0.
    #[serde(default, skip_serializing_if = "is_none")]
    pub percent: u16,
}

/// `serde` hands references.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none(percent: &u16) -> bool {
    *percent == 0
}

impl ObjectRecord {
    /// All records, by root.
    pub fn all(store: &Store) -> Result<Vec<(Cid, Self)>, StoreError> {
        let rows = store.meta_scan(Meta::Object)?;
        rows.iter().map(|(key, value)| Self::read(key, value)).collect()
    }

    /// Pieces per hundred source pieces, if it is to be coded and is of a length that can be.
    pub fn percent_coded(&self) -> u16 {
        let lengths = SMALL_OBJECT_BYTES..=CODED_BYTES;
        if self.folder || !lengths.contains(&self.size) { 0 } else { self.percent }
    }

    /// The encoded record.
    pub fn encode(&self) -> Result<Bytes, StoreError> {
        Ok(cbor::encode(self)?.into())
    }

    pub(super) fn read(key: &[u8], value: &[u8]) -> Result<(Cid, Self), StoreError> {
        let damaged = |reason: String| StoreError::Corrupt { reason };
        let root = Cid::from_bytes(key).map_err(|e| damaged(format!("an object's key: {e}")))?;
        let record: Self = cbor::decode(value, RECORD_BYTES)?;
        match record.v {
            1 if record.percent > 0 => Err(damaged("an object of version 1 is coded".to_owned())),
            1 | 2 => Ok((root, record)),
            v => Err(StoreError::Newer { found: v.into(), known: 2 }),
        }
    }
}
