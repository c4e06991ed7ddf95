//! Decides what to ask of whom in one session: which peer gets which blocks, how much is on its
//! way, when a slow one is doubled, when a block is given up. Plain code over values: time is an
//! argument, and it never touches a network or a store.
//!
//! A peer starts out **unknown** and gets one request: a want where there is something to want (so
//! that the first block costs no extra round trip), else a question what it has. Once it has
//! delivered or said that it holds something it is **confirmed** and gets as many requests as its
//! window allows. One that **lacks** what we want is asked again after a while.

mod late;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use craftec_core::{Cid, PeerId, limits};

use super::{
    ask::{Ask, AskId, AskKind, Failure},
    wire::ANSWER_BYTES,
};

/// Peers that one session deals with: enough to find a copy, few enough to keep in mind.
pub(super) const CANDIDATES: usize = 64;
/// Requests on their way to one peer. More would only lengthen its queue.
const REQUESTS_PER_PEER: usize = 16;
/// Blocks that a peer may say it lacks before we think it holds nothing of use.
const MISSING_PER_PEER: usize = 16 << 10;
/// The order of the first want of an errand.
const ERRANDS: u64 = 1 << 63;
/// CIDs in a question what a peer has.
const PROBE_CIDS: usize = 16;
/// A request that takes longer is taken for lost.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Without a block for so long a session looks for more peers.
const STUCK: Duration = Duration::from_secs(2);
/// When a peer that lacked everything is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// Failures in a row after which a peer counts as one that has nothing, until it is asked again.
const FAILURES: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Confirmed,
    Unknown { hinted: bool },
    Lacks { since: Duration },
    Gone,
}

#[derive(Debug)]
struct Peer {
    standing: Standing,
    window_bytes: u64,
    in_flight_bytes: u64,
    requests: usize,
    /// Measured bytes per second, smoothed.
    rate: Option<f64>,
    missing: BTreeSet<Cid>,
    /// All that it has, where that is known.
    has: Option<Rc<BTreeSet<Cid>>>,
    failures: u32,
    not_before: Duration,
    asked: bool,
}

impl Peer {
    fn may_have(&self, cid: &Cid) -> bool {
        !self.missing.contains(cid) && self.has.as_ref().is_none_or(|has| has.contains(cid))
    }

    fn doubt(&mut self) {
        if self.standing == Standing::Confirmed {
            self.standing = Standing::Unknown { hinted: true };
        }
    }

    fn is_there(&self) -> bool {
        matches!(self.standing, Standing::Confirmed | Standing::Unknown { .. })
    }
}

#[derive(Debug)]
struct Wanted {
    order: u64,
    since: Duration,
    askers: BTreeSet<AskId>,
}

#[derive(Debug)]
struct Pending {
    peer: PeerId,
    cids: Vec<Cid>,
    reserved_bytes: u64,
    sent: Duration,
    probe: bool,
}

/// The state of one session.
#[derive(Debug)]
pub(super) struct Plan {
    root: Cid,
    wanted: BTreeMap<Cid, Wanted>,
    /// Wanted and asked of nobody, in the order they were wanted.
    queue: BTreeMap<u64, Cid>,
    pending: BTreeMap<AskId, Pending>,
    peers: BTreeMap<PeerId, Peer>,
    next_order: u64,
    next_ask: u64,
    /// Smoothed size of the blocks seen.
    block_bytes: f64,
    progress: Duration,
    searching: bool,
}

impl Plan {
    /// A session for what lies below `root`.
    pub(super) fn new(root: Cid, now: Duration) -> Self {
        Self {
            root,
            wanted: BTreeMap::new(),
            queue: BTreeMap::new(),
            pending: BTreeMap::new(),
            peers: BTreeMap::new(),
            next_order: 0,
            next_ask: 0,
            block_bytes: f64::from(256_u32 << 10),
            progress: now,
            searching: true,
        }
    }

    /// Adds a block to what is wanted; what an errand wants comes after all else, unless somebody
    /// waits for it too.
    pub(super) fn want(&mut self, cid: Cid, now: Duration, errand: bool) {
        let order = self.next_order | if errand { ERRANDS } else { 0 };
        if let Some(wanted) = self.wanted.get_mut(&cid) {
            if !errand && wanted.order >= ERRANDS {
                let before = std::mem::replace(&mut wanted.order, order);
                self.next_order += 1;
                if self.queue.remove(&before).is_some() {
                    self.queue.insert(order, cid);
                }
            }
            return;
        }
        self.next_order += 1;
        self.queue.insert(order, cid);
        self.wanted.insert(cid, Wanted { order, since: now, askers: BTreeSet::new() });
    }

