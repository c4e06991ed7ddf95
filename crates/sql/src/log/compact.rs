//! Compaction: what is still needed is copied into a file of the next generation.
//!
//! The new file's header is written last, after a flush: a crash before that leaves the old file in
//! its place. Bytes are verified while they are copied, so rot is found and not passed on.

use std::sync::Arc;

use craftec_core::{Cid, database::PAGE_BYTES};
use craftec_platform::File;

use super::{
    Kept, Log, LogError,
    record::{Draft, ENTRIES, HEADER_BYTES, Header, Kind, Sum},
    scan::file_name,
};
use crate::page::{Digest, PageNo};

/// Where the new file is at.
struct Copy {
    file: Arc<dyn File>,
    at: u64,
    sum: Sum,
    unit: u64,
    pages: u32,
    /// The record that is written when it is known whether another follows.
    draft: Option<Draft>,
}

const DOING: &str = "compacting a database";

impl Copy {
    fn put(&mut self, draft: Draft) -> Result<(), LogError> {
        self.flush_draft(false)?;
        self.draft = Some(draft);
        Ok(())
    }

    fn flush_draft(&mut self, last: bool) -> Result<(), LogError> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        let (bytes, _, sum) = draft.encode(last, self.unit, self.pages, self.sum);
        self.file.write_at(self.at, &bytes).map_err(LogError::io(DOING))?;
        self.at += bytes.len() as u64;
        self.sum = sum;
        Ok(())
    }
}

impl Log {
    /// Names of the file that is in use and of the one that a compaction would make.
    pub fn file_names(&self) -> (String, String) {
        let name = |generation| file_name(&self.name, generation);
        (name(self.generation), name(self.generation + 1))
    }

    /// Copies what is needed into `file`, the second of [`Self::file_names`], and goes on there; the
    /// first is then the caller's to remove. Nothing is lost if this fails: then the second goes. Pins of
    /// older states end, since what they lead to is not copied.
    pub fn compact(&mut self, file: Arc<dyn File>) -> Result<(), LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        self.rollback();
        let compacted = self.copy_into(file)?;
        *self = compacted;
        Ok(())
    }

    fn copy_into(&mut self, file: Arc<dyn File>) -> Result<Self, LogError> {
        let io = LogError::io(DOING);
        file.set_len(0).map_err(&io)?;
        let name = self.name.clone();
        let header = Header { name, generation: self.generation + 1, base: self.unit };
        let (bytes, sum) = header.encode();
        let (unit, pages) = (self.unit + 1, self.table.len());
        let mut copy = Copy { file: file.clone(), at: HEADER_BYTES, sum, unit, pages, draft: None };
        self.copy_pages(&mut copy)?;
        self.copy_history(&mut copy)?;
        copy.flush_draft(true)?;
        file.sync().map_err(&io)?;
        file.write_at(0, &bytes).map_err(&io)?;
        file.sync().map_err(&io)?;
        let mut log = Self::empty(file, header, sum, self.options)?;
        log.go_through()?;
        log.keys = self.keys.clone();
        if log.unit < self.unit || log.table.digests() != self.table.digests() {
            return Err(LogError::corrupt("what was compacted is not what is there"));
        }
        // Nodes that are known stay known.
        log.table = std::mem::take(&mut self.table);
        // The last snapshot is the next one's parent, also if names were given in another order.
        log.last_root = self.last_root;
        self.pins.drop_older(self.state);
        (log.state, log.pins) = (self.state, std::mem::take(&mut self.pins));
        Ok(log)
    }

    fn copy_pages(&mut self, copy: &mut Copy) -> Result<(), LogError> {
        let mut page = [0; PAGE_BYTES];
        for first in (1..=self.table.len()).step_by(ENTRIES) {
            let mut draft = Draft::new(Kind::Pages);
            let last = first.saturating_add(ENTRIES as u32 - 1).min(self.table.len());
            for number in (first..=last).filter_map(PageNo::new) {
                if let Some(digest) = self.table.digest(number) {
                    self.stored(number, &mut page)?;
                    draft.page(number, digest, &page);
                }
            }
            copy.put(draft)?;
        }
        Ok(())
    }

    fn copy_history(&mut self, copy: &mut Copy) -> Result<(), LogError> {
        let mut needed: Vec<(Cid, u32)> = self.history()?.into_iter().collect();
        // In the order in which they lie, which is the order in which they are read.
        needed.sort_by_key(|(cid, _)| self.index.get(&Digest::from(cid)).map(|p| p.offset));
        let mut draft = Draft::new(Kind::Blocks);
        for (cid, bytes) in needed {
            if !draft.has_room(bytes as usize) {
                copy.put(std::mem::replace(&mut draft, Draft::new(Kind::Blocks)))?;
            }
            if let Some(block) = self.block(&cid)? {
                draft.block(&cid, &block);
            }
        }
        if !draft.is_empty() {
            copy.put(draft)?;
        }
        let kept: Vec<Kept> = self.kept.clone();
        kept.iter().try_for_each(|kept| copy.put(Draft::kept(Kind::Keep, kept)?))
    }
}
