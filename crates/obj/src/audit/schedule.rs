//! How many samples are due, and how many bytes a node spends on them. Values only: the time is an
//! argument.
//!
//! A holder is owed [`LOOK_SAMPLES`] an hour, [`DAY_SAMPLES`] a day: 704 within any 22 hours, which is
//! more than the 688 that catch who lacks 1%, and leaves two hours to ask for a failed block again. What
//! it was away for is asked when it is back, up to a day's. The first failure makes
//! [`CLOSER_SAMPLES`] more due at once. In all, a holder that lacks 1% is evicted within a day with
//! probability (1 − 0.99^704) · (1 − 0.99^896) = 99.90%.
//!
//! | holders audited by one node | bytes an hour | each holder's samples a day | 1% caught (99.9%) in |
//! |---|---|---|---|
//! | 1 | 46 KB | 768 | 22 h |
//! | 10 | 462 KB | 768 | 22 h |
//! | 45 | 2.1 MB | 768 | 22 h |
//! | 100 | 2.1 MB | 349 | 2 days |
//! | 1000 | 2.1 MB | 35 | 20 days |
//!
//! Beyond 45 holders the node's own limit, [`HOUR_BYTES`], spreads the samples thinner; the bytes here
//! are those of the largest blocks. Whoever shares objects with a holder audits it too, each by their
//! own word alone.

use std::time::Duration;

use craftec_core::limits;
use craftec_p2p::rate::{Bucket, Rate};

use super::{bound::sample_bytes, wire::CHALLENGES};

/// Samples of a look.
pub const LOOK_SAMPLES: u32 = 32;
/// Time from one look to the next.
pub const LOOK_MS: u64 = 60 * 60 * 1000;
/// Samples of a day.
pub const DAY_SAMPLES: u32 = LOOK_SAMPLES * (DAY_MS / LOOK_MS) as u32;
/// Samples after the first failure: so many that the second one is found with 99.98%.
pub const CLOSER_SAMPLES: u32 = 896;
/// Bytes of audits, both ways, that a node spends in an hour: 1.5 GB a month at most, a thirteenth of
/// what a tab sends.
pub const HOUR_BYTES: u64 = 2 << 20;
/// Bytes of it that may be spent at once: a quarter of an hour's.
const BURST_BYTES: u64 = HOUR_BYTES / 4;
/// Bytes of one sample of the largest block.
const SAMPLE_BYTES: u64 = sample_bytes(limits::BLOCK_BYTES as u64);
/// Milliseconds of a day.
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Time that one sample is owed for.
const SAMPLE_MS: u64 = LOOK_MS / LOOK_SAMPLES as u64;

/// What one holder is owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    /// Until when it is paid.
    paid_ms: u64,
}

impl Owed {
    /// For a holder that is known from now on. Its first look comes within an hour, at a moment that
    /// `phase` says, so that looks at many do not come together.
    pub(super) fn new(now_ms: u64, phase: u64) -> Self {
        Self { paid_ms: now_ms.saturating_sub(phase % LOOK_MS) }
    }

    /// Samples due: none, or at least a look's.
    pub(super) fn samples(&self, now_ms: u64) -> u32 {
        let owed = now_ms.saturating_sub(self.paid_ms) / SAMPLE_MS;
        if owed < u64::from(LOOK_SAMPLES) {
            return 0;
        }
        u32::try_from(owed).unwrap_or(DAY_SAMPLES).min(DAY_SAMPLES)
    }

    /// `samples` were answered.
    pub(super) fn pay(&mut self, samples: u32, now_ms: u64) {
        let from_ms = self.paid_ms.max(now_ms.saturating_sub(DAY_MS));
        // A clock that was set back owes nothing for the time it saw twice.
        self.paid_ms = (from_ms + u64::from(samples) * SAMPLE_MS).min(now_ms);
    }

    /// Since when it is owed something: who waits longest is next.
    pub(super) fn since_ms(&self) -> u64 {
        self.paid_ms
    }
}

/// The bytes that a node spends on audits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance(Bucket);

