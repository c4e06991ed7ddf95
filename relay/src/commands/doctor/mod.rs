//! `craftec doctor`: what of this machine helps or hinders a node, each check with its verdict, what
//! was found and what to do. It asks and measures; it repairs nothing, and leaves nothing behind.

mod addr;
mod data;
mod host;
mod names;
mod node;
mod ports;

use serde::Serialize;

use crate::{
    cli::{self, Group},
    config::{Settings, Source},
    console::{Console, printable},
    error::Result,
};

/// How good what was found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It can't be told from here.
    Unknown,
    /// It works, and will hurt at some time.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    group: Group,
    name: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(group: Group, name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { group, name, verdict, found: found.into(), advice: None }
    }

    /// Adds what to do.
    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

#[derive(Serialize)]
struct Report {
    /// No check found a problem.
    ok: bool,
    version: &'static str,
    problems: usize,
    warnings: usize,
    checks: Vec<Check>,
}

/// Runs the checks and prints them; whether none found a problem.
pub(crate) async fn run(
    doctor: &cli::Doctor,
    source: Result<Source>,
    settings: &Settings,
    console: &Console,
) -> bool {
    let wanted = |group: Group| doctor.only.is_empty() || doctor.only.contains(&group);
    let mut checks = Vec::new();
    if wanted(Group::Config) {
        checks.push(config(source));
    }
    let running = node::Running::find(settings).await;
    if wanted(Group::Data) {
        checks.extend(data::checks(settings, &running));
    }
    if wanted(Group::Node) {
        checks.extend(node::checks(settings, &running, doctor.running).await);
    }
    if wanted(Group::Ports) {
        checks.extend(ports::checks(settings, &running).await);
    }
    if wanted(Group::Clock) {
        checks.extend(host::clock(settings, &running).await);
    }
    if wanted(Group::Limits) {
        checks.extend(host::limits(settings, &running));
    }
    if wanted(Group::Names) {
        checks.extend(names::checks(settings).await);
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (problems, warnings) = (count(Verdict::Problem), count(Verdict::Warning));
    let version = env!("CARGO_PKG_VERSION");
    let report = Report { ok: problems == 0, version, problems, warnings, checks };
    console.result(&report, || text(&report));
    report.ok
}

fn config(source: Result<Source>) -> Check {
    let check = |verdict, found| Check::new(Group::Config, "file", verdict, found);
    match source {
        Ok(Source { path, keys: None }) => {
            let found = format!("there is no {}; the defaults hold", path.display());
            check(Verdict::Ok, found)
        }
        Ok(Source { path, keys: Some(keys) }) if keys.is_empty() => {
            check(Verdict::Ok, format!("{} sets nothing; the defaults hold", path.display()))
        }
        Ok(Source { path, keys: Some(keys) }) => {
            check(Verdict::Ok, format!("{} sets {}", path.display(), keys.join(", ")))
        }
        Err(error) => {
            let advice = error.hint().unwrap_or_else(|| "Correct it, or remove it.".to_owned());
            let found = format!("{error}; what follows is without it");
            check(Verdict::Problem, found).advice(advice)
        }
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let word = match check.verdict {
            Verdict::Ok => "ok      ",
            Verdict::Unknown => "unknown ",
            Verdict::Warning => "WARNING ",
            Verdict::Problem => "PROBLEM ",
        };
        let group = format!("{:?}", check.group).to_lowercase();
        let name = format!("{group} {}", check.name);
        text.push_str(&format!("{word} {name:<18} {}\n", printable(&check.found)));
        if let Some(advice) = &check.advice {
            let advice = printable(advice).replace('\n', &format!("\n{:28}", ""));
            text.push_str(&format!("{:28}{advice}\n", ""));
        }
    }
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let Report { problems, warnings, .. } = report;
    text + &format!("\n{}, {}.", plural(*problems, "problem"), plural(*warnings, "warning"))
}
