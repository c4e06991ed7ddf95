//! The NAT test: real nodes and tabs behind routers of different kinds, in network namespaces that the
//! test makes and removes. Needs Linux and root; where that is missing it says so and fails.

use anyhow::{Context, bail};

use crate::{
    build, paths, setup,
    shell::{command, read, run, say},
};

/// As a step of the tests: whoever can't make network namespaces is told that this was left out.
pub(crate) fn check() -> anyhow::Result<()> {
    match possible() {
        Ok(()) => all(),
        Err(reason) => {
            say(&format!("skipped: {reason:#}"));
            Ok(())
        }
    }
}

fn possible() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("network namespaces are Linux's: run this test there");
    }
    let user = read(command("id").arg("-u")).context("who runs this is not known")?;
    if user.trim() != "0" {
        bail!("not root: network namespaces need it; run `sudo cargo run -p xtask -- nat`");
    }
    Ok(())
}

/// Runs `tests/nat` with the release build of the binary.
pub(crate) fn all() -> anyhow::Result<()> {
    possible()?;
    setup::netfilter()?;
    let binary = match std::env::var_os("CRAFTEC") {
        Some(binary) => binary.into(),
        None => paths::target().join("release/craftec"),
    };
    if !binary.exists() {
        bail!("{} is missing: `cargo run -p xtask -- build` makes it", binary.display());
    }
    setup::npm(&paths::root().join("tests/interop"))?;
    let mut test = command("node");
    if setup::wasm_toolchain()? == setup::WasmToolchain::Fallback {
        test.env("WASM_CARGO", "cargo +web");
    }
    test.env("WASM_PROFILE", build::WEB_PROFILE).env("CARGO_TARGET_DIR", paths::target());
    test.env("CRAFTEC", binary).env("CHROME", setup::chromium()?);
    run(test.arg("tests/nat/run.mjs"))
}
