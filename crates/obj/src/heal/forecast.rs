//! What is to be expected of an object: its chance to survive, how many pieces that takes, and how
//! often it can be read at once.
//!
//! The model, with its assumptions. Holders depart for good independently of each other, each at the
//! rate 1/lifetime. A departure is not seen for `blind_ms`; once seen, it takes `mend_ms` to mend.
//! The object is lost when fewer than k independent pieces are left and no whole copy. Departures
//! *together* (one operator, one prefix) are not in these figures: the policy's group limit bounds
//! them instead.

/// A year, in which rates are given.
pub const YEAR_MS: u64 = 365 * 24 * 3_600_000;

/// What holders of an object are exposed to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Mean time until a holder departs for good.
    pub lifetime_ms: u64,
    /// Mean time until that is seen, for a holder of a piece.
    pub blind_ms: u64,
    /// The same for a holder of the whole object (chosen for its presence, so that it is missed
    /// sooner).
    pub whole_blind_ms: u64,
    /// Time from seeing it to having mended it.
    pub mend_ms: u64,
}

/// What `stat`, the SDK and the page show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Independent pieces that may be lost at once, a whole copy not counted.
    pub margin: i32,
    /// The probability that the object is there after the horizon.
    pub survives: f64,
    /// The probability that a reader finds enough at any moment.
    pub readable: f64,
}

/// The state of an object, as far as a forecast needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Source pieces.
    pub k: u16,
    /// Independent coded pieces that count.
    pub coded: u16,
    /// Whole copies that count.
    pub wholes: u8,
    /// The mean presence of holders of pieces.
    pub presence: f64,
    /// The mean presence of holders of whole copies.
    pub whole_presence: f64,
}

impl Outlook {
    /// The forecast over `horizon_ms`, if the object is kept at this level.
    pub fn forecast(&self, exposure: &Exposure, horizon_ms: u64) -> Forecast {
        let years = horizon_ms as f64 / YEAR_MS as f64;
        let rate = yearly_loss(self.k, self.coded, self.wholes, exposure);
        Forecast {
            margin: i32::from(self.coded) - i32::from(self.k),
            survives: (-rate * years).exp(),
            readable: readable(
                self.k,
                self.coded,
                self.presence,
                1.0 - (1.0 - self.whole_presence).powi(i32::from(self.wholes)),
            ),
        }
    }
}

/// With how many pieces fewer than it should have an object waits for a whole copy that is away: a
/// third of what is to spare. Then another is made, without waiting for the first to be given up.
pub fn patience_pieces(k: u16, coded: u16) -> u16 {
    coded.saturating_sub(k) / 3
}

/// Losses expected in a year, of an object that is kept at `coded` pieces that count.
pub fn yearly_loss(k: u16, coded: u16, wholes: u8, exposure: &Exposure) -> f64 {
    let lifetime_ms = exposure.lifetime_ms.max(1) as f64;
    let (blind_ms, mend_ms) = (exposure.blind_ms as f64, exposure.mend_ms as f64);
    let deadly = u64::from(coded.saturating_sub(k)) + u64::from(coded >= k);
    let gone = |window_ms: f64| poisson_tail(f64::from(coded) * window_ms / lifetime_ms, deadly);
    if wholes == 0 {
        // As often as the pieces of one window are others than those of the last.
        let window_ms = (blind_ms + mend_ms).max(1.0);
        return gone(window_ms) * YEAR_MS as f64 / window_ms;
    }
    // The last whole copy goes, and by the time another is made, too many pieces have gone: those
    // that were not seen to go before it did, and those that went since. The deadly number of them,
    // spread over that time, is seen in part: when more than may be waited for are, mending begins.
    let outage_ms = exposure.whole_blind_ms as f64 + mend_ms;
    let seen = f64::from(patience_pieces(k, coded) + 1) / deadly.max(1) as f64;
    let urgent_ms = (blind_ms + mend_ms) / (1.0 - seen).max(1e-3);
    let outages = f64::from(wholes) * YEAR_MS as f64 / lifetime_ms;
    let others_gone = (outage_ms / lifetime_ms).min(1.0).powi(i32::from(wholes) - 1);
    outages * others_gone * gone((blind_ms + outage_ms).min(urgent_ms))
}

/// The fewest coded pieces with which no more than `yearly` losses are expected, at most `most`.
pub fn pieces_for(k: u16, wholes: u8, yearly: f64, most: u16, exposure: &Exposure) -> u16 {
    let enough = |coded: &u16| yearly_loss(k, *coded, wholes, exposure) <= yearly;
    (k..most).find(enough).unwrap_or(most)
}

/// The fewest coded pieces with which a reader finds enough with probability `wanted`, at most
/// `most`.
pub fn pieces_to_read(k: u16, wanted: f64, presence: f64, whole: f64, most: u16) -> u16 {
    (0..most).find(|coded| readable(k, *coded, presence, whole) >= wanted).unwrap_or(most)
}

