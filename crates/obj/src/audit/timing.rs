//! How long a holder usually takes to answer, and which answer took longer than that. Values only.
//!
//! The usual is the median of its last `RECENT` answers, and the median distance from it; neither
//! moves much while less than half of the answers are odd. Late is what takes longer than the median and
//! `SPREADS` such distances, at least `MARGIN`: 64 numbers per holder are all that is kept.
//!
//! # What time shows, and what it can't
//!
//! A holder that has most of its bytes and fetches the rest when it is asked for them answers those
//! questions later, by the round trip to whoever has them. That shows if the round trip is longer than
//! the margin and most answers are not of that kind. The first answer of a look, for which a stream is
//! opened, is not timed. It does not show when
//!
//! - the bytes come from next door: a partner in the same house is 1 ms away, and so is its disk;
//! - *every* answer comes from the partner: then the usual is that round trip;
//! - the holder delays all its answers, or a random half of them, on purpose. Nobody can be made to be
//!   quick, and slow links and busy disks are honest.
//!
//! So an answer that is late is told and has no consequence here. Whoever places copies may prefer
//! holders that are never late; whoever needs copies to be apart must place them apart (by the prefix of
//! their addresses, by operator, and as different coded pieces, of which a partner has to keep each).

use std::{collections::VecDeque, time::Duration};

/// Answers remembered.
const RECENT: usize = 64;
/// Answers before anything counts as usual.
const LEAST: usize = 8;
/// Distances from the median that are still usual: 5 standard deviations of a normal distribution.
const SPREADS: u32 = 8;
/// What a busy disk or a busy thread adds now and then.
const MARGIN: Duration = Duration::from_millis(30);

/// What a holder's answers usually take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// The median.
    pub median: Duration,
    /// The median distance from it.
    pub spread: Duration,
}

/// The recent answers of one holder, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Timing {
    recent: VecDeque<u32>,
}

impl Timing {
    /// What is usual, once there were enough answers.
    pub(super) fn usual(&self) -> Option<Usual> {
        if self.recent.len() < LEAST {
            return None;
        }
        let middle = median(self.recent.iter().copied());
        let spread = median(self.recent.iter().map(|took| took.abs_diff(middle)));
        let micros = |micros: u32| Duration::from_micros(micros.into());
        Some(Usual { median: micros(middle), spread: micros(spread) })
    }

    /// Whether an answer was late, by what was usual before it. From now on it is one of the recent.
    pub(super) fn is_late(&mut self, took: Duration) -> bool {
        let late = self.usual().is_some_and(|usual| {
            took > usual.median + MARGIN.max(usual.spread.saturating_mul(SPREADS))
        });
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        late
    }
}

/// The median of at least one number.
fn median(numbers: impl Iterator<Item = u32>) -> u32 {
    let mut sorted: Vec<u32> = numbers.collect();
    let middle = sorted.len() / 2;
    *sorted.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_platform::sim::SimEntropy;

    /// Answers around 40 ms with some jitter, of which a share comes from `away` more.
    fn late(away_ms: u64, percent: u64, jitter_ms: u64) -> u64 {
        let (dice, mut timing, mut late) = (SimEntropy::new(3), Timing::default(), 0);
        for _ in 0..10_000 {
            let fetched = dice.below(100) < percent;
            let took_ms = 40 + dice.below(jitter_ms) + if fetched { away_ms } else { 0 };
            late += u64::from(timing.is_late(Duration::from_millis(took_ms)));
        }
        late
    }

    #[test]
    fn what_is_fetched_elsewhere_is_late_where_elsewhere_is_far() {
        for (away, percent, jitter) in [(80, 4, 10), (20, 4, 10), (80, 100, 10), (80, 4, 60)] {
            let late = late(away, percent, jitter);
            println!(
                "{percent}% of answers {away} ms later, jitter {jitter} ms: {late} of 10000 late"
            );
        }
        let far = late(80, 4, 10);
        assert!((380..=420).contains(&far), "{far}");
        assert_eq!(late(0, 0, 10), 0);
        // Frankly: next door, and all of it from elsewhere, are not seen.
        assert_eq!(late(20, 4, 10), 0);
        assert_eq!(late(80, 100, 10), 0);
        // And where answers differ much by themselves, little is.
        assert!(late(80, 4, 60) < 20);
    }

    #[test]
    fn a_few_answers_say_nothing_and_old_ones_are_forgotten() {
        let mut timing = Timing::default();
        for n in 0..LEAST {
            assert_eq!(timing.usual(), None, "{n}");
            assert!(!timing.is_late(Duration::from_secs(n as u64)));
        }
        for _ in 0..RECENT {
            timing.is_late(Duration::from_millis(5));
        }
        assert_eq!(timing.recent.len(), RECENT);
        let five = Duration::from_millis(5);
        assert_eq!(timing.usual(), Some(Usual { median: five, spread: Duration::ZERO }));
        assert!(timing.is_late(Duration::MAX));
        assert!(!timing.is_late(five + MARGIN));
    }
}
