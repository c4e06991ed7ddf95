//! What the simulated network is like: every assumption is a flag with its reason.

use clap::Args;
use craftec_obj::heal::history::{PIECE_RETURNS_BELOW, WHOLE_RETURNS_BELOW};

/// Days of a month, on average.
pub(super) const MONTH_DAYS: f64 = 365.0 / 12.0;
/// A minute, an hour, a day in milliseconds.
pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;
pub(super) const MONTH_MS: u64 = (MONTH_DAYS * DAY_MS as f64) as u64;

/// Assumptions of the scenario `churn`. Defaults are those of the published figures.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Of the scenario churn")]
pub struct Config {
    /// Nodes at any moment, absent ones included; who departs is replaced by a stranger.
    #[arg(long, default_value_t = Config::default().nodes)]
    pub nodes: u32,
    /// Objects of ours in each world; each of the schemes beside has a part of that.
    #[arg(long, default_value_t = Config::default().objects)]
    pub objects: u32,
    /// Years that are measured, after those of settling.
    #[arg(long, default_value_t = Config::default().years)]
    pub years: f64,
    /// Months before measurement: fresh objects decay without traffic and would flatter the figures.
    #[arg(long, default_value_t = Config::default().settle_months)]
    pub settle_months: f64,
    /// Source pieces of an object.
    #[arg(long, default_value_t = Config::default().k)]
    pub k: u16,
    /// Mean months until a node departs for good.
    #[arg(long, default_value_t = Config::default().mttf_months)]
    pub mttf_months: f64,
    /// Half of the nodes live shorter by this share and half longer; 0 is memoryless.
    #[arg(long, default_value_t = Config::default().uneven)]
    pub uneven: f64,
    /// Median minutes of a tab's session; sessions and gaps are log-normal.
    #[arg(long, default_value_t = Config::default().session_minutes)]
    pub session_minutes: f64,
    /// Share of time that a tab is open, before nights and long absences.
    #[arg(long, default_value_t = Config::default().presence)]
    pub presence: f64,
    /// Hours of a node's night, in which no tab comes back; 0 for none.
    #[arg(long, default_value_t = Config::default().night_hours)]
    pub night_hours: u64,
    /// Time zones over which nodes are spread; 24 has no wave by day and night in the whole.
    #[arg(long, default_value_t = Config::default().zones)]
    pub zones: f64,
    /// Share of nodes that are not tabs: they restart now and then.
    #[arg(long, default_value_t = Config::default().steady)]
    pub steady: f64,
    /// Mean days between a node's long absences (median 4 days, storage intact).
    #[arg(long, default_value_t = Config::default().long_absence_days)]
    pub long_absence_days: f64,
    /// Share of nodes that anyone can dial; between two others 70% of hole punches succeed, and the
    /// rest goes through a relay.
    #[arg(long, default_value_t = Config::default().reachable)]
    pub reachable: f64,
    /// Mean days between mass closings of tabs, storage intact; 0 for none.
    #[arg(long, default_value_t = Config::default().close_days)]
    pub close_days: f64,
    /// Share of open tabs that close together then.
    #[arg(long, default_value_t = Config::default().close_share)]
    pub close_share: f64,
    /// Share of nodes that drop what they are given and claim to have it.
    #[arg(long, default_value_t = Config::default().liars)]
    pub liars: f64,
    /// Share of nodes behind one operator (visible, so that the policy limits them).
    #[arg(long, default_value_t = Config::default().operator)]
    pub operator: f64,
    /// Share of nodes that are secretly one adversary's.
    #[arg(long, default_value_t = Config::default().colluders)]
    pub colluders: f64,
    /// Mean years between joint departures, of the operator's nodes or the adversary's; 0 for none.
    #[arg(long, default_value_t = Config::default().together_years)]
    pub together_years: f64,
    /// Losses a year that the policy aims at.
    #[arg(long, default_value_t = Config::default().yearly_loss)]
    pub yearly_loss: f64,
    /// Probability to be readable at once that the policy aims at; 0: to stay alive only.
    #[arg(long, default_value_t = Config::default().readable)]
    pub readable: f64,
    /// An absent holder of a piece is given up when its return is less probable than this.
    #[arg(long, default_value_t = Config::default().returns_below)]
    pub returns_below: f64,
    /// The same for a holder of a whole copy.
    #[arg(long, default_value_t = Config::default().whole_returns_below)]
    pub whole_returns_below: f64,
    /// Candidates among which a new holder is the best.
    #[arg(long, default_value_t = Config::default().choices)]
    pub choices: u32,
    /// Minutes between two looks at an object.
    #[arg(long, default_value_t = Config::default().slot_minutes)]
    pub slot_minutes: u64,
    /// What a node spends on repair, in pieces of 256 KiB an hour.
    #[arg(long, default_value_t = Config::default().budget_pieces)]
    pub budget_pieces: u64,
    /// What a node holds for others, in GiB: audits cost it 1 MB a day, whatever it holds.
    #[arg(long, default_value_t = Config::default().held_gib)]
    pub held_gib: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 3000,
            objects: 6000,
            years: 5.0,
            settle_months: 12.0,
            k: 64,
            mttf_months: 6.0,
            uneven: 0.0,
            session_minutes: 120.0,
            presence: 0.4,
            night_hours: 7,
            zones: 12.0,
            steady: 0.25,
            long_absence_days: 60.0,
            reachable: 0.7,
            close_days: 60.0,
            close_share: 0.5,
            liars: 0.01,
            operator: 0.03,
            colluders: 0.01,
            together_years: 1.0,
            yearly_loss: 1e-7,
            readable: 0.0,
            returns_below: PIECE_RETURNS_BELOW,
            whole_returns_below: WHOLE_RETURNS_BELOW,
            choices: 4,
            slot_minutes: 180,
            budget_pieces: 1024,
            held_gib: 10.0,
        }
    }
}

