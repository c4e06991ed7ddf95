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
mod logging;
mod node_thread;
mod reference;
mod serve;
mod session;
mod socket;
mod units;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
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
        Ok(code) => code,
        Err(error) => {
            console.failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(cli: Cli, console: Console) -> Result<ExitCode> {
    // These know the command line and need nothing else.
    match &cli.command {
        Some(Command::Completions(shell)) => {
            return reference::completions(shell.shell).map(|()| ExitCode::SUCCESS);
        }
        Some(Command::Man(man)) => {
            return reference::man(man, &console).map(|()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let settings = match (Settings::load(&cli), &cli.command) {
        // What is wrong with the file is the first thing that it says.
        (Err(_), Some(Command::Doctor(_))) => Settings::without_file(&cli)?,
        (settings, _) => settings?,
    };
    if cli.global.check_config {
        console.result(&settings, || format!("The configuration is valid.\n{settings:#?}"));
        return Ok(ExitCode::SUCCESS);
    }
    // One provider of cryptography for all TLS in the process. There is none yet, so this works.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| RelayError::Start(format!("no runtime: {error}")))?;
    let logging = logging::start(&settings, runtime.handle())?;
    let source = Settings::source(&cli);
    let done = match cli.command {
        None => Err(RelayError::usage("there is no command", "`craftec --help` lists them.")),
        Some(Command::Doctor(doctor)) => {
            let healthy = runtime.block_on(commands::doctor(&doctor, source, &settings, &console));
            Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some(command) => {
            runtime.block_on(commands::run(command, settings, console)).map(|()| ExitCode::SUCCESS)
        }
    };
    // Before the runtime, which carries its last words.
    drop(logging);
    // A read of standard input can't be cancelled; don't wait for it.
    runtime.shutdown_background();
    done
}
