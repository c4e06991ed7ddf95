//! Snapshots: roots that are taken, kept, dropped and gone back to.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use craftec_core::{
    Cid,
    database::{ChangedPages, MAX_PAGES, PAGE_BYTES, Root, TableError},
    head::check_name,
    sign::Hash,
};

use super::{Kept, Log, LogError, record::Kind};
use crate::{
    page::{Digest, Page, PageNo},
    table::{self, Nodes, Step},
};

/// Pages looked up in a table at one time.
pub(super) const LOOKED_UP: u32 = 4096;
/// Where SQLite counts changes of the file, and for which of them the page count is right: both
/// big endian. Source: <https://sqlite.org/fileformat2.html>, 1.3.
const CHANGE_COUNTERS: [usize; 2] = [24, 92];
/// Where it counts changes of the schema.
const SCHEMA_COOKIE: usize = 40;

/// How often the file was changed, as its first page says.
pub(super) fn change_count(first: &Page) -> u32 {
    counter(first, CHANGE_COUNTERS[0])
}

/// Four bytes of the first page, big endian.
pub(super) fn counter(first: &Page, at: usize) -> u32 {
    let mut counter = [0; 4];
    counter.copy_from_slice(&first[at..at + 4]);
    u32::from_be_bytes(counter)
}

