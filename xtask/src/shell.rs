//! Running programs: what is run is shown, and a failure names it.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{paths, telling};

/// A command in the repository's root, with the tools of `setup` and of npm first on PATH.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = [paths::root().join("node_modules/.bin"), paths::cache().join("tools/bin")];
    if let Ok(path) = std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path))) {
        command.env("PATH", path);
    }
    command.current_dir(paths::root()).stdin(Stdio::null());
    command
}

/// Cargo, building into the target folder of this run.
pub(crate) fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env("CARGO_TARGET_DIR", paths::target());
    cargo
}

/// Says what runs, runs it, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    say(&describe(command));
    let status =
        telling::status(command).with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status}): {}", name(command), describe(command));
    }
    Ok(())
}

/// Runs quietly and returns what was printed.
pub(crate) fn read(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", name(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", name(command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the command can be started and succeeds.
pub(crate) fn works(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A line about what is being done.
pub(crate) fn say(line: &str) {
    eprintln!("\x1b[1m·\x1b[0m {line}");
}

fn name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn describe(command: &Command) -> String {
    let args = command.get_args().map(OsStr::to_string_lossy);
    std::iter::once(name(command).into()).chain(args).collect::<Vec<_>>().join(" ")
}
