//! How much per time: token buckets over values, one for each of whoever counts.
//!
//! No clock and no waiting here: the time is an argument, and what to do with a refusal is the
//! caller's. What is kept is bounded; whoever comes beyond that shares one bucket with the others.

use std::{collections::BTreeMap, time::Duration};

const SECOND_NS: u64 = 1_000_000_000;

/// So many in the long run, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The long-run number in `per`.
    pub count: u64,
    /// The time that `count` is allowed in.
    pub per: Duration,
    /// How many may come at once.
    pub burst: u64,
}

impl Rate {
    /// `count` a second, `burst` at once.
    pub fn per_second(count: u64, burst: u64) -> Self {
        Self { count, per: Duration::from_secs(1), burst }
    }

    /// `count` a minute, all of them at once if they like.
    pub fn per_minute(count: u64) -> Self {
        Self { count, per: Duration::from_secs(60), burst: count }
    }

    /// Nanoseconds that `cost` takes to be earned.
    fn worth_ns(&self, cost: u64) -> u64 {
        let per_ns = u128::from(u64::try_from(self.per.as_nanos()).unwrap_or(u64::MAX));
        let worth = per_ns * u128::from(cost) / u128::from(self.count.max(1));
        u64::try_from(worth).unwrap_or(u64::MAX)
    }
}

/// One bucket: the time until which what was taken has been paid for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    paid_ns: u64,
}

impl Bucket {
    /// Takes `cost` if it is there.
    pub fn try_take(&mut self, rate: &Rate, cost: u64, now: Duration) -> bool {
        let now = ns(now);
        let after = self.paid_ns.max(now).saturating_add(rate.worth_ns(cost));
        if after - now > rate.worth_ns(rate.burst) {
            return false;
        }
        self.paid_ns = after;
        true
    }

    /// Takes `cost` in any case; the time to wait before anything more is taken.
    pub fn spend(&mut self, rate: &Rate, cost: u64, now: Duration) -> Duration {
        self.paid_ns = self.paid_ns.max(ns(now)).saturating_add(rate.worth_ns(cost));
        self.wait(rate, now)
    }

    /// The time until the bucket is out of debt.
    pub fn wait(&self, rate: &Rate, now: Duration) -> Duration {
        let debt = self.paid_ns.saturating_sub(ns(now)).saturating_sub(rate.worth_ns(rate.burst));
        Duration::from_nanos(debt)
    }

    /// Whether it is as full as a new one.
    fn is_full(&self, now_ns: u64) -> bool {
        self.paid_ns <= now_ns
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Buckets by key.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    most: usize,
    buckets: BTreeMap<K, Bucket>,
    /// For those beyond `most`.
    rest: Bucket,
    swept: Duration,
}

/// The shortest time between two looks through all buckets.
const SWEEP: Duration = Duration::from_nanos(SECOND_NS);

impl<K: Ord> Buckets<K> {
    /// No more than `most` keys are told apart at one time.
    pub fn new(rate: Rate, most: usize) -> Self {
        let (buckets, rest, swept) = (BTreeMap::new(), Bucket::default(), Duration::ZERO);
        Self { rate, most, buckets, rest, swept }
    }

    /// Takes `cost` for `key` if it is there.
    pub fn try_take(&mut self, key: K, cost: u64, now: Duration) -> bool {
        let rate = self.rate;
        self.bucket(key, now).try_take(&rate, cost, now)
    }

    /// Takes `cost` for `key`; how long it has to wait.
    pub fn spend(&mut self, key: K, cost: u64, now: Duration) -> Duration {
        let rate = self.rate;
        self.bucket(key, now).spend(&rate, cost, now)
    }

    fn bucket(&mut self, key: K, now: Duration) -> &mut Bucket {
        if self.buckets.len() >= self.most && now >= self.swept + SWEEP {
            self.swept = now;
            let now = ns(now);
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.buckets.len() >= self.most && !self.buckets.contains_key(&key) {
            return &mut self.rest;
        }
        self.buckets.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::default();
        let rate = Rate::per_second(10, 3);
        let taken = (0..10).filter(|_| bucket.try_take(&rate, 1, ms(5000))).count();
        assert_eq!(taken, 3);
        assert!(!bucket.try_take(&rate, 1, ms(5099)));
        assert!(bucket.try_take(&rate, 1, ms(5100)));
        // Over ten seconds: the burst, and ten a second.
        let taken = (5101..15_101).filter(|&t| bucket.try_take(&rate, 1, ms(t))).count();
        assert!((99..=101).contains(&taken), "{taken}");
    }

    #[test]
    fn debt_is_waited_for() {
        let mut bucket = Bucket::default();
        let rate = Rate::per_second(1000, 500);
        assert_eq!(bucket.spend(&rate, 500, ms(0)), ms(0));
        assert_eq!(bucket.spend(&rate, 2000, ms(0)), ms(2000));
        assert_eq!(bucket.wait(&rate, ms(1500)), ms(500));
        assert_eq!(bucket.wait(&rate, ms(9000)), ms(0));
        // What nobody used is not saved up beyond the burst.
        assert_eq!(bucket.spend(&rate, 501, ms(9000)), ms(1));
        // A cost as large as a peer can name does not overflow.
        bucket.spend(&rate, u64::MAX, Duration::MAX);
        assert!(!Bucket::default().try_take(&rate, u64::MAX, ms(0)));
    }

    #[test]
    fn keys_are_bounded_and_strangers_then_share() {
        let mut buckets = Buckets::new(Rate::per_second(1, 2), 2);
        for key in [1, 2, 3, 4] {
            assert!(buckets.try_take(key, 1, ms(1000)), "{key}");
        }
        assert_eq!(buckets.buckets.len(), 2);
        assert!(!buckets.try_take(5, 1, ms(1000)), "3, 4 and 5 share");
        assert!(buckets.try_take(1, 1, ms(1000)));
        // Rested buckets are forgotten and make room.
        assert!(buckets.try_take(6, 2, ms(60_000)));
        assert!(buckets.buckets.contains_key(&6) && !buckets.buckets.contains_key(&1));
    }
}
