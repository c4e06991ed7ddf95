//! A snapshot whose pages come when they are asked for.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use craftec_core::{
    Cid,
    database::{PAGE_BYTES, Root, TableError},
};

use craftec_pager::Fault;

use super::Paged;
use crate::{
    keys::Keyring,
    page::{Page, PageNo},
    store::PageStore,
    table::{Nodes, Step, resolve},
};

/// One of so many pages that are read from the store takes the place of one in memory.
const DISPLACING: u32 = 16;

/// Pages of a snapshot that are here, and the page that a statement lacked last.
pub(crate) struct RemotePages {
    root: Root,
    nodes: Nodes,
    keys: Keyring,
    store: Rc<dyn PageStore>,
    cache: HashMap<u32, Box<Page>>,
    /// In the order in which they came.
    order: VecDeque<u32>,
    room: usize,
    /// Pages that were read from the store.
    at_hand: u32,
    missed: Option<PageNo>,
}

impl RemotePages {
    /// Nothing of `root` is here yet; room for `cache_bytes` of it. What comes is sealed with the key, if
    /// there is one.
    pub(crate) fn new(
        root: Root,
        keys: Keyring,
        store: Rc<dyn PageStore>,
        cache_bytes: usize,
    ) -> Self {
        Self {
            root,
            nodes: Nodes::under(keys.clone()),
            keys,
            store,
            cache: HashMap::new(),
            order: VecDeque::new(),
            room: (cache_bytes / PAGE_BYTES).max(16),
            at_hand: 0,
            missed: None,
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.keys.current().is_some()
    }

    /// How many pages there is room for.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// What the last statement lacked, if it was stopped for that.
    pub(crate) fn take_missed(&mut self) -> Option<PageNo> {
        self.missed.take()
    }

    /// Of `count` pages from `first` on, those that are not here.
    pub(crate) fn lacking(&self, first: PageNo, count: u32) -> Vec<PageNo> {
        let end = first.number().saturating_add(count).min(self.root.pages.saturating_add(1));
        let numbers = (first.number()..end).filter(|number| !self.cache.contains_key(number));
        numbers.filter_map(PageNo::new).collect()
    }

    /// CIDs of pages, or the nodes that are needed to say.
    pub(crate) fn resolve(&self, pages: &[PageNo]) -> Result<Step<Vec<Option<Cid>>>, TableError> {
        resolve(&self.root, pages, &self.nodes)
    }

    /// A page that is not in memory and can be had at once, because it was here already.
    fn page_at_hand(&mut self, page: PageNo) -> Option<Box<Page>> {
        let cids = loop {
            match self.resolve(&[page]).ok()? {
                Step::Done(cids) => break cids,
                Step::Need(missing) => {
                    for cid in missing {
                        let node = self.store.at_hand(&cid)?;
                        self.take_node(cid, &node).ok()?;
                    }
                }
            }
        };
        let Some(cid) = cids.first()? else { return Some(Box::new([0; PAGE_BYTES])) };
        let block = self.store.at_hand(cid)?;
        let mut bytes: Box<Page> = Box::new((*block).try_into().ok()?);
        let opens = self.keys.current().is_none() || self.keys.opens(&mut bytes).is_some();
        opens.then_some(bytes)
    }

    /// Whether a page that was fetched is kept where it can be had at once.
    pub(crate) fn is_kept(&mut self, page: PageNo) -> bool {
        self.page_at_hand(page).is_some()
    }

    /// Takes a node, verified.
    pub(crate) fn take_node(&mut self, cid: Cid, bytes: &[u8]) -> Result<(), TableError> {
        self.nodes.insert(cid, bytes)
    }

    /// Takes a page, verified. The first page stays; of the others the oldest goes for it. Fails if it is
    /// not under the key.
    pub(crate) fn take_page(
        &mut self,
        page: PageNo,
        mut bytes: Box<Page>,
        is_zeros: bool,
    ) -> Result<(), TableError> {
        if !is_zeros && self.keys.current().is_some() && self.keys.opens(&mut bytes).is_none() {
            return Err(TableError::Locked);
        }
        self.keep(page, bytes);
        Ok(())
    }

    fn keep(&mut self, page: PageNo, bytes: Box<Page>) {
        if self.cache.insert(page.number(), bytes).is_none() && page != PageNo::FIRST {
            self.order.push_back(page.number());
        }
        while self.order.len() > self.room {
            if let Some(oldest) = self.order.pop_front() {
                self.cache.remove(&oldest);
            }
        }
    }
}

impl Paged for RemotePages {
    fn pages(&self) -> u32 {
        self.root.pages
    }

    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
        if let Some(bytes) = self.cache.get(&page.number()) {
            out.copy_from_slice(&**bytes);
            return Ok(());
        }
        let Some(bytes) = self.page_at_hand(page) else {
            self.missed = Some(page);
            return Err(Fault::Miss);
        };
        out.copy_from_slice(&*bytes);
        // A scan that outgrows the memory would push out each page just before it is read again.
        self.at_hand = self.at_hand.wrapping_add(1);
        if self.order.len() < self.room || self.at_hand.is_multiple_of(DISPLACING) {
            self.keep(page, bytes);
        }
        Ok(())
    }
}
