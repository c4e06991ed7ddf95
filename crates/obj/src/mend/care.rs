//! What one node knows of one file's holders, and what it does about it. Plain code over values.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{Cid, PeerId};

use super::Answer;
use crate::{
    coded::Spread,
    exchange::Told,
    heal::{
        aim::{Aim, Goal},
        forecast::{Exposure, Outlook as Levels, YEAR_MS},
        history::{History, Kind, PIECE_RETURNS_BELOW, Standing, WHOLE_RETURNS_BELOW},
        policy::{Decision, Held, Rank, Tally, Way, decide},
        turn::Slot,
    },
};

/// Answers of one look.
pub type Answers = Vec<Answer>;

/// Holders remembered of one file, those away included.
const HOLDERS: usize = 256;
/// What is asked of a file's keeping: one loss in ten million years of files.
const YEARLY_LOSS: f64 = 1e-7;
/// Copies of what is not coded, where the owner said nothing else.
const COPIES: usize = 3;
/// With fewer copies in sight than this, nobody is waited for.
const FEWEST: usize = 2;
/// Of what the two holders with the most have so much counts, lest one that says it has everything make
/// everybody hurry for ever.
const MOST_OF_TWO: usize = 16;
/// How often the owner's record is read: the DHT forgets it after two days.
const OWNER_AGAIN_MS: u64 = 12 * 60 * 60 * 1000;
/// One of so many holders looks in a slot although it heard that another did: whoever takes turns and
/// does nothing must not be relied on.
const REGARDLESS: u64 = 8;

/// Whether a holder looks in this slot whatever it hears.
pub fn regardless(object: &Cid, slot: Slot, me: &PeerId) -> bool {
    let digest = blake3::Hasher::new()
        .update(b"craftec regardless")
        .update(&object.to_bytes())
        .update(&slot.0.to_be_bytes())
        .update(me.public_key())
        .finalize();
    u64::from(digest.as_bytes()[0]) % REGARDLESS == 0
}

/// What is known of one file's holders.
#[derive(Debug, Default)]
pub struct Care {
    holders: BTreeMap<PeerId, Holder>,
    at_ms: u64,
    outlook: Option<Outlook>,
    /// When the owner's record was last read, and how many copies it wants.
    owner_ms: u64,
    wanted: u16,
}

#[derive(Debug)]
struct Holder {
    history: History,
    here: bool,
    whole: bool,
    shards: BTreeSet<u8>,
    place: Option<String>,
}

/// How a file stands, in shards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// When holders were asked (ms since 1970).
    pub at_ms: u64,
    /// Shards that give it back.
    pub needed: u8,
    /// Different shards with holders that answered.
    pub reachable: u8,
    /// Different shards with holders that are expected back, those included.
    pub counted: u8,
    /// Whole copies with holders that are expected back.
    pub wholes: u8,
    /// The probability that it is still there after a year, if it is kept at this level.
    pub survives: f64,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Rest,
    /// The whole file is with somebody else too: it need not be here.
    DropWhole,
    /// These shards are made again.
    Mend {
        /// Which.
        shards: Vec<u8>,
        /// How it is read for that.
        read: Reading,
    },
}

/// How a file is read for a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Not at all: it is here whole.
    Nothing,
    /// It gives way to what somebody here waits for.
    GivingWay,
    /// As fast as can be, since it is nearly unreadable.
    AtOnce,
}

impl Care {
    /// Everyone known to have, or to have had, something.
    pub fn peers(&self) -> Vec<PeerId> {
        self.holders.keys().copied().collect()
    }

    /// Holders that answered, and how many shards each has.
    pub fn present(&self) -> BTreeMap<PeerId, usize> {
        let here = self.holders.iter().filter(|(_, holder)| holder.here);
        here.map(|(peer, holder)| (*peer, holder.shards.len())).collect()
    }

    /// Whether others than `me` are known to have something, and all of them are here.
    pub fn has_all_in_sight(&self, me: &PeerId) -> bool {
        let mut others = self.holders.iter().filter(|(peer, _)| *peer != me).peekable();
        others.peek().is_some() && others.all(|(_, holder)| holder.here)
    }

