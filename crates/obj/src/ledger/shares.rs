//! Who gets which share of the upload while it is short. Plain values: time is an argument.
//!
//! Each peer that gave us something has a share of its own, of the weight 1 and 1 more for every
//! doubling of what it gave above [`LEAST_BYTES`]. Everybody else shares by place on the network, with a
//! weight of 1 for each place and at most a quarter of the upload for all of them together, as long
//! as one of the others wants something. So a stranger is never better off than who gave least,
//! and many strangers take from each other only.
//!
//! A share that is not used is not lost: it stays in the node's own budget, and when that has
//! recovered, nobody is held back.

use std::{collections::BTreeMap, time::Duration};

use craftec_core::PeerId;
use craftec_p2p::Prefix;

/// What a peer must have given for a share of its own: a block of the largest usual size.
pub const LEAST_BYTES: u64 = 256 << 10;
/// The most that those without a share of their own get together, while others want something.
const STRANGERS: f64 = 0.25;
/// How long after its last request somebody still counts as wanting something.
const WANTS: Duration = Duration::from_secs(3);
/// Seconds of its share that somebody can save up.
const SAVED_SECONDS: f64 = 1.0;
/// The longest wait told at once: shares change meanwhile.
const LONGEST: Duration = Duration::from_secs(10);
/// Shares at one time; whoever comes beyond that has one together.
const SHARES: usize = 256;

/// Who has a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sharer {
    Peer(PeerId),
    Place(Option<Prefix>),
    Rest,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    /// None for strangers.
    weight: Option<u32>,
    /// Bytes that it may send; negative after an answer that was larger.
    tokens: f64,
    wants_until: Duration,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The peer.
    pub peer: PeerId,
    /// What it gave us lately (see [`Entry::earned_bytes`](super::book::Entry::earned_bytes)).
    pub earned_bytes: u64,
    /// Where it is on the network.
    pub place: Option<Prefix>,
}

impl Asker {
    fn weight(&self) -> Option<u32> {
        let doublings = (self.earned_bytes / LEAST_BYTES).checked_ilog2()?;
        Some(1 + doublings)
    }
}

/// All shares.
#[derive(Debug, Default)]
pub struct Shares {
    shares: BTreeMap<Sharer, Share>,
    at: Duration,
}

impl Shares {
    /// Whether `asker` is answered now, of an upload of `rate` bytes per second that is short; else
    /// how long it should wait.
    pub fn ask(&mut self, asker: &Asker, rate: u64, now: Duration) -> Result<(), Duration> {
        self.refill(rate, now);
        let sharer = self.sharer(asker);
        let (weight, tokens) = (asker.weight(), 0.0);
        let share = self.shares.entry(sharer).or_insert(Share { weight, tokens, wants_until: now });
        if sharer != Sharer::Rest {
            share.weight = weight;
        }
        share.wants_until = now + WANTS;
        if share.tokens >= 0.0 {
            return Ok(());
        }
        let (debt, weight) = (-share.tokens, share.weight);
        let per_second = self.weights().per_second(weight, rate).max(1.0);
        let wait = Duration::from_secs_f64((debt / per_second).min(LONGEST.as_secs_f64()));
        if let Some(share) = self.shares.get_mut(&sharer) {
            share.wants_until = now + wait + WANTS;
        }
        Err(wait.max(Duration::from_millis(1)))
    }

    /// Counts what `asker` was sent.
    pub fn spend(&mut self, asker: &Asker, bytes: u64) {
        let sharer = self.sharer(asker);
        if let Some(share) = self.shares.get_mut(&sharer) {
            share.tokens -= bytes as f64;
        }
    }

    fn sharer(&self, asker: &Asker) -> Sharer {
        let own = match asker.weight() {
            Some(_) => Sharer::Peer(asker.peer),
            None => Sharer::Place(asker.place),
        };
        let has_room = self.shares.len() < SHARES || self.shares.contains_key(&own);
        if has_room { own } else { Sharer::Rest }
    }

    fn weights(&self) -> Weights {
        let known: u32 = self.shares.values().filter_map(|share| share.weight).sum();
        let strangers = self.shares.values().filter(|share| share.weight.is_none()).count();
        Weights { known: f64::from(known), strangers: strangers as f64 }
    }

    fn refill(&mut self, rate: u64, now: Duration) {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        // Whoever owes is not forgotten: it would be back without its debt.
        self.shares.retain(|_, share| share.wants_until > now || share.tokens < 0.0);
        let weights = self.weights();
        for share in self.shares.values_mut() {
            let per_second = weights.per_second(share.weight, rate);
            let saved = per_second * SAVED_SECONDS;
            share.tokens = (share.tokens + per_second * seconds).min(saved);
        }
    }
}

/// Weights in sum.
struct Weights {
    known: f64,
    strangers: f64,
}

impl Weights {
    /// Bytes per second of a share.
    fn per_second(&self, weight: Option<u32>, rate: u64) -> f64 {
        let of_strangers = match self.known {
            0.0 => 1.0,
            known => (self.strangers / (self.strangers + known)).min(STRANGERS),
        };
        let share = match weight {
            Some(weight) => (1.0 - of_strangers) * f64::from(weight) / self.known.max(1.0),
            None => of_strangers / self.strangers.max(1.0),
        };
        rate as f64 * share
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
