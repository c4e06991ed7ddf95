//! Decides whom to ask for copies of one root. Plain code over values: time and who is connected are
//! arguments.
//!
//! Rendezvous hashing proposes; peers in a part of the network where there is no copy yet come
//! first. A peer that failed or refused is asked again later. A holder that was away for long does
//! not count until it is back, and another is asked in its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_core::{
    Cid, PeerId,
    placement::{SignedPromise, rank_holders},
};

use super::TERM_MS;

/// How long a holder may be away before another is asked: longer than a restart.
const AWAY: Duration = Duration::from_secs(10 * 60);
/// A promise with less than this left is renewed, in milliseconds.
const RENEW_MS: u64 = TERM_MS / 3 * 2;
/// First pause after a failure; doubled each time.
const RETRY: Duration = Duration::from_secs(5);
/// Longest pause.
const RETRY_MOST: Duration = Duration::from_secs(10 * 60);
/// Peers remembered for one root, besides those that signed.
const REMEMBERED: usize = 512;
/// Longest remembered reason, in characters.
const REASON_CHARS: usize = 200;

/// How many copies of a root there are, or shards of a coded one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Copies or shards wanted.
    pub wanted: u16,
    /// Holders whose promise holds.
    pub signed: u16,
    /// Of these, connected now.
    pub reachable: u16,
    /// So many give the object back: one copy, or two fifths or so of its shards.
    pub needed: u16,
}

/// One holder, or one that may become it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Who.
    pub peer: PeerId,
    /// Its promise holds.
    pub signed: bool,
    /// Connected now.
    pub connected: bool,
    /// Bytes it took so far.
    pub bytes: u64,
    /// Why it refused or failed last time.
    pub error: Option<String>,
}

/// A peer that may be asked, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) peer: PeerId,
    pub(super) place: Option<String>,
}

/// The moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    pub(super) unix_ms: u64,
}

/// The copies of one root.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) wanted: u16,
    pub(super) bytes: u64,
    pub(super) blocks: u64,
    holders: BTreeMap<PeerId, Held>,
}

#[derive(Debug, Default)]
struct Held {
    promise: Option<SignedPromise>,
    bytes: u64,
    error: Option<String>,
    failures: u32,
    not_before: Duration,
    running: bool,
    seen: Duration,
    place: Option<String>,
}

impl Held {
    fn holds(&self, now: Now) -> bool {
        self.promise.as_ref().is_some_and(|p| p.promise.until_ms > now.unix_ms)
    }

    fn is_due(&self, now: Now) -> bool {
        let fresh = |p: &SignedPromise| p.promise.until_ms > now.unix_ms + RENEW_MS;
        !self.running
            && self.not_before <= now.monotonic
            && !self.promise.as_ref().is_some_and(fresh)
    }
}

impl Placed {
    pub(super) fn new(wanted: u16, bytes: u64, blocks: u64) -> Self {
        Self { wanted, bytes, blocks, holders: BTreeMap::new() }
    }

    /// Takes over what an earlier run recorded.
    pub(super) fn restore(&mut self, promises: Vec<SignedPromise>, now: Now) {
        for promise in promises {
            let held = self.holders.entry(promise.promise.holder).or_default();
            held.bytes = promise.promise.bytes;
            held.seen = now.monotonic;
            held.promise = Some(promise);
        }
    }

    /// Takes over the holders of the same unit.
    pub(super) fn take_over(&mut self, before: Self) {
        self.holders = before.holders;
    }

    /// Whether a peer's promise holds.
    pub(super) fn is_promised_by(&self, peer: &PeerId, now: Now) -> bool {
        self.holders.get(peer).is_some_and(|held| held.holds(now))
    }

    /// Whether a peer gave no promise and wants not to be asked for now.
    pub(super) fn has_refused(&self, peer: &PeerId, now: Now) -> bool {
        let refused = |held: &Held| held.failures > 0 && held.not_before > now.monotonic;
        self.holders.get(peer).is_some_and(refused)
    }

    /// Who holds it and is there, or is being asked.
    pub(super) fn keepers(&self, now: Now) -> Vec<PeerId> {
        let there = |held: &Held| held.holds(now) && now.monotonic.saturating_sub(held.seen) < AWAY;
        let keepers = self.holders.iter().filter(|(_, held)| there(held) || held.running);
        keepers.map(|(peer, _)| *peer).collect()
    }

    /// Promises that hold, for the record.
    pub(super) fn promises(&self, now: Now) -> Vec<SignedPromise> {
        let holding = self.holders.values().filter(|held| held.holds(now));
        holding.filter_map(|held| held.promise.clone()).collect()
    }

