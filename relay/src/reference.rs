//! The command line written down: completions for shells, manual pages, Markdown for the
//! documentation. All of it is made from the declaration in `cli`; nothing is said here only.

use std::{fmt::Write as _, fs, io::Write, path::Path};

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use serde::Serialize;

use crate::{
    cli::{self, Cli},
    console::Console,
    error::{RelayError, Result},
};

/// `craftec completions`
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "craftec", &mut text);
    print(&text);
    Ok(())
}

#[derive(Serialize)]
struct Written {
    files: Vec<String>,
}

/// `craftec man`
pub(crate) fn man(man: &cli::Man, console: &Console) -> Result<()> {
    if man.markdown {
        print(markdown().as_bytes());
        return Ok(());
    }
    let Some(folder) = &man.dir else {
        print(&page(command())?);
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(RelayError::file("create", folder))?;
    let mut written = Written { files: Vec::new() };
    write_pages(&command(), "craftec", folder, &mut written.files)?;
    console.result(&written, || format!("{} pages in {}", written.files.len(), folder.display()));
    Ok(())
}

/// The declaration with the flags that every command takes laid into each.
fn command() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// A closed pipe (`| head`) is the reader's choice, not a failure.
fn print(text: &[u8]) {
    drop(std::io::stdout().lock().write_all(text));
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command)
        .render(&mut text)
        .map_err(|error| RelayError::Start(format!("no manual page: {error}")))?;
    Ok(text)
}

fn write_pages(command: &Command, name: &str, to: &Path, written: &mut Vec<String>) -> Result<()> {
    let file = format!("{name}.1");
    let path = to.join(&file);
    fs::write(&path, page(command.clone())?).map_err(RelayError::file("write", &path))?;
    written.push(file);
    for inner in shown(command) {
        write_pages(inner, &format!("{name}-{}", inner.get_name()), to, written)?;
    }
    Ok(())
}

/// Commands below, without `help`, which every command has.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set())
}

fn markdown() -> String {
    let command = command();
    let mut text = String::from(
        "# Command line\n\nOne binary, `craftec`. A command talks to the running node of its data \
         folder, or runs the node itself for as long as it needs. Results go to standard output, \
         everything else to standard error; `--json` makes the result one JSON object.\n\nFlags \
         come before environment variables, those before the configuration file, that before \
         defaults.\n\n## Flags of every command\n\n",
    );
    arguments(&mut text, command.get_arguments().filter(|arg| arg.is_global_set()));
    text.push_str(
        "\n## Exit codes\n\n| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failed |\n\
         | 2 | bad usage |\n| 3 | not found |\n| 4 | unavailable |\n",
    );
    for inner in shown(&command) {
        section(&mut text, inner, "craftec");
    }
    text
}

fn section(text: &mut String, command: &Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    if command.has_subcommands() {
        shown(command).for_each(|inner| section(text, inner, &name));
        return;
    }
    let positional = command.get_positionals().map(|arg| {
        let value = arg.get_value_names().unwrap_or_default().join(" ");
        let many = if arg.get_num_args().is_some_and(|n| n.max_values() > 1) { "…" } else { "" };
        if arg.is_required_set() { format!(" {value}{many}") } else { format!(" [{value}]{many}") }
    });
    let usage = format!("{name}{}", positional.collect::<String>());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // Writing to a string does not fail.
    let _ = write!(text, "\n## {name}\n\n{about}.\n\n```text\n{usage}\n```\n\n");
    let own =
        |arg: &&Arg| !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str());
    arguments(text, command.get_arguments().filter(own));
}

fn arguments<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<_> = args.filter(|arg| !arg.is_hide_set()).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(text, "| argument | |\n|---|---|\n{}", rows.concat());
    }
}

fn row(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let takes = arg.get_action().takes_values();
    let name = match (arg.get_short(), arg.get_long()) {
        (None, None) => value,
        (short, long) => {
            let short = short.map(|short| format!("-{short}"));
            let long = long.map(|long| format!("--{long}"));
            let flags: Vec<_> = short.into_iter().chain(long).collect();
            let value = if takes { format!(" {value}") } else { String::new() };
            format!("{}{value}", flags.join(", "))
        }
    };
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<_> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes && !values.is_empty() {
        let _ = write!(help, " ({})", values.join(", "));
    }
    if let Some(env) = arg.get_env() {
        let _ = write!(help, "; `{}`", env.to_string_lossy());
    }
    // A bar would end the cell, a bracket begin a link.
    let clean = |text: String| text.replace('|', "\\|").replace('[', "\\[");
    format!("| `{name}` | {} |\n", clean(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_names_every_command_and_its_flags() {
        let text = markdown();
        for wanted in [
            "## craftec up\n",
            "## craftec site publish\n",
            "| `--http ADDR:PORT` |",
            "; `CRAFTEC_DATA` |",
            "| `-o, --out OUT` |",
            "craftec put FILE…",
            "(`text`, `json`)",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(!text.contains("craftec help"));
        let page = String::from_utf8(page(command()).unwrap()).unwrap();
        assert!(page.contains(".TH craftec 1"), "{page}");
    }
}
