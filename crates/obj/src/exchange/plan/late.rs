//! What takes too long: when a second peer is asked for what the first one owes, when a leaf is
//! recovered from other pieces, and when a block is given up.

use std::{collections::BTreeSet, time::Duration};

use craftec_core::{Cid, Codec, PeerId};

use super::{AskId, Peer, Pending, Plan, Standing, Wanted};

/// A block is given up when nothing at all arrived for so long.
const GIVE_UP: Duration = Duration::from_secs(15);
/// The same when everyone known has said no and the search for others is over.
const GIVE_UP_ASKED_ALL: Duration = Duration::from_secs(5);
/// Least time before a second peer is asked for what a confirmed one owes us.
const DOUBLE_CONFIRMED: Duration = Duration::from_secs(1);
/// The same for a peer that has not yet delivered anything.
const DOUBLE_UNKNOWN: Duration = Duration::from_millis(300);
/// Peers that one block is asked of at the same time: two that stall must not use up the time after
/// which it is given up. While nothing at all arrives there is one more for each second, up to the
/// larger number: half of all holders may have died a moment ago.
const ASKERS: usize = 3;
const ASKERS_MOST: usize = 12;

impl Plan {
    /// Leaves that nobody who was heard of may give.
    pub(in super::super) fn unsure(&self) -> Vec<Cid> {
        let leaves = self.wanted.keys().filter(|cid| cid.codec() == Codec::Raw);
        leaves.filter(|cid| !self.is_sure(cid)).copied().collect()
    }

    /// Leaves that nobody may give, that everyone asked owes for too long, or that wait for peers who
    /// have not said anything yet.
    pub(in super::super) fn stranded(&self, now: Duration) -> Vec<Cid> {
        let late = |id: &AskId| {
            self.pending.get(id).is_none_or(|p| now.saturating_sub(p.sent) >= self.patience(p))
        };
        let owed = |w: &Wanted| !w.askers.is_empty() && w.askers.iter().all(late);
        let waits = |cid: &Cid, w: &Wanted| {
            let long = now.saturating_sub(w.since) >= DOUBLE_CONFIRMED;
            long && w.askers.is_empty() && !self.is_sure(cid)
        };
        let leaves = self.wanted.iter().filter(|(cid, _)| cid.codec() == Codec::Raw);
        let stranded = leaves.filter(|(cid, w)| owed(w) || waits(cid, w) || !self.is_offered(cid));
        stranded.map(|(cid, _)| *cid).collect()
    }

    /// What others owe for too long, every one of them, and this one may have.
    pub(super) fn overdue(
        &self,
        id: &PeerId,
        peer: &Peer,
        count: usize,
        now: Duration,
    ) -> Vec<Cid> {
        if !matches!(peer.standing, Standing::Confirmed | Standing::Unknown { hinted: true }) {
            return Vec::new();
        }
        let late = |p: &Pending| {
            p.peer != *id && !p.probe && now.saturating_sub(p.sent) >= self.patience(p)
        };
        let wanted = |cid: &&Cid| {
            self.wanted.get(cid).is_some_and(|w| {
                let nothing = now.saturating_sub(w.since.max(self.progress));
                w.askers.len() < (ASKERS + nothing.as_secs() as usize).min(ASKERS_MOST)
                    && w.askers.iter().all(|asker| self.pending.get(asker).is_some_and(late))
            }) && peer.may_have(cid)
        };
        // Each of those who owe a block names it.
        let mut named = BTreeSet::new();
        let owed = self.pending.values().filter(|p| late(p)).flat_map(|p| &p.cids);
        owed.filter(wanted).filter(|cid| named.insert(**cid)).take(count).copied().collect()
    }

    /// How long a request may take before another peer is asked for the same.
    fn patience(&self, pending: &Pending) -> Duration {
        match self.peers.get(&pending.peer).map(|owing| (owing.standing, owing.rate)) {
            Some((Standing::Confirmed, Some(rate))) => {
                let expected = (pending.reserved_bytes as f64 * 4.0 / rate.max(1.0)).min(20.0);
                DOUBLE_CONFIRMED.max(Duration::from_secs_f64(expected))
            }
            Some((Standing::Confirmed, None)) => DOUBLE_CONFIRMED,
            _ => DOUBLE_UNKNOWN,
        }
    }

    /// Takes out what nobody delivered in time.
    pub(in super::super) fn give_up(&mut self, now: Duration) -> Vec<Cid> {
        let nobody_left = !self.searching
            && self.peers.values().all(|p| {
                matches!(p.standing, Standing::Gone | Standing::Lacks { .. }) && p.requests == 0
            });
        let patience = if nobody_left { GIVE_UP_ASKED_ALL } else { GIVE_UP };
        let young =
            |id: &AskId| self.pending.get(id).is_some_and(|p| now.saturating_sub(p.sent) < GIVE_UP);
        let lost = |w: &Wanted| {
            now.saturating_sub(w.since.max(self.progress)) >= patience
                && !w.askers.iter().any(young)
        };
        let lost: Vec<Cid> =
            self.wanted.iter().filter(|(_, w)| lost(w)).map(|(cid, _)| *cid).collect();
        for cid in &lost {
            self.forget(cid);
        }
        lost
    }
}
