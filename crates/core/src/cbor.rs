//! Canonical DAG-CBOR, the one serialization of Craftec's own structures.
//!
//! Decoding is strict: bytes that would not be written again exactly as they were read are
//! refused, so that a structure has one encoding, one hash and one CID.
//! Source: <https://ipld.io/specs/codecs/dag-cbor/spec/>.

use serde::{Serialize, de::DeserializeOwned};

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

/// Decodes at most `limit` bytes and checks that they are canonical.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CborError> {
    if bytes.len() > limit {
        return Err(CborError::TooLong { bytes: bytes.len(), limit });
    }
    let value: T = serde_ipld_dagcbor::from_slice(bytes)
        .map_err(|e| CborError::Malformed { reason: e.to_string() })?;
    if encode(&value)? == bytes { Ok(value) } else { Err(CborError::NotCanonical) }
}
