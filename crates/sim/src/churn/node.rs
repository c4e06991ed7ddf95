//! One simulated node: when it is here, when it departs, whether it lies. What others know of it is
//! its [`History`], and nothing else of this file.

use craftec_obj::heal::{budget::Budget, history::History};

use super::{
    config::{Config, DAY_MS, HOUR_MS, MINUTE_MS},
    dice::Dice,
};

/// Pieces that a node may spend at once on repair: the largest repair.
const BURST_PIECES: u64 = 512;

/// A node's index in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u32);

impl NodeId {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }
}

/// Which sort of node; histories are compared within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    Tab,
    Steady,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Counts comings and goings, and lives, at this index: an event of an earlier one is void.
    pub(super) turn: u32,
    pub(super) life: u32,
    pub(super) shell: Shell,
    /// Not departed.
    pub(super) alive: bool,
    pub(super) liar: bool,
    pub(super) colluder: bool,
    pub(super) dialable: bool,
    /// One of the visible operator's.
    pub(super) operated: bool,
    /// Local hour at the world's midnight.
    zone: u64,
    pub(super) history: History,
    pub(super) budget: Budget,
    /// When it left last, and when for good.
    pub(super) left_ms: u64,
    pub(super) departed_ms: u64,
    /// Place in the list of those that are here.
    pub(super) listed: usize,
    /// Objects of which it has a piece, or all.
    pub(super) pieces: Vec<u32>,
    pub(super) wholes: Vec<u32>,
    pub(super) audited: bool,
}

impl Node {
    pub(super) fn new(
        config: &Config,
        (turn, life): (u32, u32),
        now_ms: u64,
        dice: &mut Dice,
    ) -> Self {
        let shell = if dice.chance(config.steady) { Shell::Steady } else { Shell::Tab };
        let odd = dice.unit();
        let operator = config.liars + config.operator;
        Self {
            turn,
            life,
            shell,
            alive: true,
            liar: odd < config.liars,
            operated: (config.liars..operator).contains(&odd),
            colluder: (operator..operator + config.colluders).contains(&odd),
            dialable: dice.chance(config.reachable),
            zone: (dice.unit() * config.zones) as u64,
            history: History::new(now_ms),
            budget: Budget::new(config.budget_pieces, BURST_PIECES, now_ms),
            left_ms: now_ms,
            departed_ms: u64::MAX,
            listed: 0,
            pieces: Vec::new(),
            wholes: Vec::new(),
            audited: false,
        }
    }

    /// It has a piece of an object no longer.
    pub(super) fn drop_piece(&mut self, index: u32) {
        if let Some(at) = self.pieces.iter().position(|held| *held == index) {
            self.pieces.swap_remove(at);
        }
    }

    /// It has a whole copy no longer.
    pub(super) fn drop_whole(&mut self, index: u32) {
        if let Some(at) = self.wholes.iter().position(|held| *held == index) {
            self.wholes.swap_remove(at);
        }
    }

    /// Until it departs for good.
    pub(super) fn life_ms(config: &Config, dice: &mut Dice) -> u64 {
        let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
        dice.exponential(config.lifetime_ms() * (1.0 + side * config.uneven)) as u64
    }

    /// How long a session lasts that begins now.
    pub(super) fn session_ms(&self, config: &Config, dice: &mut Dice) -> u64 {
        let (median, sigma) = match self.shell {
            Shell::Tab => (config.session_minutes * MINUTE_MS as f64, 1.2),
            Shell::Steady => (10.0 * DAY_MS as f64, 1.0),
        };
        (dice.log_normal(median, sigma) as u64).max(MINUTE_MS)
    }

    /// How long an absence lasts that begins now.
    pub(super) fn gap_ms(&self, config: &Config, now_ms: u64, dice: &mut Dice) -> u64 {
        let tab = self.shell == Shell::Tab;
        let session_ms = config.session_minutes * MINUTE_MS as f64;
        let (median, sigma, cycle_ms) = if tab {
            let away = (1.0 - config.presence) / config.presence;
            // The mean of a log-normal of sigma 1.2 is about twice its median.
            (session_ms * away, 1.2, session_ms * 2.05 / config.presence)
        } else {
            (20.0 * MINUTE_MS as f64, 1.5, 16.5 * DAY_MS as f64)
        };
        let long = cycle_ms / (config.long_absence_days.max(1.0) * DAY_MS as f64);
        let gap = if dice.chance(long) {
            let median = if tab { 4 * DAY_MS } else { 12 * HOUR_MS };
            dice.log_normal(median as f64, 0.8)
        } else {
            dice.log_normal(median, sigma)
        };
        let gap = (gap as u64).max(MINUTE_MS);
        if tab { gap + self.sleep_ms(config, now_ms + gap, dice) } else { gap }
    }

    /// Who would come back at night comes in the morning.
    fn sleep_ms(&self, config: &Config, at_ms: u64, dice: &mut Dice) -> u64 {
        let hour = (at_ms / HOUR_MS + self.zone) % 24;
        if hour >= config.night_hours {
            return 0;
        }
        let morning = (config.night_hours - hour) * HOUR_MS - at_ms % HOUR_MS;
        morning + (dice.unit() * 3.0 * HOUR_MS as f64) as u64
    }
}
