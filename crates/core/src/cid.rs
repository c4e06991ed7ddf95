//! Content identifiers: CIDv1 with a BLAKE3-256 multihash, in three codecs and one text form.
//!
//! Binary form (36 bytes): `0x01 | codec (1 byte) | 0x1e | 0x20 | hash (32 bytes)`.
//! Text form: multibase `b` (base32 lower case without padding), 59 characters, which fits a DNS
//! label (63). Source: <https://github.com/multiformats/cid>. Any other version, hash function or
//! base is refused with an error that names what was found.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

/// Multihash code of BLAKE3 (32-byte output).
const BLAKE3: u64 = 0x1e;
/// Length of the binary form in bytes.
pub const CID_BYTES: usize = 36;

/// How the bytes behind a CID are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Plain bytes (0x55).
    Raw,
    /// A UnixFS file or folder node (0x70).
    DagPb,
    /// A structure of Craftec's own, canonical DAG-CBOR (0x71).
    DagCbor,
}

impl Codec {
    /// The multicodec number.
    pub const fn code(self) -> u64 {
        match self {
            Codec::Raw => 0x55,
            Codec::DagPb => 0x70,
            Codec::DagCbor => 0x71,
        }
    }

    fn from_code(code: u64) -> Result<Self, CidError> {
        match code {
            0x55 => Ok(Codec::Raw),
            0x70 => Ok(Codec::DagPb),
            0x71 => Ok(Codec::DagCbor),
            code => Err(CidError::Codec { code }),
        }
    }
}

/// The address of a block: its codec and the BLAKE3-256 hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cid {
    codec: Codec,
    hash: [u8; 32],
}

/// Why bytes or text are not a CID of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidError {
    /// Not a CID at all.
    #[error("not a CID: {reason}")]
    Malformed {
        /// What the parser found.
        reason: String,
    },
    /// CIDv0 (`Qm…`), or a version that does not exist.
    #[error("CID version {version} is not supported, only version 1 (text that begins with `b`)")]
    Version {
        /// The version found.
        version: u64,
    },
    /// A codec that Craftec does not store.
    #[error("CID codec 0x{code:x} is not supported, only raw, dag-pb and dag-cbor")]
    Codec {
        /// The codec found.
        code: u64,
    },
    /// Another hash function, SHA-256 for instance.
    #[error("CID hash 0x{code:x} of {bytes} bytes is not supported, only BLAKE3-256 (0x1e)")]
    Hash {
        /// The multihash code found.
        code: u64,
        /// The digest's length.
        bytes: usize,
    },
    /// The right CID in another text form (base58, upper case, …).
    #[error("CID text must be base32 lower case; this one would be {canonical}")]
    Text {
        /// The accepted text of the same CID.
        canonical: Cid,
    },
}

impl Cid {
    /// The CID of `bytes` under `codec`.
    pub fn of(codec: Codec, bytes: &[u8]) -> Self {
        Self { codec, hash: blake3::hash(bytes).into() }
    }

    /// A CID from a hash that was computed elsewhere (for instance incrementally).
    pub const fn from_hash(codec: Codec, hash: [u8; 32]) -> Self {
        Self { codec, hash }
    }

    /// How the block is to be read.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The BLAKE3-256 hash.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether `bytes` are what this CID names.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        blake3::hash(bytes) == self.hash
    }

    /// The binary form.
    pub fn to_bytes(&self) -> [u8; CID_BYTES] {
        let mut out = [0; CID_BYTES];
        out[..4].copy_from_slice(&[1, self.codec.code() as u8, BLAKE3 as u8, 32]);
        out[4..].copy_from_slice(&self.hash);
        out
    }

    /// Reads the binary form; nothing may follow it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        let foreign =
            cid::Cid::try_from(bytes).map_err(|e| CidError::Malformed { reason: e.to_string() })?;
        if foreign.encoded_len() != bytes.len() {
            return Err(CidError::Malformed { reason: "bytes after the end".to_owned() });
        }
        Self::try_from(foreign)
    }

    fn foreign(&self) -> Result<cid::Cid, CidError> {
        let hash = multihash::Multihash::wrap(BLAKE3, &self.hash)
            .map_err(|e| CidError::Malformed { reason: e.to_string() })?;
        Ok(cid::Cid::new_v1(self.codec.code(), hash))
    }
}

impl TryFrom<cid::Cid> for Cid {
    type Error = CidError;

    fn try_from(foreign: cid::Cid) -> Result<Self, CidError> {
        if foreign.version() != cid::Version::V1 {
            return Err(CidError::Version { version: 0 });
        }
        let codec = Codec::from_code(foreign.codec())?;
        let hash = foreign.hash();
        match (hash.code(), <[u8; 32]>::try_from(hash.digest())) {
            (BLAKE3, Ok(hash)) => Ok(Self { codec, hash }),
            (code, _) => Err(CidError::Hash { code, bytes: hash.digest().len() }),
        }
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        let foreign =
            cid::Cid::try_from(text).map_err(|e| CidError::Malformed { reason: e.to_string() })?;
        let cid = Self::try_from(foreign)?;
        if cid.to_string() == text { Ok(cid) } else { Err(CidError::Text { canonical: cid }) }
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("b")?;
        f.write_str(&data_encoding::BASE32_NOPAD_NOCASE.encode(&self.to_bytes()).to_lowercase())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In DAG-CBOR a CID is a link (tag 42); in JSON it is its text.
impl Serialize for Cid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.foreign().map_err(S::Error::custom)?.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Cid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            cid::Cid::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_dns_label_and_parses_back() {
        let cid = Cid::of(Codec::Raw, b"hello");
        let text = cid.to_string();
        assert_eq!(text.len(), 59);
        assert_eq!(text.parse(), Ok(cid));
        assert_eq!(Cid::from_bytes(&cid.to_bytes()), Ok(cid));
    }

    #[test]
    fn foreign_cids_are_named_in_the_error() {
        let v0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
        assert_eq!(v0.parse::<Cid>(), Err(CidError::Version { version: 0 }));
        let sha = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        assert_eq!(sha.parse::<Cid>(), Err(CidError::Hash { code: 0x12, bytes: 32 }));
        let upper = Cid::of(Codec::Raw, b"x").to_string().to_uppercase();
        assert!(matches!(upper.parse::<Cid>(), Err(CidError::Text { .. })));
        assert!(matches!("..".parse::<Cid>(), Err(CidError::Malformed { .. })));
    }
}
