//! Runs many seeds, on all cores: each seed is a world of its own on one thread. What a run finds is
//! the same whichever thread it is on; a panic in one is a failure of that seed and of no other.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use crate::{Report, scenario::Scenario};

/// Stack of a thread that runs a world: futures of a debug build are deep.
const STACK_BYTES: usize = 16 << 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// In each world.
    pub scenario: Scenario,
    /// One world each.
    pub seeds: Range<u64>,
    /// Worlds at one time.
    pub threads: usize,
    /// Every seed that this divides is run twice: both runs must be the same. 0 for none.
    pub twice: u64,
}

/// Runs a scenario in the world of `seed`; what keeps it from its end is a failure too.
pub fn run_seed(scenario: Scenario, seed: u64) -> Report {
    let failed = |what: String| Report { failures: vec![what], ..Report::default() };
    match catch_unwind(AssertUnwindSafe(|| scenario.run(seed))) {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => failed(error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            failed(format!("panic: {}", text.unwrap_or("without a message")))
        }
    }
}

impl Campaign {
    /// Runs everything; `done` hears of each seed, in no fixed order. The reports come in the order
    /// of the seeds.
    pub fn run(&self, mut done: impl FnMut(u64, &Report)) -> Vec<Report> {
        let next = AtomicU64::new(self.seeds.start);
        let (sender, reports) = mpsc::channel();
        let mut all: Vec<(u64, Report)> = Vec::new();
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (sender, next) = (sender.clone(), &next);
                let worker = move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end || sender.send((seed, self.one(seed))).is_err() {
                            return;
                        }
                    }
                };
                let thread = thread::Builder::new().stack_size(STACK_BYTES);
                if let Err(error) = thread.spawn_scoped(scope, worker) {
                    tracing::error!(%error, "fewer threads than wanted");
                }
            }
            drop(sender);
            for (seed, report) in reports {
                done(seed, &report);
                all.push((seed, report));
            }
        });
        all.sort_by_key(|(seed, _)| *seed);
        all.into_iter().map(|(_, report)| report).collect()
    }

    fn one(&self, seed: u64) -> Report {
        let mut report = run_seed(self.scenario, seed);
        if self.twice > 0 && seed.is_multiple_of(self.twice) {
            let again = run_seed(self.scenario, seed);
            if again != report {
                let traces = format!("{} and {}", report.trace, again.trace);
                report.failures.push(format!("two runs of one seed differ: traces {traces}"));
            }
        }
        report
    }
}
