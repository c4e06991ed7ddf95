//! A node for a data folder on which none runs: `craftec local`, which ends by itself when nobody has used
//! it for a while.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, Trouble},
    ffi,
};

/// How long a node may take to start; it may have to wait for a command that has the folder.
const PATIENCE: Duration = Duration::from_secs(40);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A session with the node of `data`, which is started if there is none.
pub(crate) fn reach(data: &Path) -> Result<Client, Trouble> {
    match Client::connect(data) {
        Err(Trouble::NoNode) => {}
        other => return other,
    }
    let mut node = start(data)?;
    let begun = Instant::now();
    let reached = loop {
        // Before it is tried: one that ended may have found another that had just started.
        let ended = node.try_wait()?;
        match (Client::connect(data), ended) {
            (Err(Trouble::NoNode), None) if begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
            (Err(Trouble::NoNode), Some(status)) => {
                let reason = format!("`craftec local` ended ({status}): `craftec up` says why");
                return Err(Trouble::NoStart(reason));
            }
            (reached, _) => break reached,
        }
    };
    // Someone must ask for its end, or it stays in the list of processes.
    let watched = thread::Builder::new().name("craftsql".to_owned()).spawn(move || node.wait());
    drop(watched);
    reached
}

fn start(data: &Path) -> Result<Child, Trouble> {
    let binary = binary();
    let started = Command::new(&binary)
        .arg("--data")
        .arg(data)
        .arg("local")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the program that has loaded this.
        .process_group(0)
        .spawn();
    started.map_err(|error| {
        Trouble::NoStart(format!(
            "`{}` can't be started: {error}. Run `craftec up`, or name the binary in CRAFTEC_BIN",
            binary.display()
        ))
    })
}

/// The `craftec` that was named, the one beside this library, or the one on the path.
fn binary() -> OsString {
    if let Some(named) = std::env::var_os("CRAFTEC_BIN").filter(|named| !named.is_empty()) {
        return named;
    }
    let beside = ffi::library().and_then(|library| Some(library.parent()?.join("craftec")));
    match beside {
        Some(beside) if beside.is_file() => beside.into(),
        _ => "craftec".into(),
    }
}
