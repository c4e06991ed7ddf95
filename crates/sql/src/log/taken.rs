//! Snapshots that somebody else took: kept here as if they had been taken here, and gone on from.

use bytes::Bytes;
use craftec_core::{Cid, database::Root, sign::Hash};

use super::{Kept, Log, LogError, record::Kind};
use crate::{
    keys::Under,
    page::{Digest, Page, PageNo},
    table::{Step, everything},
};

impl Log {
    /// Stores blocks of a snapshot, durably. Nothing keeps them until [`Self::keep_taken`] does.
    pub fn take_blocks(&mut self, blocks: &[(Cid, Bytes)]) -> Result<(), LogError> {
        let mut new = blocks.to_vec();
        new.retain(|(cid, _)| !self.index.contains_key(&Digest::from(cid)));
        if new.is_empty() {
            return Ok(());
        }
        self.commit_history(&new, &[])
    }

    /// Blocks of `root` that are not here, as far as those that are say so. None: it is whole.
    pub fn lacks(&mut self, root: &Cid) -> Result<Vec<Cid>, LogError> {
        if !self.has(root) {
            return Ok(vec![*root]);
        }
        let (decoded, mut nodes) = (self.root(root)?, self.nodes());
        loop {
            match everything(&decoded, &nodes)? {
                Step::Done(all) => {
                    return Ok(all.into_iter().filter(|cid| !self.has(cid)).collect());
                }
                Step::Need(missing) => {
                    let mut lacking = Vec::new();
                    for cid in missing {
                        match self.block(&cid)? {
                            Some(bytes) => nodes.insert(cid, &bytes)?,
                            None => lacking.push(cid),
                        }
                    }
                    if !lacking.is_empty() {
                        return Ok(lacking);
                    }
                }
            }
        }
    }

    /// Keeps a snapshot whose blocks are all here under `name`, in the place of what that kept before.
    pub fn keep_taken(&mut self, name: &str, root: Cid) -> Result<(), LogError> {
        let new = Kept { name: name.to_owned(), root };
        if self.kept.contains(&new) {
            return Ok(());
        }
        let old = self.kept.iter().filter(|kept| kept.name == name).cloned();
        let mut changes: Vec<(Kind, Kept)> = old.map(|kept| (Kind::Drop, kept)).collect();
        changes.push((Kind::Keep, new));
        self.commit_history(&[], &changes)
    }

    /// Makes a kept snapshot the one that the next one follows.
    pub fn follow(&mut self, root: Cid) -> Result<(), LogError> {
        if self.last_root == Some(root) {
            return Ok(());
        }
        let changes = self.keep_unnamed(root);
        self.commit_history(&[], &changes)
    }

    /// Digests of the pages of a kept snapshot.
    pub fn digests_of(&mut self, root: &Cid) -> Result<Vec<Option<Digest>>, LogError> {
        let (root, mut nodes) = (self.root(root)?, self.nodes());
        let all: Vec<PageNo> = (1..=root.pages).filter_map(PageNo::new).collect();
        let mut digests = Vec::with_capacity(all.len());
        for some in all.chunks(super::history::LOOKED_UP as usize) {
            let cids = self.resolve(&root, some, &mut nodes)?;
            digests.extend(cids.iter().map(|cid| cid.as_ref().map(Digest::from)));
        }
        Ok(digests)
    }

    /// Commits a snapshot with other pages written over it, and so many pages in all, in the place of what
    /// has this `schema`, under a key that is known here from now on. Whether
    /// anything changed. What is encrypted here never becomes readable by everybody.
    pub fn commit_over<'p>(
        &mut self,
        root: &Root,
        under: Option<Under>,
        schema: Hash,
        written: impl IntoIterator<Item = (PageNo, &'p Page)>,
        pages: u32,
    ) -> Result<bool, LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        let old = self.key();
        if let Some(under) = &under {
            self.turn_to(Some(under.key));
        }
        let all = self.key() != old;
        let done = self.write_content(root, all);
        let done = done.and_then(|()| self.write_over(root, schema, written, pages));
        let done = done.and_then(|()| self.commit());
        self.rollback();
        match (&done, under) {
            (Ok(_), Some(under)) if all => self.share_with(under.readers),
            (Ok(_), Some(under)) => drop(self.join_readers(under)),
            (Ok(_), None) => {}
            (Err(_), _) => self.turn_to(old),
        }
        done
    }

    fn write_over<'p>(
        &mut self,
        root: &Root,
        schema: Hash,
        written: impl IntoIterator<Item = (PageNo, &'p Page)>,
        pages: u32,
    ) -> Result<(), LogError> {
        for (page, bytes) in written {
            self.write(page, bytes)?;
        }
        if pages != self.pending_pages() {
            self.set_pages(pages);
        }
        self.count_change(root.schema == schema)
    }
}
