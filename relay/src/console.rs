//! What a person sees: results on standard output, everything else on standard error. With
//! `--json` exactly one JSON object goes to standard output and nothing moves on standard error.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{error::RelayError, units::bytes_text};

/// Progress is redrawn at most this often.
const REDRAW: Duration = Duration::from_millis(100);

/// Where results and messages go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    json: bool,
    terminal: bool,
}

impl Console {
    /// A console of this process.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: io::stderr().is_terminal() }
    }

    /// Whether the result is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The result, as JSON or as text.
    pub(crate) fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let text = if self.json {
            match serde_json::to_string(value) {
                Ok(json) => json,
                Err(error) => format!(r#"{{"error":{{"message":"no JSON: {error}"}}}}"#),
            }
        } else {
            text()
        };
        // A closed pipe (`| head`) is the reader's choice, not a failure.
        drop(writeln!(io::stdout().lock(), "{}", text.trim_end()));
        drop(io::stdout().lock().flush());
    }

    /// A message for a person, always shown.
    pub(crate) fn note(&self, text: &str) {
        drop(writeln!(io::stderr().lock(), "{}", printable(text)));
    }

    /// A failure.
    pub(crate) fn failure(&self, error: &RelayError) {
        let hint = error.hint().map(|hint| format!("\n{hint}")).unwrap_or_default();
        let mut text = error.to_string();
        if !text.ends_with(['.', '!', '?']) {
            text.push('.');
        }
        self.note(&format!("craftec: {text}{hint}"));
        if self.json {
            self.result(&error.report(), String::new);
        }
    }

    /// A progress line, or nothing when nobody watches.
    pub(crate) fn progress(&self, verb: &'static str, total: Option<u64>) -> Progress {
        let now = Instant::now();
        Progress {
            shown: self.terminal && !self.json,
            verb,
            total,
            bytes: 0,
            files: 0,
            start: now,
            drawn: now,
        }
    }
}

/// Text that can't move a terminal's cursor or colour it: control characters other than line
/// feeds are replaced. Names come from strangers' folders.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Bytes and files so far, and how fast.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    verb: &'static str,
    total: Option<u64>,
    bytes: u64,
    files: u64,
    start: Instant,
    drawn: Instant,
}

impl Progress {
    /// More bytes moved.
    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.draw();
    }

    /// One more file is done.
    pub(crate) fn add_file(&mut self) {
        self.files += 1;
        self.draw();
    }

    fn draw(&mut self) {
        if self.shown && self.drawn.elapsed() >= REDRAW {
            self.drawn = Instant::now();
            drop(write!(io::stderr().lock(), "\r\x1b[K{}", self.line(self.start.elapsed())));
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let mut line = format!("{} {}", self.verb, bytes_text(self.bytes));
        if let Some(total) = self.total.filter(|total| *total > 0) {
            let percent = u128::from(self.bytes) * 100 / u128::from(total);
            line.push_str(&format!(" of {} ({percent}%)", bytes_text(total)));
        }
        if self.files > 0 {
            line.push_str(&format!(", {} files", self.files));
        }
        let rate = self.bytes as f64 / elapsed.as_secs_f64().max(0.001);
        line.push_str(&format!(", {}/s", bytes_text(rate as u64)));
        line
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_bytes_files_and_rate() {
        let mut progress = Console { json: true, terminal: true }.progress("Stored", Some(4096));
        progress.add_bytes(2048);
        progress.add_file();
        let line = progress.line(Duration::from_secs(2));
        assert_eq!(line, "Stored 2.00 KiB of 4.00 KiB (50%), 1 files, 1.00 KiB/s");
        assert_eq!(printable("a\x1b[2J\nb"), "a\u{fffd}[2J\nb");
    }
}
