//! Pins: the roots that a node keeps, and why.
//!
//! On disk: key `CID (36 bytes) | reason (1 byte)`, value canonical DAG-CBOR of [`Pin`], at most
//! [`PIN_BYTES`]. One root may be pinned for several reasons at once; it goes when the last is gone.

use craftec_core::{Cid, cbor, cid::CID_BYTES};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// Largest encoded pin: a name of 255 bytes and the fixed fields.
pub const PIN_BYTES: usize = 1024;
pub(super) const PIN_KEY_BYTES: usize = CID_BYTES + 1;

/// Why a root is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinReason {
    /// The person at this node put it.
    Own,
    /// It is the content of a site published from here.
    Site,
    /// It is held for somebody else, under a placement record.
    Lent,
}

impl PinReason {
    const ALL: [Self; 3] = [Self::Own, Self::Site, Self::Lent];

    const fn code(self) -> u8 {
        match self {
            Self::Own => 0,
            Self::Site => 1,
            Self::Lent => 2,
        }
    }
}

/// What is remembered about a kept root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Version of this structure: 1.
    pub v: u8,
    /// Why it is kept.
    pub reason: PinReason,
    /// Since when, in milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// What a person called it; empty where nobody did. At most 255 bytes.
    pub name: String,
    /// Bytes of the object's content, as known when it was pinned; 0 where unknown.
    pub size_bytes: u64,
    /// Until when it is kept, in milliseconds since 1970; none means until unpinned.
    pub expires_ms: Option<u64>,
}

impl Pin {
    /// A pin without an end.
    pub fn new(reason: PinReason, time_ms: u64, name: impl Into<String>, size_bytes: u64) -> Self {
        Self { v: 1, reason, time_ms, name: name.into(), size_bytes, expires_ms: None }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let bytes = cbor::encode(self)?;
        if bytes.len() > PIN_BYTES {
            let limit = PIN_BYTES;
            return Err(StoreError::TooLong { what: "a pin", bytes: bytes.len(), limit });
        }
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        Ok(cbor::decode(bytes, PIN_BYTES)?)
    }
}

pub(super) fn pin_key(root: &Cid, reason: PinReason) -> [u8; PIN_KEY_BYTES] {
    let mut key = [0; PIN_KEY_BYTES];
    key[..CID_BYTES].copy_from_slice(&root.to_bytes());
    key[CID_BYTES] = reason.code();
    key
}

pub(super) fn pin_keys(root: &Cid) -> [[u8; PIN_KEY_BYTES]; 3] {
    PinReason::ALL.map(|reason| pin_key(root, reason))
}

pub(super) fn pinned_root(key: &[u8; PIN_KEY_BYTES]) -> Result<Cid, StoreError> {
    Cid::from_bytes(&key[..CID_BYTES]).map_err(|e| StoreError::damaged(format!("a pin: {e}")))
}
