//! How much this node sends to others: a rate, and a total per calendar month. Values only: time is
//! an argument. What the node reads for itself never comes here.
//!
//! The rate is a bucket that holds [`BURST_SECONDS`] of it. An answer may overdraw the bucket (it is
//! at least one block), and the next one waits until that is paid back.

use std::time::Duration;

use super::wire::ANSWER_BYTES;

/// Seconds of the rate that may be sent at once: a page and its pictures come at full speed.
const BURST_SECONDS: u64 = 32;
/// With less than this part of what the bucket holds, the rate is short, and shared by merit.
const SHORT: f64 = 0.25;
/// Answers of a node with a rate hold at most so many seconds of it, so that nobody waits long.
const ANSWER_SECONDS: f64 = 0.25;
/// Days of the months of a common year.
const MONTH_DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What may be sent; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeLimits {
    /// Bytes per second.
    pub rate: Option<u64>,
    /// Bytes per calendar month (UTC).
    pub monthly: Option<u64>,
}

/// What was sent in one month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Months since January 1970 (UTC).
    pub month: u64,
    /// Block bytes.
    pub bytes: u64,
}

/// Whether to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes, with at most so many bytes of blocks beyond the first.
    Go(u64),
    /// Later.
    Wait(Duration),
    /// Not this month.
    Over,
}

/// The state of both limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    limits: ServeLimits,
    tokens: f64,
    at: Duration,
    sent: Sent,
}

impl Budget {
    /// Sets the limits; a bucket begins full.
    pub(super) fn limit(&mut self, limits: ServeLimits, now: Duration) {
        if limits.rate != self.limits.rate {
            self.tokens = burst(limits.rate.unwrap_or_default());
            self.at = now;
        }
        self.limits = limits;
    }

    /// Goes on from what an earlier run counted.
    pub(super) fn resume(&mut self, sent: Sent) {
        self.sent = sent;
    }

    /// What was sent this month.
    pub(super) fn sent(&mut self, now_ms: u64) -> Sent {
        let (month, _) = month(now_ms);
        if self.sent.month != month {
            self.sent = Sent { month, bytes: 0 };
        }
        self.sent
    }

    /// Whether a peer may be answered now.
    pub(super) fn ask(&mut self, now: Duration, now_ms: u64) -> Verdict {
        let sent = self.sent(now_ms);
        if self.limits.monthly.is_some_and(|limit| sent.bytes >= limit) {
            return Verdict::Over;
        }
        let Some(rate) = self.limits.rate else { return Verdict::Go(ANSWER_BYTES as u64) };
        let gained = now.saturating_sub(self.at).as_secs_f64() * rate as f64;
        self.tokens = (self.tokens + gained).min(burst(rate));
        self.at = now;
        if self.tokens > 0.0 {
            return Verdict::Go((rate as f64 * ANSWER_SECONDS) as u64);
        }
        // One byte more than the debt, at a rate of at least one.
        let seconds = (1.0 - self.tokens) / rate.max(1) as f64;
        Verdict::Wait(Duration::from_secs_f64(seconds.min(3600.0)))
    }

    /// The rate, where it is short, as seen when last asked.
    pub(super) fn short(&self) -> Option<u64> {
        self.limits.rate.filter(|rate| self.tokens < burst(*rate) * SHORT)
    }

    /// Counts what was sent.
    pub(super) fn spend(&mut self, bytes: u64, now_ms: u64) {
        self.sent(now_ms);
        self.sent.bytes = self.sent.bytes.saturating_add(bytes);
        if self.limits.rate.is_some() {
            self.tokens -= bytes as f64;
        }
    }

    /// Counts what was sent to somebody who took a copy that we asked for: it is not held back, and
    /// does not hold others back.
    pub(super) fn count(&mut self, bytes: u64, now_ms: u64) {
        self.sent(now_ms);
        self.sent.bytes = self.sent.bytes.saturating_add(bytes);
    }
}

fn burst(rate: u64) -> f64 {
    (rate.saturating_mul(BURST_SECONDS)) as f64
}

