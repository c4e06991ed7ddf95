//! The commit log of one database: pages and their digests, appended, and durable with one flush.
//!
//! It verifies every page that it reads against its digest, and gives back exactly what the last
//! acknowledged unit left (or the one that was in flight). It knows nothing of SQL, and never
//! rewrites a byte that was acknowledged.
//!
//! # On disk (version 1)
//!
//! One file for each database, `db-<hash of its name>.<generation>.log`; its layout is in `record`.
//! What is overwritten stays in the file until [`Log::compact`] copies what is still needed into a
//! file of the next generation, whose header is written last: before that, the old one counts.
//!
//! # When it is durable
//!
//! A unit is written behind the last one and flushed once. Reopening goes through the records' heads,
//! checks the bodies of the last unit, and cuts what is not whole: nothing that was not acknowledged
//! can be followed by another unit, since the next one begins only after the flush. A record that is
//! not whole with later units behind it has rotted and is reported as such. Of a disk nothing is
//! assumed but that a flush that returned well flushed the file.
//!
//! Zeros are written ahead of the end, a part of what is there at most, so that most commits
//! overwrite: a flush of a file that grew has its new length to write too.

mod commit;
mod compact;
mod error;
mod history;
mod outside;
mod pins;
mod record;
mod scan;
mod sealing;
mod taken;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use craftec_core::{Cid, database::PAGE_BYTES};
use craftec_platform::File;

use self::{commit::Pending, pins::Pins, record::Sum};
use crate::{
    keys::Keyring,
    page::{Digest, Page, PageNo},
    table::PageTable,
};

pub use error::LogError;
pub use record::Kept;
pub use scan::{file_name, remove};

/// How a log behaves.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Snapshots without a name that stay readable; older ones are dropped when a new one is taken.
    pub snapshots: usize,
    /// A log is compacted when it holds more bytes that nobody needs than this, and than what is
    /// needed.
    pub slack_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { snapshots: 16, slack_bytes: 4 << 20 }
    }
}

/// What a page takes, with its entry.
const PAGE_ENTRY_BYTES: u64 = PAGE_BYTES as u64 + 36;

/// Where bytes are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    bytes: u32,
}

/// What a log takes, and what of it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Bytes up to the end of the last unit.
    pub used_bytes: u64,
    /// Bytes that the current state and snapshots need, those included that were dropped lately.
    pub live_bytes: u64,
}

/// The log of one open database.
pub struct Log {
    file: Arc<dyn File>,
    name: String,
    generation: u64,
    options: LogOptions,
    table: PageTable,
    /// Where each page is; zero for one that was never written.
    offsets: Vec<u64>,
    /// Nodes, roots, and pages that only snapshots have.
    index: HashMap<Digest, Place>,
    index_bytes: u64,
    /// Pages of the current state by their digests, once somebody asked for one; may be out of date.
    reverse: HashMap<Digest, u32>,
    kept: Vec<Kept>,
    /// What lies before this may belong to a snapshot.
    kept_end: u64,
    last_root: Option<Cid>,
    /// How long it was when it was compacted.
    base: u64,
    /// The end of the last unit, its number and checksum.
    tail: u64,
    unit: u64,
    sum: Sum,
    /// How far the file was written.
    written: u64,
    pending: Pending,
    /// The unit that changed pages last, or a later one without any.
    state: u64,
    pins: Pins,
    /// Pages, nodes and roots in the file are sealed with these, if there are any.
    keys: Keyring,
    /// Page 1, which SQLite looks at before every transaction.
    first: Option<Box<Page>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({:?}, unit {}, {} pages)", self.name, self.unit, self.table.len())
    }
}

impl Log {
    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many pages the last commit left.
    pub fn pages(&self) -> u32 {
        self.table.len()
    }

    /// Digests of the pages as the last commit left them.
    pub fn digests(&self) -> &[Option<Digest>] {
        self.table.digests()
    }

    /// How many units were made durable in this database's life.
    pub fn units(&self) -> u64 {
        self.unit
    }

    /// What it takes on disk.
    pub fn size(&self) -> LogSize {
        let live = u64::from(self.table.len()) * PAGE_ENTRY_BYTES + self.index_bytes;
        LogSize { used_bytes: self.tail, live_bytes: record::HEADER_BYTES + live }
    }

    /// Whether it should be compacted: it has doubled since that was done last, and holds more than
    /// as much again as its pages. What dropped snapshots leave is not known until then, so the first
    /// bounds the work, and the second spares a log that was only filled.
    pub fn wants_compaction(&self) -> bool {
        let slack = self.options.slack_bytes;
        let pages = u64::from(self.table.len()) * PAGE_ENTRY_BYTES;
        let grown = self.tail.saturating_sub(self.base) > self.base.max(slack);
        grown && self.tail.saturating_sub(pages) > pages.max(slack)
    }

