//! What a holder's own past says about it: whether it is here, absent with its storage intact, or to
//! be given up, and with what probability an absent one comes back.
//!
//! A closed tab is absent, not lost. How long a holder may stay away before it counts as lost is
//! learned from its own absences, and from those of its kind while it has few of its own. One that
//! comes back after all counts again at once. Nothing here keeps a list: a history is some hundred
//! bytes for ever.

use super::gaps::Gaps;

/// Absences remembered of one holder: some months of a tab's.
const OWN_MEMORY: u16 = 512;
/// Absences remembered of a whole kind.
const KIND_MEMORY: u16 = 60_000;
/// A kind's absences count as this many of a holder's own. Fewer, and a holder whose last weeks were
/// regular would be given up at its first long absence.
const KIND_WEIGHT: f64 = 64.0;
/// A holder's mean cycle is taken over about this many, and its kind's weighs as this many.
const CYCLES: u16 = 128;
const CYCLE_WEIGHT: f64 = 4.0;
/// Nobody is given up sooner: longer than a restart with updates.
const LEAST_PATIENCE_MS: u64 = 2 * 3_600_000;
/// Nobody is waited for longer: after that even a holder that returned would be no holder to rely on.
const MOST_PATIENCE_MS: u64 = 21 * DAY_MS;
/// What is believed of a kind's lifetime before anything was seen: one departure in 90 days.
const FIRST_LIFETIME_MS: u64 = 90 * DAY_MS;
/// Presence is averaged over about this long.
const PRESENCE_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 24 * 3_600_000;

/// A holder of a piece is given up when its return is less probable than this. A mistake costs one
/// piece, which is not wasted if the holder returns: the next loss is then mended already.
pub const PIECE_RETURNS_BELOW: f64 = 0.7;
/// The same for the holder of a whole copy, of which a mistake costs the whole object.
pub const WHOLE_RETURNS_BELOW: f64 = 0.02;

/// What a holder is to the objects it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// It answers now.
    Present,
    /// It is away; its pieces count.
    Absent {
        /// The probability that it comes back at all.
        returns: f64,
    },
    /// Away for so long that it is rather gone: its pieces don't count until it is back.
    Lost,
}

impl Standing {
    /// Its pieces count.
    pub fn counts(self) -> bool {
        !matches!(self, Self::Lost)
    }

    /// The probability that it is here, or comes back.
    pub fn returns(self) -> f64 {
        match self {
            Self::Present => 1.0,
            Self::Absent { returns } => returns,
            Self::Lost => 0.0,
        }
    }
}

/// What is known of all holders of one kind (tabs, or nodes with a disk that stays), learned from
/// them alone.
#[derive(Clone, Debug)]
pub struct Kind {
    gaps: Gaps,
    /// Time for which holders were watched, and what happened in it.
    watched_ms: u64,
    gap_count: u64,
    lost: u64,
    /// Running mean of how long the lost ones were waited for.
    blind_ms: f64,
    whole_blind_ms: f64,
    wholes_lost: u64,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            gaps: Gaps::new(KIND_MEMORY),
            watched_ms: 0,
            gap_count: 0,
            lost: 0,
            blind_ms: DAY_MS as f64,
            whole_blind_ms: DAY_MS as f64,
            wholes_lost: 0,
        }
    }
}

impl Kind {
    /// Holders of this kind were watched, together for this long.
    pub fn watched(&mut self, holder_ms: u64) {
        self.watched_ms = self.watched_ms.saturating_add(holder_ms);
    }

    /// A holder came back.
    pub fn returned(&mut self, gap_ms: u64) {
        self.gaps.add(gap_ms);
        self.gap_count += 1;
    }

    /// A holder was given up after it had been waited for.
    pub fn gave_up(&mut self, waited_ms: u64) {
        self.lost += 1;
        self.blind_ms += (waited_ms as f64 - self.blind_ms) / self.lost.min(4096) as f64;
    }

    /// A holder of a whole copy was given up as such, after it had been waited for.
    pub fn gave_up_whole(&mut self, waited_ms: u64) {
        self.wholes_lost += 1;
        let weight = self.wholes_lost.min(1024) as f64;
        self.whole_blind_ms += (waited_ms as f64 - self.whole_blind_ms) / weight;
    }

