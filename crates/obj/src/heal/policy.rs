//! Decides what is done for one object, if anything: from whom missing pieces are made, how many, and
//! what that costs. A function of its arguments alone; the node and the simulator call the same one.

use super::{aim::Aim, history::Standing};

/// Holders whose pieces one recoded piece is combined from, where `k` are needed to decode.
///
/// Recoding from too few destroys data while the piece count looks full. Measured over 100 turnovers
/// at n = 2k: 4 helpers decode from k + 2 random pieces in 98.0% (k = 32) and 90.6% (k = 64), 6 in
/// 99.99% (k = 32), 8 without a failure in 72,000.
pub fn recode_helpers(k: u16) -> u16 {
    let measured = if k <= 32 { 6 } else { 8 };
    measured.min(k)
}

/// What one holder has, as far as it proved it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Coded pieces; for a whole copy 0.
    pub pieces: u16,
    /// It has the whole object.
    pub whole: bool,
    /// Whether it is here.
    pub standing: Standing,
    /// IP prefix and vouched operator, as any two numbers; 0 for none known.
    pub groups: [u64; 2],
}

/// Independent pieces by their coefficients, a whole copy included: the count may be larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// At holders that are here.
    pub reachable: u16,
    /// At holders that count.
    pub counted: u16,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, and why.
    Rest(Rest),
    /// This.
    Act(Repair),
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Enough is there.
    Healthy,
    /// A whole copy is away, expected back, and there is time.
    WholeAway,
    /// Not enough counts to decode: only a holder that comes back can help.
    Stranded,
}

/// A repair, in pieces that cross a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// How.
    pub way: Way,
    /// New coded pieces, one for each new holder.
    pub pieces: u16,
    /// Pieces that are read so as to make them.
    pub read_pieces: u32,
    /// Pieces that are written to new holders.
    pub write_pieces: u32,
}

impl Repair {
    /// What it costs.
    pub fn bytes(&self, piece_bytes: u64) -> u64 {
        (u64::from(self.read_pieces) + u64::from(self.write_pieces)) * piece_bytes
    }
}

/// Where new pieces come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A whole copy makes them; only they cross a link.
    FromWhole,
    /// Each new holder takes a piece from each of `helpers` and keeps one combination.
    Recode {
        /// How many.
        helpers: u16,
    },
    /// Whoever repairs reads what it lacks of k pieces, as their holders show up, and decodes.
    Decode {
        /// It keeps the whole object from then on.
        keeps_whole: bool,
    },
}

/// An object's holders, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Coded pieces that count, no more of one group than may.
    pub coded: u16,
    /// Coded pieces above what their group may have.
    pub crowded: u16,
    /// Whole copies that count.
    pub wholes: u8,
    /// Whole copies that are here.
    pub wholes_here: u8,
    /// The probability with which the likeliest whole copy returns, or is here.
    pub whole_returns: f64,
}

impl Tally {
    /// Counts. No more than `group_most` pieces of one prefix or operator count (0: all do).
    pub fn of(holders: &[Held], group_most: u16) -> Self {
        let mut tally = Self::default();
        let mut groups: Vec<(u64, u16)> = Vec::new();
        for held in holders.iter().filter(|held| held.standing.counts()) {
            if held.whole {
                tally.wholes = tally.wholes.saturating_add(1);
                let here = held.standing == Standing::Present;
                tally.wholes_here = tally.wholes_here.saturating_add(u8::from(here));
                tally.whole_returns = tally.whole_returns.max(held.standing.returns());
                continue;
            }
            let mut room = held.pieces;
            for group in held.groups.into_iter().filter(|group| group_most > 0 && *group != 0) {
                let at = groups.iter().position(|(known, _)| *known == group);
                let at = at.unwrap_or_else(|| {
                    groups.push((group, 0));
                    groups.len() - 1
                });
                room = room.min(group_most.saturating_sub(groups[at].1));
                groups[at].1 = groups[at].1.saturating_add(held.pieces);
            }
            tally.coded = tally.coded.saturating_add(room);
            tally.crowded = tally.crowded.saturating_add(held.pieces - room);
        }
        tally
    }

