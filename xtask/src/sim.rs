//! The simulator: single scenarios, what `test` runs of it, and campaigns that take hours.

use anyhow::Context;

use crate::shell::{cargo, run};

/// Runs one scenario over `seeds` (`a..b`).
pub(crate) fn scenario(scenario: &str, seeds: &str) -> anyhow::Result<()> {
    let (from, to) = seeds.split_once("..").context("seeds are `a..b`, for instance 0..10")?;
    sim(&[scenario, "--seeds", &format!("{from}..{to}")])
}

/// What every change must pass: each seed that ever failed, and 200 storms of fifty peers, one in
/// twenty of them twice to see that its trace repeats.
pub(crate) fn check() -> anyhow::Result<()> {
    sim(&["kept", "--brief"])?;
    sim(&["storm", "--seeds", "0..200", "--twice", "20", "--brief"])
}

/// Every scenario over many seeds.
pub(crate) fn soak() -> anyhow::Result<()> {
    sim(&["storm", "--seeds", "0..10000", "--twice", "100", "--brief"])?;
    sim(&["put-get", "--seeds", "0..500", "--brief"])?;
    sim(&["liar", "--seeds", "0..500", "--brief"])
}

fn sim(args: &[&str]) -> anyhow::Result<()> {
    let mut sim = cargo();
    sim.args(["run", "--quiet", "--release", "--package", "craftec-sim", "--bin", "sim", "--"]);
    run(sim.args(args))
}