    /// What holders that answered have: each peer and shard.
    pub fn held_by_others(&self) -> Vec<(PeerId, u8)> {
        let here = self.holders.iter().filter(|(_, holder)| holder.here);
        here.flat_map(|(peer, holder)| holder.shards.iter().map(|shard| (*peer, *shard))).collect()
    }

    /// How the file stood when its holders were last asked.
    pub fn outlook(&self) -> Option<Outlook> {
        self.outlook
    }

    /// A whole copy was placed.
    pub fn copied(&mut self, peer: PeerId, now_ms: u64) {
        let holder = self.holders.entry(peer).or_insert_with(|| Holder::new(now_ms));
        (holder.whole, holder.here) = (true, true);
    }

    /// Whether it is time to read what the owner says; noted as done.
    pub fn owner_is_due(&mut self, now_ms: u64) -> bool {
        let due = now_ms.saturating_sub(self.owner_ms) >= OWNER_AGAIN_MS;
        if due {
            self.owner_ms = now_ms;
        }
        due
    }

    /// The owner wants so many copies.
    pub fn wants(&mut self, copies: u16) {
        self.wanted = copies;
    }

    /// Copies that are missing: less what is with holders that are expected back, and where one alone is
    /// in sight, less that.
    pub fn missing_copies(&self, kind: &Kind, now_ms: u64) -> usize {
        let wholes = || self.holders.values().filter(|holder| holder.whole);
        let here = wholes().filter(|holder| holder.here).count();
        let expected = |holder: &&Holder| {
            holder.here || holder.history.standing(now_ms, kind, WHOLE_RETURNS_BELOW).counts()
        };
        let there = if here < FEWEST { here } else { wholes().filter(expected).count() };
        let wanted = if self.wanted == 0 { COPIES } else { usize::from(self.wanted) };
        wanted.min(HOLDERS / 2).saturating_sub(there)
    }

    /// The link to a peer is gone. `true` if it was a holder, and without it so little is in sight that
    /// the file may soon be unreadable.
    pub fn lost_sight(&mut self, peer: &PeerId) -> bool {
        let Some(holder) = self.holders.get_mut(peer) else { return false };
        // Its history is left alone: links also end where nobody goes.
        if !std::mem::replace(&mut holder.here, false) {
            return false;
        }
        let here = self.holders.values().filter(|holder| holder.here);
        let Some(outlook) = self.outlook else {
            return here.filter(|holder| holder.whole).count() < FEWEST;
        };
        let shards: BTreeSet<u8> = here.flat_map(|holder| holder.shards.iter().copied()).collect();
        shards.len() < usize::from(self.urgent(outlook.needed.into()))
    }

    /// When holders were last asked (ms since 1970; 0 for never).
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Forgets holders that are not to be believed.
    pub fn evict(&mut self, evicted: impl Fn(&PeerId) -> bool) {
        self.holders.retain(|peer, _| !evicted(peer));
    }

    /// A shard was placed.
    pub fn placed(&mut self, peer: PeerId, shard: u8, now_ms: u64) {
        let holder = self.holders.entry(peer).or_insert_with(|| Holder::new(now_ms));
        holder.shards.insert(shard);
        holder.here = true;
    }

    /// Takes in what holders told, and what is here.
    pub fn heard(
        &mut self,
        me: PeerId,
        own: &Told,
        answers: &Answers,
        code: Cid,
        kind: &mut Kind,
        now_ms: u64,
    ) {
        let passed = now_ms.saturating_sub(self.at_ms);
        if self.at_ms > 0 {
            kind.watched(passed.saturating_mul(self.holders.len() as u64));
        }
        self.at_ms = now_ms;
        let answered = answers.iter().filter_map(|(peer, place, told)| {
            told.as_ref().map(|told| (*peer, place.clone(), told))
        });
        let mut silent: BTreeSet<PeerId> = self.holders.keys().copied().collect();
        for (peer, place, told) in answered.chain([(me, None, own)]) {
            silent.remove(&peer);
            let shards = told.codes.iter().filter(|shards| shards.code == code);
            let shards: BTreeSet<u8> = shards.flat_map(|s| s.indices.iter().copied()).collect();
            if shards.is_empty() && !told.whole {
                // It says that it has nothing: it is no holder, however long it was one.
                self.holders.remove(&peer);
                continue;
            }
            let holder = self.holders.entry(peer).or_insert_with(|| Holder::new(now_ms));
            if let Some(gap_ms) = holder.history.arrived(now_ms) {
                kind.returned(gap_ms);
            }
            (holder.here, holder.whole, holder.shards) = (true, told.whole, shards);
            holder.place = place.or(holder.place.take());
        }
        for peer in silent {
            if let Some(holder) = self.holders.get_mut(&peer) {
                holder.here = false;
                holder.history.left(now_ms);
            }
        }
        self.forget(kind, now_ms);
    }

