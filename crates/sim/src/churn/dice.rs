//! Seeded randomness of a world, and the distributions it needs.

/// SplitMix64: 64 bits of state, and every seed is a good one.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x6368_7572_6e00_0001)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In 0..1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// In 0..n; 0 for none.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Memoryless, of this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        median * (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }
}

/// Mixes a number, as SplitMix64 does.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_medians_are_what_they_are_asked_to_be() {
        let mut dice = Dice::new(1);
        let mean = (0..20_000).map(|_| dice.exponential(5.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 5.0).abs() < 0.15, "{mean}");
        let below = (0..20_000).filter(|_| dice.log_normal(3.0, 1.2) < 3.0).count();
        assert!((9_700..10_300).contains(&below), "{below}");
        let mut faces = [0; 6];
        (0..6_000).for_each(|_| faces[dice.below(6)] += 1);
        assert!(faces.iter().all(|n| (880..1120).contains(n)), "{faces:?}");
        assert_eq!(Dice::new(7).bits(), Dice::new(7).bits());
        assert_eq!(dice.below(0), 0);
    }
}
