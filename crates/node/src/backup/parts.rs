//! The content of a backup, taken apart piece by piece: records, then the blocks of a CAR file. Every
//! length is checked before anything of it is kept.

use craftec_core::{Cid, cid::CID_BYTES, limits};
use craftec_obj::Block;
use serde::{Deserialize, Serialize};

use super::{
    BackupError,
    record::{RECORD_BYTES, Record},
};

/// Roots that the CAR's header names: some 4 MB. (The records name all.)
pub(super) const ROOTS: usize = 100_000;
/// Largest header of a CAR.
const HEADER_BYTES: u64 = 8 << 20;
/// A varint of ours has at most so many bytes.
const VARINT_BYTES: usize = 5;

/// The header of a CAR file, in the order of canonical DAG-CBOR.
#[derive(Serialize, Deserialize)]
struct CarHeader {
    roots: Vec<Cid>,
    version: u64,
}

/// A part of a backup.
pub(super) enum Part {
    Record(Record),
    Block(Block),
}

/// What comes next.
enum Next {
    Record,
    CarHeader,
    Block,
}

/// Takes content apart.
pub(super) struct Parts {
    /// Content that is not taken apart yet: less than the largest part.
    buffer: Vec<u8>,
    next: Next,
}

impl Parts {
    /// At the beginning.
    pub(super) const fn new() -> Self {
        Self { buffer: Vec::new(), next: Next::Record }
    }

    /// Takes content and hands its whole parts to `take`.
    pub(super) fn push(
        &mut self,
        content: &[u8],
        mut take: impl FnMut(Part) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        self.buffer.extend_from_slice(content);
        let mut done = 0;
        loop {
            let rest = &self.buffer[done..];
            let Some((head, body)) = length(&self.next, rest)? else { break };
            let Some(bytes) = rest.get(head..head + body) else { break };
            match self.next {
                Next::Record if body == 0 => self.next = Next::CarHeader,
                Next::Record => take(Part::Record(Record::read(bytes)?))?,
                Next::CarHeader => {
                    let header: CarHeader = craftec_core::cbor::decode(bytes, bytes.len())?;
                    if header.version != 1 {
                        return Err(BackupError::Content("a CAR of another version".to_owned()));
                    }
                    self.next = Next::Block;
                }
                Next::Block => take(Part::Block(block(bytes)?))?,
            }
            done += head + body;
        }
        self.buffer.drain(..done);
        Ok(())
    }

    /// The content ended here.
    pub(super) fn finish(self) -> Result<(), BackupError> {
        match self.next {
            Next::Block if self.buffer.is_empty() => Ok(()),
            _ => Err(BackupError::Content("it ends in the middle".to_owned())),
        }
    }
}

/// The length of the next part's head and body, once it is there.
fn length(next: &Next, bytes: &[u8]) -> Result<Option<(usize, usize)>, BackupError> {
    let (head, body, most) = match next {
        Next::Record => {
            let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
            (4, u64::from(u32::from_be_bytes(*length)), RECORD_BYTES as u64)
        }
        Next::CarHeader | Next::Block => {
            let Some((head, body)) = varint(bytes)? else { return Ok(None) };
            let most = match next {
                Next::CarHeader => HEADER_BYTES,
                _ => (CID_BYTES + limits::BLOCK_BYTES) as u64,
            };
            (head, body, most)
        }
    };
    if body > most {
        return Err(BackupError::Content(format!("a part of {body} bytes")));
    }
    Ok(Some((head, body as usize)))
}

fn varint(bytes: &[u8]) -> Result<Option<(usize, u64)>, BackupError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(VARINT_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((at + 1, value)));
        }
    }
    match bytes.len() < VARINT_BYTES {
        true => Ok(None),
        false => Err(BackupError::Content("a length that never ends".to_owned())),
    }
}

fn block(bytes: &[u8]) -> Result<Block, BackupError> {
    let (cid, content) = bytes
        .split_at_checked(CID_BYTES)
        .ok_or_else(|| BackupError::Content("a block without a CID".to_owned()))?;
    let cid = Cid::from_bytes(cid).map_err(|error| BackupError::Content(error.to_string()))?;
    Block::verified(cid, bytes::Bytes::copy_from_slice(content))
        .map_err(|error| BackupError::Content(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(content: &[u8]) -> bool {
        let mut parts = Parts::new();
        parts.push(content, |_| Ok(())).is_err()
    }

    #[test]
    fn any_content_breaks_nothing() {
        let mut state = 1_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (state >> 16) as u8
        };
        for round in 0..20_000_usize {
            // Half of them get past the records.
            let head: &[u8] = if round % 2 == 0 { &[0; 4] } else { &[0, 0, 0, 9] };
            let content: Vec<u8> =
                head.iter().copied().chain((0..round % 90).map(|_| byte() % 64)).collect();
            let mut parts = Parts::new();
            for piece in content.chunks(1 + round % 7) {
                if parts.push(piece, |_| Ok(())).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_kept() {
        assert!(refused(&u32::MAX.to_be_bytes()));
        assert!(refused(&(RECORD_BYTES as u32 + 1).to_be_bytes()));
        assert!(refused(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]));
        assert!(refused(&[0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80]));
        assert!(refused(&[0, 0, 0, 1, 0xff]), "no record");
        let mut parts = Parts::new();
        parts.push(&[0, 0, 0, 9], |_| Ok(())).unwrap();
        assert!(parts.finish().is_err());
    }
}
