//! One look at one holder: what is asked, in which order, and what the answers mean. A pure state
//! machine: who drives it sends the questions and tells what came back.
//!
//! Samples are asked `TOGETHER`, so that each request is of one kind and its time can be compared with
//! others. Questions that stayed open are asked last, each alone, and only if the holder answers at all.

use craftec_core::Cid;

use super::{
    draw::{Drawn, Draws, Promised},
    proof::Shown,
    standing::{Failed, Fault, Record, Standing},
    wire::{Challenge, Item},
};

/// Challenges in one request: few, so that a request with a block that is fetched from elsewhere takes
/// visibly longer than others, and more than one, since each costs a round trip.
const TOGETHER: u32 = 4;
/// Requests without an answer, one after the other, after which no more samples are asked.
const SILENT: u32 = 2;
/// Questions for each sample that is due: draws beyond the end of a block are no samples.
const QUESTIONS: u32 = 5;

/// What one look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Questions sent; none if nothing was due, or the hour's bytes are spent.
    pub asked: u32,
    /// Chunks that were proved.
    pub passed: u32,
    /// Blocks that it failed, each once.
    pub failed: Vec<Failed>,
    /// Questions without an answer. They are asked again.
    pub unanswered: u32,
    /// Requests answered, and how many of them took longer than usual.
    pub answers: u32,
    /// See [`timing`](super::timing): no failure.
    pub late: u32,
    /// Lengths that were proved of blocks whose length was not given, or given wrongly: give them in the
    /// next look.
    pub lengths: Vec<(Cid, u32)>,
    /// It was asked and is not there. For how long it may be away is for others to judge.
    pub unreachable: bool,
    /// What the holder is worth now.
    pub standing: Standing,
}

impl Verdict {
    /// Of a look in which nothing was asked.
    pub(super) fn idle(standing: Standing) -> Self {
        Self {
            asked: 0,
            passed: 0,
            failed: Vec::new(),
            unanswered: 0,
            answers: 0,
            late: 0,
            lengths: Vec::new(),
            unreachable: false,
            standing,
        }
    }
}

/// Why a request has no proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It is not there.
    Away,
    /// It is connected, or says that it will not.
    There,
}

/// A look that is under way.
pub(super) struct Look<'a> {
    draws: Draws<'a>,
    /// Questions that stayed open, of blocks that are still promised.
    again: Vec<Drawn>,
    owed: u32,
    closer: u32,
    questions: u32,
    silent_in_row: u32,
    there: bool,
    silent: Vec<Challenge>,
    verdict: Verdict,
}

impl<'a> Look<'a> {
    /// A look at what is due.
    pub(super) fn new(blocks: &'a [Promised], record: &Record, now_ms: u64) -> Self {
        let (owed, closer) = record.due(now_ms);
        let open: Vec<Challenge> = record.open().collect();
        let mut again = Vec::new();
        if !open.is_empty() && owed + closer > 0 {
            for (at, block) in blocks.iter().enumerate() {
                let asked = open.iter().filter(|challenge| challenge.cid == block.cid);
                let open =
                    |challenge: &Challenge| Drawn { at, challenge: *challenge, fresh: false };
                again.extend(asked.map(open));
            }
            again.sort_by_key(|drawn| drawn.challenge);
            again.dedup_by_key(|drawn| drawn.challenge);
        }
        Self {
            draws: Draws::new(blocks),
            again,
            owed,
            closer,
            questions: (owed + closer).saturating_mul(QUESTIONS),
            silent_in_row: 0,
            there: false,
            silent: Vec::new(),
            verdict: Verdict::idle(record.standing(now_ms)),
        }
    }

