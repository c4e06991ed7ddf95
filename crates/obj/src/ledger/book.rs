//! The book: what each peer did for us, and we for it. Plain values: time is an argument.
//!
//! Two kinds of numbers. **Totals** only grow; they are what receipts say and what nobody forgets.
//! **Recent** numbers fade by half every [`HALF_LIFE_MS`], so that whoever stopped giving is soon
//! like one that never gave, and whoever begins soon counts; they are what decides.
//!
//! Time with a peer counts while both are connected, since only then either can see the other: what
//! one books as kept for it, the other books as kept for the first.
//!
//! At most [`PEERS`] peers. Who did least for us lately is forgotten first, and of those who did
//! nothing whoever was not seen for longest: a flood of strangers pushes out strangers.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{
    PeerId,
    receipt::{Receipt, SignedReceipt, Totals},
};
use craftec_p2p::Prefix;

/// After this time what was done counts half: 7 days, the longest rhythm that people have.
pub const HALF_LIFE_MS: u64 = 7 * 24 * HOUR_MS;
/// What is kept for us counts in full once it was kept for so long while we watched: 24 hours. A
/// promise of a minute ago has cost nothing yet.
pub const PROOF_MS: u64 = 24 * HOUR_MS;
/// Peers in the book: some 2 MB in memory and 4 MB on disk; more are met only by attack or by
/// relays, for which strangers are strangers anyway.
pub const PEERS: usize = 4096;
/// A byte kept for so many hours (30 days) is worth a byte sent: what both are sold for.
pub const HOURS_PER_SENT_BYTE: u64 = 720;
/// Numbers fade in steps of at least this: each step rounds down.
const STEP_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// What fades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// When the numbers were as they are (ms since 1970).
    pub at_ms: u64,
    /// Milliseconds for which we were connected.
    pub together_ms: u64,
    /// Bytes × hours that it kept for us.
    pub kept_byte_hours: u64,
    /// Block bytes that it sent us because we wanted to read them.
    pub received_bytes: u64,
    /// Bytes × hours that we kept for it.
    pub lent_byte_hours: u64,
    /// Block bytes that we sent it because it wanted to read them.
    pub sent_bytes: u64,
}

impl Recent {
    fn fade(&mut self, now_ms: u64) {
        let Some(elapsed_ms) = now_ms.checked_sub(self.at_ms).filter(|ms| *ms >= STEP_MS) else {
            return;
        };
        self.at_ms = now_ms;
        let left = faded(elapsed_ms);
        for number in [
            &mut self.together_ms,
            &mut self.kept_byte_hours,
            &mut self.received_bytes,
            &mut self.lent_byte_hours,
            &mut self.sent_bytes,
        ] {
            *number = (*number as f64 * left) as u64;
        }
    }
}

/// The share that is left of a number after so long.
fn faded(elapsed_ms: u64) -> f64 {
    (-(elapsed_ms as f64) / HALF_LIFE_MS as f64).exp2()
}

/// What is left of a time that counted fully while it passed.
fn faded_ms(passed_ms: u64) -> u64 {
    (HALF_LIFE_MS as f64 / std::f64::consts::LN_2 * (1.0 - faded(passed_ms))) as u64
}

/// A peer's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where it was last on the network; none behind a relay.
    pub place: Option<Prefix>,
    /// Since when the totals count (ms since 1970).
    pub since_ms: u64,
    /// When something last happened between us (ms since 1970).
    pub seen_ms: u64,
    /// What it did for us.
    pub theirs: Totals,
    /// What we did for it.
    pub ours: Totals,
    /// Audits that it failed.
    pub failed_audits: u64,
    /// What decides.
    pub recent: Recent,
    /// The newest receipt that it gave us.
    pub receipt: Option<SignedReceipt>,
}

impl Entry {
    fn new(now_ms: u64) -> Self {
        let recent = Recent { at_ms: now_ms, ..Recent::default() };
        Self { since_ms: now_ms, seen_ms: now_ms, recent, ..Self::default() }
    }

    fn faded(&self, now_ms: u64) -> Recent {
        let mut recent = self.recent;
        recent.fade(now_ms);
        recent
    }

