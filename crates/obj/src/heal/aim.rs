//! How an object is kept: the levels between which the policy moves it, derived from what its holders
//! are exposed to.

use super::forecast::{Exposure, patience_pieces, pieces_for, pieces_to_read};

/// How an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// Source pieces: so many independent ones decode.
    pub k: u16,
    /// Whole copies that serve new pieces for no more than their own bytes. 0: none is kept.
    pub wholes: u8,
    /// With fewer coded pieces than this, repair begins. (With too few whole copies, at this many.)
    pub floor: u16,
    /// How many coded pieces there are after a repair. Equal to `floor`: each loss is mended alone.
    pub fill: u16,
    /// With fewer than this, repair doesn't wait for a whole copy that is away.
    pub urgent: u16,
    /// Pieces stored at most, a whole copy counted as k: what is above is let go.
    pub ceiling: u16,
    /// Pieces of one prefix or operator that count; those above it are placed anew. 0: no limit.
    pub group_most: u16,
}

/// What is asked of an object's keeping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Losses expected in a year, at most.
    pub yearly_loss: f64,
    /// The probability that it can be read at any moment, at least; 0 to keep it alive only.
    pub readable: f64,
    /// The mean presence of its holders, and of holders of whole copies.
    pub presence: f64,
    /// The mean presence of holders of whole copies.
    pub whole_presence: f64,
}

impl Aim {
    /// One whole copy beside coded pieces, as few as the goal allows: the scheme of the least
    /// traffic (see the module's table).
    pub fn beside_whole(k: u16, goal: &Goal, exposure: &Exposure) -> Self {
        let ceiling = ceiling(k);
        let most = ceiling - k;
        let alive = pieces_for(k, 1, goal.yearly_loss, most, exposure);
        let read = pieces_to_read(k, goal.readable, goal.presence, goal.whole_presence, most);
        let floor = alive.max(read);
        let urgent = floor - patience_pieces(k, floor);
        let group_most = ((floor - k) / 2).max(1);
        Self { k, wholes: 1, floor, fill: floor, urgent, ceiling, group_most }
    }

    /// Coded pieces alone, mended in batches: from `floor` up to `fill`. What comes back is kept.
    pub fn lazy(k: u16, floor: u16, fill: u16) -> Self {
        Self { k, wholes: 0, floor, fill, urgent: floor, ceiling: u16::MAX, group_most: 0 }
    }
}

/// Pieces stored of an object of k, at most: 2.5 times its size.
pub fn ceiling(k: u16) -> u16 {
    k.saturating_mul(5) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;

    #[test]
    fn worse_holders_ask_for_more_pieces_and_never_more_than_the_ceiling() {
        let goal = Goal { yearly_loss: 1e-7, readable: 0.0, presence: 0.5, whole_presence: 0.9 };
        let exposure = |days, blind| Exposure {
            lifetime_ms: days * DAY_MS,
            blind_ms: blind * DAY_MS,
            whole_blind_ms: DAY_MS / 4,
            mend_ms: DAY_MS / 2,
        };
        let good = Aim::beside_whole(64, &goal, &exposure(180, 2));
        let poor = Aim::beside_whole(64, &goal, &exposure(30, 2));
        let worst = Aim::beside_whole(64, &goal, &exposure(5, 20));
        assert!(64 < good.floor && good.floor < poor.floor && poor.floor < worst.floor);
        assert_eq!((worst.floor, worst.ceiling), (96, 160));
        for aim in [good, poor, worst] {
            assert!(aim.urgent >= aim.k && aim.urgent <= aim.floor && aim.fill == aim.floor);
            assert!(aim.k + aim.floor <= aim.ceiling);
        }
        let read = Aim::beside_whole(64, &Goal { readable: 0.99, ..goal }, &exposure(180, 2));
        assert!(read.floor > good.floor);
    }
}