    /// A holder that had been given up came back.
    pub fn came_back(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    /// Mean time between a holder's arrival and its departure for good.
    pub fn lifetime_ms(&self) -> u64 {
        (self.watched_ms + FIRST_LIFETIME_MS) / (self.lost + 1)
    }

    /// Mean time from a holder's last sign of life until it is given up.
    pub fn blind_ms(&self) -> u64 {
        self.blind_ms as u64
    }

    /// The same for holders of whole copies.
    pub fn whole_blind_ms(&self) -> u64 {
        self.whole_blind_ms as u64
    }

    /// Mean time from one absence to the next.
    fn cycle_ms(&self) -> f64 {
        self.watched_ms.max(1) as f64 / self.gap_count.max(1) as f64
    }
}

/// The sessions of one holder, as others saw them.
#[derive(Clone, Debug)]
pub struct History {
    first_ms: u64,
    /// When the session, or the absence, began.
    since_ms: u64,
    here: bool,
    gaps: Gaps,
    here_ms: u64,
    away_ms: u64,
    /// Running mean of the time from one return to the next, and over how many.
    cycle_ms: f64,
    cycles: u16,
    returned_ms: u64,
}

impl History {
    /// A holder seen for the first time, now.
    pub fn new(now_ms: u64) -> Self {
        Self {
            first_ms: now_ms,
            since_ms: now_ms,
            here: true,
            gaps: Gaps::new(OWN_MEMORY),
            here_ms: 0,
            away_ms: 0,
            cycle_ms: 0.0,
            cycles: 0,
            returned_ms: now_ms,
        }
    }

    /// It stopped answering.
    pub fn left(&mut self, now_ms: u64) {
        if self.here {
            self.here_ms += now_ms.saturating_sub(self.since_ms);
            (self.since_ms, self.here) = (now_ms, false);
            self.fade();
        }
    }

    /// It is back; how long it was away.
    pub fn arrived(&mut self, now_ms: u64) -> Option<u64> {
        if self.here {
            return None;
        }
        let gap_ms = now_ms.saturating_sub(self.since_ms);
        self.gaps.add(gap_ms);
        self.away_ms += gap_ms;
        self.cycles = (self.cycles + 1).min(CYCLES);
        let cycle_ms = now_ms.saturating_sub(self.returned_ms) as f64;
        self.cycle_ms += (cycle_ms - self.cycle_ms) / f64::from(self.cycles);
        self.returned_ms = now_ms;
        (self.since_ms, self.here) = (now_ms, true);
        self.fade();
        Some(gap_ms)
    }

    /// The share of time that it is here.
    pub fn presence(&self, now_ms: u64) -> f64 {
        let current_ms = now_ms.saturating_sub(self.since_ms);
        let here_ms = self.here_ms + if self.here { current_ms } else { 0 };
        let all_ms = self.here_ms + self.away_ms + current_ms;
        // As one more day, of which it was here for half.
        (here_ms + DAY_MS / 2) as f64 / (all_ms + DAY_MS) as f64
    }

