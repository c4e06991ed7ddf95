//! The scenario `churn`: thousands of nodes and their objects over years, so as to see whether
//! healing outruns loss, and at what price.
//!
//! Abstract where the other scenarios are real: pieces and ranks, not bytes; no [`craftec_node::Node`]
//! runs here. But everything that is decided is decided by `craftec_obj::heal`, the functions that
//! the node calls. Schemes that are compared live on one trace: the same nodes, the same absences.
//!
//! Assumptions are flags of [`Config`]. That k pieces are independent is assumed, not computed (see
//! `Object::rank`); transfers take no time within a look's slot, except decodings, which wait for
//! holders to show up.

mod config;
mod dice;
mod figures;
mod life;
mod measure;
mod mend;
mod node;
mod object;
mod plan;
mod plot;
mod report;
mod world;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

pub use config::Config;
pub use report::Found;

use world::World;

/// Runs a world for each seed, `threads` at a time; what all of them found together.
pub fn churn(config: &Config, seeds: Range<u64>, threads: usize) -> Result<Found, String> {
    config.check()?;
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut found: Vec<(u64, Found)> = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return found;
            }
            found.push((seed, one(config, seed)));
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

fn one(config: &Config, seed: u64) -> Found {
    let mut world = World::new(config, seed);
    world.run();
    Found::of(world)
}

#[cfg(test)]
mod tests;
