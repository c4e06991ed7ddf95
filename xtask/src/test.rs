//! Every test of the project, cheapest first, each step timed; the last line counts them.

use std::{process::Command, time::Instant};

use anyhow::bail;

use crate::{
    build, paths, setup,
    shell::{cargo, command, run, say},
    tidy,
};

type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 10] = [
    ("tidy", tidy::all),
    ("format", || run(cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", clippy),
    ("clippy-wasm", clippy_wasm),
    ("rust", rust),
    ("build", || build::all().map(drop)),
    ("sdk", sdk),
    ("browser", browser),
    ("interop", interop),
    ("unixfs-interop", unixfs_interop),
];

/// Runs the steps (all, or those whose name contains `only`); a failure does not stop the rest.
pub(crate) fn all(only: Option<&str>) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|o| name.contains(o))) {
        say(&format!("test step: {name}"));
        let started = Instant::now();
        let result = step();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        lines.push(format!("{name:<16} {word:<7} {:>6.1} s", started.elapsed().as_secs_f64()));
        if let Err(error) = result {
            eprintln!("{name} failed: {error:#}");
            failed.push(*name);
        }
    }
    println!("\n{}", lines.join("\n"));
    println!("{} passed, {} failed", lines.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn clippy() -> anyhow::Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets"]);
    run(clippy.args(["--", "-D", "warnings"]))
}

fn clippy_wasm() -> anyhow::Result<()> {
    let toolchain = setup::wasm_toolchain()?;
    if toolchain == setup::WasmToolchain::Fallback {
        say("the fallback toolchain has no clippy; skipped");
        return Ok(());
    }
    let mut clippy = toolchain.cargo();
    clippy.args(["clippy", "--quiet", "--target", "wasm32-unknown-unknown"]);
    clippy.args(["--package", "craftec-node-wasm", "--package", "craftec-web"]);
    clippy.args(["--package", "craftec-platform", "--package", "craftec-p2p"]);
    run(clippy.args(["--", "-D", "warnings"]))
}

fn rust() -> anyhow::Result<()> {
    run(cargo().args(["test", "--workspace", "--quiet"]))
}

fn sdk() -> anyhow::Result<()> {
    let mut npm = command("npm");
    npm.env("CHROME", setup::chromium()?);
    run(npm.args(["test"]).current_dir(paths::root().join("sdk-js")))
}

/// The app in real browsers; a site of thousands of files is this project's own documentation.
fn browser() -> anyhow::Result<()> {
    run(cargo().args(["doc", "--quiet", "--no-deps", "--workspace"]))?;
    npm_test(command("npm").env("SITE", paths::target().join("doc")), "tests/browser")
}

fn interop() -> anyhow::Result<()> {
    setup::npm(&paths::root().join("tests/interop"))?;
    npm_test(&mut command("npm"), "tests/interop")
}

fn unixfs_interop() -> anyhow::Result<()> {
    setup::npm(&paths::root().join("tests/interop-unixfs"))?;
    npm_test(&mut command("npm"), "tests/interop-unixfs")
}

/// `npm test` of a folder, with the browser and the binary it drives.
fn npm_test(npm: &mut Command, folder: &str) -> anyhow::Result<()> {
    npm.env("CHROME", setup::chromium()?);
    npm.env("CRAFTEC", paths::target().join("release/craftec"));
    npm.env("CARGO_TARGET_DIR", paths::target());
    run(npm.args(["test"]).current_dir(paths::root().join(folder)))
}
