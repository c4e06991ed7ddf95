//! The cipher of an encrypted database: AES-256-SIV (RFC 5297, AEAD_AES_SIV_CMAC_512), deterministic.
//!
//! Equal pages of one database become equal blocks, so its states still share what did not change; under
//! another key nothing is equal. A page keeps its length: SQLite leaves its last [`SEAL_BYTES`] free (the
//! "reserved" bytes of the file format), and there the tag goes. Two keys come from a database's key by
//! BLAKE3's `derive_key`; what kind of thing was sealed is the only associated data, as which thing it is
//! the hashes above it say.
//!
//! What this does not hide is written in `docs/site/sql.md`: sizes, times, and which blocks are equal.

use std::fmt;

use aes_siv::{KeyInit, Tag, siv::Aes256Siv};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{PAGE_BYTES, TableError};
use crate::sign::{base32, byte_newtype};

/// Bytes of a page that a seal takes: SQLite must reserve them.
pub const SEAL_BYTES: usize = 16;
/// Bytes of a page that are left to SQLite.
const OPEN_BYTES: usize = PAGE_BYTES - SEAL_BYTES;
const CONTEXT: &str = "craftec database seal v1";

/// What is sealed: one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    Node,
    Root,
}

impl Kind {
    const fn header(self) -> &'static [u8] {
        match self {
            Self::Page => b"page",
            Self::Node => b"node",
            Self::Root => b"root",
        }
    }
}

byte_newtype!(
    /// Which key a database is under: random bytes, which anybody may see.
    KeyId, 16
);

/// The key of a database. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseKey(pub [u8; 32]);

impl fmt::Debug for DatabaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseKey(…)")
    }
}

/// A key, ready for use.
#[derive(Clone)]
pub struct Seal {
    id: KeyId,
    key: DatabaseKey,
    cipher_key: [u8; 64],
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({:?})", self.id)
    }
}

impl Seal {
    /// The cipher under `key`.
    pub fn new(id: KeyId, key: DatabaseKey) -> Self {
        let mut cipher_key = [0; 64];
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&key.0).finalize_xof().fill(&mut cipher_key);
        Self { id, key, cipher_key }
    }

    /// Which key it is.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The key.
    pub const fn key(&self) -> &DatabaseKey {
        &self.key
    }

    /// Seals a page. Its last [`SEAL_BYTES`] are not kept: SQLite has nothing there.
    pub fn seal_page(&self, page: &mut [u8; PAGE_BYTES]) {
        let (open, end) = page.split_at_mut(OPEN_BYTES);
        end.copy_from_slice(&self.seal_in_place(Kind::Page, open));
    }

    /// Opens a page, whose last [`SEAL_BYTES`] become zeros. If it is not under this key it stays as it is.
    pub fn open_page(&self, page: &mut [u8; PAGE_BYTES]) -> Result<(), TableError> {
        let (sealed, end) = page.split_at_mut(OPEN_BYTES);
        let mut tag = Tag::default();
        tag.copy_from_slice(end);
        self.open_in_place(Kind::Page, sealed, &tag)?;
        end.fill(0);
        Ok(())
    }

    /// Seals bytes: the tag, and what they became.
    pub(super) fn seal(&self, kind: Kind, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; SEAL_BYTES];
        sealed.extend_from_slice(bytes);
        let tag = self.seal_in_place(kind, &mut sealed[SEAL_BYTES..]);
        sealed[..SEAL_BYTES].copy_from_slice(&tag);
        sealed
    }

    /// Opens what [`Self::seal`] sealed.
    pub(super) fn open(&self, kind: Kind, sealed: &[u8]) -> Result<Vec<u8>, TableError> {
        let (tag, sealed) = sealed.split_at_checked(SEAL_BYTES).ok_or(TableError::Locked)?;
        let mut bytes = sealed.to_vec();
        self.open_in_place(kind, &mut bytes, Tag::from_slice(tag))?;
        Ok(bytes)
    }

    fn seal_in_place(&self, kind: Kind, bytes: &mut [u8]) -> Tag {
        match self.cipher().encrypt_in_place_detached([kind.header()], bytes) {
            Ok(tag) => tag,
            Err(error) => unreachable!("one header is not too many: {error}"),
        }
    }

    fn open_in_place(&self, kind: Kind, bytes: &mut [u8], tag: &Tag) -> Result<(), TableError> {
        let opened = self.cipher().decrypt_in_place_detached([kind.header()], bytes, tag);
        opened.map_err(|_| TableError::Locked)
    }

    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new((&self.cipher_key).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(KeyId([byte; 16]), DatabaseKey([byte; 32]))
    }

    /// RFC 5297, A.1, which this library's version for longer keys shares its code with.
    #[test]
    fn the_cipher_is_the_one_of_the_rfc() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let key = hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let header = hex("101112131415161718191a1b1c1d1e1f2021222324252627");
        let mut bytes = hex("112233445566778899aabbccddee");
        let mut cipher = aes_siv::siv::Aes128Siv::new(key.as_slice().into());
        let tag = cipher.encrypt_in_place_detached([header], &mut bytes).unwrap();
        assert_eq!(tag.to_vec(), hex("85632d07c6e8f37f950acd320a2ecc93"));
        assert_eq!(bytes, hex("40c02b9690c4dc04daef7f6afe5c"));
    }

    #[test]
    fn a_page_opens_under_its_own_key_only() {
        let mut page = [7; PAGE_BYTES];
        page[OPEN_BYTES..].fill(0);
        let plain = page;
        seal(1).seal_page(&mut page);
        let sealed = page;
        assert!(sealed.windows(8).all(|part| part != [7; 8]));
        assert_eq!(seal(2).open_page(&mut page), Err(TableError::Locked));
        assert_eq!(page, sealed, "what does not open stays as it is");
        seal(1).open_page(&mut page).unwrap();
        assert_eq!(page, plain);
        let (mut again, mut other) = (plain, plain);
        seal(1).seal_page(&mut again);
        seal(2).seal_page(&mut other);
        assert_eq!(again, sealed, "equal pages are equal blocks");
        assert_ne!(other, sealed, "and under another key they are not");
    }

    #[test]
    fn a_changed_bit_anywhere_is_seen() {
        let mut page = [1; PAGE_BYTES];
        seal(1).seal_page(&mut page);
        for at in [0, 1, OPEN_BYTES - 1, OPEN_BYTES, PAGE_BYTES - 1] {
            let mut changed = page;
            changed[at] ^= 4;
            assert_eq!(seal(1).open_page(&mut changed), Err(TableError::Locked), "{at}");
        }
    }

    #[test]
    fn one_kind_is_not_another() {
        let sealed = seal(1).seal(Kind::Node, b"a node");
        assert_eq!(seal(1).open(Kind::Node, &sealed).unwrap(), b"a node");
        assert_eq!(seal(1).open(Kind::Root, &sealed), Err(TableError::Locked));
        assert_eq!(seal(1).open(Kind::Node, &sealed[..15]), Err(TableError::Locked));
        assert_eq!(seal(1).open(Kind::Node, &seal(1).seal(Kind::Node, b"")).unwrap(), b"");
    }

    #[test]
    fn a_key_is_never_printed() {
        let shown = format!("{:?} {:?}", seal(9), seal(9).key());
        assert_eq!(shown, format!("Seal({}) DatabaseKey(…)", base32(&[9; 16])));
    }
}
