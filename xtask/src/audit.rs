//! What others wrote and we ship: licences, sources and duplicates (cargo-deny), and known weaknesses
//! of crates and npm packages.
//!
//! Weaknesses are looked up on the network. Where that can't be reached a test run says so and goes
//! on; the scheduled audit fails.

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    paths, setup,
    shell::{cargo, command, read, run, say},
};

/// What an unreachable network means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offline {
    /// Say it and go on.
    Skip,
    /// Fail.
    Fail,
}

/// Everything; the network must be there.
pub(crate) fn all() -> anyhow::Result<()> {
    deny()?;
    advisories(Offline::Fail)?;
    npm(Offline::Fail)
}

/// What a test run checks of crates.
pub(crate) fn crates() -> anyhow::Result<()> {
    deny()?;
    advisories(Offline::Skip)
}

/// What a test run checks of npm packages.
pub(crate) fn packages() -> anyhow::Result<()> {
    npm(Offline::Skip)
}

/// Licences, sources and bans: of every crate in the lock file, those of other platforms and of features
/// that are off included, which no build has brought yet.
fn deny() -> anyhow::Result<()> {
    let tool = setup::cargo_deny()?;
    run(cargo().args(["fetch", "--quiet", "--locked"]))?;
    let mut deny = command(tool);
    deny.args(["--offline", "--locked", "check", "--hide-inclusion-graph"]);
    run(deny.args(["bans", "licenses", "sources"]))
}

fn advisories(offline: Offline) -> anyhow::Result<()> {
    let tool = setup::cargo_deny()?;
    if let Err(error) = read(command(&tool).args(["fetch", "db"])) {
        let reason = format!("{error:#}");
        let reason = reason.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return unreachable(offline, "the database of advisories on crates", reason);
    }
    run(command(&tool).args(["--locked", "check", "--disable-fetch", "advisories"]))
}

/// Every lock file of ours; fails on weaknesses called high or critical.
fn npm(offline: Offline) -> anyhow::Result<()> {
    let locks = read(command("git").args(["ls-files", "*package-lock.json"]))?;
    for lock in locks.lines() {
        let folder = paths::root().join(lock);
        let folder = folder.parent().context("a lock file is in a folder")?;
        let mut npm = command("npm");
        // It exits with 1 both when something was found and when nobody answered.
        let output = npm.args(["audit", "--json"]).current_dir(folder).output();
        let output = output.context("npm is needed; install Node.js")?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match verdict(&report) {
            Verdict::Clean(known) => {
                say(&format!("{lock}: nothing high or critical ({known} lesser)"));
            }
            Verdict::Found(names) => bail!("{lock}: known weaknesses in {}", names.join(", ")),
            // Who does not answer once is not asked again.
            Verdict::NoAnswer(reason) => {
                return unreachable(offline, "npm's audit", &reason);
            }
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing grave; how many lesser ones there are.
    Clean(usize),
    /// Packages with grave ones.
    Found(Vec<String>),
    /// The registry has no audit, or isn't there.
    NoAnswer(String),
}

/// Reads npm's report.
fn verdict(report: &Value) -> Verdict {
    let Some(found) = report.get("vulnerabilities").and_then(Value::as_object) else {
        let reason = report.get("message").and_then(Value::as_str);
        let reason = reason.unwrap_or("npm gave no report");
        // Without the address it came from, which differs from place to place.
        let reason = reason.split(" - ").next().unwrap_or_default();
        return Verdict::NoAnswer(reason.to_owned());
    };
    let grave = |one: &Value| {
        matches!(one.get("severity").and_then(Value::as_str), Some("high" | "critical"))
    };
    let names: Vec<_> =
        found.iter().filter(|(_, one)| grave(one)).map(|(name, _)| name.clone()).collect();
    if names.is_empty() { Verdict::Clean(found.len()) } else { Verdict::Found(names) }
}

fn unreachable(offline: Offline, what: &str, reason: &str) -> anyhow::Result<()> {
    match offline {
        Offline::Skip => {
            say(&format!("skipped: {what} can't be reached from here ({reason})"));
            Ok(())
        }
        Offline::Fail => bail!("{what} can't be reached: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn npm_reports_are_told_apart() {
        let clean = json!({ "vulnerabilities": { "a": { "severity": "moderate" } } });
        assert_eq!(verdict(&clean), Verdict::Clean(1));
        let grave = json!({ "vulnerabilities": { "b": { "severity": "high" }, "a": {} } });
        assert_eq!(verdict(&grave), Verdict::Found(vec!["b".to_owned()]));
        let refused = json!({ "message": "405 Method Not Allowed - POST somewhere", "error": {} });
        assert_eq!(verdict(&refused), Verdict::NoAnswer("405 Method Not Allowed".to_owned()));
        assert_eq!(verdict(&Value::Null), Verdict::NoAnswer("npm gave no report".to_owned()));
    }
}
