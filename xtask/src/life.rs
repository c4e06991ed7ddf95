//! Objects that outlive their author and their holders, in real processes and real browsers: the
//! long forms of what `test` does shortly.

use crate::{
    build,
    shell::{cargo, command, run},
    test::driving,
};

/// Thirty nodes of the release build (`relay/tests/life`); the last line is for machines.
pub(crate) fn nodes(runs: u32) -> anyhow::Result<()> {
    let binary = build::all()?;
    let mut life = cargo();
    life.args(["test", "--quiet", "--package", "craftec-relay", "--test", "life"]);
    life.args(["--", "--ignored", "--nocapture"]);
    run(life.env("CRAFTEC", binary).env("LIFE_RUNS", runs.to_string()))
}

/// Tabs alone (`tests/browser/specs/life.spec.ts`).
pub(crate) fn tabs(runs: u32) -> anyhow::Result<()> {
    build::all()?;
    let mut npm = command("npm");
    driving(&mut npm, "tests/browser")?.env("LIFE_RUNS", runs.to_string());
    run(npm.args(["test", "--", "specs/life"]))
}
