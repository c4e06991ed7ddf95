//! `sim`: runs a scenario over a range of seeds and prints what it found, the last line for
//! machines. A failure names the seed that replays it.

use std::{ops::Range, process::ExitCode};

use clap::Parser;
use craftec_sim::{Report, scenario::Scenario};
use tracing_subscriber::EnvFilter;

/// Runs a scenario in simulated worlds.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Options {
    /// The scenario: put-get, liar or mesh.
    scenario: Scenario,
    /// Seeds to run, `from..to` (the end excluded) or a single one.
    #[arg(long, default_value = "0..4", value_parser = seeds)]
    seeds: Range<u64>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| part.parse::<u64>().map_err(|e| format!("`{part}`: {e}"));
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => {
            let one = number(text)?;
            one..one.checked_add(1).ok_or("the seed is too large")?
        }
    };
    if range.is_empty() {
        return Err(format!("`{text}` holds no seeds; write for instance 0..4"));
    }
    Ok(range)
}

fn main() -> ExitCode {
    let options = Options::parse();
    // `RUST_LOG=debug` tells the story of a seed that fails. Without times: they would be real ones.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let scenario = options.scenario;
    let mut reports = Vec::new();
    let mut failed = 0;
    for seed in options.seeds {
        let report = scenario.run(seed).unwrap_or_else(|error| Report {
            failures: vec![error.to_string()],
            ..Report::default()
        });
        println!("seed {seed}: {report}");
        if !report.failures.is_empty() {
            failed += 1;
            for failure in &report.failures {
                println!("  {failure}");
            }
            println!("  replay: cargo run -p craftec-sim -- {scenario} --seeds {seed}");
        }
        reports.push(report);
    }
    println!("sim {scenario} seeds={} {}", reports.len(), Report::merge(&reports));
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_or_single() {
        assert_eq!(seeds("3"), Ok(3..4));
        assert_eq!(seeds("0..4"), Ok(0..4));
        for bad in ["", "4..4", "a..b", "-1", "1...3"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }
}
