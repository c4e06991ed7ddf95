//! The NAT test: real nodes behind routers of different kinds, in network namespaces that the test
//! makes and removes. Needs Linux and root; where that is missing it says so and fails.

use anyhow::{Context, bail};

use crate::{
    paths, setup,
    shell::{command, read, run},
};

/// Runs `tests/nat` with the release build of the binary.
pub(crate) fn all() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("network namespaces are Linux's: run this test there");
    }
    let user = read(command("id").arg("-u")).context("who runs this is not known")?;
    if user.trim() != "0" {
        bail!("not root: network namespaces need it; run `sudo cargo run -p xtask -- nat`");
    }
    setup::netfilter()?;
    let binary = match std::env::var_os("CRAFTEC") {
        Some(binary) => binary.into(),
        None => paths::target().join("release/craftec"),
    };
    if !binary.exists() {
        bail!("{} is missing: `cargo run -p xtask -- build` makes it", binary.display());
    }
    let mut test = command("node");
    run(test.arg("tests/nat/run.mjs").env("CRAFTEC", binary))
}
