//! Ed25519 signatures, always over a domain-separated message.
//!
//! Verification follows ZIP-215 (<https://zips.z.cash/zip-0215>): one rule for single and batched
//! checks, so that every node accepts exactly the same signatures.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What a signature is for. A signature made under one domain is invalid under every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// An event of an identity log.
    Identity,
    /// A head.
    Head,
    /// A holder's promise to keep a copy.
    Promise,
    /// An owner's placement record.
    Placement,
    /// A device vouching for its transport key.
    Certificate,
    /// A node's word about what another did for it.
    Receipt,
    /// A payer's storage contract.
    Contract,
    /// A holder's consent to a storage contract.
    ContractHolder,
    /// An auditor's word about a holder under a contract.
    Audit,
}

impl Domain {
    const fn tag(self) -> &'static [u8] {
        match self {
            Domain::Identity => b"craftec/identity/1\0",
            Domain::Head => b"craftec/head/1\0",
            Domain::Promise => b"craftec/promise/1\0",
            Domain::Placement => b"craftec/placement/1\0",
            Domain::Certificate => b"craftec/certificate/1\0",
            Domain::Receipt => b"craftec/receipt/1\0",
            Domain::Contract => b"craftec/contract/1\0",
            Domain::ContractHolder => b"craftec/contract-holder/1\0",
            Domain::Audit => b"craftec/audit/1\0",
        }
    }

    /// The bytes that are signed: the domain's tag, a zero byte, then `body`.
    pub fn message(self, body: &[u8]) -> Vec<u8> {
        [self.tag(), body].concat()
    }

    /// BLAKE3-256 of the same bytes: how keys in the DHT and ids are derived.
    pub fn hash(self, body: &[u8]) -> [u8; 32] {
        blake3::hash(&self.message(body)).into()
    }
}

/// A signature does not belong to the key and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct BadSignature;

/// Declares a newtype over a byte array that is text (base32) in JSON and bytes in DAG-CBOR.
macro_rules! byte_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    data_encoding::BASE32_NOPAD_NOCASE
                        .decode(text.as_bytes())
                        .map_err(D::Error::custom)?
                } else {
                    serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec()
                };
                bytes.as_slice().try_into().map(Self).map_err(|_| {
                    D::Error::invalid_length(bytes.len(), &concat!($len, " bytes"))
                })
            }
        }
    };
}

pub(crate) use byte_newtype;

/// Base32, lower case, no padding: the text of every hash and key of ours.
pub fn base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD_NOCASE.encode(bytes).to_lowercase()
}

byte_newtype!(
    /// An Ed25519 public key (RFC 8032).
    PublicKey, 32
);
byte_newtype!(
    /// An Ed25519 signature (RFC 8032).
    Signature, 64
);
byte_newtype!(
    /// A BLAKE3-256 hash of a signed structure.
    Hash, 32
);

impl PublicKey {
    /// Checks `signature` over `body` under `domain`.
    pub fn verify(
        &self,
        domain: Domain,
        body: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        ed25519_zebra::VerificationKey::try_from(self.0)
            .and_then(|key| {
                key.verify(&ed25519_zebra::Signature::from(signature.0), &domain.message(body))
            })
            .map_err(|_| BadSignature)
    }
}

/// An Ed25519 secret key. Never printed, never serialized.
#[derive(Clone)]
pub struct SecretKey(ed25519_zebra::SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_zebra::SigningKey::from(seed))
    }

    /// The 32 bytes that it comes from.
    pub(crate) fn seed(&self) -> [u8; 32] {
        self.0.into()
    }

    /// The public side.
    pub fn public(&self) -> PublicKey {
        PublicKey(ed25519_zebra::VerificationKeyBytes::from(&self.0).into())
    }

    /// Signs `body` under `domain`.
    pub fn sign(&self, domain: Domain, body: &[u8]) -> Signature {
        Signature(self.0.sign(&domain.message(body)).into())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_in_its_own_domain_only() {
        let key = SecretKey::from_seed([3; 32]);
        let signature = key.sign(Domain::Head, b"body");
        assert_eq!(key.public().verify(Domain::Head, b"body", &signature), Ok(()));
        assert!(key.public().verify(Domain::Promise, b"body", &signature).is_err());
        assert!(key.public().verify(Domain::Head, b"Body", &signature).is_err());
        let other = SecretKey::from_seed([4; 32]).public();
        assert!(other.verify(Domain::Head, b"body", &signature).is_err());
    }
}
