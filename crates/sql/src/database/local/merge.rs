//! States of the same database that were made elsewhere: taken in, gone over to, merged.

use std::time::Duration;

use bytes::Bytes;
use craftec_core::{Cid, database::Root, limits};

use super::Database;
use crate::{
    database::{bounds::Watch, reader::verified},
    error::SqlError,
    keys::Keys,
    merge::{Merged, Sides, Strategy, run},
    page::PageNo,
    store::PageStore,
    vfs::Overlay,
};

/// Most pages that a merge changes: 256 MiB, held in memory.
const CHANGED_PAGES: usize = 64 << 10;
/// Blocks asked for at one time.
const ASKED: usize = limits::WANT_CIDS;

/// A state that is merged into a database. Both roots must be kept there.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// Its root.
    pub root: Cid,
    /// The state before both it and the database as it is; none if they have nothing in common.
    pub base: Option<Cid>,
    /// Whether it has been published: then the changes made here go on top of it, so that whoever has
    /// it already fetches little.
    pub published: bool,
}

impl Database {
    /// Takes a snapshot in that was made elsewhere: what is not here comes from `store`, each block
    /// checked against its CID. It is kept under `name`, in the place of what that name kept before.
    /// If it is encrypted, `keys` must know with which key.
    pub async fn take(
        &self,
        store: &dyn PageStore,
        root: Cid,
        name: &str,
        keys: &dyn Keys,
    ) -> Result<(), SqlError> {
        loop {
            if self.pages.borrow_mut().log.has(&root) {
                self.pages.borrow_mut().log.learn(&root, keys)?;
            }
            let lacking = self.pages.borrow_mut().log.lacks(&root)?;
            if lacking.is_empty() {
                self.outside_transactions()?;
                return Ok(self.pages.borrow_mut().log.keep_taken(name, root)?);
            }
            // What is lacking is known level by level; and what was here may go with a commit meanwhile.
            for some in lacking.chunks(ASKED) {
                let blocks = verified(store, &root, some, limits::BLOCK_BYTES).await?;
                let blocks: Vec<(Cid, Bytes)> = some.iter().copied().zip(blocks).collect();
                self.outside_transactions()?;
                self.pages.borrow_mut().log.take_blocks(&blocks)?;
            }
        }
    }

    /// Merges `other` into the database, as one commit; see [`Strategy`] for what contradicts. Nothing
    /// happens where the result says that it was not made.
    pub async fn merge(
        &self,
        other: Other,
        strategy: Strategy,
        limit: Option<Duration>,
    ) -> Result<Merged, SqlError> {
        self.outside_transactions()?;
        let ours = self.snapshot()?;
        let made = Merged { made: true, ..Merged::default() };
        let [mine, theirs] = [self.root(&ours)?, self.root(&other.root)?];
        let base = other.base.map(|base| self.root(&base)).transpose()?;
        if same(&mine, &theirs) || base.as_ref().is_some_and(|base| same(base, &theirs)) {
            self.join_readers(other)?;
            return Ok(made);
        }
        let is_behind = base.as_ref().map_or(mine.pages == 0, |base| same(base, &mine));
        if is_behind {
            {
                let log = &mut self.pages.borrow_mut().log;
                let key = log.root_and_key(&other.root)?.1;
                log.commit_over(&theirs, key, mine.schema, [], theirs.pages)?;
                log.follow(other.root)?;
            }
            self.compact_if_wanted().await;
            return Ok(made);
        }
        let onto_theirs = self.direction(&mine, &theirs, base.as_ref(), other.published)?;
        let (source, target) = if onto_theirs { (ours, other.root) } else { (other.root, ours) };
        let sides = Sides {
            base: self.overlay(other.base, None)?,
            source: self.overlay(Some(source), None)?,
            target: self.overlay(Some(target), Some(CHANGED_PAGES))?,
        };
        let source_wins = match strategy {
            Strategy::Stop => None,
            Strategy::Ours => Some(onto_theirs),
            Strategy::Theirs => Some(!onto_theirs),
        };
        let watch = Watch::new(self.options.slices.clone());
        let bounds = watch.clone();
        let (done, _) = watch.run(limit, move || run(sides, source_wins, &bounds)).await;
        let (merged, made) = done.map_err(|error| watch.told(error, limit))?;
        if !merged.made {
            return Ok(merged);
        }
        {
            let log = &mut self.pages.borrow_mut().log;
            // Whoever may read what is published may have been told apart from those who could before.
            let under = if other.published { other.root } else { ours };
            let key = log.root_and_key(&under)?.1;
            let target = log.root(&target)?;
            let pages = made.as_ref().map_or(target.pages, |made| made.pages);
            let written = made.iter().flat_map(|made| &made.written);
            let written = written.filter_map(|(page, bytes)| Some((PageNo::new(*page)?, &**bytes)));
            log.commit_over(&target, key, mine.schema, written, pages)?;
            if other.published {
                log.follow(other.root)?;
            }
        }
        self.compact_if_wanted().await;
        Ok(merged)
    }

    /// Where nothing else is to be merged the published state may still be shared with others.
    fn join_readers(&self, other: Other) -> Result<(), SqlError> {
        let published = self.pages.borrow_mut().log.root_and_key(&other.root)?.1;
        if let Some(under) = published.filter(|_| other.published)
            && self.pages.borrow_mut().log.join_readers(under)
        {
            self.snapshot()?;
        }
        Ok(())
    }

    /// Whether the changes made here are made in the other state, and not the other way round: on what
    /// is published, unless only the side here changed the schema.
    fn direction(
        &self,
        mine: &Root,
        theirs: &Root,
        base: Option<&Root>,
        published: bool,
    ) -> Result<bool, SqlError> {
        let changed = |side: &Root| base.is_some_and(|base| base.schema != side.schema);
        match (changed(mine), changed(theirs)) {
            _ if mine.schema == theirs.schema => Ok(published),
            (false, false) => Ok(published),
            (true, false) => Ok(false),
            (false, true) => Ok(true),
            (true, true) => Err(SqlError::Schemas),
        }
    }

    fn root(&self, root: &Cid) -> Result<Root, SqlError> {
        Ok(self.pages.borrow_mut().log.root(root)?)
    }

    fn overlay(&self, root: Option<Cid>, room: Option<usize>) -> Result<Overlay, SqlError> {
        let digests = match root {
            Some(root) => self.pages.borrow_mut().log.digests_of(&root)?,
            None => Vec::new(),
        };
        Ok(Overlay::new(self.pages.clone(), digests, room))
    }
}

fn same(one: &Root, other: &Root) -> bool {
    one.table == other.table && one.pages == other.pages
}
