//! Writing: pages wait in memory until their transaction commits, and then become one unit.
//!
//! A transaction with more pages than fit in one record has them written behind the last unit before
//! it commits, without a flush; if it is rolled back, the next unit overwrites them.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use craftec_core::database::PAGE_BYTES;

use super::{
    Kept, Log, LogError,
    record::{Draft, ENTRIES, Kind, Sum},
};
use crate::page::{Digest, Page, PageNo};

/// Zeros written ahead at one time, at most and at least.
const AHEAD_BYTES: std::ops::Range<u64> = 16 << 10..1 << 20;

/// Where a page that waits is.
#[derive(Clone, Copy, Debug)]
enum Held {
    Memory(usize),
    Log { offset: u64, digest: Digest },
}

/// A transaction that has not committed.
#[derive(Default)]
pub(super) struct Pending {
    held: HashMap<u32, Held>,
    memory: Vec<(PageNo, Box<Page>)>,
    /// Pages that were written behind the last unit, also if they are held in memory again.
    spilled: HashSet<u32>,
    /// Where the next record goes and what it follows, once something was written.
    end: Option<(u64, Sum)>,
    pages: Option<u32>,
    /// The fewest pages that the transaction had: what lies above and was not written again is zeros.
    floor: Option<u32>,
    /// A flush failed after pages had been spilled: what became of them is not known.
    lost: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.pages.is_none()
    }
}

impl Log {
    /// How many pages there are, with what waits.
    pub fn pending_pages(&self) -> u32 {
        self.pending.pages.unwrap_or(self.table.len())
    }