    /// Whom to ask now. Of new holders those with the least `weight` come first, in the order of
    /// rendezvous hashing, and those without one not at all.
    pub(super) fn next(
        &mut self,
        root: &Cid,
        candidates: &[Candidate],
        weight: impl Fn(&PeerId) -> Option<usize>,
        now: Now,
    ) -> Vec<PeerId> {
        for candidate in candidates {
            if let Some(held) = self.holders.get_mut(&candidate.peer) {
                held.seen = now.monotonic;
                held.place.clone_from(&candidate.place);
            }
        }
        let due = |c: &&Candidate| self.holders.get(&c.peer).is_none_or(|held| held.is_due(now));
        let due: BTreeMap<PeerId, Option<String>> =
            candidates.iter().filter(due).map(|c| (c.peer, c.place.clone())).collect();
        let renewals = due.keys().filter(|p| self.holders.get(p).is_some_and(|h| h.holds(now)));
        let mut chosen: Vec<PeerId> = renewals.copied().collect();

        let there = |held: &Held| held.holds(now) && now.monotonic.saturating_sub(held.seen) < AWAY;
        let asking = |held: &Held| held.running && !there(held);
        let counted = self.holders.values().filter(|h| there(h) || asking(h)).count();
        let missing = usize::from(self.wanted).saturating_sub(counted);
        let new = due.keys().filter(|peer| !chosen.contains(peer) && weight(peer).is_some());
        let mut ranked = rank_holders(root, new.copied());
        ranked.sort_by_key(&weight);
        let mut places: BTreeSet<&str> = self
            .holders
            .values()
            .filter(|held| there(held) || held.running)
            .filter_map(|held| held.place.as_deref())
            .collect();
        for _ in 0..missing {
            let place = |peer: &PeerId| due.get(peer).and_then(Option::as_deref);
            let elsewhere = |peer: &PeerId| place(peer).is_none_or(|at| !places.contains(at));
            let at = ranked.iter().position(elsewhere).unwrap_or(0);
            if at >= ranked.len() {
                break;
            }
            let peer = ranked.remove(at);
            places.extend(place(&peer));
            chosen.push(peer);
        }
        chosen
    }

    /// `peer` is being asked.
    pub(super) fn asking(&mut self, peer: PeerId, place: Option<String>, now: Now) {
        if self.holders.len() > REMEMBERED {
            self.holders.retain(|_, held| held.promise.is_some() || held.running);
        }
        let held = self.holders.entry(peer).or_default();
        (held.running, held.seen, held.place) = (true, now.monotonic, place);
    }

    /// `peer` has so many bytes.
    pub(super) fn progress(&mut self, peer: &PeerId, bytes: u64) {
        if let Some(held) = self.holders.get_mut(peer) {
            held.bytes = bytes;
        }
    }

    /// `peer` signed.
    pub(super) fn promised(&mut self, promise: SignedPromise, now: Now) {
        let held = self.holders.entry(promise.promise.holder).or_default();
        *held = Held {
            bytes: promise.promise.bytes,
            seen: now.monotonic,
            place: held.place.take(),
            promise: Some(promise),
            ..Held::default()
        };
    }

    /// `peer` gave no promise. `pause` is what it asked for, where it said something.
    pub(super) fn failed(
        &mut self,
        peer: &PeerId,
        reason: &str,
        pause: Option<Duration>,
        now: Now,
    ) {
        let Some(held) = self.holders.get_mut(peer) else { return };
        held.running = false;
        held.failures += 1;
        held.error = Some(reason.chars().take(REASON_CHARS).collect());
        let growing = (RETRY * (1 << (held.failures - 1).min(10))).min(RETRY_MOST);
        held.not_before = now.monotonic + pause.unwrap_or(growing);
    }

    /// A peer that came back may be asked at once, unless it refused for longer.
    pub(super) fn revive(&mut self, peer: &PeerId, now: Now) {
        if let Some(held) = self.holders.get_mut(peer) {
            held.seen = now.monotonic;
            if held.failures > 0 && held.not_before <= now.monotonic + RETRY_MOST {
                held.not_before = now.monotonic;
            }
        }
    }

    /// How many copies there are.
    pub(super) fn copies(&self, connected: &BTreeSet<PeerId>, now: Now) -> Copies {
        let holding = self.holders.iter().filter(|(_, held)| held.holds(now));
        let (mut signed, mut reachable) = (0, 0);
        for (peer, _) in holding {
            signed += 1;
            reachable += u16::from(connected.contains(peer));
        }
        Copies { wanted: self.wanted, signed, reachable, needed: 1 }
    }

    /// Each holder.
    pub(super) fn list(&self, connected: &BTreeSet<PeerId>, now: Now) -> Vec<Copy> {
        let copy = |(peer, held): (&PeerId, &Held)| Copy {
            peer: *peer,
            signed: held.holds(now),
            connected: connected.contains(peer),
            bytes: held.bytes,
            error: held.error.clone(),
        };
        self.holders.iter().map(copy).collect()
    }
}

/// The part of the network that an address belongs to: the first 24 bits of IPv4, the first 48 of
/// IPv6. Unknown for what is relayed or local, where the address says nothing about the peer.
pub(crate) fn place(addr: &str) -> Option<String> {
    if addr.contains("/p2p-circuit") {
        return None;
    }
    let mut parts = addr.strip_prefix('/')?.split('/');
    match (parts.next()?, parts.next()?) {
        ("ip4", ip) => {
            let ip: std::net::Ipv4Addr = ip.parse().ok()?;
            let [a, b, c, _] = ip.octets();
            (!ip.is_loopback() && !ip.is_private()).then(|| format!("{a}.{b}.{c}"))
        }
        ("ip6", ip) => {
            let ip: std::net::Ipv6Addr = ip.parse().ok()?;
            let [a, b, c, ..] = ip.segments();
            (!ip.is_loopback()).then(|| format!("{a:x}:{b:x}:{c:x}"))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "placed_tests.rs"]
mod tests;