    /// Forgets a block: it arrived, was given up, or nobody waits for it any more.
    pub(super) fn forget(&mut self, cid: &Cid) {
        if let Some(wanted) = self.wanted.remove(cid) {
            self.queue.remove(&wanted.order);
        }
    }

    /// Whether nothing arrived for a while.
    pub(super) fn is_stuck(&self, now: Duration) -> bool {
        now.saturating_sub(self.progress) >= STUCK
    }

    /// Whether nothing is wanted any more.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Adds a peer that may hold something; `hinted` if a record or the DHT names it as holder.
    pub(super) fn add_peer(&mut self, peer: PeerId, window_bytes: usize, hinted: bool) -> bool {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.window_bytes = window_bytes as u64;
            if hinted && matches!(known.standing, Standing::Unknown { .. }) {
                known.standing = Standing::Unknown { hinted };
            }
            return false;
        }
        if self.peers.len() >= CANDIDATES && !self.make_room() {
            return false;
        }
        let known = Peer {
            standing: Standing::Unknown { hinted },
            window_bytes: window_bytes as u64,
            in_flight_bytes: 0,
            requests: 0,
            rate: None,
            missing: BTreeSet::new(),
            has: None,
            failures: 0,
            not_before: Duration::ZERO,
            asked: false,
        };
        self.peers.insert(peer, known);
        true
    }

    /// Lets a peer that lacked what we want be replaced by a new one.
    fn make_room(&mut self) -> bool {
        let useless = |p: &Peer| matches!(p.standing, Standing::Lacks { .. }) && p.requests == 0;
        let found = self.peers.iter().find(|(_, p)| useless(p)).map(|(id, _)| *id);
        found.is_some_and(|id| self.peers.remove(&id).is_some())
    }

    /// A peer connected (again): what failed before may work now.
    pub(super) fn revive(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer)
            && known.standing != Standing::Gone
        {
            known.failures = 0;
            known.not_before = Duration::ZERO;
            if matches!(known.standing, Standing::Lacks { .. }) {
                known.standing = Standing::Unknown { hinted: false };
                known.missing.clear();
            }
        }
    }

    /// A peer's last connection is gone: it may be dead, and is no more sure than one that was never
    /// heard of.
    pub(super) fn left(&mut self, peer: &PeerId) {
        self.peers.get_mut(peer).into_iter().for_each(Peer::doubt);
    }

    /// Nobody was heard of for a while: any of them may be dead, or have by now what it lacked.
    pub(super) fn doubt(&mut self) {
        for peer in self.peers.values_mut() {
            peer.doubt();
            peer.missing.clear();
        }
    }

    /// Peers that are not out of the question.
    pub(super) fn peers(&self) -> Vec<PeerId> {
        let there = self.peers.iter().filter(|(_, peer)| peer.standing != Standing::Gone);
        there.map(|(id, _)| *id).collect()
    }

    /// Asks `peer` only for `has` from now on; with `None` for anything.
    pub(super) fn narrow(&mut self, peer: &PeerId, has: Option<Rc<BTreeSet<Cid>>>) {
        if let Some(known) = self.peers.get_mut(peer) {
            if has.is_some() && matches!(known.standing, Standing::Unknown { .. }) {
                known.standing = Standing::Confirmed;
            }
            known.has = has;
        }
    }

    /// Whether somebody who was heard of may give a block. Others may have died.
    pub(super) fn is_sure(&self, cid: &Cid) -> bool {
        let confirmed = |peer: &&Peer| peer.standing == Standing::Confirmed;
        self.peers.values().filter(confirmed).any(|peer| peer.may_have(cid))
    }

    /// Whether somebody may give a block.
    pub(super) fn is_offered(&self, cid: &Cid) -> bool {
        self.peers.values().any(|peer| peer.is_there() && peer.may_have(cid))
    }

    /// Never asks `peer` again in this session, and asks others for what it owes.
    pub(super) fn drop_peer(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.standing = Standing::Gone;
        }
        let owed: Vec<AskId> =
            self.pending.iter().filter(|(_, p)| p.peer == *peer).map(|(id, _)| *id).collect();
        for id in owed {
            self.release(id);
        }
    }

    /// Whether the search for more peers still runs.
    pub(super) fn set_searching(&mut self, searching: bool) {
        self.searching = searching;
    }

    /// Peers that were asked anything.
    pub(super) fn asked(&self) -> usize {
        self.peers.values().filter(|p| p.asked).count()
    }

    /// Smoothed size of the blocks seen so far.
    pub(super) fn block_bytes(&self) -> u64 {
        self.block_bytes as u64
    }

    /// An answer to a want: what came (with lengths) and what the peer does not have.
    pub(super) fn answered(
        &mut self,
        id: AskId,
        got: &[(Cid, usize)],
        missing: &[Cid],
        now: Duration,
    ) {
        let Some(pending) = self.release(id) else { return };
        let bytes: usize = got.iter().map(|(_, bytes)| bytes).sum();
        for (cid, bytes) in got {
            self.block_bytes += (*bytes as f64 - self.block_bytes) / 8.0;
            self.forget(cid);
        }
        if !got.is_empty() {
            self.progress = now;
        }
        let Some(peer) = self.peers.get_mut(&pending.peer) else { return };
        peer.failures = 0;
        peer.missing.extend(missing);
        if !got.is_empty() {
            if peer.standing != Standing::Gone {
                peer.standing = Standing::Confirmed;
            }
            let seconds = (now.saturating_sub(pending.sent)).as_secs_f64().max(0.000_1);
            // What was on its way at the same time shared the link with this answer.
            let shared = (peer.in_flight_bytes + bytes as u64) as f64 / seconds;
            peer.rate = Some(peer.rate.map_or(shared, |rate| rate + (shared - rate) / 4.0));
        } else if matches!(peer.standing, Standing::Unknown { .. }) {
            peer.standing = Standing::Lacks { since: now };
        }
        if peer.missing.len() > MISSING_PER_PEER {
            peer.missing.clear();
            peer.standing = Standing::Lacks { since: now };
        }
    }

    /// An answer to the question what a peer has.
    pub(super) fn held(&mut self, id: AskId, held: &[bool], now: Duration) {
        let Some(pending) = self.release(id) else { return };
        let Some(peer) = self.peers.get_mut(&pending.peer) else { return };
        peer.failures = 0;
        for (cid, held) in pending.cids.iter().zip(held) {
            if *held {
                peer.missing.remove(cid)
            } else {
                peer.missing.insert(*cid)
            };
        }
        match peer.standing {
            Standing::Gone => {}
            _ if held.contains(&true) => peer.standing = Standing::Confirmed,
            _ => peer.standing = Standing::Lacks { since: now },
        }
    }

    /// A request failed.
    pub(super) fn failed(&mut self, id: AskId, failure: Failure, now: Duration) {
        let Some(pending) = self.release(id) else { return };
        let Some(peer) = self.peers.get_mut(&pending.peer) else { return };
        match failure {
            Failure::Never => peer.standing = Standing::Gone,
            Failure::Busy(wait) => peer.not_before = now + wait.min(REQUEST_TIMEOUT),
            Failure::Retry => {
                peer.failures += 1;
                peer.not_before = now + Duration::from_millis(250) * (1 << peer.failures.min(5));
                if peer.failures >= FAILURES && peer.standing != Standing::Gone {
                    peer.standing = Standing::Lacks { since: now };
                }
            }
        }
    }

    /// Ends a request and puts what it was asked for back where nobody else was asked.
    fn release(&mut self, id: AskId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        for cid in &pending.cids {
            if let Some(wanted) = self.wanted.get_mut(cid)
                && wanted.askers.remove(&id)
                && wanted.askers.is_empty()
            {
                self.queue.insert(wanted.order, *cid);
            }
        }
        if let Some(peer) = self.peers.get_mut(&pending.peer) {
            peer.in_flight_bytes = peer.in_flight_bytes.saturating_sub(pending.reserved_bytes);
            peer.requests = peer.requests.saturating_sub(1);
        }
        Some(pending)
    }

    /// What to send now.
    pub(super) fn next(&mut self, now: Duration) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.wanted.is_empty() {
            return asks;
        }
        for peer in self.peers.values_mut() {
            if let Standing::Lacks { since } = peer.standing
                && now.saturating_sub(since) >= ASK_AGAIN
            {
                peer.standing = Standing::Unknown { hinted: false };
                peer.missing.clear();
            }
        }
        loop {
            let before = asks.len();
            for peer in self.ranked(now) {
                asks.extend(self.ask(peer, now));
            }
            if asks.len() == before {
                return asks;
            }
        }
    }

    /// Peers that may be asked, best first.
    fn ranked(&self, now: Duration) -> Vec<PeerId> {
        let mut ranked: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, p)| p.not_before <= now && p.requests < REQUESTS_PER_PEER)
            .filter_map(|(id, p)| match p.standing {
                Standing::Confirmed => Some((0, p.rate, *id)),
                Standing::Unknown { hinted } if p.requests == 0 => {
                    Some((1 + u8::from(!hinted), None, *id))
                }
                _ => None,
            })
            .collect();
        ranked.sort_by(|a, b| {
            let rates = b.1.unwrap_or(0.0).total_cmp(&a.1.unwrap_or(0.0));
            a.0.cmp(&b.0).then(rates).then(a.2.cmp(&b.2))
        });
        ranked.into_iter().map(|(_, _, id)| id).collect()
    }

    fn ask(&mut self, id: PeerId, now: Duration) -> Option<Ask> {
        let peer = self.peers.get(&id)?;
        let confirmed = peer.standing == Standing::Confirmed;
        let room = self.room(peer)?;
        let block = self.block_bytes.max(256.0);
        let count = ((room as f64 / block) as usize).clamp(1, limits::WANT_CIDS);
        let mut cids: Vec<Cid> =
            self.queue.values().filter(|cid| peer.may_have(cid)).take(count).copied().collect();
        if cids.is_empty() {
            cids = self.overdue(&id, peer, count, now);
        }
        if cids.is_empty() {
            return (!confirmed).then(|| self.probe(id, now));
        }
        let reserved_bytes = (cids.len() as f64 * block) as u64;
        let budget = reserved_bytes.max(64 << 10).min(ANSWER_BYTES as u64);
        let ask = self.send(id, cids.clone(), reserved_bytes, false, now);
        Some(Ask { id: ask, peer: id, kind: AskKind::Want { cids, budget } })
    }

    /// Bytes for the next request to a peer, if its window has room.
    fn room(&self, peer: &Peer) -> Option<u64> {
        // A fast link gets answers of a whole frame, a narrow one a quarter of its window, so
        // that several requests are always on their way.
        let answer = (peer.window_bytes / 4).clamp(32 << 10, ANSWER_BYTES as u64);
        // What a slow peer delivers in a second is enough to keep it busy.
        let window = peer.rate.map_or(peer.window_bytes, |rate| {
            (rate as u64).clamp(2 * answer, peer.window_bytes.max(2 * answer))
        });
        let free = window.saturating_sub(peer.in_flight_bytes);
        let least = (self.block_bytes as u64).clamp(1, answer);
        (peer.requests == 0 || free >= least).then(|| answer.min(free.max(least)))
    }

    fn probe(&mut self, id: PeerId, now: Duration) -> Ask {
        let mut cids = vec![self.root];
        cids.extend(
            self.wanted.keys().filter(|cid| **cid != self.root).take(PROBE_CIDS - 1).copied(),
        );
        let ask = self.send(id, cids.clone(), 0, true, now);
        Ask { id: ask, peer: id, kind: AskKind::Have { cids } }
    }

    fn send(
        &mut self,
        peer: PeerId,
        cids: Vec<Cid>,
        reserved_bytes: u64,
        probe: bool,
        now: Duration,
    ) -> AskId {
        let id = AskId(self.next_ask);
        self.next_ask += 1;
        if !probe {
            for cid in &cids {
                if let Some(wanted) = self.wanted.get_mut(cid) {
                    wanted.askers.insert(id);
                    self.queue.remove(&wanted.order);
                }
            }
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.requests += 1;
            known.in_flight_bytes += reserved_bytes;
            known.asked = true;
        }
        self.pending.insert(id, Pending { peer, cids, reserved_bytes, sent: now, probe });
        id
    }
}

#[cfg(test)]
mod tests;
