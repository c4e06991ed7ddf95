//! States that somebody still reads though newer ones may have been committed.
//!
//! A log never overwrites a page, so an older state is a matter of remembering where its pages are. Each
//! pin notes those that a later commit replaces, and no others: what it has no note of is where it is.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use craftec_core::database::PAGE_BYTES;

use super::{Log, LogError};
use crate::page::{Digest, Page, PageNo};

/// Notes of all pins of one log together; some 15 MiB. A transaction that reads while more is replaced
/// than this loses its state.
const NOTES: usize = 1 << 18;

/// One state.
struct Pin {
    pages: u32,
    readers: usize,
    replaced: HashMap<u32, (Option<Digest>, u64)>,
}

/// All of them, by the state's number.
#[derive(Default)]
pub(super) struct Pins(BTreeMap<u64, Pin>);

impl Pins {
    /// Notes where `page` was before it is replaced.
    pub(super) fn note(&mut self, page: PageNo, digest: Option<Digest>, offset: u64) {
        let mut notes = 0;
        for pin in self.0.values_mut() {
            if page.number() <= pin.pages
                && let Entry::Vacant(vacant) = pin.replaced.entry(page.number())
            {
                vacant.insert((digest, offset));
            }
            notes += pin.replaced.len();
        }
        if notes > NOTES {
            self.0.pop_first();
        }
    }

    /// Drops those of another state than `current`: what they note is going.
    pub(super) fn drop_older(&mut self, current: u64) {
        self.0.retain(|state, _| *state == current);
    }
}

impl Log {
    /// The number of the current state. It changes with every commit of pages and never comes again.
    pub fn state(&self) -> u64 {
        self.state
    }

    /// Keeps the current state readable until [`Self::unpin`], as far as [`Self::compact`] allows.
    pub fn pin(&mut self) -> u64 {
        let pages = self.table.len();
        let fresh = || Pin { pages, readers: 0, replaced: HashMap::new() };
        self.pins.0.entry(self.state).or_insert_with(fresh).readers += 1;
        self.state
    }

    /// Ends one pin of a state.
    pub fn unpin(&mut self, state: u64) {
        if let Some(pin) = self.pins.0.get_mut(&state) {
            pin.readers = pin.readers.saturating_sub(1);
            if pin.readers == 0 {
                self.pins.0.remove(&state);
            }
        }
    }

    /// Whether a state is pinned that is not the current one.
    pub fn has_older_pins(&self) -> bool {
        self.pins.0.keys().any(|state| *state != self.state)
    }

    /// Reads `page` as it was in a pinned state, verified. `None` if that is no longer pinned; `false`
    /// if it has no such page.
    pub fn read_at(
        &mut self,
        state: u64,
        page: PageNo,
        out: &mut Page,
    ) -> Result<Option<bool>, LogError> {
        let Some(pin) = self.pins.0.get(&state) else { return Ok(None) };
        if page.number() > pin.pages {
            return Ok(Some(false));
        }
        match pin.replaced.get(&page.number()) {
            Some((Some(digest), offset)) => {
                self.read_verified(*offset, *digest, &mut out[..])?;
                self.keys.open(out);
            }
            Some((None, _)) => *out = [0; PAGE_BYTES],
            None => self.committed(page, out)?,
        }
        Ok(Some(true))
    }
}
