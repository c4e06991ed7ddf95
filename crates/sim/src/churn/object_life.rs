//! The life of one object in real bytes: its author is gone, its holders depart and are replaced a
//! hundred times over, and the field code of `craftec_obj::coded` says what decodes. What is done is
//! decided by the policy that the node calls; every byte that crosses a link is counted.
//!
//! Time is in departures. Holders also come and go with their storage intact, departures are noticed
//! late, and some holders are given up in vain: each piece that is made has a number that no holder,
//! here or away, has already.

use std::fmt;

use bytes::Bytes;
use craftec_obj::{
    coded::{CodedError, Generation},
    heal::{
        aim::{Aim, ceiling},
        history::Standing,
        policy::{Decision, Held, Rank, Tally, Way, decide},
    },
};

use super::dice::Dice;

/// Bytes of a piece: what decodes depends on coefficients alone.
const PIECE_BYTES: usize = 48;
/// Departures that happen until one is noticed.
const UNNOTICED: u64 = 2;
/// Of holders, between two departures: who leaves with its storage, comes back, is given up in vain.
const LEAVES: f64 = 0.02;
const RETURNS: f64 = 0.2;
const IN_VAIN: f64 = 0.02;

/// How lost pieces are made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mending {
    /// By a whole copy that is kept beside the pieces.
    BesideWhole,
    /// By decoding, many at once.
    Batched,
    /// By decoding, each at once.
    Single,
}

/// Bytes that crossed a link, and bytes that were made anew by that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    crossed: u64,
    restored: u64,
    /// The cut-set bound of all repairs: what at least had to cross.
    bound: f64,
}

impl Traffic {
    /// Bytes that crossed a link for each that was made anew.
    pub fn ratio(&self) -> f64 {
        self.crossed as f64 / self.restored.max(1) as f64
    }

    /// The least that this can be, by the cut-set bound: d helpers and t newcomers that help each other
    /// move at least (d + t − 1) / (d − k + t) for each byte made anew; what is made by a whole copy, or
    /// becomes one, at least its own bytes.
    pub fn bound(&self) -> f64 {
        self.bound / self.restored.max(1) as f64
    }
}

/// What came of a life.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lived {
    /// Pieces that decode.
    pub k: u8,
    /// Holders that departed for good.
    pub departures: u64,
    /// How often all holders were others.
    pub turnovers: f64,
    /// Random sets of k, and of k + 2, reachable pieces that were decoded.
    pub draws: [u64; 2],
    /// How many of them gave something else than the object.
    pub failed: [u64; 2],
    /// What mending moved.
    pub traffic: Traffic,
    /// The object was gone before the end.
    pub lost: bool,
}

impl Lived {
    /// Traffic over the cut-set bound.
    pub fn over_bound(&self) -> f64 {
        self.traffic.ratio() / self.traffic.bound().max(1e-9)
    }
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "k={} turnovers={:.0} departures={} lost={} draws_k={} failed_k={} draws_k2={} \
             failed_k2={} crossed_per_restored={:.4} bound={:.4} over_bound={:.3}",
            self.k,
            self.turnovers,
            self.departures,
            u8::from(self.lost),
            self.draws[0],
            self.failed[0],
            self.draws[1],
            self.failed[1],
            self.traffic.ratio(),
            self.traffic.bound(),
            self.over_bound(),
        )
    }
}

/// Lives through `turnovers` full turnovers of holders of an object of `k` pieces (4 to 64), and draws
/// `draws` random sets in all.
///
/// # Errors
/// When the code refuses what it is given, which is a bug.
pub fn live(
    k: u8,
    mending: Mending,
    turnovers: u32,
    draws: u64,
    seed: u64,
) -> Result<Lived, CodedError> {
    let mut life = Life::new(k.clamp(4, 64), mending, seed)?;
    let (end, mut drawn) = (f64::from(turnovers), 0);
    while life.lived.turnovers < end && !life.lived.lost {
        life.step()?;
        // Spread evenly over the whole life.
        let due = (draws as f64 * life.lived.turnovers / end) as u64;
        while drawn < due.min(draws) {
            life.draw(0)?;
            life.draw(2)?;
            drawn += 1;
        }
    }
    Ok(life.lived)
}

#[derive(Clone, Debug)]
struct Place {
    /// The number of its piece, and its bytes; `None` for a holder of the whole.
    piece: Option<(u8, Bytes)>,
    here: bool,
    given_up: bool,
    departed: Option<u64>,
}

struct Life {
    k: u16,
    code: Generation,
    object: Vec<Bytes>,
    aim: Aim,
    dice: Dice,
    holders: Vec<Place>,
    /// What a reader has read until now, and the whole object at whoever has it.
    read: Vec<(u8, Bytes)>,
    whole: Vec<Bytes>,
    lived: Lived,
}

