//! The records of a backup, canonical DAG-CBOR, each of at most [`RECORD_BYTES`]. In this order: one
//! `about`, one `identity`, one `settings`, then objects, sites, heads and placements. Never printed.
//!
//! | record | fields |
//! |---|---|
//! | `about` | `v` 1, `agent`, `did`, `time_ms`, `objects`, `bytes` (of their blocks) |
//! | `identity` | `entropy` (the 32 bytes behind the 24 words), `log` |
//! | `settings` | `lend`, `serve`: what a person set, or null |
//! | `object` | `root`, `about` (the store's record), `pins` |
//! | `site` | as the store has it |
//! | `head` | a head record: signed, with its log |
//! | `placement` | `root`, `record` (signed, as in the DHT) |

use craftec_core::{Cid, Did, cbor, head::HeadRecord, identity::IdentityLog};
use craftec_obj::{objects::ObjectRecord, store::Pin};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::BackupError;
use crate::{serving::Chosen, session::SiteRecord};

/// Largest record: a signed record of the DHT (32 KiB) and its envelope.
pub(super) const RECORD_BYTES: usize = 64 << 10;
/// Version of the records.
pub(super) const VERSION: u8 = 1;

/// What the file is.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) v: u8,
    pub(super) agent: String,
    pub(super) did: Did,
    pub(super) time_ms: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// Whose it is.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) entropy: ByteBuf,
    pub(super) log: IdentityLog,
}

impl Drop for Identity {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(self.entropy.as_mut_slice());
    }
}

/// What a person set.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) lend: Option<u64>,
    pub(super) serve: Option<Chosen>,
}

/// An object, and why it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) root: Cid,
    pub(super) about: ObjectRecord,
    pub(super) pins: Vec<Pin>,
}

/// Who holds copies of an object.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) root: Cid,
    pub(super) record: ByteBuf,
}

/// One record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    About(About),
    Identity(Identity),
    Settings(Settings),
    Object(Object),
    Site(SiteRecord),
    Head(Box<HeadRecord>),
    Placement(Placed),
}

impl Record {
    /// The record as it is in the file, with its length.
    pub(super) fn frame(&self) -> Result<Vec<u8>, BackupError> {
        let bytes = cbor::encode(self)?;
        if bytes.len() > RECORD_BYTES {
            return Err(BackupError::TooMany("bytes in one record"));
        }
        Ok([&(bytes.len() as u32).to_be_bytes(), bytes.as_slice()].concat())
    }

    /// The record in `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BackupError> {
        Ok(cbor::decode(bytes, RECORD_BYTES)?)
    }
}