    /// For how long it has been known.
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.first_ms)
    }

    /// The probability that it comes back, or is here.
    pub fn returns(&self, now_ms: u64, kind: &Kind) -> f64 {
        if self.here {
            return 1.0;
        }
        let away_ms = now_ms.saturating_sub(self.since_ms);
        let longer = self.gaps.longer_than(away_ms, &kind.gaps, KIND_WEIGHT);
        let last = self.last_gap(kind);
        (1.0 - last) * longer / ((1.0 - last) * longer + last)
    }

    /// When an absent holder is given up: the moment at which its return becomes less probable than
    /// `returns_below`. `None` while it is here.
    pub fn given_up_ms(&self, kind: &Kind, returns_below: f64) -> Option<u64> {
        if self.here {
            return None;
        }
        let (last, odds) = (self.last_gap(kind), returns_below / (1.0 - returns_below));
        let share = odds * last / (1.0 - last);
        let patience_ms = self.gaps.exceeded_by(share, &kind.gaps, KIND_WEIGHT);
        Some(self.since_ms + patience_ms.clamp(LEAST_PATIENCE_MS, MOST_PATIENCE_MS))
    }

    /// What it is now.
    pub fn standing(&self, now_ms: u64, kind: &Kind, returns_below: f64) -> Standing {
        match self.given_up_ms(kind, returns_below) {
            None => Standing::Present,
            Some(at_ms) if at_ms <= now_ms => Standing::Lost,
            Some(_) => Standing::Absent { returns: self.returns(now_ms, kind) },
        }
    }

    /// What a holder is worth as the keeper of more than one piece: here much, and known for long.
    /// Lifetimes that are not memoryless make the old live longest; if they are, age costs nothing.
    pub fn merit(&self, now_ms: u64) -> f64 {
        let age = self.age_ms(now_ms).min(365 * DAY_MS) as f64 / (30 * DAY_MS) as f64;
        self.presence(now_ms).powi(4) * (1.0 + age)
    }

    /// The probability that a gap is the last one: a session and a gap are lived through once for
    /// each of them, and a lifetime has so many.
    fn last_gap(&self, kind: &Kind) -> f64 {
        let own = f64::from(self.cycles);
        let cycle_ms =
            (own * self.cycle_ms + CYCLE_WEIGHT * kind.cycle_ms()) / (own + CYCLE_WEIGHT);
        (cycle_ms / kind.lifetime_ms().max(1) as f64).clamp(1e-6, 0.5)
    }

    fn fade(&mut self) {
        if self.here_ms + self.away_ms > PRESENCE_MS {
            (self.here_ms, self.away_ms) = (self.here_ms / 2, self.away_ms / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    /// A holder that is here for `here` and away for `away`, over and over, and its kind.
    fn regular(here_ms: u64, away_ms: u64, times: u64) -> (History, Kind, u64) {
        let (mut history, mut kind, mut now) = (History::new(0), Kind::default(), 0);
        for _ in 0..times {
            now += here_ms;
            history.left(now);
            now += away_ms;
            kind.returned(history.arrived(now).unwrap());
            kind.watched(here_ms + away_ms);
        }
        (history, kind, now)
    }

    #[test]
    fn a_regular_holder_is_soon_missed_and_counts_again_when_it_is_back() {
        let (mut history, kind, now) = regular(2 * HOUR, 3 * HOUR, 300);
        assert!((history.presence(now) - 0.4).abs() < 0.05, "{}", history.presence(now));
        assert_eq!(history.standing(now, &kind, 0.5), Standing::Present);
        history.left(now);
        let in_an_hour = history.standing(now + HOUR, &kind, 0.5);
        assert!(matches!(in_an_hour, Standing::Absent { returns } if returns > 0.98));
        let given_up = history.given_up_ms(&kind, 0.5).unwrap();
        assert!((now + 3 * HOUR..now + 12 * HOUR).contains(&given_up), "{}", given_up - now);
        assert_eq!(history.standing(given_up, &kind, 0.5), Standing::Lost);
        assert!(!history.standing(given_up, &kind, 0.5).counts());
        history.arrived(given_up + HOUR);
        assert_eq!(history.standing(given_up + HOUR, &kind, 0.5), Standing::Present);
    }

    #[test]
    fn who_is_often_away_for_long_is_waited_for_longer() {
        let (mut daily, kind, now) = regular(8 * HOUR, 16 * HOUR, 200);
        let (mut weekly, _, then) = regular(40 * HOUR, 128 * HOUR, 200);
        daily.left(now);
        weekly.left(then);
        let patience = |h: &History, left| h.given_up_ms(&kind, 0.5).unwrap() - left;
        assert!(patience(&daily, now) < 40 * HOUR, "{}", patience(&daily, now) / HOUR);
        assert!(patience(&weekly, then) > 128 * HOUR, "{}", patience(&weekly, then) / HOUR);
        let sooner = daily.given_up_ms(&kind, 0.9).unwrap();
        assert!(sooner <= daily.given_up_ms(&kind, 0.5).unwrap());
    }

    #[test]
    fn patience_has_a_least_and_a_most() {
        let (mut quick, kind, now) = regular(HOUR, HOUR / 60, 500);
        quick.left(now);
        assert_eq!(quick.given_up_ms(&kind, 0.5), Some(now + LEAST_PATIENCE_MS));
        let mut unknown = History::new(0);
        unknown.left(HOUR);
        let none = Kind::default();
        assert_eq!(unknown.given_up_ms(&none, 0.5), Some(HOUR + MOST_PATIENCE_MS));
        assert_eq!(unknown.given_up_ms(&none, 0.5), unknown.given_up_ms(&none, 0.1));
    }

    #[test]
    fn lifetimes_are_learned_and_a_false_alarm_is_taken_back() {
        let mut kind = Kind::default();
        kind.watched(180 * DAY_MS * 100);
        (0..100).for_each(|_| kind.gave_up(3 * DAY_MS));
        let days = kind.lifetime_ms() / DAY_MS;
        assert!((175..185).contains(&days), "{days}");
        assert_eq!(kind.blind_ms(), 3 * DAY_MS);
        (0..50).for_each(|_| kind.came_back());
        assert!(kind.lifetime_ms() / DAY_MS > 340);
    }

    #[test]
    fn clocks_that_go_back_and_doubled_events_break_nothing() {
        let mut history = History::new(10 * HOUR);
        history.left(5 * HOUR);
        history.left(HOUR);
        assert_eq!(history.arrived(0), Some(0));
        assert_eq!(history.arrived(HOUR), None);
        assert!(history.presence(0) <= 1.0 && history.merit(0) >= 0.0);
    }
}
