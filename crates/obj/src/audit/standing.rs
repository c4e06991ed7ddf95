//! What is known of one holder: what it failed, what it still has to answer, and what follows. A pure
//! state machine over values: the time is an argument.
//!
//! | standing | when | what follows |
//! |---|---|---|
//! | sound | no failure within [`REMEMBERED_MS`] | [`schedule`](super::schedule) as usual |
//! | suspect | one | [`CLOSER_SAMPLES`] at once, and the failed block again after [`GRACE_MS`] |
//! | evicted | [`EVICT_AT`] | nothing is asked for [`EVICTED_MS`]; its pieces must be replaced |
//!
//! A failure is a block: that it is not there, that its proof is wrong, or that the holder answers other
//! questions but not this one. One block counts once, however often it is asked, until [`GRACE_MS`]
//! later, when it counts again if it is still not there. So one unlucky rot is forgiven a month later,
//! whether or not the block was fetched again and is answered then; a block that is gone for good
//! evicts, and so do two blocks. Large holders with many losses are found by the closer look, small ones
//! (1% of 100 blocks is one) by the second question.
//!
//! # Silence
//!
//! Who is away fails nothing: that is [`heal::history`](crate::heal::history)'s business. Who hangs up
//! only on what it lacks would never fail either; so a question stays open until it is answered, alone
//! in its request. It is failed when the holder was there in [`TRIES`] looks over [`GRACE_MS`] and
//! answered others meanwhile, or was connected for a day and proved nothing at all. This takes such
//! a holder up to four hours longer to be evicted than one that says "missing".

use craftec_core::Cid;

use super::{
    schedule::{CLOSER_SAMPLES, DAY_MS, LOOK_MS, Owed},
    timing::Timing,
    wire::Challenge,
};

/// Failures that evict.
pub const EVICT_AT: usize = 2;
/// How long a failure is remembered.
pub const REMEMBERED_MS: u64 = 30 * DAY_MS;
/// How long an eviction lasts. Identities are free, so that a longer one would punish nobody.
pub const EVICTED_MS: u64 = 30 * DAY_MS;
/// Time for a holder to fetch a failed block again before it counts a second time.
pub const GRACE_MS: u64 = 2 * LOOK_MS;
/// Looks in which a question must stay open until it is failed.
pub const TRIES: u8 = 3;
/// How long nothing is asked after a holder did not answer.
const QUIET_MS: u64 = LOOK_MS / 4;
/// Open questions kept for one holder: each is asked alone and may take a whole timeout.
const OPEN: usize = 16;

/// What a holder is worth, by its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It failed nothing within a month.
    Sound,
    /// It failed once, and is looked at closely.
    Suspect,
    /// It lacks what it promised. What it holds does not count.
    Evicted {
        /// Until when (ms since 1970).
        until_ms: u64,
    },
}

/// How a holder failed a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says that it has not got it.
    Missing,
    /// What it sent is no proof.
    Wrong,
    /// It answers others and not this one.
    Unanswered,
}

/// A block that a holder failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What was asked.
    pub challenge: Challenge,
    /// How it failed.
    pub fault: Fault,
}

/// A question to ask again.
#[derive(Clone, Copy, Debug)]
struct Open {
    challenge: Challenge,
    since_ms: u64,
    /// Looks in which the holder was there and did not answer it.
    tries: u8,
}

/// What is known of one holder: some kilobytes at most.
#[derive(Clone, Debug)]
pub(super) struct Record {
    owed: Owed,
    failures: Vec<(Cid, u64)>,
    open: Vec<Open>,
    closer: u32,
    evicted_ms: Option<u64>,
    proven_ms: Option<u64>,
    quiet_until_ms: u64,
    pub(super) timing: Timing,
}

impl Record {
    /// A holder that is known from now on; `phase` spreads the looks at many.
    pub(super) fn new(now_ms: u64, phase: u64) -> Self {
        Self {
            owed: Owed::new(now_ms, phase),
            failures: Vec::new(),
            open: Vec::new(),
            closer: 0,
            evicted_ms: None,
            proven_ms: None,
            quiet_until_ms: 0,
            timing: Timing::default(),
        }
    }

