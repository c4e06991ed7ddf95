//! The simulator: single scenarios, and campaigns that take hours.

use anyhow::Context;

use crate::shell::{cargo, run};

/// Runs one scenario over `seeds` (`a..b`).
pub(crate) fn scenario(scenario: &str, seeds: &str) -> anyhow::Result<()> {
    let (from, to) = seeds.split_once("..").context("seeds are `a..b`, for instance 0..10")?;
    let mut sim = cargo();
    sim.args(["run", "--quiet", "--release", "--package", "craftec-sim", "--bin", "sim", "--"]);
    run(sim.args([scenario, "--seeds", &format!("{from}..{to}")]))
}

/// Every scenario over many seeds.
pub(crate) fn soak() -> anyhow::Result<()> {
    scenario("put-get", "0..500")?;
    scenario("liar", "0..500")
}