    /// Forgets who was given up, and who was away longest where there are too many.
    fn forget(&mut self, kind: &mut Kind, now_ms: u64) {
        self.holders.retain(|_, holder| {
            let given_up = holder.history.given_up_ms(kind, WHOLE_RETURNS_BELOW);
            let lost = given_up.is_some_and(|at_ms| at_ms <= now_ms);
            if lost {
                kind.gave_up(holder.history.age_ms(now_ms));
            }
            !lost
        });
        while self.holders.len() > HOLDERS {
            let away = self.holders.iter().filter(|(_, holder)| !holder.here);
            let first = away.map(|(peer, holder)| (holder.history.returns(now_ms, kind), *peer));
            let first = first.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, peer)| peer);
            let Some(peer) = first.or_else(|| self.holders.keys().next_back().copied()) else {
                return;
            };
            self.holders.remove(&peer);
        }
    }

    /// What `me` does now.
    pub fn plan(&mut self, me: &PeerId, spread: &Spread, kind: &Kind, now_ms: u64) -> Plan {
        let (needed, exposure) = (u16::from(spread.needed()), exposure(kind));
        let least = self.urgent(needed);
        let aim = aim(needed, least, spread.shards(), &exposure);
        let standing = |holder: &Holder| match holder.whole {
            true => holder.history.standing(now_ms, kind, WHOLE_RETURNS_BELOW),
            false => holder.history.standing(now_ms, kind, PIECE_RETURNS_BELOW),
        };
        let counted = self.held(standing);
        let here = |holder: &Holder| if holder.here { Standing::Present } else { Standing::Lost };
        let reachable = self.held(here);
        let (all, now) = (Tally::of(&counted, 0), Tally::of(&reachable, 0));
        self.outlook = Some(self.outlook_of(&aim, &all, &now, &exposure));
        let rank = |tally: &Tally| if tally.wholes > 0 { needed } else { tally.coded.min(needed) };
        let ranks = Rank { reachable: rank(&now), counted: rank(&all) };
        let own = self.holders.get(me);
        let whole = own.is_some_and(|holder| holder.whole);
        let own_rank =
            own.map_or(0, |own| if own.whole { needed } else { own.shards.len() as u16 });
        // Near to unreadable only what is here counts, whoever may come back.
        let urgent = now.coded < least;
        let (tally, ranks) = match urgent {
            true => (now, Rank { reachable: ranks.reachable, counted: ranks.reachable }),
            false => (all, ranks),
        };
        match decide(&aim, &tally, ranks, own_rank) {
            Decision::Act(repair) => {
                if repair.way == Way::FromWhole && !whole && !urgent {
                    // It is for whoever has the whole to mend, and it is here.
                    return Plan::Rest;
                }
                let shards = self.missing(spread, urgent, repair.pieces.max(1));
                let read = match (whole, urgent) {
                    (true, _) => Reading::Nothing,
                    (false, true) => Reading::AtOnce,
                    (false, false) => Reading::GivingWay,
                };
                match shards.is_empty() {
                    true => Plan::Rest,
                    false => Plan::Mend { shards, read },
                }
            }
            Decision::Rest(_) if whole && self.others_have_it(me) => Plan::DropWhole,
            Decision::Rest(_) => Plan::Rest,
        }
    }

    /// Below so many shards that are here, repair waits for nobody: a quarter more than are needed,
    /// and at least what the two holders with the most have, who may be the next to go.
    fn urgent(&self, needed: u16) -> u16 {
        let here = self.holders.values().filter(|holder| holder.here);
        let mut shards: Vec<usize> = here.map(|holder| holder.shards.len()).collect();
        shards.sort_unstable_by(|a, b| b.cmp(a));
        let two = shards.iter().take(2).sum::<usize>().min(MOST_OF_TWO) as u16;
        needed + (needed / 4).max(two).max(2)
    }

    /// What each holder has, each shard once.
    fn held(&self, standing: impl Fn(&Holder) -> Standing) -> Vec<Held> {
        let mut holders: Vec<(&PeerId, &Holder)> = self.holders.iter().collect();
        // A shard that two have counts for the one that is here.
        holders.sort_by_key(|(_, holder)| !holder.here);
        let mut seen = BTreeSet::new();
        let held = holders.into_iter().map(|(_, holder)| {
            let standing = standing(holder);
            let fresh = |shard: &&u8| standing.counts() && seen.insert(**shard);
            let pieces = holder.shards.iter().filter(fresh).count() as u16;
            (holder, standing, pieces)
        });
        held.flat_map(|(holder, standing, pieces)| {
            let coded = Held { pieces, whole: false, standing, groups: [0; 2] };
            let whole = holder.whole.then_some(Held { pieces: 0, whole: true, ..coded });
            [Some(coded), whole].into_iter().flatten()
        })
        .collect()
    }

    /// Shards to make: those that nobody has, then those whose holders are away the longest odds.
    fn missing(&self, spread: &Spread, urgent: bool, most: u16) -> Vec<u8> {
        let here = |shard: &u8| self.holders.values().any(|h| h.here && h.shards.contains(shard));
        let away = |shard: &u8| self.holders.values().any(|h| !h.here && h.shards.contains(shard));
        let mut missing: Vec<u8> = (0..spread.shards()).filter(|shard| !here(shard)).collect();
        missing.sort_by_key(|shard| away(shard));
        if !urgent && missing.iter().any(|shard| !away(shard)) {
            missing.retain(|shard| !away(shard));
        }
        missing.truncate(most.into());
        missing
    }

    /// Whether somebody here has the whole file and comes before us.
    fn others_have_it(&self, me: &PeerId) -> bool {
        let wholes = self.holders.iter().filter(|(_, holder)| holder.whole && holder.here);
        let first = wholes.map(|(peer, _)| peer).min();
        first.is_some_and(|first| first != me)
    }

    fn outlook_of(&self, aim: &Aim, all: &Tally, now: &Tally, exposure: &Exposure) -> Outlook {
        let presences = self.holders.values().map(|holder| f64::from(u8::from(holder.here)));
        let presence = presences.sum::<f64>() / self.holders.len().max(1) as f64;
        let levels = Levels {
            k: aim.k,
            coded: all.coded,
            wholes: all.wholes,
            presence,
            whole_presence: if now.wholes > 0 { 1.0 } else { 0.0 },
        };
        Outlook {
            at_ms: self.at_ms,
            needed: aim.k as u8,
            reachable: now.coded.min(255) as u8,
            counted: all.coded.min(255) as u8,
            wholes: all.wholes,
            survives: levels.forecast(exposure, YEAR_MS).survives,
        }
    }
}

impl Holder {
    fn new(now_ms: u64) -> Self {
        let history = History::new(now_ms);
        Self { history, here: true, whole: false, shards: BTreeSet::new(), place: None }
    }
}

fn exposure(kind: &Kind) -> Exposure {
    Exposure {
        lifetime_ms: kind.lifetime_ms(),
        blind_ms: kind.blind_ms(),
        whole_blind_ms: kind.whole_blind_ms(),
        mend_ms: 3_600_000,
    }
}

/// The levels of a file in shards: half more than are needed at least, all there are at most.
fn aim(needed: u16, least: u16, shards: u8, exposure: &Exposure) -> Aim {
    let goal = Goal { yearly_loss: YEARLY_LOSS, readable: 0.0, presence: 0.5, whole_presence: 0.5 };
    let mut aim = Aim::beside_whole(needed, &goal, exposure);
    let floor = aim.floor.max(needed + needed.div_ceil(2)).max(least).min(shards.into());
    (aim.floor, aim.fill, aim.group_most) = (floor, floor, 0);
    aim
}

#[cfg(test)]
mod tests;
