//! Transport identities: the raw Ed25519 key that a running node proves on every connection.
//!
//! A [`PeerId`] is only a means of transport. Who a person is lives in the identity module; a device
//! certifies its transport key, and losing that key loses nothing.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Protobuf envelope of a libp2p Ed25519 public key behind an identity multihash:
/// `0x00 0x24 | 0x08 0x01 0x12 0x20 | key (32 bytes)`.
/// Source: <https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md>.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A node's transport identity: its Ed25519 public key. Text: base58btc, `12D3KooW…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; 32]);

/// Why text or bytes are not a peer id of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a peer id with an Ed25519 key (`12D3KooW…`): {reason}")]
pub struct PeerIdError {
    reason: String,
}

impl PeerId {
    /// The peer id of an Ed25519 public key.
    pub const fn from_public_key(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The Ed25519 public key.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The multihash form (38 bytes) that libp2p uses.
    pub fn to_bytes(&self) -> [u8; 38] {
        let mut out = [0; 38];
        out[..6].copy_from_slice(&PREFIX);
        out[6..].copy_from_slice(&self.0);
        out
    }

    /// Reads the multihash form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerIdError> {
        bytes
            .strip_prefix(&PREFIX)
            .and_then(|key| key.try_into().ok())
            .map(Self)
            .ok_or_else(|| PeerIdError { reason: format!("{} bytes of another kind", bytes.len()) })
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        let mut bytes = [0; 64];
        let len = bs58::decode(text)
            .onto(&mut bytes)
            .map_err(|e| PeerIdError { reason: e.to_string() })?;
        Self::from_bytes(&bytes[..len])
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_bytes()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text in JSON, the 32 bytes of the key in DAG-CBOR.
impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
            let key: [u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| D::Error::invalid_length(bytes.len(), &"32 bytes"))?;
            Ok(Self(key))
        }
    }
}

/// The secret behind a [`PeerId`]: an Ed25519 seed of 32 bytes. Never printed.
#[derive(Clone)]
pub struct TransportKey {
    seed: [u8; 32],
}

impl TransportKey {
    /// The key of a seed (32 random bytes).
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// The seed, for the transport and for storage.
    pub const fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public side.
    pub fn peer_id(&self) -> PeerId {
        PeerId(ed25519_zebra::VerificationKeyBytes::from(&self.signing_key()).into())
    }

    /// Signs `message`; callers pass a domain-separated message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing_key().sign(message).into()
    }

    fn signing_key(&self) -> ed25519_zebra::SigningKey {
        ed25519_zebra::SigningKey::from(self.seed)
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportKey({})", self.peer_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_other_keys_are_refused() {
        let id = TransportKey::from_seed([7; 32]).peer_id();
        assert!(id.to_string().starts_with("12D3KooW"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".parse::<PeerId>().is_err());
        assert!("12D3KooW".repeat(20).parse::<PeerId>().is_err());
    }
}
