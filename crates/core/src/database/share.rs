//! Sharing the key of a database with other identities: a sealed box for each (libsodium's
//! `crypto_box_seal`: X25519, XSalsa20-Poly1305), to the key of the identity.
//!
//! An identity's Ed25519 key is taken to X25519 as libsodium's `crypto_sign_ed25519_pk_to_curve25519` does:
//! the point's Montgomery form, and for the secret the clamped first half of the seed's SHA-512. A box has
//! no name on it; whoever reads tries each. The box's own secret comes from the database's key and the
//! reader's, so that one state has one root.
//!
//! Sources: RFC 7748, RFC 8032, <https://doc.libsodium.org/public-key_cryptography/sealed_boxes>.

use crypto_box::aead::rand_core::{CryptoRng, Error, RngCore};
use curve25519_dalek::edwards::CompressedEdwardsY;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use super::{DatabaseKey, KeyId, Seal, TableError};
use crate::{
    identity::Did,
    sign::{PublicKey, SecretKey},
};

/// Most identities that a database is shared with: a reader may try as many boxes, some 50 µs each.
pub const READERS: usize = 256;
/// A box: the public key of its own, a tag, the database's key.
const SHARE_BYTES: usize = 32 + 16 + 32;
const CONTEXT: &str = "craftec database share v1";

/// Somebody whom a database is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader {
    /// Who.
    pub did: Did,
    /// The key that the identity had then.
    pub key: PublicKey,
}

/// The key of a database in a box for one reader.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(#[serde(with = "serde_bytes")] Vec<u8>);

impl Share {
    /// The key of `seal` for `reader`.
    pub fn of(seal: &Seal, reader: &Reader) -> Result<Self, TableError> {
        let point = CompressedEdwardsY(reader.key.0).decompress().ok_or(TableError::Reader)?;
        // A key of small order would make a box that anybody opens.
        if point.is_small_order() {
            return Err(TableError::Reader);
        }
        let to = crypto_box::PublicKey::from_bytes(point.to_montgomery().to_bytes());
        let mut secret = Secret::of(seal, reader);
        let sealed = to.seal(&mut secret, &seal.key().0).map_err(|_| TableError::Reader)?;
        Ok(Self(sealed))
    }

    /// The key that is in it, if it is for the holder of `secret`.
    pub fn open(&self, id: KeyId, secret: &SecretKey) -> Option<Seal> {
        if self.0.len() != SHARE_BYTES {
            return None;
        }
        let hash = Sha512::digest(secret.seed());
        let scalar: [u8; 32] = hash.as_slice().get(..32)?.try_into().ok()?;
        let opened = crypto_box::SecretKey::from_bytes(scalar).unseal(&self.0).ok()?;
        Some(Seal::new(id, DatabaseKey(opened.try_into().ok()?)))
    }
}

/// Where the secret of a box comes from.
struct Secret(blake3::OutputReader);

impl Secret {
    fn of(seal: &Seal, reader: &Reader) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&seal.key().0).update(&seal.id().0).update(&reader.key.0);
        Self(hasher.finalize_xof())
    }
}

impl RngCore for Secret {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// BLAKE3 under a key that only those have who may know what it seals.
impl CryptoRng for Secret {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Hash;

    fn reader(key: PublicKey) -> Reader {
        Reader { did: Did(Hash([1; 32])), key }
    }

    #[test]
    fn a_box_opens_for_its_reader_only() {
        let seal = Seal::new(KeyId([3; 16]), DatabaseKey([4; 32]));
        let [ours, other] = [5, 6].map(|byte| SecretKey::from_seed([byte; 32]));
        let share = Share::of(&seal, &reader(ours.public())).unwrap();
        assert_eq!(share.0.len(), SHARE_BYTES);
        let opened = share.open(seal.id(), &ours).unwrap();
        assert_eq!((opened.id(), opened.key()), (seal.id(), seal.key()));
        assert!(share.open(seal.id(), &other).is_none());
        assert_eq!(Share::of(&seal, &reader(ours.public())).unwrap(), share, "one box each");
        let mut cut = share.clone();
        cut.0.pop();
        assert!(cut.open(seal.id(), &ours).is_none());
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let seal = Seal::new(KeyId([3; 16]), DatabaseKey([4; 32]));
        let mut one = [0; 32];
        one[0] = 1;
        for key in [one, [0; 32], [2; 32]] {
            let refused = Share::of(&seal, &reader(PublicKey(key)));
            assert_eq!(refused, Err(TableError::Reader), "{key:?}");
        }
    }
}