    /// What it is worth.
    pub(super) fn standing(&self, now_ms: u64) -> Standing {
        let until_ms = self.evicted_ms.map_or(0, |at_ms| at_ms.saturating_add(EVICTED_MS));
        if until_ms > now_ms {
            return Standing::Evicted { until_ms };
        }
        let remembered = |(_, at_ms): &(Cid, u64)| now_ms.saturating_sub(*at_ms) < REMEMBERED_MS;
        match self.evicted_ms.is_none() && self.failures.iter().any(remembered) {
            true => Standing::Suspect,
            false => Standing::Sound,
        }
    }

    /// Samples due now, and of them those of a closer look.
    pub(super) fn due(&self, now_ms: u64) -> (u32, u32) {
        if now_ms < self.quiet_until_ms || self.is_evicted(now_ms) {
            return (0, 0);
        }
        (self.owed.samples(now_ms), self.closer)
    }

    /// Samples that are left of a closer look.
    pub(super) fn closer(&self) -> u32 {
        self.closer
    }

    /// Since when it waits for a look, the closer ones first of all. `None` if nothing is due.
    pub(super) fn waits_since_ms(&self, now_ms: u64) -> Option<u64> {
        match self.due(now_ms) {
            (0, 0) => None,
            (_, 0) => Some(self.owed.since_ms()),
            _ => Some(0),
        }
    }

    pub(super) fn is_evicted(&self, now_ms: u64) -> bool {
        matches!(self.standing(now_ms), Standing::Evicted { .. })
    }

    /// Questions that wait for an answer.
    pub(super) fn open(&self) -> impl Iterator<Item = Challenge> {
        self.open.iter().map(|open| open.challenge)
    }

    /// So many samples of this look are settled, first those that were owed.
    pub(super) fn pay(&mut self, samples: u32, closer: u32, now_ms: u64) {
        self.owed.pay(samples, now_ms);
        self.closer = self.closer.saturating_sub(closer);
    }

    /// It proved that it has this chunk.
    pub(super) fn passed(&mut self, challenge: Challenge, now_ms: u64) {
        self.proven_ms = Some(now_ms);
        self.open.retain(|open| open.challenge != challenge);
    }

    /// It failed this block; whether that counts.
    pub(super) fn failed(&mut self, challenge: Challenge, now_ms: u64) -> bool {
        if self.evicted_ms.is_some() && !self.is_evicted(now_ms) {
            // Its time is over: it begins anew.
            *self = Self { owed: self.owed, timing: self.timing.clone(), ..Self::new(now_ms, 0) };
        }
        self.failures.retain(|(_, at_ms)| now_ms.saturating_sub(*at_ms) < REMEMBERED_MS);
        let fresh = |at_ms: u64| now_ms.saturating_sub(at_ms) < GRACE_MS;
        if self.failures.iter().any(|(cid, at_ms)| *cid == challenge.cid && fresh(*at_ms)) {
            return false;
        }
        self.failures.push((challenge.cid, now_ms));
        self.open.retain(|open| open.challenge != challenge);
        self.ask_again(Open { challenge, since_ms: now_ms, tries: 0 });
        if self.failures.len() >= EVICT_AT {
            self.evicted_ms = Some(now_ms);
            (self.closer, self.open) = (0, Vec::new());
        } else {
            self.closer = CLOSER_SAMPLES;
        }
        true
    }

    /// Ends a look in which it did not answer `silent`; `there` says whether it was there to answer.
    /// The questions that it has failed by that.
    pub(super) fn silent(
        &mut self,
        silent: &[Challenge],
        there: bool,
        now_ms: u64,
    ) -> Vec<Challenge> {
        if silent.is_empty() {
            return Vec::new();
        }
        self.quiet_until_ms = now_ms.saturating_add(QUIET_MS);
        for challenge in silent {
            match self.open.iter_mut().find(|open| open.challenge == *challenge) {
                Some(open) => open.tries = open.tries.saturating_add(u8::from(there)),
                None => {
                    let (challenge, tries) = (*challenge, u8::from(there));
                    self.ask_again(Open { challenge, since_ms: now_ms, tries });
                }
            }
        }
        let proven_ms = self.proven_ms;
        let ripe = |open: &&Open| {
            let for_ms = now_ms.saturating_sub(open.since_ms);
            let others = proven_ms.is_some_and(|at_ms| at_ms > open.since_ms);
            open.tries >= TRIES && for_ms >= if others { GRACE_MS } else { DAY_MS }
        };
        let ripe: Vec<_> = self.open.iter().filter(ripe).map(|open| open.challenge).collect();
        ripe.into_iter().filter(|challenge| self.failed(*challenge, now_ms)).collect()
    }

