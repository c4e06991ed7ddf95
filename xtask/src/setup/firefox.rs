//! The second browser that the tests drive.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::apt;

/// Where Debian and others put Firefox.
const USUAL: [&str; 2] = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];

/// Firefox's path: `FIREFOX`, an installed one, or Debian's, installed now.
pub(crate) fn firefox() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("FIREFOX").map(PathBuf::from) {
        if path.exists() {
            return Ok(path);
        }
        bail!("FIREFOX names {}, which does not exist", path.display());
    }
    let installed = || USUAL.map(PathBuf::from).into_iter().find(|path| path.exists());
    if let Some(path) = installed() {
        return Ok(path);
    }
    apt::install(&["firefox-esr"])
        .context("the tests in Firefox need it; install it or set FIREFOX to its path")?;
    installed().context("Debian's firefox-esr package brought no program")
}
