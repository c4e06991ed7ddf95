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

    /// The proof that `self` and `held` contradict each other, which a store keeps in the place of
    /// both; none where one of them is such a proof already.
    pub fn proof_against(&self, held: &Record) -> Result<Option<Record>, RecordError> {
        match (self, held) {
            (Record::Head(new), Record::Head(old))
                if new.rival.is_none() && old.rival.is_none() =>
            {
                let proof = old.equivocation(new)?;
                Ok(proof.map(|proof| Record::Head(Box::new(proof))))
            }
            _ => Ok(None),
        }
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
    fn two_heads_with_one_number_become_their_proof_in_either_order_and_it_stays() {
        let head = |root| Record::Head(Box::new(crate::head::tests::record(0, root, None)));
        let (one, two) = (head(b"one"), head(b"two"));
        let proof = one.proof_against(&two).unwrap().unwrap();
        assert_eq!(two.proof_against(&one), Ok(Some(proof.clone())));
        let bytes = proof.encode().unwrap();
        assert_eq!(Record::verify(&one.key(), &bytes, 1_000), Ok(proof.clone()));
        assert_eq!(one.proof_against(&one), Ok(None));
        assert_eq!(one.proof_against(&proof), Ok(None));
        assert_eq!((one.replaces(&proof), proof.replaces(&one)), (Ok(false), Ok(true)));
        // Neither of the two is held against their proof, nor a third one.
        for record in [&one, &two, &head(b"three")] {
            assert_eq!(record.proof_against(&proof), Ok(None));
            assert_eq!(proof.proof_against(record), Ok(None));
        }
    }

    #[test]
    fn a_later_placement_takes_the_place_of_an_earlier_one_and_nothing_else_does() {
        let placed =
            |epoch| Record::Placement(Box::new(crate::placement::tests::record(epoch, &[10, 11])));
        let head = Record::Head(Box::new(crate::head::tests::record(0, b"one", None)));
        assert_eq!(placed(2).replaces(&placed(1)), Ok(true));
        assert_eq!(placed(1).replaces(&placed(2)), Ok(false));
        assert_eq!((placed(1).replaces(&head), head.replaces(&placed(1))), (Ok(false), Ok(false)));
    }

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
