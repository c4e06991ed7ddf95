//! Walking page tables whose nodes may not be here: look-ups, differences, everything below a root.
//!
//! Each function goes as far as the nodes at hand let it and then names, in one batch, those that it
//! misses; the caller fetches them and calls again. Work is bounded by the root's page count, which
//! the caller checks against its own limit first: a table can't lead deeper than that count says, so
//! neither a cycle (which hashes forbid anyway) nor a node that is its own sibling costs more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use craftec_core::{
    Cid,
    database::{FANOUT, Node, Root, TableError, below},
};

use crate::{keys::Keyring, page::PageNo};

/// A result, or what must be fetched before there can be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Finished.
    Done(T),
    /// These nodes are missing, each named once.
    Need(Vec<Cid>),
}

/// Nodes that are at hand.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    pub(super) known: HashMap<Cid, Node>,
    keys: Keyring,
}

impl Nodes {
    /// None yet; those that come may be sealed with one of these keys.
    pub(crate) fn under(keys: Keyring) -> Self {
        Self { known: HashMap::new(), keys }
    }

    /// Takes the node `cid`, whose bytes the caller has checked against it.
    pub fn insert(&mut self, cid: Cid, bytes: &[u8]) -> Result<(), TableError> {
        self.known.insert(cid, self.keys.node(bytes)?);
        Ok(())
    }

    /// Whether the node is here.
    pub fn has(&self, cid: &Cid) -> bool {
        self.known.contains_key(cid)
    }

    /// How many nodes are here.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// A part of a tree: nothing, or a node at its level.
type Part = Option<(Cid, u32)>;

/// The node behind a part, if it is at hand, checked against what the page count leaves room for.
fn open<'n>(
    nodes: &'n Nodes,
    missing: &mut BTreeSet<Cid>,
    (cid, level): (Cid, u32),
    first: u64,
    pages: u32,
) -> Result<Option<&'n Node>, TableError> {
    let Some(node) = nodes.known.get(&cid) else {
        missing.insert(cid);
        return Ok(None);
    };
    let child = if level == 0 { 1 } else { below(level - 1) };
    let room = u64::from(pages).saturating_sub(first).div_ceil(child);
    if node.len() as u64 > room {
        return Err(TableError::Beyond { cid });
    }
    Ok(Some(node))
}

fn top(root: &Root) -> Part {
    root.table.map(|cid| (cid, root.height() - 1))
}

/// The CIDs of `pages` (of which none may be twice), in their order; none for pages of zeros.
pub fn resolve(
    root: &Root,
    pages: &[PageNo],
    nodes: &Nodes,
) -> Result<Step<Vec<Option<Cid>>>, TableError> {
    let mut missing = BTreeSet::new();
    let mut found = Vec::with_capacity(pages.len());
    for page in pages {
        let mut part = top(root).filter(|_| page.number() <= root.pages);
        let index = page.index() as u64;
        let mut cid = None;
        while let Some((at, level)) = part.take() {
            let first = index / below(level) * below(level);
            let Some(node) = open(nodes, &mut missing, (at, level), first, root.pages)? else {
                break;
            };
            let child = if level == 0 { 1 } else { below(level - 1) };
            let link = node.child(level, (index / child) as usize % FANOUT)?;
            match level.checked_sub(1) {
                Some(lower) => part = link.map(|link| (link, lower)),
                None => cid = link,
            }
        }
        found.push(cid);
    }
    Ok(if missing.is_empty() {
        Step::Done(found)
    } else {
        Step::Need(missing.into_iter().collect())
    })
}