impl Log {
    /// The root of the last commit, durable here with all below it: nodes come into being, older
    /// snapshots without a name go. Twice without a commit between gives one root.
    pub fn snapshot(&mut self, schema: Hash) -> Result<Cid, LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        let taken = self.take_snapshot(schema);
        if taken.is_err() {
            // Nodes that came into being were not stored: they must come again.
            self.table.forget_nodes();
        }
        taken
    }

    fn take_snapshot(&mut self, schema: Hash) -> Result<Cid, LogError> {
        let parent = match self.last_root {
            Some(cid) => Some((cid, self.root(&cid)?)),
            None => None,
        };
        let made = self.table.materialise(self.keys.current())?;
        let pages = self.table.len();
        let mut root = Root { schema, ..Root::new(pages, made.top) };
        let mut fresh = self.nodes();
        for (cid, bytes) in &made.nodes {
            fresh.insert(*cid, bytes)?;
        }
        if let Some((cid, parent)) = &parent {
            if parent.table == root.table
                && parent.pages == pages
                && parent.schema == schema
                && self.is_sealed_as_now(cid)?
            {
                return Ok(*cid);
            }
            root.parent = Some(*cid);
            let changed = self.with_nodes(&mut fresh, |nodes| {
                table::diff(Some(parent), &root, nodes, MAX_PAGES)
            })?;
            root.changed = ChangedPages::of(changed.into_keys());
        }
        let (cid, bytes) = self.root_block(&root)?;
        let mut blocks = made.nodes;
        blocks.retain(|(cid, _)| !self.index.contains_key(&Digest::from(cid)));
        blocks.push((cid, Bytes::from(bytes)));
        let changes = self.keep_unnamed(cid);
        self.commit_history(&blocks, &changes)?;
        Ok(cid)
    }

    /// What keeps a snapshot without a name, and lets the oldest of those go for it.
    pub(super) fn keep_unnamed(&self, root: Cid) -> Vec<(Kind, Kept)> {
        let mut changes = vec![(Kind::Keep, Kept { name: String::new(), root })];
        let unnamed: Vec<&Kept> = self.kept.iter().filter(|kept| kept.name.is_empty()).collect();
        let too_many = (unnamed.len() + 1).saturating_sub(self.options.snapshots.max(1));
        let dropped = unnamed.into_iter().take(too_many);
        changes.extend(dropped.map(|kept| (Kind::Drop, kept.clone())));
        changes
    }

    /// Keeps a snapshot under `name` until that is dropped; one name keeps one root.
    pub fn keep(&mut self, name: &str, root: Cid) -> Result<(), LogError> {
        check_name(name).map_err(|_| LogError::Name(name.chars().take(80).collect()))?;
        if !self.kept.iter().any(|kept| kept.root == root) {
            return Err(LogError::NoSuchRoot { root });
        }
        self.keep_taken(name, root)
    }

    /// Drops a name; its snapshot goes at the next compaction, unless something else keeps it.
    /// Whether there was such a name.
    pub fn drop_kept(&mut self, name: &str) -> Result<bool, LogError> {
        let named = self.kept.iter().filter(|kept| !name.is_empty() && kept.name == name).cloned();
        let changes: Vec<(Kind, Kept)> = named.map(|kept| (Kind::Drop, kept)).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        self.commit_history(&[], &changes)?;
        Ok(true)
    }

    /// Snapshots that are kept, the oldest first.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// The root that was taken last.
    pub fn last_root(&self) -> Option<Cid> {
        self.last_root
    }

    /// Every block below `root` that is not below `since`, the root included.
    pub fn blocks_of(
        &mut self,
        root: &Cid,
        since: Option<&Cid>,
    ) -> Result<BTreeSet<Cid>, LogError> {
        let mut all = self.below(root)?;
        if let Some(since) = since {
            let before = self.below(since)?;
            all.retain(|cid| !before.contains(cid));
        }
        all.insert(*root);
        Ok(all)
    }

    /// Every block below `root`.
    pub(super) fn below(&mut self, root: &Cid) -> Result<BTreeSet<Cid>, LogError> {
        let root = self.root(root)?;
        self.with_nodes(&mut self.nodes(), |nodes| table::everything(&root, nodes))
    }

    /// The pages `wanted` of a snapshot, as CIDs.
    pub fn resolve(
        &mut self,
        root: &Root,
        wanted: &[PageNo],
        nodes: &mut Nodes,
    ) -> Result<Vec<Option<Cid>>, LogError> {
        self.with_nodes(nodes, |nodes| table::resolve(root, wanted, nodes))
    }

    /// Writes the content of a snapshot as a new commit, in the place of what has this `schema`. History
    /// goes on: nothing that was committed since is undone, it only is no longer current. Whether
    /// anything changed.
    pub fn restore(&mut self, root: &Cid, schema: Hash) -> Result<bool, LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        let target = self.root(root)?;
        let restored = self.write_content(&target, false).and_then(|()| {
            self.count_change(target.schema == schema)?;
            self.commit()
        });
        self.rollback();
        restored
    }

    /// Writes what a snapshot has otherwise, for the next commit; or all that it has, which is needed where
    /// the key is another than the pages are under.
    pub(super) fn write_content(&mut self, target: &Root, all: bool) -> Result<(), LogError> {
        let mut nodes = self.nodes();
        let mut page = [0; PAGE_BYTES];
        for first in (1..=target.pages).step_by(LOOKED_UP as usize) {
            let last = first.saturating_add(LOOKED_UP - 1).min(target.pages);
            let wanted: Vec<PageNo> = (first..=last).filter_map(PageNo::new).collect();
            let cids = self.resolve(target, &wanted, &mut nodes)?;
            for (number, cid) in wanted.into_iter().zip(cids) {
                let digest = cid.as_ref().map(Digest::from);
                let is_there = digest == self.table.digest(number);
                if is_there && (!all || digest.is_none()) {
                    continue;
                }
                match &cid {
                    Some(cid) => self.block_into(cid, &mut page)?,
                    None => page.fill(0),
                }
                self.write(number, &page)?;
            }
        }
        self.set_pages(target.pages);
        Ok(())
    }

    /// Whoever read before a restore must see that the file changed, though its content may be such as was
    /// there before; and that the schema did, though it may have been changed as often. Where it counts
    /// more than was ever seen here, it is left as it is.
    pub(super) fn count_change(&mut self, same_schema: bool) -> Result<(), LogError> {
        if self.pages() == 0 || self.pending_pages() == 0 || !self.is_dirty() {
            return Ok(());
        }
        let (mut old, mut new) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
        self.committed(PageNo::FIRST, &mut old)?;
        self.read(PageNo::FIRST, &mut new)?;
        let newer = |at| counter(&new, at) > counter(&old, at);
        let as_new = counter(&new, SCHEMA_COOKIE) == counter(&old, SCHEMA_COOKIE);
        let shows_schema = newer(SCHEMA_COOKIE) || (same_schema && as_new);
        if newer(CHANGE_COUNTERS[0]) && shows_schema {
            return Ok(());
        }
        let next = |at| counter(&old, at).max(counter(&new, at)).wrapping_add(1).to_be_bytes();
        let (change, cookie) = (next(CHANGE_COUNTERS[0]), next(SCHEMA_COOKIE));
        for at in CHANGE_COUNTERS {
            new[at..at + 4].copy_from_slice(&change);
        }
        if !shows_schema {
            new[SCHEMA_COOKIE..SCHEMA_COOKIE + 4].copy_from_slice(&cookie);
        }
        self.write(PageNo::FIRST, &new)
    }

    /// A page of any state that is here.
    pub(crate) fn block_into(&mut self, cid: &Cid, page: &mut Page) -> Result<(), LogError> {
        let block = self.block(cid)?.filter(|block| block.len() == PAGE_BYTES);
        let block = block.ok_or_else(|| LogError::corrupt(format!("page {cid} is not there")))?;
        page.copy_from_slice(&block);
        self.keys.open(page);
        Ok(())
    }

    /// Repeats `walk` until it has every node that it needs, which all must be here.
    fn with_nodes<T>(
        &mut self,
        nodes: &mut Nodes,
        mut walk: impl FnMut(&Nodes) -> Result<Step<T>, TableError>,
    ) -> Result<T, LogError> {
        loop {
            match walk(nodes)? {
                Step::Done(done) => return Ok(done),
                Step::Need(missing) => {
                    for cid in missing {
                        let node = self.block(&cid)?;
                        let lost = || LogError::corrupt(format!("node {cid} is not there"));
                        nodes.insert(cid, &node.ok_or_else(lost)?)?;
                    }
                }
            }
        }
    }

    /// Blocks that only snapshots need, and where they are.
    pub(super) fn history(&mut self) -> Result<HashMap<Cid, u32>, LogError> {
        let current = self.current();
        let mut needed = HashMap::new();
        let roots: BTreeSet<Cid> = self.kept.iter().map(|kept| kept.root).collect();
        for root in roots {
            for cid in self.blocks_of(&root, None)? {
                let digest = Digest::from(&cid);
                if !current.contains(&digest)
                    && let Some(place) = self.index.get(&digest)
                {
                    needed.insert(cid, place.bytes);
                }
            }
        }
        Ok(needed)
    }
}
