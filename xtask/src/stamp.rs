//! Skipping work whose inputs did not change.
//!
//! A step's stamp is a hash over its inputs (paths and contents) and over what the caller adds, such
//! as tool versions. It is written after the step succeeded.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::paths;

/// Runs `step` unless its inputs are as they were and all `outputs` exist.
pub(crate) fn when_changed(
    name: &str,
    inputs: &[PathBuf],
    outputs: &[PathBuf],
    step: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = paths::target().join("xtask").join(format!("{name}.stamp"));
    // A cached target folder may serve several checkouts; their outputs are not each other's.
    let now = format!("{} {:016x}", paths::root().display(), hash_of(inputs)?);
    let held = fs::read_to_string(&stamp).unwrap_or_default();
    if held == now && outputs.iter().all(|output| output.exists()) {
        return Ok(());
    }
    step()?;
    fs::create_dir_all(stamp.parent().unwrap_or(&stamp))?;
    fs::write(&stamp, now).with_context(|| format!("cannot write {}", stamp.display()))
}

fn hash_of(inputs: &[PathBuf]) -> anyhow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        for file in files_below(input)? {
            file.hash(&mut hasher);
            let bytes = fs::read(&file);
            bytes.with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// All files below `path` (or `path` itself), sorted; build output and packages are passed over.
pub(crate) fn files_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(if path.exists() { vec![path.to_owned()] } else { vec![] });
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder);
        for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let skipped = ["node_modules", "target", ".git"].iter().any(|s| name == *s);
            match entry.file_type()? {
                kind if kind.is_dir() && !skipped => folders.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}