    fn ask_again(&mut self, open: Open) {
        if self.open.len() < OPEN {
            self.open.push(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    const NOW: u64 = 100 * DAY_MS;

    fn challenge(n: u8) -> Challenge {
        Challenge { cid: Cid::of(Codec::Raw, &[n]), chunk: n.into() }
    }

    #[test]
    fn one_rot_is_forgiven_after_a_month_and_two_blocks_evict() {
        let mut record = Record::new(NOW, 0);
        assert!(record.failed(challenge(1), NOW));
        assert_eq!(record.standing(NOW), Standing::Suspect);
        assert_eq!(record.due(NOW), (0, CLOSER_SAMPLES));
        assert_eq!(record.waits_since_ms(NOW), Some(0), "it is looked at before others");
        // Asked again at once, it is one failure.
        assert!(!record.failed(challenge(1), NOW + GRACE_MS - 1));
        // Fetched again and answered: still a failure.
        record.passed(challenge(1), NOW + GRACE_MS);
        assert_eq!(record.open().count(), 0);
        assert_eq!(record.standing(NOW + REMEMBERED_MS - 1), Standing::Suspect);
        assert_eq!(record.standing(NOW + REMEMBERED_MS), Standing::Sound);
        // Another one, when the first is forgotten, is one again.
        assert!(record.failed(challenge(2), NOW + REMEMBERED_MS));
        assert_eq!(record.standing(NOW + REMEMBERED_MS), Standing::Suspect);
        assert!(record.failed(challenge(3), NOW + REMEMBERED_MS + 1));
        let until_ms = NOW + REMEMBERED_MS + 1 + EVICTED_MS;
        assert_eq!(record.standing(until_ms - 1), Standing::Evicted { until_ms });
        assert_eq!((record.due(until_ms - 1), record.open().count()), ((0, 0), 0));
        assert_eq!(record.standing(until_ms), Standing::Sound);
        assert!(record.failed(challenge(4), until_ms));
        assert_eq!(record.standing(until_ms), Standing::Suspect);
    }

    #[test]
    fn a_block_that_stays_away_evicts() {
        let mut record = Record::new(NOW, 0);
        record.failed(challenge(1), NOW);
        assert_eq!(record.open().collect::<Vec<_>>(), [challenge(1)]);
        assert!(record.failed(challenge(1), NOW + GRACE_MS));
        assert!(record.is_evicted(NOW + GRACE_MS));
    }

    #[test]
    fn who_hangs_up_on_one_question_and_answers_others_fails_it() {
        let mut record = Record::new(NOW, 0);
        let mut now = NOW;
        let mut failed = Vec::new();
        while failed.is_empty() {
            failed = record.silent(&[challenge(1)], true, now);
            record.passed(challenge(2), now + 1);
            now += LOOK_MS;
        }
        assert_eq!(failed, [challenge(1)]);
        assert_eq!(now - LOOK_MS, NOW + GRACE_MS, "in the third look");
        while !record.is_evicted(now) {
            record.silent(&[challenge(1)], true, now);
            record.passed(challenge(2), now + 1);
            now += LOOK_MS;
        }
        assert!(now - NOW <= 6 * LOOK_MS, "{}", (now - NOW) / LOOK_MS);
    }

    #[test]
    fn who_is_away_fails_nothing_and_who_only_refuses_fails_after_a_day() {
        let (mut away, mut refuses) = (Record::new(NOW, 0), Record::new(NOW, 0));
        for look in 0..24 {
            let now = NOW + look * LOOK_MS;
            assert!(away.silent(&[challenge(1)], false, now).is_empty());
            assert!(refuses.silent(&[challenge(1)], true, now).is_empty(), "{look}");
        }
        assert_eq!(away.standing(NOW + DAY_MS), Standing::Sound);
        assert_eq!(refuses.silent(&[challenge(1)], true, NOW + DAY_MS), [challenge(1)]);
        assert_eq!(refuses.standing(NOW + DAY_MS), Standing::Suspect);
        // It is not asked again at once, and open questions are few.
        assert_eq!(refuses.due(NOW + DAY_MS), (0, 0));
        let many: Vec<_> = (0..100).map(challenge).collect();
        away.silent(&many, false, NOW);
        assert_eq!(away.open().count(), OPEN);
    }
}