impl Config {
    /// When objects are put: until then nodes come and go alone, so that holders are known a little.
    pub(super) fn put_ms(&self) -> u64 {
        60 * DAY_MS
    }

    /// The end of a world.
    pub(super) fn end_ms(&self) -> u64 {
        self.settle_ms() + (self.years * 12.0 * MONTH_MS as f64) as u64
    }

    /// When measurement begins.
    pub(super) fn settle_ms(&self) -> u64 {
        self.put_ms() + (self.settle_months * MONTH_MS as f64) as u64
    }

    /// A node's mean lifetime.
    pub(super) fn lifetime_ms(&self) -> f64 {
        self.mttf_months * MONTH_MS as f64
    }

    /// Time between looks.
    pub(super) fn slot_ms(&self) -> u64 {
        self.slot_minutes.max(1) * MINUTE_MS
    }

    /// What can't be simulated, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        let shares = [self.uneven, self.steady, self.reachable, self.close_share, self.readable];
        let odd = self.liars + self.operator + self.colluders;
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || !(0.0..0.9).contains(&odd) {
            return Err("shares are between 0 and 1, and most nodes are honest".to_owned());
        }
        let inner = [self.presence, self.returns_below, self.whole_returns_below];
        let ordered = self.whole_returns_below <= self.returns_below;
        if inner.iter().any(|share| !(0.001..0.999).contains(share)) || !ordered {
            let text = "presence and what returns are between 0.001 and 0.999, of wholes less";
            return Err(text.to_owned());
        }
        if !(0.05..=600.0).contains(&self.mttf_months)
            || !(1.0..=1e5).contains(&self.session_minutes)
        {
            return Err("lifetimes or sessions are out of range".to_owned());
        }
        if !(4..=64).contains(&self.k) || self.nodes < 400 || self.nodes > 1_000_000 {
            return Err("k is 4 to 64, and nodes are 400 to a million".to_owned());
        }
        if !(0.0..=100.0).contains(&self.years) || !(0.0..=600.0).contains(&self.settle_months) {
            return Err("a world ends within a hundred years".to_owned());
        }
        if self.night_hours > 20 || !(0.0..=24.0).contains(&self.zones) {
            return Err("a night has 0 to 20 hours, and there are 24 zones at most".to_owned());
        }
        if self.choices == 0 || self.choices > 64 || self.objects == 0 {
            return Err("there is at least one object, and 1 to 64 choices".to_owned());
        }
        Ok(())
    }
}
