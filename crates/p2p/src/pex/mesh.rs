//! Decides whom to ask for peers, whom to dial and which links to keep. Plain code over values: time
//! and chance are arguments, and it never touches a network.
//!
//! The aim is a network that holds together without the relays that introduced it: each node keeps
//! some direct links of its own choosing. Whom it lost it dials again, after pauses that grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_core::PeerId;

use crate::{Link, PeerInfo, Role};

/// Direct links that a node looks for. A random graph in which each node chooses five others stays
/// in one piece when any few leave at once; an idle WebRTC link costs both ends 2.4 MB.
const WANTED: usize = 5;
/// Direct links that it keeps, its own choices and others': beyond it, what idles is closed.
const KEPT: usize = 8;
/// Peers remembered that are not connected; more of them would be older news.
const CANDIDATES: usize = 128;
/// Dials at one time: each may hold a handshake, and makes the other side hold one.
const DIALS: usize = 2;
/// The shortest time between two questions to one peer; it answers no sooner.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a failed dial.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How long a relayed connection may take to become a direct one: three attempts at a handshake.
const UPGRADE: Duration = Duration::from_secs(60);
/// Failed dials after which a peer is forgotten until somebody names it again.
const FAILURES: u32 = 6;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask a connected peer for others.
    Ask(PeerId),
    /// Connect to a peer.
    Dial(PeerId),
    /// Keep the links to a peer open, or no more.
    Keep(PeerId, bool),
}

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    failures: u32,
    not_before: Duration,
    dialing: bool,
    /// When it was last reached, perhaps over a relay only.
    reached: Option<Duration>,
    /// Whether there is, or was until it was lost, a direct link.
    linked: bool,
}

impl Candidate {
    fn fail(&mut self, now: Duration, chance: u64) {
        self.not_before = now + pause(self.failures, chance);
        self.failures += 1;
    }
}

/// What a node knows of peers that it may link to.
#[derive(Debug)]
pub(super) struct Mesh {
    local: PeerId,
    /// Of what kind the peers are that it links to: its own.
    role: Role,
    candidates: BTreeMap<PeerId, Candidate>,
    asked: BTreeMap<PeerId, Duration>,
    kept: BTreeSet<PeerId>,
}

impl Mesh {
    pub(super) fn new(local: PeerId, role: Role) -> Self {
        let (candidates, asked, kept) = Default::default();
        Self { local, role, candidates, asked, kept }
    }

    /// Somebody named a peer.
    pub(super) fn heard_of(&mut self, peer: PeerId) {
        if peer == self.local || self.candidates.contains_key(&peer) {
            return;
        }
        if self.candidates.len() >= CANDIDATES {
            let worst = self.candidates.iter().filter(|(_, c)| !c.dialing);
            let Some((&worst, _)) = worst.max_by_key(|(_, c)| c.failures) else { return };
            self.candidates.remove(&worst);
        }
        self.candidates.insert(peer, Candidate::default());
    }

    /// A peer asked us to ask again only after a while.
    pub(super) fn told_to_wait(&mut self, peer: PeerId, until: Duration) {
        self.asked.insert(peer, until.saturating_sub(ASK_AGAIN));
    }

    /// A dial ended; `chance` is any number.
    pub(super) fn dialed(&mut self, peer: PeerId, reached: bool, now: Duration, chance: u64) {
        let Some(candidate) = self.candidates.get_mut(&peer) else { return };
        candidate.dialing = false;
        if reached {
            candidate.reached = Some(now);
            candidate.not_before = now + LONGEST_PAUSE;
        } else {
            candidate.fail(now, chance);
            self.forget_hopeless(peer);
        }
    }

    /// A peer's last connection is gone. One that was a direct link may be dialed again at once; one
    /// that never became direct counts as a dial that failed.
    pub(super) fn lost(&mut self, peer: PeerId, now: Duration, chance: u64) {
        self.kept.remove(&peer);
        let Some(candidate) = self.candidates.get_mut(&peer) else { return };
        if std::mem::take(&mut candidate.linked) {
            candidate.not_before = Duration::ZERO;
        } else if candidate.reached.take().is_some() {
            candidate.fail(now, chance);
            self.forget_hopeless(peer);
        }
    }

    fn forget_hopeless(&mut self, peer: PeerId) {
        if self.candidates.get(&peer).is_some_and(|c| c.failures >= FAILURES) {
            self.candidates.remove(&peer);
        }
    }

