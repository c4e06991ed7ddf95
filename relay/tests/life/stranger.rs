//! A reader that has nothing: each time a new folder, a new identity and a node of its own, which
//! ends with the read, so that nothing it fetched helps anybody.

use std::{
    fs,
    io::Read as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    diary::{Outcome, Read},
    support::Home,
};

/// The longest that a read may take before it counts as failed.
const LONGEST: Duration = Duration::from_secs(120);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// What is read, and what it must be.
pub(crate) struct Wanted {
    pub(crate) cid: String,
    pub(crate) content: Vec<u8>,
}

impl Wanted {
    /// Reads all of it as somebody who knows these nodes and no other.
    pub(crate) fn read(&self, contacts: &[String]) -> Read {
        let home = Home::new();
        let begun = Instant::now();
        let mut command = home.command();
        command.args([
            "get",
            &self.cid,
            "-o",
            "out",
            "--relay",
            &contacts.join(","),
            "--log",
            "error",
        ]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let said = end(child.spawn().expect("it starts"));
        let took = begun.elapsed();
        let outcome = match (said, fs::read(home.path("out"))) {
            (Ok(()), Ok(got)) if got == self.content => Outcome::Exact,
            (Ok(()), _) => Outcome::Wrong,
            (Err(why), _) => Outcome::Failed(why),
        };
        Read { took, outcome }
    }
}

/// Waits for its end; what it said last where it failed.
fn end(mut child: Child) -> Result<(), String> {
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > LONGEST {
            child.kill().expect("it runs");
            child.wait().expect("a child");
            return Err(format!("not done within {} s", LONGEST.as_secs()));
        }
        std::thread::sleep(PAUSE);
    };
    if status.success() {
        return Ok(());
    }
    // Few lines, which a pipe holds: nothing is read before the end.
    let mut said = String::new();
    child.stderr.take().expect("standard error").read_to_string(&mut said).expect("text");
    Err(format!("{status}: {}", said.trim().replace('\n', " | ")))
}