impl Allowance {
    /// Takes what `challenges` and the largest answers to them cost, if it is there.
    pub(super) fn take(&mut self, challenges: usize, now: Duration) -> bool {
        let rate = Rate { count: HOUR_BYTES, per: Duration::from_secs(3600), burst: BURST_BYTES };
        self.0.try_take(&rate, challenges as u64 * SAMPLE_BYTES, now)
    }
}

/// The burst has room for the largest request.
const _: () = assert!(CHALLENGES as u64 * SAMPLE_BYTES <= BURST_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::bound::{MISSING, caught_twice};

    const MINUTE_MS: u64 = 60_000;

    #[test]
    fn a_day_has_enough_samples_and_time_for_a_second_look() {
        assert_eq!(DAY_SAMPLES, 768);
        let seen = caught_twice(MISSING, 22 * LOOK_SAMPLES, CLOSER_SAMPLES);
        println!("1% missing is evicted within a day with {seen:.5}");
        assert!(seen >= 0.999, "{seen}");
    }

    #[test]
    fn what_is_owed_grows_with_time_is_bounded_and_is_paid() {
        let mut owed = Owed::new(10 * DAY_MS, 5 * LOOK_MS + 600_000);
        assert_eq!(owed.samples(10 * DAY_MS), 0);
        assert_eq!(owed.samples(10 * DAY_MS + LOOK_MS - 600_000), LOOK_SAMPLES);
        assert_eq!(owed.samples(10 * DAY_MS + 5 * LOOK_MS), 5 * LOOK_SAMPLES + 5);
        assert_eq!(owed.samples(40 * DAY_MS), DAY_SAMPLES);
        owed.pay(DAY_SAMPLES - LOOK_SAMPLES, 40 * DAY_MS);
        assert_eq!(owed.samples(40 * DAY_MS), LOOK_SAMPLES);
        owed.pay(u32::MAX, 40 * DAY_MS);
        assert_eq!(owed.samples(40 * DAY_MS), 0);
        // The clock is set back, and somebody is audited.
        owed.pay(1, 3 * DAY_MS);
        assert_eq!(owed.samples(3 * DAY_MS + LOOK_MS), LOOK_SAMPLES);
        assert_eq!(Owed::new(0, u64::MAX).samples(u64::MAX), DAY_SAMPLES);
    }

    /// Three days of a node that audits whoever waits longest; samples of each holder on the last day
    /// (least), and bytes of the busiest hour.
    fn days(holders: u64) -> (u32, u64) {
        let now = |minute: u64| 10 * DAY_MS + minute * MINUTE_MS;
        let mut owed: Vec<Owed> =
            (0..holders).map(|n| Owed::new(now(0), n * LOOK_MS / holders)).collect();
        let (mut allowance, mut last_day) = (Allowance::default(), vec![0; holders as usize]);
        let (mut hour_bytes, mut busiest) = (0, 0);
        for minute in 0..3 * 24 * 60 {
            if minute % 60 == 0 {
                hour_bytes = 0;
            }
            let at = Duration::from_millis(now(minute));
            while let Some((n, next)) = owed
                .iter_mut()
                .enumerate()
                .filter(|(_, owed)| owed.samples(now(minute)) > 0)
                .min_by_key(|(_, owed)| owed.since_ms())
            {
                let mut samples = 0;
                while samples < next.samples(now(minute)) && allowance.take(4, at) {
                    samples += 4;
                }
                if samples == 0 {
                    break;
                }
                next.pay(samples, now(minute));
                hour_bytes += u64::from(samples) * SAMPLE_BYTES;
                busiest = busiest.max(hour_bytes);
                if minute >= 2 * 24 * 60 {
                    last_day[n] += samples;
                }
            }
        }
        (last_day.into_iter().min().unwrap_or(0), busiest)
    }

    #[test]
    fn a_node_that_audits_many_spends_no_more_than_its_hour() {
        for (holders, least) in [(1, 768), (10, 768), (45, 760), (100, 330), (1000, 20)] {
            let (samples, busiest) = days(holders);
            println!("{holders} holders: {samples} samples a day each, {busiest} bytes in an hour");
            assert!(samples >= least, "{holders} holders: {samples}");
            assert!(busiest <= HOUR_BYTES + BURST_BYTES, "{holders} holders: {busiest}");
        }
    }
}
