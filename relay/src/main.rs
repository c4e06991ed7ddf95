//! The node on a server and on the command line: the `craftec` binary.
//!
//! It runs a node, carries commands to one, and shows its content over HTTP. What a node does is
//! decided in `craftec-node`; nothing here stores, signs or verifies.

#[cfg(not(unix))]
compile_error!("craftec needs Unix domain sockets and file modes: Linux or macOS");

mod access;
mod cli;
mod commands;
mod config;
mod console;
mod edge;
mod error;
mod folder;
mod frames;
mod http;
mod node_thread;
mod serve;
mod session;
mod socket;
mod units;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;

use crate::{
    cli::Cli,
    config::Settings,
    console::Console,
    error::{RelayError, Result},
};

fn main() -> ExitCode {
    // A panic is a bug of ours: one sentence for the person who meets it, no backtrace.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
        let text = panic.payload_as_str().unwrap_or("no message");
        eprintln!("craftec: internal error{}: {text}", place.unwrap_or_default());
        eprintln!("This is a bug of craftec; nothing you did. Please report this line.");
    }));
    let cli = Cli::parse();
    let console = Console::new(cli.global.json);
    match start(cli, console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(cli: Cli, console: Console) -> Result<()> {
    let settings = Settings::load(&cli)?;
    if cli.global.check_config {
        console.result(&settings, || format!("The configuration is valid.\n{settings:#?}"));
        return Ok(());
    }
    let Some(command) = cli.command else {
        return Err(RelayError::usage("there is no command", "`craftec --help` lists them."));
    };
    tracing_subscriber::fmt()
        .with_env_filter(settings.log_filter()?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    // One provider of cryptography for all TLS in the process. There is none yet, so this works.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| RelayError::Start(format!("no runtime: {error}")))?;
    let done = runtime.block_on(commands::run(command, settings, console));
    // A read of standard input can't be cancelled; don't wait for it.
    runtime.shutdown_background();
    done
}
