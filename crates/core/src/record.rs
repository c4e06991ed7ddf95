//! Signed records as the DHT carries them: one envelope, one rule for what may be stored.
//!
//! Layout: canonical DAG-CBOR of [`Record`], at most `limits::RECORD_BYTES`.

use serde::{Deserialize, Serialize};

use crate::{
    cbor::{self, CborError},
    head::{HeadError, HeadRecord, head_key},
    limits,
    placement::{PlacementError, PlacementRecord, placement_key},
};

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too long, or not canonical DAG-CBOR of a known kind.
    #[error(transparent)]
    Encoding(#[from] CborError),
    /// A bad head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A bad placement.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

/// A record of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Which root a name has.
    Head(Box<HeadRecord>),
    /// Who keeps an object.
    Placement(Box<PlacementRecord>),
}

impl Record {
    /// Encodes the record; a longer one than may be sent is refused here.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let bytes = cbor::encode(self)?;
        if bytes.len() > limits::RECORD_BYTES {
            let error = CborError::TooLong { bytes: bytes.len(), limit: limits::RECORD_BYTES };
            return Err(error.into());
        }
        Ok(bytes)
    }

    /// Where the record belongs.
    pub fn key(&self) -> [u8; 32] {
        match self {
            Record::Head(r) => head_key(&r.head.head.did, &r.head.head.name),
            Record::Placement(r) => placement_key(&r.placement.root, &r.placement.owner),
        }
    }

    /// Decodes and fully verifies a record offered under `key`.
    pub fn verify(key: &[u8; 32], bytes: &[u8], now_ms: u64) -> Result<Self, RecordError> {
        let record: Record = cbor::decode(bytes, limits::RECORD_BYTES)?;
        match &record {
            Record::Head(_) if record.key() != *key => return Err(HeadError::Key.into()),
            Record::Placement(_) if record.key() != *key => {
                return Err(PlacementError::Key.into());
            }
            Record::Head(head) => drop(head.verify(now_ms)?),
            Record::Placement(placement) => drop(placement.verify()?),
        }
        Ok(record)
    }

    /// Whether a store that holds `held` should take `self` (both verified, same key).
    pub fn replaces(&self, held: &Record) -> Result<bool, RecordError> {
        match (self, held) {
            (Record::Head(new), Record::Head(old)) => Ok(new.replaces(old)?),
            (Record::Placement(new), Record::Placement(old)) => Ok(new.replaces(old)),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_right_key_and_canonical_bytes_pass() {
        let record = Record::Head(Box::new(crate::head::tests::record(0, b"one", None)));
        let (key, bytes) = (record.key(), record.encode().unwrap());
        assert_eq!(Record::verify(&key, &bytes, 1_000), Ok(record));
        assert_eq!(Record::verify(&[0; 32], &bytes, 1_000), Err(HeadError::Key.into()));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(Record::verify(&key, &longer, 1_000), Err(RecordError::Encoding(_))));
        let huge = vec![0; limits::RECORD_BYTES + 1];
        assert!(matches!(Record::verify(&key, &huge, 1_000), Err(RecordError::Encoding(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            prop_assert!(Record::verify(&[0; 32], &bytes, 0).is_err());
        }

        #[test]
        fn a_flipped_byte_never_passes(place in any::<prop::sample::Index>(), flip in 1u8..) {
            let record = Record::Placement(Box::new(crate::placement::tests::record(1, &[10, 11])));
            let (key, mut bytes) = (record.key(), record.encode().unwrap());
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(Record::verify(&key, &bytes, 1_000).is_err());
        }
    }
}
