//! The rule for records, remembered: signatures are most of what a simulated network would spend its
//! time on, because every record is checked by twenty nodes that all come to the same answer.
//!
//! What is asked a second time is answered as the first time. That is the same answer, since the rule
//! depends on the two records alone, and on the clock only where a head is dated ahead of it, which no
//! clock of this world makes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use craftec_p2p::{Record, RecordCheck, RecordChoice};

type Answer = Result<RecordChoice, String>;

/// A rule, and its answers so far.
pub(crate) struct Remembered {
    rule: Arc<dyn RecordCheck>,
    answers: Mutex<BTreeMap<[u8; 32], Answer>>,
}

impl Remembered {
    pub(crate) fn new(rule: Arc<dyn RecordCheck>) -> Arc<Self> {
        Arc::new(Self { rule, answers: Mutex::default() })
    }
}

impl RecordCheck for Remembered {
    fn choose(&self, new: &Record, held: Option<&Record>) -> Answer {
        let mut question = blake3::Hasher::new();
        for record in std::iter::once(new).chain(held) {
            question.update(&record.key.0);
            question.update(&(record.value.len() as u64).to_le_bytes());
            question.update(&record.value);
        }
        let question = question.finalize().into();
        // Each change is one insertion, whole even after a panic elsewhere.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(question).or_insert_with(|| self.rule.choose(new, held)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use craftec_p2p::Key;

    use super::*;

    #[derive(Default)]
    struct Longer(AtomicU64);

    impl RecordCheck for Longer {
        fn choose(&self, new: &Record, held: Option<&Record>) -> Answer {
            self.0.fetch_add(1, Ordering::Relaxed);
            match held {
                Some(held) if held.value.len() >= new.value.len() => Ok(RecordChoice::Keep),
                _ if new.value.is_empty() => Err("it is empty".to_owned()),
                _ => Ok(RecordChoice::Take),
            }
        }
    }

    #[test]
    fn the_rule_is_asked_once_for_each_pair() {
        let rule = Arc::new(Longer::default());
        let check = Remembered::new(rule.clone());
        let record = |key: u8, value: &[u8]| Record { key: Key([key; 32]), value: value.to_vec() };
        let (a, b, none) = (record(1, b"a"), record(1, b"bb"), record(1, b""));
        for _ in 0..3 {
            assert_eq!(check.choose(&a, None), Ok(RecordChoice::Take));
            assert_eq!(check.choose(&a, Some(&b)), Ok(RecordChoice::Keep));
            assert_eq!(check.choose(&b, Some(&a)), Ok(RecordChoice::Take));
            assert!(check.choose(&none, None).is_err());
            assert_eq!(check.choose(&record(2, b"a"), None), Ok(RecordChoice::Take));
        }
        assert_eq!(rule.0.load(Ordering::Relaxed), 5);
    }
}