    /// Whether something waits to be committed.
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reads `page` as the transaction sees it.
    pub fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), LogError> {
        match self.pending.held.get(&page.number()) {
            Some(Held::Memory(place)) => {
                if let Some((_, bytes)) = self.pending.memory.get(*place) {
                    out.copy_from_slice(&**bytes);
                    self.keys.open(out);
                }
                Ok(())
            }
            Some(Held::Log { offset, digest }) => {
                self.read_verified(*offset, *digest, out)?;
                self.keys.open(out);
                Ok(())
            }
            None if self.pending.floor.is_some_and(|floor| page.number() > floor) => {
                out.fill(0);
                Ok(())
            }
            None => self.committed(page, out),
        }
    }

    /// Writes `page` for the transaction.
    pub fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), LogError> {
        let pages = self.pending_pages().max(page.number());
        if pages != self.pending_pages() {
            self.pending.pages = Some(pages);
        }
        if let Some(Held::Memory(place)) = self.pending.held.get(&page.number())
            && let Some((_, held)) = self.pending.memory.get_mut(*place)
        {
            held.copy_from_slice(bytes);
            self.keys.close(held);
            return Ok(());
        }
        if self.pending.memory.len() >= ENTRIES {
            self.spill()?;
        }
        let place = self.pending.memory.len();
        let mut held = Box::new(*bytes);
        self.keys.close(&mut held);
        self.pending.memory.push((page, held));
        self.pending.held.insert(page.number(), Held::Memory(place));
        Ok(())
    }

    /// Gives the database so many pages when the transaction commits.
    pub fn set_pages(&mut self, pages: u32) {
        if pages < self.pending_pages() {
            self.pending.held.retain(|page, _| *page <= pages);
            let floor = self.pending.floor.unwrap_or(pages);
            self.pending.floor = Some(floor.min(pages));
        }
        self.pending.pages = Some(pages);
    }

    /// Forgets the transaction.
    pub fn rollback(&mut self) {
        self.pending = Pending::default();
    }

    /// Makes the transaction durable, with one flush. Whether there was something to commit.
    ///
    /// After an error the transaction still waits: it may be committed again, unless a flush failed
    /// that was also to cover what had been spilled, or rolled back.
    pub fn commit(&mut self) -> Result<bool, LogError> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        if self.pending.lost {
            let source = io::Error::other("a flush of this transaction failed: roll it back");
            return Err(LogError::Io { doing: "committing", source });
        }
        self.fill_gaps()?;
        self.check_room()?;
        let (draft, places) = self.draft(true);
        let pages = self.pending_pages();
        if pages == self.table.len() && self.changes_nothing(&places) {
            self.rollback();
            return Ok(false);
        }
        let (begin, end, sum) = self.append(&draft, true, pages)?;
        if let Err(error) = self.make_durable(end) {
            self.pending.lost = self.pending.end.is_some();
            return Err(error);
        }
        let mut pending = std::mem::take(&mut self.pending);
        let first = match pending.held.get(&PageNo::FIRST.number()) {
            Some(Held::Memory(place)) => {
                let mut first = pending.memory.swap_remove(*place).1;
                self.keys.open(&mut first);
                Some(first)
            }
            _ => None,
        };
        for (page, held) in pending.held {
            if let (Held::Log { offset, digest }, Some(page)) = (held, PageNo::new(page)) {
                self.place(page, digest, offset);
            }
        }
        for (place, (page, digest)) in places.into_iter().enumerate() {
            self.place(page, digest, begin + (place * PAGE_BYTES) as u64);
        }
        self.resize(pages);
        (self.tail, self.unit, self.sum) = (end, self.unit + 1, sum);
        self.state = self.unit;
        // SQLite looks at it before its next transaction.
        self.first = first.or(self.first.take());
        Ok(true)
    }

    /// Pages that were cut off and are there again without having been written: zeros, which must be
    /// said where something else is on record.
    fn fill_gaps(&mut self) -> Result<(), LogError> {
        let Some(floor) = self.pending.floor else { return Ok(()) };
        for number in floor + 1..=self.pending_pages() {
            let on_record = number <= self.table.len() || self.pending.spilled.contains(&number);
            if let Some(page) = PageNo::new(number)
                && on_record
                && !self.pending.held.contains_key(&number)
            {
                self.write(page, &[0; PAGE_BYTES])?;
            }
        }
        Ok(())
    }

    /// Whether all that was written is what it was: a transaction that was played back.
    fn changes_nothing(&self, new: &[(PageNo, Digest)]) -> bool {
        let same = |page: u32, digest: Digest| {
            PageNo::new(page).is_some_and(|page| self.table.digest(page) == Some(digest))
        };
        let mut held = self.pending.held.iter();
        new.iter().all(|(page, digest)| same(page.number(), *digest))
            && held.all(|(page, held)| match held {
                Held::Memory(_) => true,
                Held::Log { digest, .. } => same(*page, *digest),
            })
    }

    /// Writes what waits in memory behind the last unit.
    fn spill(&mut self) -> Result<(), LogError> {
        let (draft, places) = self.draft(false);
        let (begin, end, sum) = self.append(&draft, false, self.pending_pages())?;
        self.pending.end = Some((end, sum));
        self.pending.memory.clear();
        for (place, (page, digest)) in places.into_iter().enumerate() {
            let offset = begin + (place * PAGE_BYTES) as u64;
            self.pending.held.insert(page.number(), Held::Log { offset, digest });
            self.pending.spilled.insert(page.number());
        }
        Ok(())
    }

    /// A record of the pages in memory, without those that are what they were if `only_new`.
    fn draft(&self, only_new: bool) -> (Draft, Vec<(PageNo, Digest)>) {
        let (mut draft, mut places) = (Draft::new(Kind::Pages), Vec::new());
        for (place, (page, bytes)) in self.pending.memory.iter().enumerate() {
            let held = self.pending.held.get(&page.number());
            if !matches!(held, Some(Held::Memory(at)) if *at == place) {
                continue;
            }
            let digest = Digest::of(&bytes[..]);
            let same = self.table.digest(*page) == Some(digest);
            if same && only_new && !self.pending.spilled.contains(&page.number()) {
                continue;
            }
            draft.page(*page, digest, &bytes[..]);
            places.push((*page, digest));
        }
        (draft, places)
    }

    /// Writes a record behind what is there: where its body begins, where it ends, its checksum.
    pub(super) fn append(
        &mut self,
        draft: &Draft,
        last: bool,
        pages: u32,
    ) -> Result<(u64, u64, Sum), LogError> {
        let (at, prev) = self.pending.end.unwrap_or((self.tail, self.sum));
        let (bytes, body, sum) = draft.encode(last, self.unit + 1, pages, prev);
        self.file.write_at(at, &bytes).map_err(LogError::io("writing a commit"))?;
        let end = at + bytes.len() as u64;
        Ok((at + body as u64, end, sum))
    }

    /// Flushes the unit that ends at `end`. If that fails, its first record is made unreadable as
    /// well as possible: it may be durable all the same, and nobody was told so.
    pub(super) fn make_durable(&mut self, end: u64) -> Result<(), LogError> {
        if end > self.written {
            let ahead = (end / 2).clamp(AHEAD_BYTES.start, AHEAD_BYTES.end);
            let unit_bytes = end - self.tail;
            self.written = end;
            // Large units bring their own room, and a disk without any refuses a commit soon enough.
            if unit_bytes < ahead && self.file.write_at(end, &vec![0; ahead as usize]).is_ok() {
                self.written = end + ahead;
            }
        }
        let flushed = self.file.sync().map_err(LogError::io("making a commit durable"));
        if flushed.is_err() {
            let spoilt = self.file.write_at(self.tail, &[0; super::record::HEAD_BYTES]);
            drop(spoilt.and_then(|()| self.file.sync()));
        }
        flushed
    }

    /// Makes blocks and what is kept from now on durable as one unit.
    pub(super) fn commit_history(
        &mut self,
        blocks: &[(craftec_core::Cid, bytes::Bytes)],
        changes: &[(Kind, Kept)],
    ) -> Result<(), LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        let pages = self.table.len();
        let mut drafts = vec![];
        let mut draft = Draft::new(Kind::Blocks);
        for (cid, bytes) in blocks {
            if !draft.has_room(bytes.len()) {
                drafts.push(std::mem::replace(&mut draft, Draft::new(Kind::Blocks)));
            }
            draft.block(cid, bytes);
        }
        drafts.extend((!draft.is_empty()).then_some(draft));
        for (kind, kept) in changes {
            drafts.push(Draft::kept(*kind, kept)?);
        }
        let written = self.write_unit(&drafts, pages);
        self.pending = Pending::default();
        let (places, end, sum) = written?;
        let mut blocks = blocks.iter();
        for (mut offset, draft) in places.into_iter().zip(&drafts) {
            for (cid, bytes) in blocks.by_ref().take(draft.blocks()) {
                let bytes = bytes.len() as u32;
                self.index_block(Digest::from(cid), super::Place { offset, bytes });
                offset += u64::from(bytes);
            }
        }
        for (kind, kept) in changes {
            match kind {
                Kind::Keep => self.note_kept(kept.clone(), end),
                _ => self.kept.retain(|other| other != kept),
            }
        }
        (self.tail, self.unit, self.sum) = (end, self.unit + 1, sum);
        Ok(())
    }

    /// Writes records as one unit and flushes it: where their bodies begin, the end, the checksum.
    fn write_unit(
        &mut self,
        drafts: &[Draft],
        pages: u32,
    ) -> Result<(Vec<u64>, u64, Sum), LogError> {
        let (mut places, mut end) = (Vec::new(), (self.tail, self.sum));
        for (left, draft) in (0..drafts.len()).rev().zip(drafts) {
            let (begin, at, sum) = self.append(draft, left == 0, pages)?;
            places.push(begin);
            end = (at, sum);
            self.pending.end = Some(end);
        }
        self.make_durable(end.0)?;
        Ok((places, end.0, end.1))
    }
}
