//! What a run found, in numbers: one line for people and machines.

use std::{fmt, time::Duration};

/// The numbers of one run, in the order in which they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What went wrong, one line each; empty where nothing did.
    pub failures: Vec<String>,
    /// Named parts of wholes, of which part / whole is printed.
    pub ratios: Vec<(&'static str, u64, u64)>,
    /// Named numbers.
    pub numbers: Vec<(&'static str, u64)>,
    /// Named durations, of which percentiles are printed in milliseconds.
    pub times: Vec<(&'static str, Vec<Duration>)>,
    /// The trace's hash.
    pub trace: String,
}

impl Report {
    /// Adds the runs of other seeds: numbers are summed, and parts and wholes; times are joined,
    /// traces are hashed.
    pub fn merge(reports: &[Self]) -> Self {
        let mut all = Self::default();
        let mut traces = blake3::Hasher::new();
        for report in reports {
            all.failures.extend(report.failures.iter().cloned());
            for (name, part, whole) in &report.ratios {
                match all.ratios.iter_mut().find(|(known, ..)| known == name) {
                    Some((_, parts, wholes)) => {
                        *parts += part;
                        *wholes += whole;
                    }
                    None => all.ratios.push((*name, *part, *whole)),
                }
            }
            for (name, number) in &report.numbers {
                match all.numbers.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += number,
                    None => all.numbers.push((*name, *number)),
                }
            }
            for (name, times) in &report.times {
                match all.times.iter_mut().find(|(known, _)| known == name) {
                    Some((_, joined)) => joined.extend(times),
                    None => all.times.push((*name, times.clone())),
                }
            }
            traces.update(report.trace.as_bytes());
        }
        all.trace = match reports {
            [one] => one.trace.clone(),
            _ => traces.finalize().to_hex()[..16].to_owned(),
        };
        all
    }

    /// A ratio by name; 0 where there is none.
    pub fn ratio(&self, name: &str) -> f64 {
        let found = self.ratios.iter().find(|(known, ..)| *known == name);
        found.map_or(0.0, |(_, part, whole)| *part as f64 / (*whole).max(1) as f64)
    }

    /// A number by name.
    pub fn number(&self, name: &str) -> u64 {
        self.numbers.iter().find(|(known, _)| *known == name).map_or(0, |(_, number)| *number)
    }
}

/// `failed=0 objects=40 … get_p50_ms=120 get_p99_ms=900 trace=0123456789abcdef`
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed={}", self.failures.len())?;
        for (name, ..) in &self.ratios {
            write!(f, " {name}={:.3}", self.ratio(name))?;
        }
        for (name, number) in &self.numbers {
            write!(f, " {name}={number}")?;
        }
        for (name, times) in &self.times {
            let mut times = times.clone();
            times.sort();
            for (label, percent) in [("p50", 50), ("p99", 99)] {
                let ms = percentile(&times, percent).as_millis();
                write!(f, " {name}_{label}_ms={ms}")?;
            }
        }
        write!(f, " trace={}", self.trace)
    }
}

/// The smallest time that `percent` of the sorted times do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_every_number_once() {
        let report = |trace: &str, ms: u64| Report {
            failures: Vec::new(),
            ratios: vec![("share", 1, 3)],
            numbers: vec![("objects", 2)],
            times: vec![("get", vec![Duration::from_millis(ms)])],
            trace: trace.to_owned(),
        };
        assert_eq!(
            Report::merge(&[report("aa", 5)]).to_string(),
            "failed=0 share=0.333 objects=2 get_p50_ms=5 get_p99_ms=5 trace=aa"
        );
        let both = Report::merge(&[report("aa", 5), report("bb", 9)]);
        assert_eq!((both.number("objects"), both.ratio("share")), (4, 2.0 / 6.0));
        assert!(
            both.to_string()
                .starts_with("failed=0 share=0.333 objects=4 get_p50_ms=5 get_p99_ms=9 ")
        );
        assert_ne!(both.trace, Report::merge(&[report("bb", 9), report("aa", 5)]).trace);
    }

    #[test]
    fn percentiles_are_ranks() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
