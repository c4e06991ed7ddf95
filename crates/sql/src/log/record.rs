//! What the commit log is made of: a header and records, each with its own checksum.
//!
//! All numbers are little endian.
//!
//! **Header** (4096 bytes, two equal copies of 2048): `0..8` magic `CraftSQL`, `8..10` version (1),
//! `10..12` length of the name, `12..16` bytes of a page (4096), `16..24` generation, `24..32` number
//! of the last unit before this file, `32..48` zeros, `48..64` the first 16 bytes of BLAKE3 over
//! everything else of the copy, `64..` the database's name (at most 255 bytes), zeros.
//!
//! **Record** (a head of 64 bytes, then `meta`, then `body`): `0..4` magic `CSR1`, `4` kind, `5` 1 in
//! the last record of its unit, else 0, `6..8` zeros, `8..16` number of the unit, `16..20` page count
//! after it, `20..24` bytes of meta, `24..32` bytes of body, `32..48` checksum of the record before
//! (of the header for the first), `48..64` its own: the first 16 bytes of BLAKE3 over head (up to
//! here) and meta. The body is bound by digests in meta.
//!
//! | kind | meta | body |
//! |---|---|---|
//! | 1 pages | of each page its number (u32) and digest (32 bytes), at most 256 | the pages |
//! | 2 blocks | of each block its length (u32) and CID (36 bytes), at most 256 | the blocks |
//! | 3 keep | DAG-CBOR of a [`Kept`] | |
//! | 4 drop | the same | |
//!
//! A **unit** is what one flush makes durable: a commit, or a snapshot. Units are numbered one by
//! one; all records of a unit carry its number.

use craftec_core::{
    Cid, cbor,
    cid::CID_BYTES,
    database::{MAX_PAGES, PAGE_BYTES},
    limits,
};
use serde::{Deserialize, Serialize};

use super::LogError;
use crate::page::{Digest, PageNo};

/// Bytes before the first record.
pub(super) const HEADER_BYTES: u64 = 4096;
const COPY_BYTES: usize = 2048;
/// Bytes of a record's head.
pub(super) const HEAD_BYTES: usize = 64;
/// Most pages or blocks in one record.
pub(super) const ENTRIES: usize = 256;
/// Most bytes of meta: that many blocks.
pub(super) const META_BYTES: usize = ENTRIES * BLOCK_ENTRY;
const PAGE_ENTRY: usize = 4 + 32;
const BLOCK_ENTRY: usize = 4 + CID_BYTES;
/// Most bytes of a body: one block of the largest size, or that many pages.
const BODY_BYTES: u64 = (ENTRIES * PAGE_BYTES) as u64;
const _: () = assert!(BODY_BYTES >= limits::BLOCK_BYTES as u64);
/// Newest version of the format.
pub(super) const VERSION: u16 = 1;
const FILE_MAGIC: &[u8; 8] = b"CraftSQL";
pub(super) const RECORD_MAGIC: &[u8; 4] = b"CSR1";

/// First half of a BLAKE3 hash, enough against accidents; what must withstand malice are digests.
pub(super) type Sum = [u8; 16];

fn sum(parts: &[&[u8]]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; 16];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// The beginning of a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) generation: u64,
    pub(super) base: u64,
}

impl Header {
    /// Its bytes and its checksum, where the chain of records begins.
    pub(super) fn encode(&self) -> (Vec<u8>, Sum) {
        let mut copy = vec![0; COPY_BYTES];
        copy[..8].copy_from_slice(FILE_MAGIC);
        copy[8..10].copy_from_slice(&VERSION.to_le_bytes());
        copy[10..12].copy_from_slice(&(self.name.len() as u16).to_le_bytes());
        copy[12..16].copy_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
        copy[16..24].copy_from_slice(&self.generation.to_le_bytes());
        copy[24..32].copy_from_slice(&self.base.to_le_bytes());
        copy[64..64 + self.name.len()].copy_from_slice(self.name.as_bytes());
        let sum = sum(&[&copy[..48], &copy[64..]]);
        copy[48..64].copy_from_slice(&sum);
        copy.extend_from_within(..);
        (copy, sum)
    }

    /// Reads a header from either of its copies; none if neither is whole.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Self, Sum)>, LogError> {
        for copy in bytes.chunks_exact(COPY_BYTES) {
            let found = sum(&[&copy[..48], &copy[64..]]);
            if !copy.starts_with(FILE_MAGIC) || copy[48..64] != found {
                continue;
            }
            let version = u16::from_le_bytes(array(&copy[8..10]));
            if version != VERSION {
                return Err(LogError::Newer { found: version, known: VERSION });
            }
            let page_bytes = u32::from_le_bytes(array(&copy[12..16])) as usize;
            let length = u16::from_le_bytes(array(&copy[10..12])) as usize;
            let name = copy.get(64..64 + length).and_then(|name| std::str::from_utf8(name).ok());
            let (PAGE_BYTES, Some(name)) = (page_bytes, name) else {
                return Err(LogError::corrupt("its header is of no known shape"));
            };
            let header = Self {
                name: name.to_owned(),
                generation: u64::from_le_bytes(array(&copy[16..24])),
                base: u64::from_le_bytes(array(&copy[24..32])),
            };
            return Ok(Some((header, found)));
        }
        Ok(None)
    }
}

/// The bytes of a slice whose length is known where it is called.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pages,
    Blocks,
    Keep,
    Drop,
}

