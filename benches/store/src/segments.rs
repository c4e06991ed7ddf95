//! A faithful minimum of append-only segments: checksummed records, one flush a commit, an index in
//! memory that is rebuilt by reading the records' headers when it opens.
//!
//! Record: length (u32 LE), kind (1), checksum (first 8 bytes of BLAKE3 over what follows), CID (36),
//! bytes. A commit ends with a record of kind 2, so that it counts as a whole or not at all. What a
//! product needs beyond this, and what would cost more: pins and metadata in the log, a checkpoint
//! of the index (a million blocks take 80 MB of memory and seconds to open without one), and
//! segments compacted while the node works.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use craftec_core::{Cid, cid::CID_BYTES};
use craftec_obj::Block;

use super::stores::Blocks;

const SEGMENT_BYTES: u64 = 64 << 20;
const HEAD: usize = 4 + 1 + 8 + CID_BYTES;
const PUT: u8 = 0;
const GONE: u8 = 1;
const END: u8 = 2;

struct Place {
    segment: usize,
    offset: u64,
    length: u32,
}

/// Segments, oldest first; a deleted one leaves its place.
pub struct Segments {
    folder: PathBuf,
    files: Vec<Option<File>>,
    end: u64,
    index: HashMap<[u8; CID_BYTES], Place>,
}

impl Segments {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let mut store =
            Self { folder: folder.to_owned(), files: Vec::new(), end: 0, index: HashMap::new() };
        let mut numbers: Vec<usize> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            numbers.extend(
                name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse::<usize>().ok()),
            );
        }
        numbers.sort_unstable();
        for number in numbers {
            store.files.resize_with(number, || None);
            store.read_segment(number)?;
        }
        if store.files.is_empty() {
            store.begin_segment()?;
        }
        Ok(store)
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number}.seg"))
    }

    fn begin_segment(&mut self) -> anyhow::Result<()> {
        let path = self.path(self.files.len());
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        File::open(&self.folder)?.sync_all()?;
        self.files.push(Some(file));
        self.end = 0;
        Ok(())
    }

    fn read_segment(&mut self, number: usize) -> anyhow::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(number))?;
        let length = file.metadata()?.len();
        let (mut at, mut pending) = (0, Vec::new());
        let mut head = [0; HEAD];
        while at + HEAD as u64 <= length {
            file.read_exact_at(&mut head, at)?;
            let bytes = u32::from_le_bytes(head[..4].try_into()?);
            let key: [u8; CID_BYTES] = head[13..].try_into()?;
            let next = at + HEAD as u64 + u64::from(bytes);
            if next > length {
                break;
            }
            // Only the tail may be torn: checksums of older records were flushed long ago.
            if length - at < (8 << 20) {
                let mut content = vec![0; bytes as usize];
                file.read_exact_at(&mut content, at + HEAD as u64)?;
                if checksum(&key, &content)[..] != head[5..13] {
                    break;
                }
            }
            pending.push((head[4], key, at + HEAD as u64, bytes));
            if head[4] == END {
                for (kind, key, offset, length) in pending.drain(..) {
                    match kind {
                        PUT => {
                            drop(self.index.insert(key, Place { segment: number, offset, length }))
                        }
                        GONE => drop(self.index.remove(&key)),
                        _ => {}
                    }
                }
                self.end = next;
            }
            at = next;
        }
        self.files.push(Some(file));
        Ok(())
    }

    fn append<'a>(
        &mut self,
        records: impl Iterator<Item = (u8, [u8; CID_BYTES], &'a [u8])>,
    ) -> anyhow::Result<()> {
        if self.end >= SEGMENT_BYTES {
            self.begin_segment()?;
        }
        let (mut buffer, mut places) = (Vec::new(), Vec::new());
        for (kind, key, bytes) in records.chain([(END, [0; CID_BYTES], &[][..])]) {
            buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            buffer.push(kind);
            buffer.extend_from_slice(&checksum(&key, bytes));
            buffer.extend_from_slice(&key);
            places.push((kind, key, self.end + buffer.len() as u64, bytes.len() as u32));
            buffer.extend_from_slice(bytes);
        }
        let segment = self.files.len() - 1;
        let file = self.files[segment].as_ref().expect("the last one is there");
        file.write_all_at(&buffer, self.end)?;
        file.sync_data()?;
        self.end += buffer.len() as u64;
        for (kind, key, offset, length) in places {
            match kind {
                PUT => drop(self.index.insert(key, Place { segment, offset, length })),
                GONE => drop(self.index.remove(&key)),
                _ => {}
            }
        }
        Ok(())
    }

    fn bytes(&self, place: &Place) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; place.length as usize];
        let file = self.files[place.segment].as_ref().expect("a segment in use is there");
        file.read_exact_at(&mut bytes, place.offset)?;
        Ok(bytes)
    }
}

impl Blocks for Segments {
    fn commit(&mut self, blocks: &[Block]) -> anyhow::Result<()> {
        self.append(blocks.iter().map(|block| (PUT, block.cid().to_bytes(), &block.bytes()[..])))
    }

    fn read(&self, cid: &Cid) -> anyhow::Result<usize> {
        let Some(place) = self.index.get(&cid.to_bytes()) else { return Ok(0) };
        Ok(Block::verified(*cid, self.bytes(place)?)?.len())
    }

    fn delete(&mut self, cids: &[Cid]) -> anyhow::Result<()> {
        self.append(cids.iter().map(|cid| (GONE, cid.to_bytes(), &[][..])))
    }

    /// Copies what is in use of every older segment that is less than three quarters full to the
    /// end, and removes it.
    fn give_back(&mut self) -> anyhow::Result<()> {
        for segment in 0..self.files.len() - 1 {
            let used: u64 = self
                .index
                .values()
                .filter(|place| place.segment == segment)
                .map(|place| u64::from(place.length))
                .sum();
            if self.files[segment].is_none() || used > SEGMENT_BYTES / 4 * 3 {
                continue;
            }
            let here = self.index.iter().filter(|(_, place)| place.segment == segment);
            let mut moved = Vec::new();
            for (key, place) in here {
                moved.push((*key, self.bytes(place)?));
            }
            for step in moved.chunks(16) {
                self.append(step.iter().map(|(key, bytes)| (PUT, *key, bytes.as_slice())))?;
            }
            self.files[segment] = None;
            std::fs::remove_file(self.path(segment))?;
        }
        Ok(())
    }
}

fn checksum(key: &[u8], bytes: &[u8]) -> [u8; 8] {
    let hash = blake3::Hasher::new().update(key).update(bytes).finalize();
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_bytes()[..8]);
    short
}
