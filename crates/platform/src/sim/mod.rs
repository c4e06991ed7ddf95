//! A simulated machine behind the ports: virtual time, seeded randomness, a disk that crashes.
//!
//! Everything is a function of seeds and of the order of calls; nothing asks the real machine for
//! the time, a thread or a random number. Runs with one seed are the same run.

mod clock;
mod disk;
mod entropy;
mod executor;

pub use clock::SimClock;
pub use disk::{Damage, Replay, SECTOR_BYTES, SimDisk};
pub use entropy::SimEntropy;
pub use executor::{Executor, Group, Stalled};

/// A simulated disk is a folder; this name says so where folders are meant.
pub type SimFolder = SimDisk;