impl Kind {
    const ALL: [(u8, Self); 4] =
        [(1, Self::Pages), (2, Self::Blocks), (3, Self::Keep), (4, Self::Drop)];

    fn code(self) -> u8 {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or(0, |(code, _)| *code)
    }
}

/// The first 64 bytes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) last: bool,
    pub(super) unit: u64,
    pub(super) pages: u32,
    pub(super) meta_bytes: usize,
    pub(super) body_bytes: u64,
    pub(super) prev: Sum,
    pub(super) sum: Sum,
}

impl Head {
    /// Reads a head; none if it is none, or one that this build would never write.
    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let kind = Kind::ALL.iter().find(|(code, _)| *code == bytes[4])?.1;
        let head = Self {
            kind,
            last: bytes[5] == 1,
            unit: u64::from_le_bytes(array(&bytes[8..16])),
            pages: u32::from_le_bytes(array(&bytes[16..20])),
            meta_bytes: u32::from_le_bytes(array(&bytes[20..24])) as usize,
            body_bytes: u64::from_le_bytes(array(&bytes[24..32])),
            prev: array(&bytes[32..48]),
            sum: array(&bytes[48..64]),
        };
        let fits = bytes.starts_with(RECORD_MAGIC)
            && bytes[5] <= 1
            && bytes[6..8] == [0, 0]
            && head.pages <= MAX_PAGES
            && head.meta_bytes <= META_BYTES
            && head.body_bytes <= BODY_BYTES;
        fits.then_some(head)
    }

    /// Whether head and meta are as they were written.
    pub(super) fn matches(&self, bytes: &[u8; HEAD_BYTES], meta: &[u8]) -> bool {
        self.sum == sum(&[&bytes[..48], meta])
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> u64 {
        (HEAD_BYTES + self.meta_bytes) as u64 + self.body_bytes
    }
}

/// A record that is being put together.
pub(super) struct Draft {
    kind: Kind,
    meta: Vec<u8>,
    body: Vec<u8>,
}

impl Draft {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, meta: Vec::new(), body: Vec::new() }
    }

    pub(super) fn page(&mut self, page: PageNo, digest: Digest, bytes: &[u8]) {
        self.meta.extend_from_slice(&page.number().to_le_bytes());
        self.meta.extend_from_slice(&digest.0);
        self.body.extend_from_slice(bytes);
    }

    pub(super) fn block(&mut self, cid: &Cid, bytes: &[u8]) {
        self.meta.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.meta.extend_from_slice(&cid.to_bytes());
        self.body.extend_from_slice(bytes);
    }

    pub(super) fn kept(kind: Kind, kept: &Kept) -> Result<Self, LogError> {
        let meta = cbor::encode(kept).map_err(|e| LogError::corrupt(e.to_string()))?;
        Ok(Self { kind, meta, body: Vec::new() })
    }

    /// Whether another `bytes` still fit.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.meta.len() + BLOCK_ENTRY <= META_BYTES
            && (self.body.len() + bytes) as u64 <= BODY_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.meta.is_empty()
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> usize {
        if self.kind == Kind::Blocks { self.meta.len() / BLOCK_ENTRY } else { 0 }
    }

    /// Its bytes, where its body begins in them, and its checksum.
    pub(super) fn encode(
        &self,
        last: bool,
        unit: u64,
        pages: u32,
        prev: Sum,
    ) -> (Vec<u8>, usize, Sum) {
        let begin = HEAD_BYTES + self.meta.len();
        let mut bytes = Vec::with_capacity(begin + self.body.len());
        bytes.extend_from_slice(RECORD_MAGIC);
        bytes.extend_from_slice(&[self.kind.code(), u8::from(last), 0, 0]);
        bytes.extend_from_slice(&unit.to_le_bytes());
        bytes.extend_from_slice(&pages.to_le_bytes());
        bytes.extend_from_slice(&(self.meta.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&prev);
        let sum = sum(&[&bytes, &self.meta]);
        bytes.extend_from_slice(&sum);
        bytes.extend_from_slice(&self.meta);
        bytes.extend_from_slice(&self.body);
        (bytes, begin, sum)
    }
}

/// Entries of the meta of a `pages` record.
pub(super) fn pages(meta: &[u8]) -> Option<Vec<(PageNo, Digest)>> {
    let entries = meta.chunks_exact(PAGE_ENTRY);
    if !entries.remainder().is_empty() {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let page = PageNo::new(u32::from_le_bytes(array(&bytes[..4])))?;
        Some((page, Digest(array(&bytes[4..]))))
    };
    entries.map(entry).collect()
}

/// Entries of the meta of a `blocks` record.
pub(super) fn blocks(meta: &[u8]) -> Option<Vec<(u32, Cid)>> {
    let entries = meta.chunks_exact(BLOCK_ENTRY);
    if !entries.remainder().is_empty() {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let cid = Cid::from_bytes(&bytes[4..]).ok()?;
        Some((u32::from_le_bytes(array(&bytes[..4])), cid))
    };
    entries.map(entry).collect()
}

/// A root that stays readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Why, in words of whoever keeps it; empty for the last snapshots, which are kept by number.
    pub name: String,
    /// The root.
    pub root: Cid,
}

impl Kept {
    pub(super) fn decode(meta: &[u8]) -> Option<Self> {
        let kept: Self = cbor::decode(meta, META_BYTES).ok()?;
        (kept.name.len() <= limits::NAME_BYTES).then_some(kept)
    }
}
