//! A backup file: everything of one's own in one encrypted file, written and read as a stream. It
//! never holds what is kept for others, nor the transport key, which belongs to one machine.
//!
//! # File (version 1); integers are big endian
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CRAFTBAK` |
//! | 8 | 2 | version: 1 |
//! | 10 | 1 | key derivation: 1 is Argon2id, version 0x13 |
//! | 11 | 1 | its lanes |
//! | 12 | 4 | its memory in KiB |
//! | 16 | 4 | its passes |
//! | 20 | 16 | its salt |
//! | 36 | 19 | first part of every nonce |
//! | 55 | 1 | 0 |
//! | 56 | 16 | check: bytes 32 to 48 of what Argon2id gives for the passphrase (UTF-8); 0 to 32 are the key |
//! | 72 | … | frames |
//!
//! A frame is 64 KiB of content (the last one 1 byte to 64 KiB) under XChaCha20-Poly1305, and its tag
//! of 16 bytes. Nonce: the 19 bytes of the header, the frame's number (4 bytes, from 0), 1 for the
//! last frame and 0 for others. Associated data: the 72 bytes of the header. So no frame can be
//! changed, moved, left out or added, and a file that ends early is noticed (the STREAM construction:
//! Hoang, Reyhanitabar, Rogaway, Vizár 2015).
//!
//! The content is a list of records (see [`record`]), each preceded by its length (4 bytes), ended by
//! a length of 0, and then a CAR file (version 1) with every block of every object once, parents
//! before their children.

#[cfg(test)]
mod golden;
mod merge;
mod parts;
mod record;
mod restore;
mod seal;
mod write;

pub(crate) use restore::Restore;
pub(crate) use write::{plan, stream};

use craftec_core::cbor::CborError;
use craftec_obj::{ObjError, StoreError};

/// Shortest passphrase in characters. Argon2id makes guessing slow, not impossible.
pub(crate) const PASSPHRASE_CHARS: usize = 8;
/// Longest passphrase in bytes: a page of text.
pub(crate) const PASSPHRASE_BYTES: usize = 1024;

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// Another kind of file.
    #[error("this is not a backup of Craftec")]
    Foreign,
    /// A newer layout.
    #[error("the backup has version {found}, this Craftec reads up to {known}; update it")]
    Newer {
        /// What the file says.
        found: u16,
        /// The newest known here.
        known: u16,
    },
    /// A key derivation that would take too much, or that does not exist.
    #[error("the backup asks for a key derivation that is not allowed: {0}")]
    Derivation(&'static str),
    /// The passphrase, or the header, is another.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// Too short or too long.
    #[error("a passphrase has {PASSPHRASE_CHARS} characters to {PASSPHRASE_BYTES} bytes")]
    PassphraseLength,
    /// A frame fails its tag.
    #[error("the backup is damaged between byte {from} and byte {to}")]
    Damaged {
        /// First byte of the frame.
        from: u64,
        /// One past its last byte.
        to: u64,
    },
    /// The file ends early.
    #[error("the backup ends too early, after {bytes} bytes, or its last part is damaged")]
    Truncated {
        /// Its length.
        bytes: u64,
    },
    /// Whole and authentic, but not what this version writes.
    #[error("the backup's content makes no sense: {0}")]
    Content(String),
    /// Too much of something.
    #[error("the backup holds too many {0}")]
    TooMany(&'static str),
    /// An earlier part failed.
    #[error("an earlier part of this backup was refused")]
    Broken,
    /// The node has another identity with things of its own.
    #[error("the backup is of {theirs}, and this node publishes as {ours}")]
    OtherIdentity {
        /// Of the file.
        theirs: String,
        /// Of this node.
        ours: String,
    },
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object could not be read.
    #[error(transparent)]
    Object(#[from] ObjError),
}

impl From<CborError> for BackupError {
    fn from(error: CborError) -> Self {
        Self::Content(error.to_string())
    }
}
