//! Canonical DAG-CBOR, the one serialization of Craftec's own structures.
//!
//! Decoding is strict: bytes that would not be written again exactly as they were read are
//! refused, so that a structure has one encoding, one hash and one CID.
//! Source: <https://ipld.io/specs/codecs/dag-cbor/spec/>.

use serde::{Deserialize, Serialize};

/// Why bytes are not a structure of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Longer than the structure's limit.
    #[error("{bytes} bytes are more than the {limit} allowed here")]
    TooLong {
        /// The length found.
        bytes: usize,
        /// The limit of this structure.
        limit: usize,
    },
    /// Not DAG-CBOR, or not the expected fields.
    #[error("malformed DAG-CBOR: {reason}")]
    Malformed {
        /// What the decoder found.
        reason: String,
    },
    /// Decodes, but another encoding of the same value was used.
    #[error("DAG-CBOR is not in canonical form")]
    NotCanonical,
}

/// Encodes `value`. Structures of ours always encode: they hold no floats and only string keys.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CborError> {
    serde_ipld_dagcbor::to_vec(value).map_err(|e| CborError::Malformed { reason: e.to_string() })
}

/// Encodes `value`, which takes about `bytes`, without moving what was written when it grows.
pub fn encode_sized<T: Serialize>(value: &T, bytes: usize) -> Result<Vec<u8>, CborError> {
    let mut encoded = Vec::with_capacity(bytes);
    match serde_ipld_dagcbor::to_writer(&mut encoded, value) {
        Ok(()) => Ok(encoded),
        Err(error) => Err(CborError::Malformed { reason: error.to_string() }),
    }
}

/// Decodes at most `limit` bytes and checks that they are canonical. The value may borrow from them.
pub fn decode<'a, T: Serialize + Deserialize<'a>>(
    bytes: &'a [u8],
    limit: usize,
) -> Result<T, CborError> {
    if bytes.len() > limit {
        return Err(CborError::TooLong { bytes: bytes.len(), limit });
    }
    let value: T = serde_ipld_dagcbor::from_slice(bytes)
        .map_err(|e| CborError::Malformed { reason: e.to_string() })?;
    // Compared piece by piece while it is written: a large message is not copied for it.
    let mut same = Same(bytes);
    match serde_ipld_dagcbor::to_writer(&mut same, &value) {
        Ok(()) if same.0.is_empty() => Ok(value),
        _ => Err(CborError::NotCanonical),
    }
}

/// Takes exactly the bytes that it holds, and fails on the first that differs.
struct Same<'a>(&'a [u8]);

impl std::io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.strip_prefix(bytes) {
            Some(rest) => self.0 = rest,
            None => return Err(std::io::ErrorKind::InvalidData.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_encoding_is_read() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Pair {
            a: u64,
            b: Vec<u64>,
        }
        let pair = Pair { a: 1, b: vec![2, 300] };
        let bytes = encode(&pair).unwrap();
        assert_eq!(decode::<Pair>(&bytes, 99), Ok(pair));
        let limit = bytes.len() - 1;
        assert!(matches!(decode::<Pair>(&bytes, limit), Err(CborError::TooLong { .. })));
        let cut = decode::<Pair>(&bytes[..limit], 99);
        assert!(matches!(cut, Err(CborError::Malformed { .. })), "{cut:?}");
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(decode::<Pair>(&longer, 99).is_err());
        // The same values: a number in a longer form, the keys in another order.
        for other in [b"\xa2aa\x18\x01ab\x80".as_slice(), b"\xa2ab\x80aa\x01"] {
            let error = decode::<Pair>(other, 99).unwrap_err();
            let refused = matches!(error, CborError::NotCanonical | CborError::Malformed { .. });
            assert!(refused, "{error}");
        }
    }
}