/// The pages of `new` that `old` has not, or has otherwise, with their CIDs (none: zeros). At most
/// `limit`, so that a table of one node many times over doesn't fill the memory.
pub fn diff(
    old: Option<&Root>,
    new: &Root,
    nodes: &Nodes,
    limit: u32,
) -> Result<Step<BTreeMap<u32, Option<Cid>>>, TableError> {
    let old_height = old.map_or(1, Root::height);
    let mut walk = Diff {
        nodes,
        old_pages: old.map_or(0, |root| root.pages),
        new_pages: new.pages,
        missing: BTreeSet::new(),
        found: BTreeMap::new(),
        limit,
    };
    let level = old_height.max(new.height()) - 1;
    walk.visit(old.and_then(top), top(new), level, 0)?;
    Ok(if walk.missing.is_empty() {
        Step::Done(walk.found)
    } else {
        Step::Need(walk.missing.into_iter().collect())
    })
}

struct Diff<'n> {
    nodes: &'n Nodes,
    old_pages: u32,
    new_pages: u32,
    missing: BTreeSet<Cid>,
    found: BTreeMap<u32, Option<Cid>>,
    limit: u32,
}

impl Diff<'_> {
    /// Compares what the trees have below `level` from page index `first` on.
    fn visit(&mut self, old: Part, new: Part, level: u32, first: u64) -> Result<(), TableError> {
        if first >= u64::from(self.new_pages) {
            return Ok(());
        }
        let end = (first + below(level)).min(u64::from(self.new_pages));
        let all_old = end <= u64::from(self.old_pages);
        if old == new && all_old {
            return Ok(());
        }
        let (Some(old), Some(new)) = (
            self.children(old, level, first, self.old_pages)?,
            self.children(new, level, first, self.new_pages)?,
        ) else {
            return Ok(());
        };
        let child = if level == 0 { 1 } else { below(level - 1) };
        for (place, first) in (0..FANOUT).zip((first..end).step_by(child as usize)) {
            let (old, new) = (old.get(place).copied().flatten(), new.get(place).copied().flatten());
            if level > 0 {
                self.visit(old, new, level - 1, first)?;
            } else if old != new || first >= u64::from(self.old_pages) {
                if self.found.len() >= self.limit as usize {
                    let (pages, limit) = (self.new_pages, self.limit);
                    return Err(TableError::TooManyPages { pages, limit });
                }
                self.found.insert(first as u32 + 1, new.map(|(cid, _)| cid));
            }
        }
        Ok(())
    }

    /// The children of a part at `level`; none if its node is missing. A part that lies lower is the
    /// first child of what would be here in a larger table.
    fn children(
        &mut self,
        part: Part,
        level: u32,
        first: u64,
        pages: u32,
    ) -> Result<Option<Vec<Part>>, TableError> {
        let Some((cid, own)) = part else { return Ok(Some(Vec::new())) };
        if own < level {
            return Ok(Some(vec![part]));
        }
        let Some(node) = open(self.nodes, &mut self.missing, (cid, level), first, pages)? else {
            return Ok(None);
        };
        let child = |place| {
            let link = node.child(level, place)?;
            Ok(link.map(|link| (link, level.saturating_sub(1))))
        };
        (0..node.len()).map(child).collect::<Result<_, _>>().map(Some)
    }
}

/// Every block below a root: nodes and pages, each once.
pub fn everything(root: &Root, nodes: &Nodes) -> Result<Step<BTreeSet<Cid>>, TableError> {
    let (mut found, mut missing) = (BTreeSet::new(), BTreeSet::new());
    let mut todo: Vec<((Cid, u32), u64)> = top(root).map(|part| (part, 0)).into_iter().collect();
    while let Some(((cid, level), first)) = todo.pop() {
        // A node that was seen is not gone through again, wherever it stands.
        if !found.insert(cid) {
            continue;
        }
        let Some(node) = open(nodes, &mut missing, (cid, level), first, root.pages)? else {
            continue;
        };
        for place in 0..node.len() {
            match (node.child(level, place)?, level.checked_sub(1)) {
                (Some(link), Some(lower)) => {
                    todo.push(((link, lower), first + place as u64 * below(lower)));
                }
                (Some(page), None) => drop(found.insert(page)),
                (None, _) => {}
            }
        }
    }
    Ok(if missing.is_empty() {
        Step::Done(found)
    } else {
        Step::Need(missing.into_iter().collect())
    })
}
