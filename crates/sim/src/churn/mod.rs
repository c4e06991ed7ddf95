//! The scenario `churn`: thousands of nodes and their objects over years, so as to see whether
//! healing outruns loss, and at what price.
//!
//! Abstract where the other scenarios are real: pieces and ranks, not bytes; no [`craftec_node::Node`]
//! runs here. But everything that is decided is decided by `craftec_obj::heal`, the functions that
//! the node calls. Schemes that are compared live on one trace: the same nodes, the same absences.
//!
//! Assumptions are flags of [`Config`]. That k pieces are independent is assumed, not computed (see
//! `Object::rank`, and [`object_life`] for the proof in real bytes); transfers take no time within a
//! look's slot, except decodings, which wait for holders to show up.

mod config;
mod dice;
mod figures;
mod life;
mod measure;
mod mend;
mod node;
mod object;
pub mod object_life;
mod place;
mod plan;
mod plot;
mod queue;
mod repair;
mod report;
mod world;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

pub use config::Config;
pub use report::Found;

use craftec_obj::heal::forecast::YEAR_MS;
use world::World;

/// How far one world has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Whose world.
    pub seed: u64,
    /// Years that passed in it, and how many there are.
    pub years: f64,
    /// To live through, settling included.
    pub of: f64,
    /// Objects of ours that were lost in it.
    pub lost: u64,
}

/// Runs a world for each seed, `threads` at a time; what all of them found together. `tell` is told
/// once for each year of each world.
pub fn churn(
    config: &Config,
    seeds: Range<u64>,
    threads: usize,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Found, String> {
    config.check()?;
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut found: Vec<(u64, Found)> = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return found;
            }
            found.push((seed, one(config, seed, tell)));
        }
    };
    let mut all = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.collect::<Result<Vec<_>, _>>().map_err(|_| "a world panicked".to_owned())
    })?
    .concat();
    all.sort_by_key(|(seed, _)| *seed);
    let worlds = all.into_iter().map(|(_, found)| found);
    worlds.reduce(|sum, found| sum.merge(&found)).ok_or_else(|| "no seeds".to_owned())
}

fn one(config: &Config, seed: u64, tell: &dyn Fn(Progress)) -> Found {
    let mut world = World::new(config, seed);
    let of = config.end_ms() as f64 / YEAR_MS as f64;
    world.run(&|years, lost| tell(Progress { seed, years, of, lost }));
    Found::of(world)
}

#[cfg(test)]
mod tests;
