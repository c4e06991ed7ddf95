//! Random bytes that a seed determines. Not for keys outside a simulation.

use std::cell::RefCell;

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::Entropy;

/// A stream of random numbers named by a seed.
#[derive(Debug)]
pub struct SimEntropy(RefCell<ChaCha12Rng>);

impl SimEntropy {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(RefCell::new(ChaCha12Rng::seed_from_u64(seed)))
    }

    /// The independent stream number `index` of `seed`: one per node, disk and network, so that a
    /// draw more in one changes nothing in the others.
    pub fn stream(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        rng.set_stream(index);
        Self(RefCell::new(rng))
    }

    /// A number below `bound`, or 0 if that is 0. The bias of the remainder is below 2⁻³² for the
    /// bounds of a simulation.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// True `per_million` times in a million.
    pub fn chance(&self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, out: &mut [u8]) {
        self.0.borrow_mut().fill_bytes(out);
    }
}
