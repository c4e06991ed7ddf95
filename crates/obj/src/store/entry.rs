//! Where a block's bytes are: in the index itself, or in an extent of the pack.
//!
//! On disk, integers little endian:
//! - `0x00 | bytes`: the bytes themselves, at most [`INLINE_BYTES`];
//! - `0x01 | length (u32) | offset (u64)`: in the pack.

use craftec_core::limits;

use super::StoreError;

/// Blocks up to this length live in the index: a commit of folder nodes and records then costs one
/// flush, and a 4 KiB page of the index still holds a few of them.
pub(super) const INLINE_BYTES: usize = 1024;

/// A decoded index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// The bytes.
    Inline(&'a [u8]),
    /// Where in the pack.
    Packed { offset: u64, length: u32 },
}

impl<'a> Entry<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, StoreError> {
        match bytes {
            [0, inline @ ..] if inline.len() <= INLINE_BYTES => Ok(Self::Inline(inline)),
            [1, rest @ ..] => match (rest.first_chunk::<4>(), rest.get(4..12), rest.len()) {
                (Some(length), Some(offset), 12) => {
                    let length = u32::from_le_bytes(*length);
                    let mut wide = [0; 8];
                    wide.copy_from_slice(offset);
                    if length as usize > limits::BLOCK_BYTES {
                        return Err(StoreError::damaged(format!("a block of {length} bytes")));
                    }
                    Ok(Self::Packed { offset: u64::from_le_bytes(wide), length })
                }
                _ => Err(StoreError::damaged("an extent of another shape")),
            },
            _ => Err(StoreError::damaged("a block entry of an unknown kind")),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inline(bytes) => [&[0], *bytes].concat(),
            Self::Packed { offset, length } => {
                [&[1][..], &length.to_le_bytes(), &offset.to_le_bytes()].concat()
            }
        }
    }

    /// The block's length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Packed { length, .. } => u64::from(*length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damage_is_refused() {
        for entry in [
            Entry::Inline(b""),
            Entry::Inline(b"abc"),
            Entry::Packed { offset: 1 << 40, length: 1 << 20 },
        ] {
            assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        }
        let long = [0; INLINE_BYTES + 2];
        let huge = Entry::Packed { offset: 0, length: u32::MAX }.encode();
        for bad in [&[][..], &[2], &[1, 0, 0], &[1; 14], &long, &huge] {
            assert!(matches!(Entry::decode(bad), Err(StoreError::Corrupt { .. })), "{bad:?}");
        }
    }
}