impl Life {
    fn new(k: u8, mending: Mending, seed: u64) -> Result<Self, CodedError> {
        let mut dice = Dice::new(seed);
        let mut piece =
            || (0..PIECE_BYTES).map(|_| dice.below(256) as u8).collect::<Vec<u8>>().into();
        let object: Vec<Bytes> = (0..k).map(|_| piece()).collect();
        let (wide, most) = (u16::from(k), ceiling(k.into()));
        let aim = match mending {
            Mending::BesideWhole => {
                let floor = most - wide;
                Aim { wholes: 1, urgent: floor - wide / 8, ..Aim::lazy(wide, floor, floor) }
            }
            // The later, the larger the batch; not so late that what isn't noticed yet is too much.
            Mending::Batched => Aim::lazy(wide, wide + (wide / 4).max(6), most),
            Mending::Single => Aim::lazy(wide, most, most),
        };
        let code = Generation::new(k, PIECE_BYTES);
        let lived = Lived { k, ..Lived::default() };
        let (holders, read, whole) = (Vec::new(), Vec::new(), Vec::new());
        let mut life = Self { k: wide, code, object, aim, dice, holders, read, whole, lived };
        // The author puts it, and goes.
        let sources = life.object.clone();
        life.place(&sources, most)?;
        Ok(life)
    }

    /// One departs; others come and go; whoever looks does what is decided.
    fn step(&mut self) -> Result<(), CodedError> {
        let alive = |holder: &&Place| holder.departed.is_none();
        let lives = self.holders.iter().filter(alive).count();
        let nth = self.dice.below(lives);
        if let Some(gone) = self.holders.iter_mut().filter(|h| h.departed.is_none()).nth(nth) {
            (gone.departed, gone.here) = (Some(self.lived.departures), false);
        }
        self.lived.departures += 1;
        self.lived.turnovers += 1.0 / lives.max(1) as f64;
        let now = self.lived.departures;
        self.holders.retain(|holder| holder.departed.is_none_or(|at| now - at <= UNNOTICED));
        for holder in self.holders.iter_mut().filter(|holder| holder.departed.is_none()) {
            if holder.here {
                holder.here = !self.dice.chance(LEAVES);
            } else if self.dice.chance(RETURNS) {
                (holder.here, holder.given_up) = (true, false);
            } else {
                holder.given_up |= self.dice.chance(IN_VAIN);
            }
        }
        self.look()?;
        let pieces = self.alive().count() + self.read.len();
        let whole = self.holders.iter().any(|h| h.piece.is_none() && h.departed.is_none());
        self.lived.lost = !whole && pieces < usize::from(self.k);
        Ok(())
    }

    fn alive(&self) -> impl Iterator<Item = &(u8, Bytes)> {
        let alive = self.holders.iter().filter(|holder| holder.departed.is_none());
        alive.filter_map(|holder| holder.piece.as_ref())
    }

    fn look(&mut self) -> Result<(), CodedError> {
        let held: Vec<Held> = self.holders.iter().map(Place::held).collect();
        let tally = Tally::of(&held, 0);
        let here = held.iter().filter(|held| held.standing == Standing::Present);
        let here: u16 = here.map(|held| held.pieces).sum();
        let rank = |coded: u16, wholes| if wholes > 0 { self.k } else { coded.min(self.k) };
        let rank = Rank {
            reachable: rank(here, tally.wholes_here),
            counted: rank(tally.coded, tally.wholes),
        };
        let Decision::Act(repair) = decide(&self.aim, &tally, rank, 0) else { return Ok(()) };
        match repair.way {
            Way::FromWhole => {
                let whole = self.whole.clone();
                let made = self.place(&whole, repair.pieces)?;
                self.moved(made, made, made as f64);
                Ok(())
            }
            // The code of the node has numbered pieces, which are decoded rather than combined.
            Way::Recode { .. } => self.read(repair.pieces, false, tally.coded),
            Way::Decode { keeps_whole } => self.read(repair.pieces, keeps_whole, tally.coded),
        }
    }

    /// Reads what is here; with k pieces it decodes, and gives out `missing` new ones.
    fn read(&mut self, missing: u16, keeps_whole: bool, helpers: u16) -> Result<(), CodedError> {
        for holder in self.holders.iter().filter(|holder| holder.here) {
            let Some((number, bytes)) = &holder.piece else { continue };
            let known = self.read.iter().any(|(read, _)| read == number);
            if !known && self.read.len() < usize::from(self.k) {
                self.read.push((*number, bytes.clone()));
            }
        }
        if self.read.len() < usize::from(self.k) {
            return Ok(());
        }
        let read = std::mem::take(&mut self.read);
        let sources = self.code.restore(&read)?;
        let k = u64::from(self.k);
        if keeps_whole {
            // The reader has read what it keeps.
            self.holders.retain(|holder| holder.piece.is_some());
            self.whole.clone_from(&sources);
            self.holders.push(Place { piece: None, here: true, given_up: false, departed: None });
            self.moved(k, k, k as f64);
            let made = self.place(&sources, missing)?;
            self.moved(made, made, made as f64);
            return Ok(());
        }
        let made = self.place(&sources, missing)?;
        let (d, t, wide) = (f64::from(helpers), made as f64, f64::from(self.k));
        // It keeps one of them itself.
        self.moved(k + made.saturating_sub(1), made, t * (d + t - 1.0) / (d - wide + t));
        Ok(())
    }

