//! The repository's own rules, checked: who may depend on whom, where platform differences may
//! stand, how long files and functions may be, and that nothing is forgotten.

mod graph;
mod lengths;
mod reach;

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::{paths, stamp::files_below};

/// A source file and what it says.
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

/// Runs every check and lists all that is wrong.
pub(crate) fn all() -> anyhow::Result<()> {
    let sources = sources()?;
    let mut wrong = graph::check()?;
    wrong.extend(lengths::check(&sources));
    wrong.extend(reach::check(&sources)?);
    wrong.extend(sources.iter().filter_map(platform_cfg));
    wrong.extend(sources.iter().filter_map(unsafe_code));
    wrong.extend(sources.iter().filter_map(module_doc));
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.iter().for_each(|line| eprintln!("  {line}"));
    bail!("tidy: {} to mend", wrong.len())
}

fn sources() -> anyhow::Result<Vec<Source>> {
    let root = paths::root();
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [
        "crates",
        "extension",
        "node-wasm",
        "relay",
        "web",
        "xtask",
        "sdk-js/src",
        "tests",
        "benches",
        "fuzz",
    ] {
        files.extend(files_below(&root.join(folder))?);
    }
    let is_source =
        |path: &Path| path.extension().is_some_and(|e| e == "rs" || e == "ts" || e == "mjs");
    files
        .into_iter()
        .filter(|path| is_source(path))
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap_or(&path);
            let relative = relative.to_string_lossy().replace('\\', "/");
            Ok(Source { path: relative, text: std::fs::read_to_string(&path)? })
        })
        .collect()
}

/// Where the coder has an inner loop for each kind of processor.
const KERNELS: &str = "crates/rlnc/src/kernel/";

/// `target_arch = "wasm32"` stands only where the ports meet the platform, among the coder's kernels,
/// and in tests that run in a browser (`tests/tab.rs`).
fn platform_cfg(source: &Source) -> Option<String> {
    let allowed = ["crates/platform/", "crates/p2p/", "xtask/", KERNELS];
    let stands = source.text.contains("target_arch = \"wasm32\"");
    let allowed = allowed.iter().any(|folder| source.path.starts_with(folder))
        || source.path.ends_with("/tests/tab.rs");
    (stands && !allowed).then(|| {
        format!("{}: `cfg(wasm32)` belongs to crates/platform and crates/p2p", source.path)
    })
}

/// Where SQLite calls back into Rust: for its files, for what a tab's has no system to ask, for the names
/// of files in its own tests, and to pause.
const SQLITE_FFI: [&str; 7] = [
    "crates/pager/src/ffi/mod.rs",
    "crates/platform/src/native/fiber.rs",
    "crates/sql/src/merge/ffi.rs",
    "crates/sql/src/vfs/ffi.rs",
    "crates/sql/src/vfs/host.rs",
    "extension/src/ffi.rs",
    "tests/sqlite/src/ffi.rs",
];

/// The lint against `unsafe` is lifted only for vector instructions and SQLite's callbacks.
fn unsafe_code(source: &Source) -> Option<String> {
    // Cut in two, so that this file does not find itself.
    let lifted = source.text.contains(concat!("allow(unsafe", "_code"));
    let allowed = source.path.starts_with(KERNELS) || SQLITE_FFI.contains(&source.path.as_str());
    (lifted && !allowed)
        .then(|| format!("{}: `unsafe` belongs to {KERNELS} and SQLite's callbacks", source.path))
}

/// Every Rust file says first what it does.
fn module_doc(source: &Source) -> Option<String> {
    (source.path.ends_with(".rs") && !source.text.starts_with("//!"))
        .then(|| format!("{}: begins without a `//!` line", source.path))
}