    /// Bytes that it keeps for us, as an average over the time for which we watched (at least
    /// [`PROOF_MS`]).
    pub fn keeps_bytes(&self, now_ms: u64) -> u64 {
        let recent = self.faded(now_ms);
        let byte_ms = u128::from(recent.kept_byte_hours) * u128::from(HOUR_MS);
        let watched_ms = u128::from(recent.together_ms.max(PROOF_MS));
        u64::try_from(byte_ms / watched_ms).unwrap_or(u64::MAX)
    }

    /// What it did for us lately, in bytes sent.
    pub fn earned_bytes(&self, now_ms: u64) -> u64 {
        let recent = self.faded(now_ms);
        recent.received_bytes.saturating_add(recent.kept_byte_hours / HOURS_PER_SENT_BYTE)
    }
}

/// All pages.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<PeerId, Entry>,
    /// Pages that differ from what is on disk.
    changed: BTreeSet<PeerId>,
}

impl Book {
    /// Takes a page over from an earlier run.
    pub fn restore(&mut self, peer: PeerId, entry: Entry) {
        if self.entries.len() < PEERS {
            self.entries.insert(peer, entry);
        }
    }

    /// A peer's page.
    pub fn entry(&self, peer: &PeerId) -> Option<&Entry> {
        self.entries.get(peer)
    }

    /// Everybody in the book.
    pub fn peers(&self) -> impl Iterator<Item = (&PeerId, &Entry)> {
        self.entries.iter()
    }