    /// Makes pieces with numbers that nobody has, for new holders; how many.
    fn place(&mut self, sources: &[Bytes], pieces: u16) -> Result<u64, CodedError> {
        let has = |number: &u8| {
            self.holders.iter().any(|h| h.piece.as_ref().is_some_and(|(of, _)| of == number))
        };
        let mut free: Vec<u8> = (0..=u8::MAX).filter(|number| !has(number)).collect();
        let mut numbers = Vec::new();
        for _ in 0..pieces.min(free.len() as u16) {
            numbers.push(free.swap_remove(self.dice.below(free.len())));
        }
        let made = self.code.encode(sources, &numbers)?;
        for (number, block) in numbers.iter().zip(made) {
            let piece = Some((*number, block.into_bytes()));
            self.holders.push(Place { piece, here: true, given_up: false, departed: None });
        }
        Ok(numbers.len() as u64)
    }

    fn moved(&mut self, crossed: u64, restored: u64, bound: f64) {
        self.lived.traffic.crossed += crossed * PIECE_BYTES as u64;
        self.lived.traffic.restored += restored * PIECE_BYTES as u64;
        self.lived.traffic.bound += bound * PIECE_BYTES as f64;
    }

    /// Decodes k + `more` random pieces of those that are reachable, if there are so many.
    fn draw(&mut self, more: usize) -> Result<(), CodedError> {
        let mut pieces: Vec<(u8, Bytes)> = self.alive().cloned().collect();
        let wanted = usize::from(self.k) + more;
        while pieces.len() > wanted {
            let out = self.dice.below(pieces.len());
            pieces.swap_remove(out);
        }
        if pieces.len() < wanted {
            return Ok(());
        }
        let nth = usize::from(more > 0);
        self.lived.draws[nth] += 1;
        let right = match self.code.restore(&pieces) {
            Ok(restored) => restored == self.object,
            Err(CodedError::TooFew { .. }) => false,
            Err(other) => return Err(other),
        };
        self.lived.failed[nth] += u64::from(!right);
        Ok(())
    }
}

impl Place {
    fn held(&self) -> Held {
        let standing = match (self.here, self.given_up) {
            (true, _) => Standing::Present,
            (false, false) => Standing::Absent { returns: 0.9 },
            (false, true) => Standing::Lost,
        };
        let whole = self.piece.is_none();
        Held { pieces: u16::from(!whole), whole, standing, groups: [0; 2] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_life() {
        for (k, draws) in [(16, 60), (32, 24), (64, 8)] {
            let lived = live(k, Mending::BesideWhole, 100, draws, 1).unwrap();
            assert!(!lived.lost && lived.turnovers >= 100.0, "{lived}");
            assert_eq!((lived.draws, lived.failed), ([draws; 2], [0; 2]), "{lived}");
            // Little crosses but what is made anew: reads while the whole copy is away.
            assert!((1.0..=1.15).contains(&lived.over_bound()), "{lived}");
        }
    }

    #[test]
    fn batches_are_near_the_cut_set_bound_and_single_repairs_far_from_it() {
        for k in [16, 32] {
            let batched = live(k, Mending::Batched, 20, 0, 2).unwrap();
            let single = live(k, Mending::Single, 2, 0, 2).unwrap();
            assert!(!batched.lost && !single.lost, "{batched}\n{single}");
            assert!((1.0..=1.15).contains(&batched.over_bound()), "{batched}");
            assert!(single.over_bound() > 5.0, "{single}");
        }
    }

    #[test]
    fn lives_repeat() {
        let run = |seed| live(16, Mending::Batched, 3, 4, seed).unwrap();
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    /// Run in release: `cargo test --release -p craftec-sim ten_thousand -- --ignored`.
    #[test]
    #[ignore = "a minute in release"]
    fn ten_thousand_sets_decode() {
        for k in [16, 32, 64] {
            let lived = live(k, Mending::BesideWhole, 100, 10_000, 3).unwrap();
            assert_eq!((lived.draws, lived.failed, lived.lost), ([10_000; 2], [0; 2], false));
        }
    }
}
