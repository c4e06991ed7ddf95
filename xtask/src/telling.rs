//! What programs print, passed on as it comes; the lines of it that tell what failed are kept, so that
//! they can be said again at the end of a long run, where somebody looks first.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// Lines kept, and how much of each.
const LINES: usize = 6;
const CHARS: usize = 180;
/// What such lines contain.
const TELLING: [&str; 8] =
    ["panicked at", "FAILED", "failed", "error:", "error[", "Error:", "✘", "not ok"];
/// How long output is waited for after the program's end: something that it started may keep its pipe.
const REST: Duration = Duration::from_secs(2);

static KEPT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Runs a command and passes on what it prints.
pub(crate) fn status(command: &mut Command) -> std::io::Result<ExitStatus> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (done, both) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        pass_on(out, std::io::stdout(), done.clone());
    }
    if let Some(err) = child.stderr.take() {
        pass_on(err, std::io::stderr(), done);
    }
    let status = child.wait()?;
    for _ in 0..2 {
        let _ = both.recv_timeout(REST);
    }
    Ok(status)
}

/// The lines that told of failures since this was last called.
pub(crate) fn take() -> Vec<String> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
}

fn pass_on(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    done: mpsc::Sender<()>,
) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            // Whoever reads ours may be gone: the program runs on.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            keep(&String::from_utf8_lossy(&line));
            line.clear();
        }
        let _ = done.send(());
    });
}

fn keep(line: &str) {
    let line: String = line.trim().chars().take(CHARS).collect();
    let counts = line.contains("0 failed");
    if counts || !TELLING.iter().any(|word| line.contains(word)) {
        return;
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.contains(&line) {
        return;
    }
    kept.push_back(line);
    if kept.len() > LINES {
        kept.pop_front();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn lines_of_failures_are_kept_and_the_status_is_the_programs() {
        // Nothing is printed here: whoever runs this listens for such lines itself.
        assert_eq!(status(Command::new("sh").args(["-c", "exit 3"])).unwrap().code(), Some(3));
        for line in ["fine", "test a ... FAILED", "3 passed; 0 failed", "test a ... FAILED"] {
            keep(line);
        }
        assert_eq!(take(), ["test a ... FAILED"]);
        assert!(take().is_empty());
    }
}
