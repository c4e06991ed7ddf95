//! A block: at most 1 MiB of bytes under the CID that they hash to.
//!
//! A [`Block`] exists only if its bytes match its CID, so nothing above this module checks again. It
//! never interprets what the bytes mean.

use bytes::Bytes;
use craftec_core::{Cid, Codec, limits};

/// Bytes and the CID that names them. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    bytes: Bytes,
}

/// Why bytes are not the block that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Longer than a block may be.
    #[error("a block of {bytes} bytes is longer than the {limit} allowed", limit = limits::BLOCK_BYTES)]
    TooLong {
        /// The length found.
        bytes: usize,
    },
    /// The bytes hash to something else.
    #[error("the bytes offered as {wanted} are not its bytes: they hash to {found}")]
    Mismatch {
        /// The CID that was claimed.
        wanted: Cid,
        /// The CID that the bytes have.
        found: Cid,
    },
}

impl Block {
    /// The block that `bytes` make under `codec`.
    pub fn of(codec: Codec, bytes: impl Into<Bytes>) -> Result<Self, BlockError> {
        let bytes = bytes.into();
        within_limit(&bytes)?;
        Ok(Self { cid: Cid::of(codec, &bytes), bytes })
    }

    /// The block `cid`, if `bytes` are what it names.
    pub fn verified(cid: Cid, bytes: impl Into<Bytes>) -> Result<Self, BlockError> {
        let bytes = bytes.into();
        within_limit(&bytes)?;
        let found = Cid::of(cid.codec(), &bytes);
        if found != cid {
            return Err(BlockError::Mismatch { wanted: cid, found });
        }
        Ok(Self { cid, bytes })
    }

    /// Its address.
    pub const fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its bytes, without the address.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// How many bytes it has.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is the empty block.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The address and the length; never the content.
impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({}, {} bytes)", self.cid, self.bytes.len())
    }
}

const fn within_limit(bytes: &Bytes) -> Result<(), BlockError> {
    if bytes.len() > limits::BLOCK_BYTES {
        return Err(BlockError::TooLong { bytes: bytes.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_bytes_make_a_block() {
        let block = Block::of(Codec::Raw, &b"hello"[..]).unwrap();
        assert_eq!(Block::verified(*block.cid(), &b"hello"[..]), Ok(block.clone()));
        let wrong = Block::verified(*block.cid(), &b"hullo"[..]);
        assert!(
            matches!(wrong, Err(BlockError::Mismatch { wanted, .. }) if wanted == *block.cid())
        );
        assert_eq!(format!("{block:?}"), format!("Block({}, 5 bytes)", block.cid()));
    }

    #[test]
    fn a_block_shows_its_bytes() {
        let block = Block::of(Codec::Raw, &b"ab"[..]).unwrap();
        assert_eq!((block.bytes().as_ref(), block.len()), (&b"ab"[..], 2));
        assert_eq!(*block.cid(), Cid::of(Codec::Raw, b"ab"));
        let empty = Block::of(Codec::DagPb, Bytes::new()).unwrap();
        assert!(empty.is_empty() && !block.is_empty());
        assert_eq!(block.into_bytes().as_ref(), b"ab");
    }

    #[test]
    fn a_block_is_at_most_a_mebibyte() {
        assert!(Block::of(Codec::Raw, vec![0; limits::BLOCK_BYTES]).is_ok());
        let bytes = limits::BLOCK_BYTES + 1;
        let too_long = BlockError::TooLong { bytes };
        assert_eq!(Block::of(Codec::Raw, vec![0; bytes]), Err(too_long));
        let cid = Cid::of(Codec::Raw, &vec![0; bytes]);
        assert_eq!(Block::verified(cid, vec![0; bytes]), Err(too_long));
    }
}
