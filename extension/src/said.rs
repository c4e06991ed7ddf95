//! What went wrong last: SQLite passes a number on, and a person needs a sentence.

use std::sync::{Mutex, PoisonError};

/// Longest sentence that is kept.
const BYTES: usize = 1000;

static LAST: Mutex<String> = Mutex::new(String::new());

/// Keeps a sentence, and writes it into SQLite's log.
pub(crate) fn say(code: i32, sentence: &str) {
    // A zero would end the text in C.
    let text = sentence.replace('\0', "\u{fffd}");
    let text: String = text.chars().take(BYTES).collect();
    crate::ffi::log(code, &text);
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = text;
}

/// The last one; empty where there was none.
pub(crate) fn last() -> String {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
