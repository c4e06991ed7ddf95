//! Every developer task of the project. `make TARGET` is a one-line front of each.
//!
//! Tasks are idempotent: what is already there and unchanged is left alone, so that a second run is
//! short. They ask nothing, say what they do, and when something can't be had they say what and how
//! to get it.

mod audit;
mod bench;
mod build;
mod dist;
mod docs;
mod life;
mod mutants;
mod nat;
mod paths;
mod setup;
mod shell;
mod sim;
mod sqltests;
mod stamp;
mod telling;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Developer tasks of Craftec")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Bring the tools that a build needs.
    Setup,
    /// Build everything in release: node for the tab, SDK, web app, binary.
    Build,
    /// Build, then run a node with its web app until Ctrl-C.
    Run {
        /// Passed on to `craftec up`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every test, Chromium's included.
    Test {
        /// Only the steps whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// Measure beside the peers that a user would pick instead.
    Bench {
        /// Only this bench.
        name: Option<String>,
    },
    /// Run a scenario of the simulator.
    Sim {
        /// The scenario's name.
        scenario: String,
        /// Seeds, `a..b` (b excluded).
        seeds: String,
    },
    /// Campaigns that take longer than `test` allows.
    Soak,
    /// Thirty nodes and an object that outlives them, in real processes: some seven minutes a run.
    Life {
        /// How many runs.
        #[arg(default_value_t = 1)]
        runs: u32,
        /// The same in tabs, twelve and those that come in their place, without a native node.
        #[arg(long)]
        tabs: bool,
    },
    /// SQLite's own tests and random statements on our VFS, beside stock SQLite.
    Sqltests(sqltests::Options),
    /// Nodes behind routers of different kinds, in network namespaces (Linux, root).
    Nat,
    /// Change the verifying modules one place at a time; a test must notice each change. Takes hours.
    Mutants {
        /// Only files whose path contains this.
        only: Option<String>,
    },
    /// Check the repository's own rules.
    Tidy,
    /// Check licences, sources and known weaknesses of everything that is depended on.
    Audit,
    /// Build the documentation site.
    Docs {
        /// Also publish it with Craftec and read every page through the gateway.
        #[arg(long)]
        check: bool,
    },
    /// Build what is released: the binary with its unit, manual pages, completions and SBOM.
    Dist,
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        // Without the stack, which says nothing about a program that was run and failed.
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Setup => setup::all(),
        Task::Build => build::all().map(drop),
        Task::Run { args } => build::up(&args),
        Task::Test { only } => test::all(only.as_deref()),
        Task::Bench { name } => bench::all(name.as_deref()),
        Task::Sim { scenario, seeds } => sim::scenario(&scenario, &seeds),
        Task::Soak => sim::soak(),
        Task::Life { runs, tabs: false } => life::nodes(runs),
        Task::Life { runs, tabs: true } => life::tabs(runs),
        Task::Sqltests(options) => sqltests::all(&options),
        Task::Nat => nat::all(),
        Task::Mutants { only } => mutants::all(only.as_deref()),
        Task::Tidy => tidy::all(),
        Task::Audit => audit::all(),
        Task::Docs { check: false } => docs::build(),
        Task::Docs { check: true } => docs::check(),
        Task::Dist => dist::all(),
    }
}