/// The probability that a whole copy is here, or k of `coded` pieces are.
fn readable(k: u16, coded: u16, presence: f64, whole: f64) -> f64 {
    let pieces = binomial_tail(coded, presence.clamp(0.0, 1.0), k);
    1.0 - (1.0 - whole.clamp(0.0, 1.0)) * (1.0 - pieces)
}

/// P(X ≥ at_least) for X of a Poisson distribution.
fn poisson_tail(mean: f64, at_least: u64) -> f64 {
    if at_least == 0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    // From the first term on, so that small tails keep their digits.
    let ln_first = (1..=at_least).fold(-mean, |ln, i| ln + mean.ln() - (i as f64).ln());
    let (mut term, mut sum) = (1.0, 1.0);
    for i in at_least + 1..at_least + 1000 {
        term *= mean / i as f64;
        sum += term;
        if term < sum * 1e-12 {
            break;
        }
    }
    (ln_first.exp() * sum).min(1.0)
}

/// P(X ≥ at_least) for X of a binomial distribution.
fn binomial_tail(n: u16, p: f64, at_least: u16) -> f64 {
    if at_least == 0 || p >= 1.0 {
        return if at_least <= n { 1.0 } else { 0.0 };
    }
    if at_least > n || p <= 0.0 {
        return 0.0;
    }
    let n = f64::from(n);
    let mut ln = n * (1.0 - p).ln();
    let mut below = ln.exp();
    for i in 1..at_least {
        let i = f64::from(i);
        ln += ((n - i + 1.0) / i).ln() + (p / (1.0 - p)).ln();
        below += ln.exp();
    }
    (1.0 - below).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;

    fn exposure(lifetime_days: u64, blind_days: u64) -> Exposure {
        Exposure {
            lifetime_ms: lifetime_days * DAY_MS,
            blind_ms: blind_days * DAY_MS,
            whole_blind_ms: DAY_MS / 4,
            mend_ms: DAY_MS / 2,
        }
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        for (mean, at_least, tail) in
            [(1.0, 1, 0.632_121), (2.5, 5, 0.108_822), (1.2, 10, 5.762e-7)]
        {
            let found = poisson_tail(mean, at_least);
            assert!((found - tail).abs() < 0.001 * tail, "{mean} {at_least}: {found}");
        }
        assert_eq!((poisson_tail(3.0, 0), poisson_tail(0.0, 1)), (1.0, 0.0));
        let found = binomial_tail(10, 0.5, 8);
        assert!((found - 56.0 / 1024.0).abs() < 1e-9, "{found}");
        assert_eq!((binomial_tail(5, 0.3, 6), binomial_tail(5, 1.0, 5)), (0.0, 1.0));
    }

    #[test]
    fn more_pieces_shorter_blindness_and_longer_lives_are_safer() {
        let base = yearly_loss(64, 74, 1, &exposure(180, 3));
        assert!(yearly_loss(64, 75, 1, &exposure(180, 3)) < base);
        assert!(yearly_loss(64, 74, 1, &exposure(180, 2)) < base);
        assert!(yearly_loss(64, 74, 1, &exposure(400, 3)) < base);
        assert!(yearly_loss(64, 74, 0, &exposure(180, 3)) > base);
        assert!(yearly_loss(64, 74, 2, &exposure(180, 3)) < base);
        assert!(yearly_loss(64, 63, 0, &exposure(180, 3)) > 10.0);
    }

    #[test]
    fn the_fewest_pieces_that_do() {
        let exposure = exposure(180, 3);
        let coded = pieces_for(64, 1, 1e-7, 96, &exposure);
        assert!(yearly_loss(64, coded, 1, &exposure) <= 1e-7);
        assert!(yearly_loss(64, coded - 1, 1, &exposure) > 1e-7);
        assert!((72..80).contains(&coded), "{coded}");
        assert_eq!(pieces_for(64, 1, 0.0, 96, &exposure), 96);
        let coded = pieces_to_read(64, 0.999, 0.6, 0.0, 160);
        assert!((130..140).contains(&coded), "{coded}");
        assert_eq!(pieces_to_read(64, 0.99, 0.6, 0.995, 160), 0);
    }

    #[test]
    fn a_forecast_is_of_the_state_it_is_given() {
        let outlook = Outlook { k: 64, coded: 75, wholes: 1, presence: 0.5, whole_presence: 0.99 };
        let forecast = outlook.forecast(&exposure(180, 3), 10 * YEAR_MS);
        assert_eq!(forecast.margin, 11);
        assert!(forecast.survives > 0.999_99 && forecast.survives <= 1.0);
        assert!((forecast.readable - 0.99).abs() < 0.005);
        let poor = Outlook { coded: 60, wholes: 0, ..outlook };
        let forecast = poor.forecast(&exposure(180, 3), YEAR_MS);
        assert_eq!(forecast.margin, -4);
        assert!(forecast.survives < 0.01 && forecast.readable < 1e-6);
    }
}
