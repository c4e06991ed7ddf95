//! Whose copies are taken when the space that a node lends is short. Plain values: who keeps what,
//! and the time, are arguments.
//!
//! Of the lent space one half is **open**: while it lasts, whoever asks is taken, since space that
//! lies idle helps nobody. Beyond it a peer's copies are **covered** by what it keeps for us, up to
//! [`GENEROSITY`] times as much; those are taken while there is room. What is not covered shares one
//! **pot** of an eighth, the optimistic slots: newcomers have given nothing yet, and must be able to
//! begin. No more than a quarter of the pot goes to one place on the network, since identities cost
//! nothing and addresses do; and once half of the pot is taken, a random quarter of all places has
//! its turn in each hour.
//!
//! Nothing that was promised is ever let go for this. When space is short, copies that are not
//! covered and do not fit the pot are not *renewed*: their owner is told, ten days after the promise
//! and twenty before it ends, and finds another holder meanwhile.

use std::collections::BTreeMap;

use craftec_core::PeerId;
use craftec_p2p::Prefix;

/// One part in so many of the lent space is open to all.
const OPEN: u64 = 2;
/// One part in so many is the pot.
const POT: u64 = 8;
/// One part in so many of the pot is for one place.
const PLACE: u64 = 4;
/// So many times what a peer keeps for us is covered: copies come in lumps, and two that both wait
/// for the other to begin would wait for ever.
pub const GENEROSITY: u64 = 2;
/// How long a turn at the pot lasts.
const TURN_MS: u64 = 60 * 60 * 1000;
/// One place in so many has its turn.
const TURNS: u8 = 4;
/// When to ask again after a refusal for lack of credit, which grows by the hour.
const RETRY_MS: u64 = 60 * 60 * 1000;
/// When to ask again for a renewal.
const RENEW_RETRY_MS: u64 = 24 * 60 * 60 * 1000;

/// The space that is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may be kept for others.
    pub limit_bytes: u64,
    /// Bytes that are, or are about to be.
    pub used_bytes: u64,
}

/// One for whom we keep copies, or who asks us to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lodger {
    /// Bytes that we keep for it.
    pub kept_bytes: u64,
    /// Bytes that it keeps for us (see [`Entry::keeps_bytes`](super::book::Entry::keeps_bytes)).
    pub keeps_bytes: u64,
    /// Where it is on the network; none behind a relay.
    pub place: Option<Prefix>,
}

impl Lodger {
    fn covered(&self) -> u64 {
        self.kept_bytes.min(self.keeps_bytes.saturating_mul(GENEROSITY))
    }

    fn uncovered(&self) -> u64 {
        self.kept_bytes - self.covered()
    }
}

/// Everybody for whom we keep copies.
pub type Lodgers = BTreeMap<PeerId, Lodger>;

/// By which right a copy is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// There is plenty of space.
    Open,
    /// It is covered by what the asker keeps for us.
    Earned,
    /// An optimistic slot.
    Slot,
}

/// Why a copy is not taken, or not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// There is no room at all, or only what newcomers are to begin with.
    #[error("its space is full")]
    Full,
    /// More than it keeps for us, and no room in the pot.
    #[error("its space is short, and you keep less for it than it for you")]
    Unearned,
    /// Its place has its share of the pot.
    #[error("its space is short, and newcomers from your part of the network have their share")]
    Place,
    /// It is the turn of other places.
    #[error("its space is short, and it is the turn of others")]
    Turn {
        /// When the next turn begins, in milliseconds from now.
        next_ms: u64,
    },
    /// A copy that is here is not kept for longer.
    #[error("its space is short: it keeps this until its promise ends, and you less for it")]
    NotRenewed,
}

impl Unwanted {
    /// When asking again may help.
    pub const fn retry_ms(&self) -> u64 {
        match self {
            Self::Turn { next_ms } => *next_ms,
            Self::NotRenewed => RENEW_RETRY_MS,
            Self::Full | Self::Unearned | Self::Place => RETRY_MS,
        }
    }
}

/// Whose turn it is, by chance that only this node can foretell.
#[derive(Clone, Copy)]
pub struct Turns {
    secret: [u8; 32],
}

impl Turns {
    /// Turns drawn from a secret.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// Whether it is the turn of `place`.
    fn is_on(&self, place: Option<Prefix>, now_ms: u64) -> bool {
        let mut hash = blake3::Hasher::new_keyed(&self.secret);
        hash.update(&(now_ms / TURN_MS).to_le_bytes());
        hash.update(place.map(|place| place.to_string()).unwrap_or_default().as_bytes());
        hash.finalize().as_bytes()[0].is_multiple_of(TURNS)
    }
}

/// Copies in sum.
struct Sums {
    /// What may be uncovered at most.
    most: u64,
    /// What is.
    uncovered: u64,
    pot: u64,
}

impl Sums {
    fn of(space: &Space, lodgers: &Lodgers) -> Self {
        let sum = |of: fn(&Lodger) -> u64| lodgers.values().map(of).fold(0, u64::saturating_add);
        let (covered, uncovered) = (sum(Lodger::covered), sum(Lodger::uncovered));
        let pot = space.limit_bytes / POT;
        let open = (space.limit_bytes / OPEN).saturating_sub(covered);
        Self { most: open.saturating_add(pot), uncovered, pot }
    }

    /// Of the pot, what nobody has.
    fn pot_left(&self) -> u64 {
        self.most.saturating_sub(self.uncovered).min(self.pot)
    }
}

/// Whether `asker` may leave a copy of so many bytes here, and by which right.
pub fn hold(
    space: &Space,
    lodgers: &Lodgers,
    asker: &Lodger,
    bytes: u64,
    turns: &Turns,
    now_ms: u64,
) -> Result<Right, Unwanted> {
    let used = space.used_bytes.saturating_add(bytes);
    if used > space.limit_bytes {
        return Err(Unwanted::Full);
    }
    if used <= space.limit_bytes / OPEN {
        return Ok(Right::Open);
    }
    let sums = Sums::of(space, lodgers);
    let after = Lodger { kept_bytes: asker.kept_bytes.saturating_add(bytes), ..*asker };
    let more = after.uncovered().saturating_sub(asker.uncovered());
    if more == 0 {
        let reserved = sums.pot_left();
        return if used > space.limit_bytes - reserved {
            Err(Unwanted::Full)
        } else {
            Ok(Right::Earned)
        };
    }
    if sums.uncovered.saturating_add(more) > sums.most {
        return Err(Unwanted::Unearned);
    }
    let neighbours = lodgers.values().filter(|lodger| lodger.place == asker.place);
    let theirs = neighbours.map(Lodger::uncovered).fold(0, u64::saturating_add);
    // One copy larger than the share is taken from a place that has none.
    if theirs > 0 && theirs.saturating_add(more) > sums.pot / PLACE {
        return Err(Unwanted::Place);
    }
    if sums.pot_left() < sums.pot / 2 && !turns.is_on(asker.place, now_ms) {
        return Err(Unwanted::Turn { next_ms: TURN_MS - now_ms % TURN_MS });
    }
    Ok(Right::Slot)
}

/// Whether a copy that is here for `asker` is kept for another term.
pub fn renew(space: &Space, lodgers: &Lodgers, asker: &Lodger) -> Result<(), Unwanted> {
    let sums = Sums::of(space, lodgers);
    let plenty = space.used_bytes <= space.limit_bytes / OPEN;
    if plenty || asker.uncovered() == 0 || sums.uncovered <= sums.most {
        return Ok(());
    }
    Err(Unwanted::NotRenewed)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