/// The month of a moment, in months since January 1970, and when it ends (ms since 1970).
pub fn month(now_ms: u64) -> (u64, u64) {
    let mut left = now_ms / DAY_MS;
    let mut end = 0;
    // Some hundred rounds for any date that a clock of today can show.
    for year in 1970_u64.. {
        let century = year.is_multiple_of(100) && !year.is_multiple_of(400);
        let leap = year.is_multiple_of(4) && !century;
        let days = if leap { 366 } else { 365 };
        if left >= days && year < 9999 {
            left -= days;
            end += days;
            continue;
        }
        for (at, days) in (0_u64..).zip(MONTH_DAYS) {
            let days = days + u64::from(leap && at == 1);
            end += days;
            if left < days || at == 11 {
                return ((year - 1970) * 12 + at, end * DAY_MS);
            }
            left -= days;
        }
    }
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JANUARY_2025: u64 = 1_735_689_600_000;

    fn seconds(n: f64) -> Duration {
        Duration::from_secs_f64(n)
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(month(0), (0, 31 * DAY_MS));
        assert_eq!(month(JANUARY_2025), (55 * 12, JANUARY_2025 + 31 * DAY_MS));
        assert_eq!(month(JANUARY_2025 - 1), (55 * 12 - 1, JANUARY_2025));
        // 29 February 2024, and 2000, which was a leap year too.
        assert_eq!(month(1_709_164_800_000), (54 * 12 + 1, 1_709_251_200_000));
        assert_eq!(month(951_782_400_000), (30 * 12 + 1, 951_868_800_000));
        assert!(month(u64::MAX).1 > 0);
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_holds() {
        let mut budget = Budget::default();
        budget.limit(ServeLimits { rate: Some(1000), monthly: None }, Duration::ZERO);
        let mut sent = 0;
        let mut now = 0.0;
        while now < 100.0 {
            match budget.ask(seconds(now), JANUARY_2025) {
                Verdict::Go(most) => {
                    assert_eq!(most, 250);
                    budget.spend(500, JANUARY_2025);
                    sent += 500;
                }
                Verdict::Wait(wait) => {
                    assert!(wait > Duration::ZERO && wait < seconds(1.0), "{wait:?}");
                    now += wait.as_secs_f64();
                }
                Verdict::Over => panic!("no total was set"),
            }
        }
        assert_eq!(budget.short(), Some(1000));
        assert!(matches!(budget.ask(seconds(120.0), JANUARY_2025), Verdict::Go(_)));
        assert_eq!(budget.short(), None, "it has recovered");
        // The burst, a hundred seconds of the rate, and one answer of overdraft.
        assert!((132_000..=132_600).contains(&sent), "{sent}");
    }

    #[test]
    fn a_month_ends_and_the_next_begins_anew() {
        let mut budget = Budget::default();
        budget.limit(ServeLimits { rate: None, monthly: Some(1000) }, Duration::ZERO);
        budget.resume(Sent { month: month(JANUARY_2025).0, bytes: 900 });
        assert!(matches!(budget.ask(Duration::ZERO, JANUARY_2025), Verdict::Go(_)));
        budget.spend(200, JANUARY_2025);
        assert_eq!(budget.ask(Duration::ZERO, JANUARY_2025), Verdict::Over);
        let (this, end) = month(JANUARY_2025);
        assert_eq!(budget.sent(end - 1), Sent { month: this, bytes: 1100 });
        assert!(matches!(budget.ask(Duration::ZERO, end), Verdict::Go(_)));
        assert_eq!(budget.sent(end), Sent { month: this + 1, bytes: 0 });
    }

    #[test]
    fn a_rate_of_nothing_sends_nothing() {
        let mut budget = Budget::default();
        budget.limit(ServeLimits { rate: Some(0), monthly: None }, Duration::ZERO);
        assert!(matches!(budget.ask(seconds(1e6), JANUARY_2025), Verdict::Wait(_)));
        budget.limit(ServeLimits::default(), seconds(1e6));
        assert!(matches!(budget.ask(seconds(1e6), JANUARY_2025), Verdict::Go(_)));
    }
}