    /// The network is back: what waits for its time is tried now.
    pub(super) fn resume(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.not_before = Duration::ZERO;
        }
        self.asked.clear();
    }

    /// Whether there are as many links as wanted.
    pub(super) fn is_content(&self) -> bool {
        self.kept.len() >= WANTED
    }

    /// The steps that are due, with these peers connected.
    pub(super) fn steps(
        &mut self,
        connected: &[PeerInfo],
        now: Duration,
        chance: u64,
    ) -> Vec<Step> {
        let mut steps = self.keep(connected);
        if self.is_content() {
            return steps;
        }
        steps.extend(self.dial(connected, now, chance));
        self.asked.retain(|peer, _| connected.iter().any(|c| c.peer == *peer));
        if self.fresh(connected, now).len() < WANTED {
            steps.extend(self.ask(connected, now, chance));
        }
        steps
    }

    /// Links of the kind that is wanted are kept, up to a number.
    fn keep(&mut self, connected: &[PeerInfo]) -> Vec<Step> {
        let direct: BTreeSet<PeerId> = connected
            .iter()
            .filter(|c| c.role == self.role && c.link != Link::Relayed)
            .map(|c| c.peer)
            .collect();
        let mut steps = Vec::new();
        for gone in self.kept.difference(&direct) {
            steps.push(Step::Keep(*gone, false));
        }
        self.kept.retain(|peer| direct.contains(peer));
        for peer in direct {
            // Whom we are linked to is whom we dial again when it is lost.
            self.heard_of(peer);
            if let Some(candidate) = self.candidates.get_mut(&peer) {
                (candidate.linked, candidate.failures) = (true, 0);
            }
            if self.kept.len() < KEPT && self.kept.insert(peer) {
                steps.push(Step::Keep(peer, true));
            }
        }
        steps
    }

    /// Candidates that may be dialed now.
    fn fresh(&self, connected: &[PeerInfo], now: Duration) -> Vec<PeerId> {
        let free = |(peer, c): &(&PeerId, &Candidate)| {
            !c.dialing && c.not_before <= now && !connected.iter().any(|info| info.peer == **peer)
        };
        self.candidates.iter().filter(free).map(|(peer, _)| *peer).collect()
    }

    fn dial(&mut self, connected: &[PeerInfo], now: Duration, chance: u64) -> Vec<Step> {
        let dialing = self.candidates.values().filter(|c| c.dialing).count();
        // Who was just reached over a relay is on its way to a direct link.
        let is_coming = |c: &&PeerInfo| {
            let reached = self.candidates.get(&c.peer).and_then(|known| known.reached);
            c.link == Link::Relayed && reached.is_some_and(|at| now.saturating_sub(at) < UPGRADE)
        };
        let coming = connected.iter().filter(is_coming).count();
        let missing = WANTED.saturating_sub(self.kept.len() + coming + dialing);
        let mut fresh = self.fresh(connected, now);
        let mut steps = Vec::new();
        let mut chance = chance;
        for _ in 0..missing.min(DIALS.saturating_sub(dialing)) {
            if fresh.is_empty() {
                break;
            }
            let peer = fresh.swap_remove((chance % fresh.len() as u64) as usize);
            chance = chance.rotate_right(16);
            if let Some(candidate) = self.candidates.get_mut(&peer) {
                candidate.dialing = true;
                steps.push(Step::Dial(peer));
            }
        }
        steps
    }

    fn ask(&mut self, connected: &[PeerInfo], now: Duration, chance: u64) -> Option<Step> {
        let due = |c: &&PeerInfo| {
            let asked = self.asked.get(&c.peer);
            c.role != Role::Foreign && asked.is_none_or(|at| now.saturating_sub(*at) >= ASK_AGAIN)
        };
        let due: Vec<PeerId> = connected.iter().filter(due).map(|c| c.peer).collect();
        let peer = *due.get((chance.rotate_right(32) % due.len().max(1) as u64) as usize)?;
        self.asked.insert(peer, now);
        Some(Step::Ask(peer))
    }
}

/// The pause after `failures` failures: doubled each time, between half and all of it by chance.
fn pause(failures: u32, chance: u64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
    full / 2 + (full / 2).mul_f64((chance >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
#[path = "mesh_tests.rs"]
mod tests;
