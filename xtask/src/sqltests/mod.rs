//! Whether SQLite on our VFS is SQLite: its own tests, from Debian's source package, beside stock SQLite
//! from the same source, and random statements beside the SQLite that we build.

mod excluded;
mod programs;
mod speed;
mod tcl;

use std::path::Path;

use anyhow::bail;
use clap::ValueEnum;

use crate::{
    paths,
    shell::{cargo, run, say},
    test,
};

/// What there is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// speedtest1: the same results, and how long they take.
    Speed,
    /// sqllogictest files.
    Logic,
    /// SQLite's TCL tests.
    Tcl,
    /// Random statements, natively and in a tab.
    Fuzz,
}

/// How it is run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this part.
    part: Option<Part>,
    /// How long random statements are tried, natively and then in a tab.
    #[arg(long, default_value_t = 10)]
    fuzz_minutes: u32,
    /// A folder with sqllogictest files (`*.test`, `*.slt`): no package registry has SQLite's.
    #[arg(long)]
    slt: Option<String>,
    /// TCL tests: only files that match, `select*.test`.
    #[arg(long)]
    only: Option<String>,
}

/// Runs every part, or one; says at the end which failed.
pub(crate) fn all(options: &Options) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for part in Part::value_variants() {
        if options.part.is_none_or(|only| only == *part)
            && let Err(error) = one(*part, options)
        {
            failed.push(format!("{part:?}: {error:#}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}

fn one(part: Part, options: &Options) -> anyhow::Result<()> {
    match part {
        Part::Speed => speed::all(&programs::all()?),
        Part::Tcl => tcl::all(&programs::all()?, options.only.as_deref()),
        Part::Fuzz => fuzz(options.fuzz_minutes),
        Part::Logic => match &options.slt {
            Some(folder) => logic(Path::new(folder)),
            None if options.part.is_some() => bail!("name a folder of sqllogictest files: SLT=DIR"),
            None => {
                say("sqllogictest is left out: no folder of its files was named (SLT=DIR)");
                Ok(())
            }
        },
    }
}

/// `tests/sqlite` compares every result with stock SQLite's, and with what the file says.
fn logic(folder: &Path) -> anyhow::Result<()> {
    let folder = std::env::current_dir()?.join(folder);
    let mut logic = cargo();
    logic.args(["run", "--quiet", "--release", "--bin", "logic", "--"]).arg(folder);
    run(logic.current_dir(paths::root().join("tests/sqlite")))
}

fn fuzz(minutes: u32) -> anyhow::Result<()> {
    let mut fuzz = cargo();
    fuzz.args(["test", "--quiet", "--release", "--package", "craftec-sql"]);
    fuzz.args(["--test", "differential", "--", "--ignored", "--nocapture"]);
    run(fuzz.env("CRAFTEC_FUZZ_SECONDS", (minutes * 60).to_string()))?;
    fuzz_in_a_tab(minutes)
}

/// The same in a browser's worker, on its file system.
fn fuzz_in_a_tab(minutes: u32) -> anyhow::Result<()> {
    let mut fuzz = test::in_a_tab()?;
    fuzz.args(["--release", "--package", "craftec-sql", "--", "random_statements", "--nocapture"]);
    // A life that is under way is lived to its end.
    fuzz.env("WASM_BINDGEN_TEST_TIMEOUT", (minutes * 60 + 120).to_string());
    run(fuzz.env("CRAFTEC_FUZZ_SECONDS", (minutes * 60).to_string()))
}
