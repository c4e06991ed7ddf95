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
    sim(&["storm", "--seeds", "0..200", "--twice", "20", "--brief"])?;
    sim(&["alive", "--seeds", "0..20", "--twice", "5", "--brief"])?;
    sim(&["closing", "--seeds", "0..20", "--twice", "5", "--brief"])?;
    sim(&["devices", "--seeds", "0..100", "--twice", "20", "--brief"])?;
    sim(&CHURN)
}

/// A few seconds of years: 2,000 object-years at a mean life of six months. What is lost in them, or
/// what costs an eighth more than it did when this was written, is a fault of the policy and not of the seed.
const CHURN: [&str; 13] = [
    "churn",
    "--seeds",
    "0..2",
    "--nodes",
    "1000",
    "--objects",
    "500",
    "--years",
    "2",
    "--none-lost",
    "--repair-most",
    "0.40",
    "--brief",
];

/// Every scenario over many seeds.
pub(crate) fn soak() -> anyhow::Result<()> {
    sim(&["storm", "--seeds", "0..10000", "--twice", "100", "--brief"])?;
    sim(&["put-get", "--seeds", "0..500", "--brief"])?;
    sim(&["liar", "--seeds", "0..500", "--brief"])?;
    sim(&["alive", "--seeds", "0..500", "--brief"])?;
    sim(&["closing", "--seeds", "0..500", "--brief"])?;
    sim(&["devices", "--seeds", "0..5000", "--brief"])?;
    sim(&["churn", "--seeds", "0..16", "--none-lost"])
}

fn sim(args: &[&str]) -> anyhow::Result<()> {
    let mut sim = cargo();
    sim.args(["run", "--quiet", "--release", "--package", "craftec-sim", "--bin", "sim", "--"]);
    run(sim.args(args))
}
