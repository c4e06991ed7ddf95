//! What happened when: a table as it grows, and its sum.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How one read ended.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every byte is right.
    Exact,
    /// It said that it was done, and is not what was put.
    Wrong,
    /// It failed, and said why.
    Failed(String),
}

/// What was read, and what was moved to mend it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    reads: u64,
    exact: u64,
    slowest: Duration,
    repairs_bytes: u64,
}

impl Sum {
    pub(crate) fn all_exact(&self) -> bool {
        self.reads > 0 && self.exact == self.reads
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.reads += more.reads;
        self.exact += more.exact;
        self.slowest = self.slowest.max(more.slowest);
        self.repairs_bytes += more.repairs_bytes;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, exact, repairs_bytes, .. } = self;
        let slowest = self.slowest.as_secs_f64();
        write!(
            f,
            "reads={reads} exact={exact} slowest_s={slowest:.1} repairs_bytes={repairs_bytes}"
        )
    }
}

/// Prints lines as they come, from any thread.
pub(crate) struct Diary {
    begun: Instant,
    sum: Mutex<Sum>,
}

impl Diary {
    pub(crate) fn begin() -> Self {
        println!("{:>8} {:>6}  what", "s", "alive");
        Self { begun: Instant::now(), sum: Mutex::default() }
    }

    pub(crate) fn note(&self, alive: usize, what: &str) {
        println!("{:>8.1} {alive:>6}  {what}", self.begun.elapsed().as_secs_f64());
    }

    pub(crate) fn read(&self, alive: usize, read: &Read) {
        let word = match &read.outcome {
            Outcome::Exact => "exact".to_owned(),
            Outcome::Wrong => "WRONG BYTES".to_owned(),
            Outcome::Failed(why) => format!("FAILED: {why}"),
        };
        self.note(alive, &format!("read in {:.2} s, {word}", read.took.as_secs_f64()));
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.reads += 1;
        sum.exact += u64::from(read.outcome == Outcome::Exact);
        sum.slowest = sum.slowest.max(read.took);
    }

    pub(crate) fn sum(self, repairs_bytes: u64) -> Sum {
        let sum = self.sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        Sum { repairs_bytes, ..sum }
    }
}
