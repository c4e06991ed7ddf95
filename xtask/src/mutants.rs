//! Mutation testing of the modules that decide what is believed (`.cargo/mutants.toml` names them, and
//! every change that no test can notice, with its reason). A survivor is a missing test.

use crate::{
    paths, setup,
    shell::{command, read, run},
};

/// The version of cargo-mutants that the list of exceptions was made with.
const VERSION: &str = "27.1.0";
/// How long the tests of one change may take: they take a second.
const TIMEOUT_S: &str = "120";

/// The packages whose tests must notice.
const PACKAGES: [&str; 2] = ["craftec-core", "craftec-obj"];

/// Tries every change (or those in files whose path contains `only`); fails if one survives.
pub(crate) fn all(only: Option<&str>) -> anyhow::Result<()> {
    let tool = paths::tool("cargo-mutants");
    let have = read(command(&tool).args(["mutants", "--version"])).unwrap_or_default();
    if !have.trim().ends_with(VERSION) {
        setup::cargo_install(&["cargo-mutants", "--version", VERSION, "--locked", "--force"])?;
    }
    let mut mutants = command(tool);
    mutants.args(["mutants", "--no-shuffle", "--timeout", TIMEOUT_S]);
    mutants.arg("--output").arg(paths::target());
    for package in PACKAGES {
        mutants.args(["--package", package]);
    }
    if let Some(only) = only {
        mutants.args(["--file", &format!("*{only}*")]);
    }
    run(&mut mutants)
}