    /// Pieces stored, a whole copy counted as k.
    pub fn stored(&self, k: u16) -> u32 {
        let coded = u32::from(self.coded) + u32::from(self.crowded);
        coded + u32::from(self.wholes) * u32::from(k)
    }
}

/// A whole copy that is away and less likely to return than this is made anew, where something has to
/// be done at once. Less would read for nothing more often, more would store two more often.
const WHOLE_LIKELY: f64 = 0.5;

/// Decides for an object whose repairer has `own` independent pieces of it already.
pub fn decide(aim: &Aim, tally: &Tally, rank: Rank, own: u16) -> Decision {
    let lacks_whole = tally.wholes < aim.wholes;
    let due = if lacks_whole { tally.coded <= aim.floor } else { tally.coded < aim.floor };
    if !due {
        return Decision::Rest(Rest::Healthy);
    }
    if rank.counted < aim.k {
        return Decision::Rest(Rest::Stranded);
    }
    let missing = aim.fill.saturating_sub(tally.coded);
    if !lacks_whole && tally.wholes_here > 0 {
        return Decision::Act(from_whole(missing));
    }
    if !lacks_whole && tally.wholes > 0 && tally.coded >= aim.urgent {
        return Decision::Rest(Rest::WholeAway);
    }
    // A whole copy that is rather gone has to be made anyway: its read is no cost of this repair. One
    // that is rather coming back is not doubled, or 2.5 x would not hold when it is back.
    let needed = lacks_whole || aim.wholes > 0 && tally.whole_returns < WHOLE_LIKELY;
    let decode = decode(aim.k, missing, own, needed);
    let recode = recode(aim.k, missing);
    let cheaper = recode.bytes(1) < decode.bytes(1);
    if !needed && cheaper && rank.reachable >= aim.k {
        return Decision::Act(recode);
    }
    Decision::Act(decode)
}

/// Which holder lets go of what it has, where more is stored than may be: of whole copies beyond the
/// wanted number the one that least likely returns, of equals the last, keeps one piece (the caller
/// puts the worthiest first); else the last holder goes without which enough still counts, one that is
/// here before one that is away. `None` where nothing need go, or can. Who is away has it on its disk
/// until it is back, and asks then.
pub fn surplus(aim: &Aim, holders: &[Held], tally: &Tally) -> Option<usize> {
    if tally.stored(aim.k) <= u32::from(aim.ceiling) {
        return None;
    }
    let counting = |held: &Held| held.standing.counts();
    if tally.wholes > aim.wholes {
        // Whoever may be gone goes first: it learns of it when it is back.
        let wholes = (0..holders.len()).rev().filter(|at| holders[*at].whole);
        let wholes = wholes.filter(|at| counting(&holders[*at]));
        let returns = |at: &usize| holders[*at].standing.returns();
        return wholes.min_by(|a, b| returns(a).total_cmp(&returns(b)));
    }
    // Whoever goes, what counts stays at the floor; pieces of a crowded group count for nothing.
    let least = tally.coded.min(aim.floor);
    let spare = |at: &usize| {
        let mut left = holders.to_vec();
        let gone = left.remove(*at);
        let piece = !gone.whole && gone.pieces > 0 && counting(&gone);
        piece && Tally::of(&left, aim.group_most).coded >= least
    };
    let here = |at: &usize| holders[*at].standing == Standing::Present;
    let last = || (0..holders.len()).rev();
    last().filter(here).find(spare).or_else(|| last().filter(|at| !here(at)).find(spare))
}

fn from_whole(missing: u16) -> Repair {
    let write_pieces = u32::from(missing);
    Repair { way: Way::FromWhole, pieces: missing, read_pieces: 0, write_pieces }
}

/// The new holders read; nothing is written to them besides.
fn recode(k: u16, missing: u16) -> Repair {
    let helpers = recode_helpers(k);
    let read_pieces = u32::from(helpers) * u32::from(missing);
    Repair { way: Way::Recode { helpers }, pieces: missing, read_pieces, write_pieces: 0 }
}

fn decode(k: u16, missing: u16, own: u16, keeps_whole: bool) -> Repair {
    Repair {
        way: Way::Decode { keeps_whole },
        pieces: missing,
        read_pieces: u32::from(k.saturating_sub(own)),
        write_pieces: u32::from(missing),
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
