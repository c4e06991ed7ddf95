//! How long absences lasted: a histogram by octaves, of bounded size and bounded memory.

/// Absences below this many bits of milliseconds (66 s) share the first octave.
const FIRST_BITS: u32 = 16;
/// Octaves: the last one begins at 2^34 ms, more than half a year.
const OCTAVES: usize = 20;

/// Counts of absences by octave of their length. 44 bytes, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gaps {
    counts: [u16; OCTAVES],
    /// All counts are halved when their sum reaches this, so that the past fades.
    memory: u16,
}

impl Gaps {
    /// Remembers about the last `memory` absences.
    pub(super) fn new(memory: u16) -> Self {
        Self { counts: [0; OCTAVES], memory: memory.max(2) }
    }

    /// Adds an absence that ended.
    pub(super) fn add(&mut self, gap_ms: u64) {
        if self.total() >= u32::from(self.memory) {
            for count in &mut self.counts {
                *count /= 2;
            }
        }
        self.counts[octave(gap_ms)] += 1;
    }

    /// Absences remembered.
    pub(super) fn total(&self) -> u32 {
        self.counts.iter().map(|count| u32::from(*count)).sum()
    }

    /// The share of absences longer than `gap_ms`, among these and `weight` more that are spread as
    /// `prior` is; 1 where nothing is known at all.
    pub(super) fn longer_than(&self, gap_ms: u64, prior: &Self, weight: f64) -> f64 {
        let mix = Mix::of(self, prior, weight);
        let at = octave(gap_ms);
        let above: f64 = (at + 1..OCTAVES).map(|octave| mix.share(octave)).sum();
        (above + mix.share(at) * (1.0 - position(at, gap_ms))).min(1.0)
    }

    /// The length that only `share` of the absences exceed (mixed as in [`Gaps::longer_than`]); the
    /// longest there is where nothing is known.
    pub(super) fn exceeded_by(&self, share: f64, prior: &Self, weight: f64) -> u64 {
        let mix = Mix::of(self, prior, weight);
        let mut above = 0.0;
        for octave in (0..OCTAVES).rev() {
            let here = mix.share(octave);
            if above + here > share {
                return length(octave, 1.0 - (share - above).max(0.0) / here);
            }
            above += here;
        }
        0
    }
}

/// Two histograms as one distribution.
struct Mix<'a> {
    own: &'a Gaps,
    prior: &'a Gaps,
    /// Weight of one absence of the prior.
    scale: f64,
    sum: f64,
}

impl<'a> Mix<'a> {
    fn of(own: &'a Gaps, prior: &'a Gaps, weight: f64) -> Self {
        let known = f64::from(prior.total());
        let scale = if known > 0.0 { weight / known } else { 0.0 };
        Self { own, prior, scale, sum: f64::from(own.total()) + known * scale }
    }

    fn share(&self, octave: usize) -> f64 {
        if self.sum <= 0.0 {
            // Nothing is known: as if every absence were of the longest sort.
            return if octave == OCTAVES - 1 { 1.0 } else { 0.0 };
        }
        let own = f64::from(self.own.counts[octave]);
        (own + f64::from(self.prior.counts[octave]) * self.scale) / self.sum
    }
}

fn octave(gap_ms: u64) -> usize {
    let bits = u64::BITS - gap_ms.leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(OCTAVES - 1)
}

/// Where an octave begins.
fn start(octave: usize) -> u64 {
    if octave == 0 { 0 } else { 1 << (octave + FIRST_BITS as usize - 1) }
}

/// How far into its octave a length is, 0 to 1.
fn position(octave: usize, gap_ms: u64) -> f64 {
    let width = start(octave + 1) - start(octave);
    ((gap_ms - start(octave)) as f64 / width as f64).min(1.0)
}

fn length(octave: usize, position: f64) -> u64 {
    let width = start(octave + 1) - start(octave);
    start(octave) + (position.clamp(0.0, 1.0) * width as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn lengths_and_shares_are_inverse() {
        let mut gaps = Gaps::new(1000);
        (1..=100).for_each(|n| gaps.add(n * HOUR / 4));
        let none = Gaps::new(2);
        for share in [0.9, 0.5, 0.25, 0.1, 0.02] {
            let length = gaps.exceeded_by(share, &none, 0.0);
            let back = gaps.longer_than(length, &none, 0.0);
            assert!((back - share).abs() < 0.01, "{share}: {length} {back}");
        }
        assert_eq!(gaps.longer_than(0, &none, 0.0), 1.0);
        assert_eq!(gaps.longer_than(1000 * HOUR, &none, 0.0), 0.0);
    }

    #[test]
    fn nothing_known_means_patience() {
        let none = Gaps::new(16);
        assert_eq!(none.longer_than(1000 * HOUR, &none, 64.0), 1.0);
        assert!(none.exceeded_by(0.001, &none, 64.0) > 180 * 24 * HOUR);
        assert_eq!(none.longer_than(u64::MAX, &none, 64.0), 0.0);
    }

    #[test]
    fn the_past_fades_and_counts_stay_bounded() {
        let mut gaps = Gaps::new(64);
        (0..1000).for_each(|_| gaps.add(HOUR));
        (0..1000).for_each(|_| gaps.add(48 * HOUR));
        assert!(gaps.total() <= 65, "{}", gaps.total());
        assert_eq!(gaps.longer_than(30 * HOUR, &Gaps::new(2), 0.0), 1.0);
    }

    #[test]
    fn a_prior_weighs_less_the_more_is_known() {
        let mut prior = Gaps::new(1000);
        (0..100).for_each(|_| prior.add(HOUR));
        let mut own = Gaps::new(1000);
        let before = own.longer_than(10 * HOUR, &prior, 16.0);
        (0..16).for_each(|_| own.add(100 * HOUR));
        let after = own.longer_than(10 * HOUR, &prior, 16.0);
        assert_eq!(before, 0.0);
        assert!((after - 0.5).abs() < 1e-9, "{after}");
    }
}