    /// Pages that changed since this was last asked; none where a page is gone.
    pub fn take_changed(&mut self) -> Vec<(PeerId, Option<Entry>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|peer| (peer, self.entries.get(&peer).cloned())).collect()
    }

    /// These pages could not be made durable: they are still to be.
    pub fn put_back(&mut self, changed: Vec<(PeerId, Option<Entry>)>) {
        self.changed.extend(changed.into_iter().map(|(peer, _)| peer));
    }

    /// It sent us what we wanted to read.
    pub fn received(&mut self, peer: PeerId, bytes: u64, now_ms: u64) {
        let entry = self.open(peer, now_ms);
        let more = Totals { served_bytes: bytes, ..Totals::default() };
        entry.theirs = entry.theirs.plus(&more);
        entry.recent.received_bytes = entry.recent.received_bytes.saturating_add(bytes);
    }

    /// We sent it what it wanted to read.
    pub fn sent(&mut self, peer: PeerId, bytes: u64, now_ms: u64) {
        let entry = self.open(peer, now_ms);
        let more = Totals { served_bytes: bytes, ..Totals::default() };
        entry.ours = entry.ours.plus(&more);
        entry.recent.sent_bytes = entry.recent.sent_bytes.saturating_add(bytes);
    }

    /// We were connected for `ms`, in which it kept so many bytes for us, and we for it.
    pub fn together(&mut self, peer: PeerId, ms: u64, kept: u64, lent: u64, now_ms: u64) {
        if kept == 0 && lent == 0 && !self.entries.contains_key(&peer) {
            return;
        }
        let byte_hours = |bytes: u64| {
            let product = u128::from(bytes) * u128::from(ms) / u128::from(HOUR_MS);
            u64::try_from(product).unwrap_or(u64::MAX)
        };
        let (kept, lent) = (byte_hours(kept), byte_hours(lent));
        let stored = |hours| Totals { stored_byte_hours: hours, ..Totals::default() };
        let entry = self.open(peer, now_ms);
        entry.theirs = entry.theirs.plus(&stored(kept));
        entry.ours = entry.ours.plus(&stored(lent));
        let recent = &mut entry.recent;
        recent.together_ms = recent.together_ms.saturating_add(ms);
        recent.kept_byte_hours = recent.kept_byte_hours.saturating_add(kept);
        recent.lent_byte_hours = recent.lent_byte_hours.saturating_add(lent);
    }

    /// We asked it to prove that it has what it keeps for us. Each failure takes half of what it is
    /// credited with for keeping: two in a row leave a quarter.
    pub fn audited(&mut self, peer: PeerId, passed: bool, now_ms: u64) {
        let entry = self.open(peer, now_ms);
        if passed {
            let more = Totals { audits_passed: 1, ..Totals::default() };
            entry.theirs = entry.theirs.plus(&more);
        } else {
            entry.failed_audits = entry.failed_audits.saturating_add(1);
            entry.recent.kept_byte_hours /= 2;
        }
    }

    /// It is at `place`.
    pub fn placed(&mut self, peer: &PeerId, place: Option<Prefix>) {
        if let Some(entry) = self.entries.get_mut(peer).filter(|entry| entry.place != place) {
            entry.place = place;
            self.changed.insert(*peer);
        }
    }

    /// What we sign for `peer` now; none if it did nothing.
    pub fn receipt_for(&self, giver: PeerId, peer: PeerId, now_ms: u64) -> Option<Receipt> {
        let entry = self.entries.get(&peer)?;
        let (since_ms, totals) = (entry.since_ms.min(now_ms), entry.theirs);
        let receipt = Receipt { v: 1, giver, to: peer, since_ms, until_ms: now_ms, totals };
        (totals != Totals::default()).then_some(receipt)
    }

    /// Takes a receipt (verified, given to us by one whom we did something for). Whether it was newer.
    pub fn take_receipt(&mut self, receipt: SignedReceipt, now_ms: u64) -> bool {
        let giver = receipt.receipt.giver;
        let Some(entry) = self.entries.get_mut(&giver) else { return false };
        let newer = entry.receipt.as_ref().is_none_or(|held| receipt.replaces(held));
        if newer {
            entry.receipt = Some(receipt);
            entry.seen_ms = now_ms;
            self.changed.insert(giver);
        }
        newer
    }

    /// Is reminded of a receipt that we signed ourselves (verified): what the book has forgotten, it
    /// knows again. Whether it had. The recent numbers get what is left of it, as if it had been done
    /// evenly over the receipt's period.
    pub fn remind(&mut self, own: &Receipt, now_ms: u64) -> bool {
        let known = self.entries.get(&own.to).map(|entry| entry.theirs).unwrap_or_default();
        if known.covers(&own.totals) {
            return false;
        }
        let entry = self.open(own.to, now_ms);
        entry.since_ms = entry.since_ms.min(own.since_ms);
        let totals = known.max(&own.totals);
        let period_ms = own.until_ms.saturating_sub(own.since_ms).max(HOUR_MS);
        let rest_ms = faded_ms(period_ms) as f64 * faded(now_ms.saturating_sub(own.until_ms));
        let left = |now: u64, then: u64| ((now - then) as f64 * rest_ms / period_ms as f64) as u64;
        let recent = &mut entry.recent;
        recent.kept_byte_hours = recent
            .kept_byte_hours
            .saturating_add(left(totals.stored_byte_hours, known.stored_byte_hours));
        recent.received_bytes =
            recent.received_bytes.saturating_add(left(totals.served_bytes, known.served_bytes));
        // The average over the period, not over the hours that were spent together: less, not more.
        recent.together_ms = recent.together_ms.max(rest_ms as u64);
        entry.theirs = totals;
        true
    }

    /// A peer's page, to write on.
    fn open(&mut self, peer: PeerId, now_ms: u64) -> &mut Entry {
        if !self.entries.contains_key(&peer) && self.entries.len() >= PEERS {
            self.forget_one(now_ms);
        }
        self.changed.insert(peer);
        let entry = self.entries.entry(peer).or_insert_with(|| Entry::new(now_ms));
        entry.recent.fade(now_ms);
        entry.seen_ms = entry.seen_ms.max(now_ms);
        entry
    }

    fn forget_one(&mut self, now_ms: u64) {
        let worth = |entry: &Entry| (entry.earned_bytes(now_ms), entry.seen_ms);
        let least = self.entries.iter().min_by_key(|(_, entry)| worth(entry));
        if let Some(peer) = least.map(|(peer, _)| *peer) {
            self.entries.remove(&peer);
            self.changed.insert(peer);
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
