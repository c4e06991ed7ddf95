//! SQLite's own speedtest1, on stock SQLite with WAL and full durability, and on ours.

use std::{fs, path::Path};

use anyhow::{Context, bail};

use super::programs::Programs;
use crate::{
    paths,
    shell::{command, read},
};

/// Sets of statements that speedtest1 knows.
const SETS: [&str; 6] = ["main", "cte", "rtree", "orm", "fp", "json"];
/// Pairs of runs; the middle one counts.
const RUNS: usize = 3;
/// How much of each: a hundred is usual.
const SIZE: &str = "25";

/// What one run said.
struct Run {
    seconds: f64,
    hash: String,
}

/// Runs every set on both, alternating; fails if a result differs.
pub(super) fn all(programs: &Programs) -> anyhow::Result<()> {
    let folder = paths::target().join("sqltests/speed");
    fs::create_dir_all(&folder)?;
    println!("\nspeedtest1 {} --size {SIZE} --verify, seconds", programs.version);
    println!("{:<8} {:>12} {:>12} {:>8}  results", "", "WAL/FULL", "ours", "ratio");
    let (mut totals, mut wrong) = ([0.0; 2], 0);
    for set in SETS {
        let mut pairs = Vec::new();
        for _ in 0..RUNS {
            let stock = run_set(programs, set, "stock", &folder)?;
            let ours = run_set(programs, set, "craft", &folder)?;
            pairs.push((stock, ours));
        }
        let same = pairs.iter().all(|(stock, ours)| stock.hash == ours.hash);
        wrong += usize::from(!same);
        pairs.sort_by(|a, b| (a.0.seconds / a.1.seconds).total_cmp(&(b.0.seconds / b.1.seconds)));
        let (stock, ours) = pairs.get(RUNS / 2).context("no run")?;
        println!(
            "{set:<8} {:>12.3} {:>12.3} {:>8.2}  {}",
            stock.seconds,
            ours.seconds,
            stock.seconds / ours.seconds,
            if same { "the same" } else { "DIFFER" }
        );
        totals[0] += stock.seconds;
        totals[1] += ours.seconds;
    }
    println!("ratio speedtest1 {:.2}", totals[0] / totals[1]);
    if wrong > 0 {
        bail!("speedtest1 gives other results on our VFS in {wrong} sets");
    }
    Ok(())
}

fn run_set(programs: &Programs, set: &str, vfs: &str, folder: &Path) -> anyhow::Result<Run> {
    let database = folder.join(format!("{set}.{vfs}"));
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", database.display()));
    }
    let mut test = command(&programs.speedtest1);
    test.args(["--verify", "--journal", "wal", "--size", SIZE, "--testset", set]).arg(&database);
    let said = read(test.env("CRAFTEC_VFS", vfs).current_dir(folder))?;
    let line = |word: &str| said.lines().find(|line| line.contains(word));
    let total = line("TOTAL").and_then(|line| line.rsplit(' ').next());
    let seconds = total.and_then(|last| last.trim_end_matches('s').parse().ok());
    let hash = line("Verification Hash").context("speedtest1 told no hash")?.to_owned();
    Ok(Run { seconds: seconds.context("speedtest1 told no time")?, hash })
}
