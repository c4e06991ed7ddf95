//! The browser that the tests drive.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::apt;
use crate::{
    paths,
    shell::{command, works},
};

/// Chromium's path: `CHROME`, an installed one, or Debian's, installed now.
pub(crate) fn chromium() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROME").map(PathBuf::from) {
        if path.exists() {
            return Ok(path);
        }
        bail!("CHROME names {}, which does not exist", path.display());
    }
    if let Some(path) = installed() {
        return Ok(path);
    }
    apt::install(&["chromium"])
        .context("the browser tests need Chromium; install it or set CHROME to its path")?;
    installed().context("Debian's chromium package brought no program")
}

/// The program through which WebAssembly tests drive Chromium: `CHROMEDRIVER`, or Debian's.
pub(crate) fn chromedriver() -> anyhow::Result<PathBuf> {
    let path =
        std::env::var_os("CHROMEDRIVER").map_or("/usr/bin/chromedriver".into(), PathBuf::from);
    if !path.exists() {
        apt::install(&["chromium", "chromium-driver"])
            .context("tests in a tab need chromedriver; install it or set CHROMEDRIVER")?;
    }
    Ok(path)
}

fn installed() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|name| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|path| path.starts_with("/") && !path.starts_with(paths::root()))
            .filter(|path| path.exists() && works(command(path).arg("--version")))
            .or_else(|| {
                let usual = PathBuf::from("/usr/bin").join(name);
                usual.exists().then_some(usual)
            })
    })
}