    /// Reads `page` as the last commit left it, verified; zeros if it was never written.
    pub fn committed(&mut self, page: PageNo, out: &mut Page) -> Result<(), LogError> {
        if let Some(first) = self.first.as_ref().filter(|_| page == PageNo::FIRST) {
            out.copy_from_slice(&**first);
            return Ok(());
        }
        self.stored(page, out)?;
        if self.table.digest(page).is_some() {
            self.keys.open(out);
        }
        if page == PageNo::FIRST {
            self.first = Some(Box::new(*out));
        }
        Ok(())
    }

    /// The same as it is stored, which may be sealed.
    fn stored(&self, page: PageNo, out: &mut Page) -> Result<(), LogError> {
        let Some(digest) = self.table.digest(page) else {
            out.fill(0);
            return Ok(());
        };
        let offset = self.offsets.get(page.index()).copied().unwrap_or(0);
        self.read_verified(offset, digest, &mut out[..])
    }

    /// A block of the current state or of a kept snapshot, verified: a page, a node or a root.
    pub fn block(&mut self, cid: &Cid) -> Result<Option<Bytes>, LogError> {
        let digest = Digest::from(cid);
        let Some(Place { offset, bytes }) = self.place_of(&digest) else { return Ok(None) };
        let mut block = vec![0; bytes as usize];
        self.read_verified(offset, digest, &mut block)?;
        Ok(Some(block.into()))
    }

    /// Whether the block is here (without reading it).
    pub fn has(&mut self, cid: &Cid) -> bool {
        self.place_of(&Digest::from(cid)).is_some()
    }

    fn place_of(&mut self, digest: &Digest) -> Option<Place> {
        if let Some(place) = self.index.get(digest) {
            return Some(*place);
        }
        if let Some(place) = self.current_place(digest) {
            return Some(place);
        }
        // Made anew where it may be out of date; a page that two numbers have is found by either.
        if self.reverse.contains_key(digest) || self.reverse.is_empty() {
            let pages = (1..).zip(self.table.digests());
            self.reverse = pages.filter_map(|(page, digest)| digest.map(|d| (d, page))).collect();
        }
        self.current_place(digest)
    }

    fn current_place(&self, digest: &Digest) -> Option<Place> {
        let page = PageNo::new(*self.reverse.get(digest)?)?;
        let offset = *self.offsets.get(page.index())?;
        let current = self.table.digest(page) == Some(*digest);
        current.then_some(Place { offset, bytes: PAGE_BYTES as u32 })
    }

    fn read_verified(&self, offset: u64, digest: Digest, out: &mut [u8]) -> Result<(), LogError> {
        let doing = "reading a page";
        self.file.read_at(offset, out).map_err(LogError::io(doing))?;
        if Digest::of(out) != digest {
            // Once more before giving up: the first answer may have been a passing fault.
            self.file.read_at(offset, out).map_err(LogError::io(doing))?;
            if Digest::of(out) != digest {
                return Err(LogError::Rotten { cid: digest.cid() });
            }
        }
        Ok(())
    }

    /// Notes where a page is now. What was there before stays findable if a snapshot may have it.
    fn place(&mut self, page: PageNo, digest: Digest, offset: u64) {
        self.retire(page);
        self.table.set(page, digest);
        if self.offsets.len() <= page.index() {
            self.offsets.resize(page.index() + 1, 0);
        }
        if let Some(slot) = self.offsets.get_mut(page.index()) {
            *slot = offset;
        }
        if !self.reverse.is_empty() {
            self.reverse.insert(digest, page.number());
        }
        if page == PageNo::FIRST {
            self.first = None;
        }
    }

    fn resize(&mut self, pages: u32) {
        for gone in pages..self.table.len() {
            if let Some(page) = PageNo::new(gone + 1) {
                self.retire(page);
            }
        }
        self.table.resize(pages);
        self.offsets.resize(pages as usize, 0);
        if pages == 0 {
            self.first = None;
        }
    }

    fn retire(&mut self, page: PageNo) {
        let offset = self.offsets.get(page.index()).copied().unwrap_or(0);
        let digest = self.table.digest(page);
        self.pins.note(page, digest, offset);
        if let Some(digest) = digest
            && offset < self.kept_end
        {
            self.index_block(digest, Place { offset, bytes: PAGE_BYTES as u32 });
        }
    }

    fn index_block(&mut self, digest: Digest, place: Place) {
        if self.index.insert(digest, place).is_none() {
            self.index_bytes += u64::from(place.bytes) + 40;
        }
    }

    /// Digests of pages that are current, for whoever asks about many.
    fn current(&self) -> HashSet<Digest> {
        self.table.digests().iter().flatten().copied().collect()
    }
}
