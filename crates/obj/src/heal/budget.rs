//! Bytes per hour that a node spends on repair: what isn't spent is kept for a while, so that one
//! large repair is possible and a storm of them is spread out.

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    hour_bytes: u64,
    most_bytes: u64,
    held_bytes: u64,
    at_ms: u64,
}

const HOUR_MS: u64 = 3_600_000;

impl Budget {
    /// Full, now. `most_bytes` is what may be spent at once; less than the largest repair would
    /// mean that it never happens.
    pub fn new(hour_bytes: u64, most_bytes: u64, now_ms: u64) -> Self {
        Self { hour_bytes, most_bytes, held_bytes: most_bytes, at_ms: now_ms }
    }

    /// What may be spent now.
    pub fn left_bytes(&self, now_ms: u64) -> u64 {
        let passed_ms = u128::from(now_ms.saturating_sub(self.at_ms));
        let earned = u128::from(self.hour_bytes) * passed_ms / u128::from(HOUR_MS);
        let held = u128::from(self.held_bytes).saturating_add(earned);
        u64::try_from(held).unwrap_or(u64::MAX).min(self.most_bytes)
    }

    /// Spends, or says when there will be enough (`None` if never).
    pub fn spend(&mut self, bytes: u64, now_ms: u64) -> Result<(), Option<u64>> {
        let left = self.left_bytes(now_ms);
        if bytes <= left {
            *self = Self { held_bytes: left - bytes, at_ms: now_ms.max(self.at_ms), ..*self };
            return Ok(());
        }
        if bytes > self.most_bytes || self.hour_bytes == 0 {
            return Err(None);
        }
        let wait = u128::from(bytes - left) * u128::from(HOUR_MS);
        let wait_ms = wait.div_ceil(u128::from(self.hour_bytes));
        Err(Some(now_ms.saturating_add(u64::try_from(wait_ms).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_with_time_and_never_above_its_most() {
        let mut budget = Budget::new(1000, 3000, 0);
        assert_eq!(budget.spend(3000, 0), Ok(()));
        assert_eq!(budget.left_bytes(HOUR_MS / 2), 500);
        assert_eq!(budget.left_bytes(100 * HOUR_MS), 3000);
        assert_eq!(budget.left_bytes(u64::MAX), 3000);
        assert_eq!(budget.spend(1500, HOUR_MS), Err(Some(HOUR_MS + HOUR_MS / 2)));
        assert_eq!(budget.spend(1500, HOUR_MS + HOUR_MS / 2), Ok(()));
        assert_eq!(budget.spend(3001, 9 * HOUR_MS), Err(None));
        assert_eq!(Budget::new(0, 10, 0).spend(11, 5), Err(None));
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing() {
        let mut budget = Budget::new(1000, 1000, 5 * HOUR_MS);
        assert_eq!(budget.spend(1000, 5 * HOUR_MS), Ok(()));
        assert_eq!(budget.left_bytes(HOUR_MS), 0);
        assert_eq!(budget.spend(0, HOUR_MS), Ok(()));
        assert_eq!(budget.left_bytes(5 * HOUR_MS), 0);
    }
}