    /// The next request; `None` ends the look.
    pub(super) fn next(
        &mut self,
        record: &mut Record,
        now_ms: u64,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Vec<Drawn>> {
        if record.is_evicted(now_ms) {
            return None;
        }
        let due = self.owed + self.closer;
        if due > 0 && self.questions > 0 && self.silent_in_row < SILENT {
            let count = due.min(TOGETHER).min(self.questions);
            let drawn: Vec<_> = (0..count).map_while(|_| self.draws.next(random)).collect();
            if drawn.is_empty() {
                // It promised so little that all of it was asked.
                self.settle(record, due, now_ms);
            } else {
                return Some(self.sent(drawn));
            }
        }
        if self.verdict.answers == 0 && self.silent_in_row > 0 {
            return None;
        }
        let open = self.again.pop()?;
        Some(self.sent(vec![open]))
    }

    fn sent(&mut self, drawn: Vec<Drawn>) -> Vec<Drawn> {
        let count = drawn.len() as u32;
        self.questions = self.questions.saturating_sub(count);
        self.verdict.asked += count;
        drawn
    }

    /// A request was not sent after all.
    pub(super) fn unasked(&mut self, asked: &[Drawn]) {
        self.verdict.asked -= asked.len() as u32;
    }

    /// So many samples of it are settled, the owed ones first.
    fn settle(&mut self, record: &mut Record, samples: u32, now_ms: u64) {
        let owed = samples.min(self.owed);
        let closer = (samples - owed).min(self.closer);
        (self.owed, self.closer) = (self.owed - owed, self.closer - closer);
        record.pay(owed, closer, now_ms);
    }

    /// The answer to a request, one item for each question, and whether it was late.
    pub(super) fn answered(
        &mut self,
        record: &mut Record,
        now_ms: u64,
        asked: &[Drawn],
        items: &[Item],
        late: bool,
    ) {
        (self.there, self.silent_in_row) = (true, 0);
        self.verdict.answers += 1;
        self.verdict.late += u32::from(late);
        for (drawn, item) in asked.iter().zip(items) {
            let challenge = drawn.challenge;
            let fault = match item {
                Item::Missing => Some(Fault::Missing),
                Item::Proof(proof) => match proof.verify(&challenge.cid, challenge.chunk) {
                    Ok(Shown { chunk, len }) => {
                        if let Some(len) = len {
                            self.draws.learn(drawn.at, len);
                        }
                        record.passed(challenge, now_ms);
                        if chunk != challenge.chunk {
                            // The end of the block: true, and no sample.
                            continue;
                        }
                        None
                    }
                    Err(_) => Some(Fault::Wrong),
                },
            };
            self.settle(record, u32::from(drawn.fresh), now_ms);
            match fault {
                None => self.verdict.passed += 1,
                Some(fault) => self.fail(record, Failed { challenge, fault }, now_ms),
            }
        }
    }

    fn fail(&mut self, record: &mut Record, failed: Failed, now_ms: u64) {
        let before = record.closer();
        if record.failed(failed.challenge, now_ms) {
            self.verdict.failed.push(failed);
        }
        // The closer look begins at once.
        let more = record.closer().saturating_sub(before);
        self.closer += more;
        self.questions = self.questions.saturating_add(more.saturating_mul(QUESTIONS));
    }

    /// A request got no proofs.
    pub(super) fn silence(&mut self, asked: &[Drawn], silence: Silence) {
        self.there |= silence == Silence::There;
        self.silent_in_row += 1;
        self.verdict.unanswered += asked.len() as u32;
        self.silent.extend(asked.iter().map(|drawn| drawn.challenge));
    }

    /// Ends the look, finished or not.
    pub(super) fn end(mut self, record: &mut Record, now_ms: u64) -> Verdict {
        if self.verdict.answers == 0 && !self.silent.is_empty() {
            self.verdict.unreachable = !self.there;
            // Who answers nothing has not answered those either.
            self.silent.extend(self.again.iter().map(|drawn| drawn.challenge));
        }
        for challenge in record.silent(&self.silent, self.there, now_ms) {
            self.verdict.failed.push(Failed { challenge, fault: Fault::Unanswered });
        }
        self.verdict.lengths = self.draws.learned();
        self.verdict.standing = record.standing(now_ms);
        self.verdict
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
