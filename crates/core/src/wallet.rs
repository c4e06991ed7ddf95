//! The wallet: 24 words (BIP-39) and the keys derived from them (SLIP-0010, Ed25519).
//!
//! Path: `m / 7271' / role' / index'`, all hardened, as Ed25519 demands. Role 0 is the identity;
//! its index counts rotations. Role 1, index 0 is what the keys of databases are derived from (BLAKE3's
//! `derive_key`, with the id of each). 7271 is this project's purpose number; no registry lists it.
//! Sources: <https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>,
//! <https://github.com/satoshilabs/slips/blob/master/slip-0010.md>.

use std::{fmt, sync::OnceLock};

use hmac::{Hmac, Mac};
use sha2::Sha512;

use crate::{
    database::{DatabaseKey, KeyId},
    sign::SecretKey,
};

const PURPOSE: u32 = 7271;
const ROLE_IDENTITY: u32 = 0;
const ROLE_DATABASES: u32 = 1;
const DATABASES: &str = "craftec database key v1";
const HARDENED: u32 = 1 << 31;

/// A phrase is not 24 valid words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid phrase of 24 words: {reason}")]
pub struct PhraseError {
    reason: String,
}

/// The root of a person's keys. Never printed.
#[derive(Clone)]
pub struct Wallet {
    entropy: [u8; 32],
    /// The BIP-39 seed behind every key, which takes 2,048 rounds to stretch: made once.
    seed: OnceLock<[u8; 64]>,
}

impl Wallet {
    /// The wallet of 32 random bytes.
    pub const fn from_entropy(entropy: [u8; 32]) -> Self {
        Self { entropy, seed: OnceLock::new() }
    }

    /// The wallet of 24 English words; more or fewer are refused.
    pub fn from_phrase(phrase: &str) -> Result<Self, PhraseError> {
        let refuse = |reason: String| PhraseError { reason };
        let mnemonic = bip39::Mnemonic::parse(phrase).map_err(|e| refuse(e.to_string()))?;
        let entropy: [u8; 32] = mnemonic
            .to_entropy()
            .try_into()
            .map_err(|_| refuse(format!("{} words", mnemonic.word_count())))?;
        Ok(Self::from_entropy(entropy))
    }

    /// The 32 bytes behind the words, for storage.
    pub const fn entropy(&self) -> &[u8; 32] {
        &self.entropy
    }

    /// The 24 words.
    pub fn words(&self) -> Vec<String> {
        self.mnemonic().words().map(str::to_owned).collect()
    }

    /// The identity's key after `rotations` rotations.
    pub fn identity_key(&self, rotations: u32) -> SecretKey {
        let seed = self.seed.get_or_init(|| self.mnemonic().to_seed(""));
        SecretKey::from_seed(derive(seed, &[PURPOSE, ROLE_IDENTITY, rotations]))
    }

    /// The key of the owner's encrypted databases that has this id.
    pub fn database_key(&self, id: KeyId) -> DatabaseKey {
        let seed = self.seed.get_or_init(|| self.mnemonic().to_seed(""));
        let mut hasher = blake3::Hasher::new_derive_key(DATABASES);
        hasher.update(&derive(seed, &[PURPOSE, ROLE_DATABASES, 0])).update(&id.0);
        DatabaseKey(*hasher.finalize().as_bytes())
    }

    fn mnemonic(&self) -> bip39::Mnemonic {
        match bip39::Mnemonic::from_entropy(&self.entropy) {
            Ok(mnemonic) => mnemonic,
            Err(error) => unreachable!("32 bytes are always a phrase: {error}"),
        }
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wallet(…)")
    }
}

/// SLIP-0010 for Ed25519: hardened children only.
fn derive(seed: &[u8], path: &[u32]) -> [u8; 32] {
    let root = hmac_sha512(b"ed25519 seed", &[seed]);
    let (key, _) = path.iter().fold(split(root), |(key, chain), index| {
        let index = (index | HARDENED).to_be_bytes();
        split(hmac_sha512(&chain, &[&[0], &key, &index]))
    });
    key
}

fn split(bytes: [u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut key, mut chain) = ([0; 32], [0; 32]);
    key.copy_from_slice(&bytes[..32]);
    chain.copy_from_slice(&bytes[32..]);
    (key, chain)
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    let mut mac = match Hmac::<Sha512>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(error) => unreachable!("HMAC takes keys of any length: {error}"),
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SLIP-0010, test vector 1 for ed25519.
    #[test]
    fn derivation_follows_slip_0010() {
        let seed = data_encoding::HEXLOWER.decode(b"000102030405060708090a0b0c0d0e0f").unwrap();
        let hex = |path: &[u32]| data_encoding::HEXLOWER.encode(&derive(&seed, path));
        assert_eq!(hex(&[]), "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7");
        assert_eq!(hex(&[0]), "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3");
        assert_eq!(
            hex(&[0, 1, 2, 2, 1_000_000_000]),
            "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793"
        );
    }

    #[test]
    fn words_restore_the_same_keys() {
        let wallet = Wallet::from_entropy([9; 32]);
        let words = wallet.words();
        assert_eq!(words.len(), 24);
        let restored = Wallet::from_phrase(&words.join(" ")).unwrap();
        assert_eq!(restored.identity_key(1).public(), wallet.identity_key(1).public());
        assert_ne!(wallet.identity_key(0).public(), wallet.identity_key(1).public());
    }

    #[test]
    fn other_phrases_are_refused() {
        assert!(Wallet::from_phrase("").is_err());
        let twelve = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                      abandon abandon about";
        let error = Wallet::from_phrase(twelve).unwrap_err();
        assert!(error.to_string().contains("12 words"), "{error}");
    }
}
