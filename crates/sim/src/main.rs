//! `sim`: runs a scenario over a range of seeds and prints what it found, the last line for
//! machines. A failure names the seed that replays it.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Instant,
};

use clap::Parser;
use craftec_sim::{
    Campaign, Report,
    churn::{
        self, Progress,
        object_life::{Mending, live},
    },
    kept::kept,
    scenario::Scenario,
};
use tracing_subscriber::EnvFilter;

/// Runs a scenario in simulated worlds.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Options {
    /// The scenario: put-get, liar, mesh, storm, alive, closing, devices or reciprocity; `churn`, which is
    /// abstract and years long; `object-life`, a hundred turnovers of holders in real bytes; or
    /// `kept`, which replays every seed that once failed.
    scenario: Which,
    /// Seeds to run, `from..to` (the end excluded) or a single one.
    #[arg(long, default_value = "0..4", value_parser = seeds)]
    seeds: Range<u64>,
    /// Worlds at one time; by default one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// Runs every seed that this number divides twice, and compares. 0 runs none twice.
    #[arg(long, default_value_t = 0)]
    twice: u64,
    /// Prints only seeds that fail, and the last line.
    #[arg(long)]
    brief: bool,
    /// Writes the pictures of `churn` into this folder.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Fails `churn` if an object is lost.
    #[arg(long)]
    none_lost: bool,
    /// Fails `churn` if repair costs more than this a month, in objects' sizes.
    #[arg(long, value_name = "SIZES")]
    repair_most: Option<f64>,
    /// Random sets of pieces that each life of `object-life` decodes.
    #[arg(long, default_value_t = 1000)]
    draws: u64,
    #[command(flatten)]
    churn: churn::Config,
}

#[derive(Clone, Copy)]
enum Which {
    One(Scenario),
    Churn,
    ObjectLife,
    Kept,
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "kept" => Ok(Self::Kept),
            "churn" => Ok(Self::Churn),
            "object-life" => Ok(Self::ObjectLife),
            _ => name.parse().map(Self::One),
        }
    }
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
    let campaigns = match (options.scenario, kept()) {
        (Which::Churn, _) => return years(&options),
        (Which::ObjectLife, _) => return lives(&options),
        (Which::One(scenario), _) => vec![(scenario, options.seeds.clone())],
        (Which::Kept, Ok(kept)) => {
            kept.into_iter().map(|kept| (kept.scenario, kept.seed..kept.seed + 1)).collect()
        }
        (Which::Kept, Err(error)) => {
            eprintln!("sim: seeds.txt: {error}");
            return ExitCode::from(2);
        }
    };
    let failed = campaigns.into_iter().map(|(scenario, seeds)| campaign(&options, scenario, seeds));
    if failed.sum::<usize>() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs `churn`; fails where more is lost or spent than may be.
fn years(options: &Options) -> ExitCode {
    let threads = options.threads.unwrap_or_else(cores);
    let began = Instant::now();
    let tell = |now: Progress| {
        let Progress { seed, years, of, lost } = now;
        let seconds = began.elapsed().as_secs();
        eprintln!("sim churn: seed {seed}: year {years} of {of:.1}, lost {lost}, {seconds} s");
    };
    let found = churn::churn(&options.churn, options.seeds.clone(), threads, &tell);
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::from(2);
        }
    };
    if !options.brief {
        println!("{found}");
    }
    if let Some(Err(error)) = options.pictures.as_deref().map(|folder| draw(&found, folder)) {
        eprintln!("sim: {error}");
        return ExitCode::from(2);
    }
    println!("{}", found.line());
    let lost = options.none_lost && found.lost() > 0;
    let dear = options.repair_most.is_some_and(|most| found.repair_per_month() > most);
    if lost || dear { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Lives of one object for k = 16, 32 and 64, one of each for each seed; fails if one is lost, a set
/// does not decode, or batches cost more than 1.15 x the cut-set bound.
fn lives(options: &Options) -> ExitCode {
    let mut failed = 0;
    for (seed, k) in options.seeds.clone().flat_map(|seed| [16, 32, 64].map(|k| (seed, k))) {
        for mending in [Mending::BesideWhole, Mending::Batched, Mending::Single] {
            let (turnovers, draws) = match mending {
                Mending::BesideWhole => (100, options.draws),
                Mending::Batched => (100, 0),
                Mending::Single => (5, 0),
            };
            match live(k, mending, turnovers, draws, seed) {
                Ok(lived) => {
                    println!("sim object-life seed={seed} mending={mending:?} {lived}");
                    let dear = mending != Mending::Single && lived.over_bound() > 1.15;
                    failed += u32::from(lived.lost || lived.failed != [0; 2] || dear);
                }
                Err(error) => {
                    eprintln!("sim: {error}");
                    return ExitCode::from(2);
                }
            }
        }
    }
    println!("sim object-life seeds={} failed={failed}", options.seeds.clone().count());
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn draw(found: &churn::Found, folder: &Path) -> std::io::Result<()> {
    let pictures = found.pictures();
    pictures.iter().try_for_each(|(name, picture)| fs::write(folder.join(name), picture))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs one scenario; how many of its seeds failed.
fn campaign(options: &Options, scenario: Scenario, seeds: Range<u64>) -> usize {
    let threads = options.threads.unwrap_or_else(cores);
    let campaign = Campaign { scenario, seeds, threads, twice: options.twice };
    let mut failed = 0;
    let reports = campaign.run(|seed, report| {
        if !options.brief || !report.failures.is_empty() {
            println!("seed {seed}: {report}");
        }
        if !report.failures.is_empty() {
            failed += 1;
            for failure in &report.failures {
                println!("  {failure}");
            }
            println!("  replay: cargo run -p craftec-sim -- {scenario} --seeds {seed}");
        }
    });
    println!("sim {scenario} seeds={} {}", reports.len(), Report::merge(&reports));
    failed
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
