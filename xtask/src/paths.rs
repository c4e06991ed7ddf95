//! Where things are.

use std::path::{Path, PathBuf};

/// The repository's root: that of the clone `cargo run` was called in. Clones that share a target folder
/// share this program too, so that where it was built says nothing.
pub(crate) fn root() -> PathBuf {
    let run_in = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = run_in.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map_or_else(|| here.clone(), Path::to_owned)
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target/`.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// What is brought once per machine and shared by all checkouts: `CRAFTEC_CACHE`, else
/// `~/.cache/craftec`.
pub(crate) fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("CRAFTEC_CACHE") {
        return dir.into();
    }
    let home = std::env::var_os("HOME").map_or_else(|| root().join("target"), PathBuf::from);
    home.join(".cache/craftec")
}

/// Programs installed by `setup`.
pub(crate) fn tool(name: &str) -> PathBuf {
    cache().join("tools/bin").join(name)
}

/// A program from npm.
pub(crate) fn npm_tool(name: &str) -> PathBuf {
    root().join("node_modules/.bin").join(name)
}
