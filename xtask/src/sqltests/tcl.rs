//! SQLite's TCL tests: each file on stock SQLite and on ours, in the same program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, bail};

use super::{
    excluded::{Excluded, matches},
    programs::Programs,
};
use crate::{
    paths,
    shell::{command, say},
};

/// The version that the list of exclusions was made with.
const LIST_OF: &str = "3.53.4";
/// How long one file may take.
const TIMEOUT_S: &str = "300";
/// Folders of tests below SQLite's tree.
const FOLDERS: [&str; 8] = [
    "test",
    "ext/rtree",
    "ext/fts5/test",
    "ext/expert",
    "ext/recover",
    "ext/rbu",
    "ext/intck",
    "ext/session",
];
/// The case that stands for a file that did not come to its end.
const UNFINISHED: &str = "(unfinished)";
/// The one that stands for cases that stock SQLite ran and ours did not.
const FEWER: &str = "(fewer)";

/// What one file did.
#[derive(Default)]
struct Outcome {
    cases: u64,
    failed: BTreeSet<String>,
}

/// What two runs of one file come to.
struct Compared {
    file: String,
    cases: u64,
    /// Cases that fail on both sides.
    both: usize,
    /// Those that fail on ours alone.
    ours: BTreeSet<String>,
}

/// Runs all files (or those that match `only`) and tells what ours does otherwise.
pub(super) fn all(programs: &Programs, only: Option<&str>) -> anyhow::Result<()> {
    if programs.version != LIST_OF {
        say(&format!("excluded.txt was made with {LIST_OF}, these tests are {}", programs.version));
    }
    let excluded = Excluded::read()?;
    let (mut chosen, mut left_out) = (Vec::new(), BTreeMap::new());
    for path in files(programs)? {
        let name = file_name(&path);
        if only.is_some_and(|only| !matches(only, &name)) {
            continue;
        }
        match excluded.not_run(&name) {
            Some(word) => *left_out.entry(word.to_owned()).or_insert(0) += 1,
            None => chosen.push(path),
        }
    }
    let compared = compare_all(programs, &chosen)?;
    report(&compared, &excluded, &left_out)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn files(programs: &Programs) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let folder = programs.source.join(folder);
        let entries = fs::read_dir(&folder);
        let mut here = Vec::new();
        for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "test") {
                here.push(path);
            }
        }
        here.sort();
        files.append(&mut here);
    }
    Ok(files)
}

/// Runs the files, as many at a time as there are processors.
fn compare_all(programs: &Programs, files: &[PathBuf]) -> anyhow::Result<Vec<Compared>> {
    let outputs = paths::target().join("sqltests/tcl");
    fs::create_dir_all(&outputs)?;
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let compared = compare(programs, file, &outputs);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(Compared { file, cases, ours, .. }) = &compared {
                let place = done.len() + 1;
                say(&format!(
                    "{place}/{} {file}: {cases} cases, {} differ",
                    files.len(),
                    ours.len()
                ));
            }
            done.push(compared);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut all = Vec::new();
    for compared in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        all.push(compared?);
    }
    all.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(all)
}

fn compare(programs: &Programs, path: &Path, outputs: &Path) -> anyhow::Result<Compared> {
    let file = file_name(path);
    let stock = run_file(programs, path, "stock", outputs)?;
    let ours = run_file(programs, path, "craft", outputs)?;
    let mut differ: BTreeSet<String> = ours.failed.difference(&stock.failed).cloned().collect();
    if differ.is_empty() && ours.cases < stock.cases {
        differ.insert(FEWER.to_owned());
    }
    let both = ours.failed.intersection(&stock.failed).count();
    Ok(Compared { file, cases: ours.cases, both, ours: differ })
}

fn run_file(
    programs: &Programs,
    path: &Path,
    vfs: &str,
    outputs: &Path,
) -> anyhow::Result<Outcome> {
    let name = file_name(path);
    // In memory where there is a place for it: nothing here measures a disk.
    let shm = Path::new("/dev/shm");
    let root = if shm.is_dir() { shm } else { outputs };
    let folder = root.join(format!("craftec-sqltests-{}-{vfs}-{name}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut test = command("timeout");
    test.args(["--kill-after=5", TIMEOUT_S]).arg(&programs.testfixture).arg(path);
    let output = test.env("CRAFTEC_VFS", vfs).current_dir(&folder).output();
    let _ = fs::remove_dir_all(&folder);
    let output = output.context("cannot start testfixture")?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    fs::write(outputs.join(format!("{name}.{vfs}")), &text)?;
    Ok(outcome(&text))
}

/// Reads what testfixture says at its end.
fn outcome(text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut finished = false;
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once(" errors out of ")
            && let Some((cases, _)) = rest.split_once(" tests")
        {
            outcome.cases = cases.parse().unwrap_or(0);
            finished = true;
        }
        if let Some(names) = line.strip_prefix("!Failures on these tests:") {
            outcome.failed.extend(names.split_whitespace().map(str::to_owned));
        }
    }
    if !finished {
        outcome.failed.insert(UNFINISHED.to_owned());
    }
    outcome
}

fn report(
    compared: &[Compared],
    excluded: &Excluded,
    left_out: &BTreeMap<String, usize>,
) -> anyhow::Result<()> {
    let mut allowed: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Compared { file, ours, .. } in compared {
        for case in ours {
            match excluded.may_fail(file, case) {
                Some(word) => {
                    let (cases, files) = allowed.entry(word).or_default();
                    *cases += 1;
                    files.insert(file);
                }
                None => wrong.push(format!("{file} {case}")),
            }
        }
    }
    let cases: u64 = compared.iter().map(|c| c.cases).sum();
    let both: usize = compared.iter().map(|c| c.both).sum();
    let same = compared.iter().filter(|c| c.ours.is_empty()).count();
    println!("\nSQLite's TCL tests on our VFS, beside stock SQLite in the same program");
    println!("{} files, {cases} cases; {same} files with every result the same", compared.len());
    println!("{both} cases fail on both sides");
    for (word, (cases, files)) in &allowed {
        println!("excluded: {cases} cases of {} files: {}", files.len(), excluded.reason(word));
    }
    for (word, files) in left_out {
        println!("not run: {files} files: {}", excluded.reason(word));
    }
    let ran: Vec<String> = compared.iter().map(|c| c.file.clone()).collect();
    let unused = excluded.unused(&ran);
    for line in wrong.iter().chain(&unused) {
        println!("  {line}");
    }
    if !wrong.is_empty() || !unused.is_empty() {
        bail!("{} cases differ, {} exclusions exclude nothing", wrong.len(), unused.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_from_the_last_lines_and_its_lack_is_a_failure() {
        let text = "a-1... Ok\n2 errors out of 17 tests on h Linux 64-bit\n\
                    !Failures on these tests: a-2 a-3\n";
        let read = outcome(text);
        assert_eq!((read.cases, read.failed.len()), (17, 2));
        assert!(outcome("a-1... Ok\nSegmentation fault").failed.contains(UNFINISHED));
    }
}
