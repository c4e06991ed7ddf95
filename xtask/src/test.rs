//! Every test of the project, cheapest first, each step timed; the last line counts them.

use std::{process::Command, time::Instant};

use anyhow::bail;

use crate::{
    audit, build, docs, nat, paths, setup,
    shell::{cargo, command, run, say},
    sim, telling, tidy,
};

type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 19] = [
    ("tidy", tidy::all),
    ("format", || run(cargo().args(["fmt", "--all", "--check"]))),
    ("npm-audit", audit::packages),
    ("deny", audit::crates),
    ("clippy", clippy),
    ("clippy-wasm", clippy_wasm),
    ("rust", rust),
    ("otel", otel),
    ("rust-in-a-tab", rust_in_a_tab),
    ("build", || build::all().map(drop)),
    ("docs", docs::check),
    ("simulator", sim::check),
    ("sdk", sdk),
    ("browser", browser),
    ("interop", interop),
    ("nat", nat::check),
    ("unixfs-interop", unixfs_interop),
    ("gateway", gateway),
    ("firefox", firefox),
];

/// Runs the steps (all, or those whose name contains `only`); a failure does not stop the rest.
pub(crate) fn all(only: Option<&str>) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|o| name.contains(o))) {
        say(&format!("test step: {name}"));
        let started = Instant::now();
        telling::take();
        let result = step();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        lines.push(format!("{name:<16} {word:<7} {:>6.1} s", started.elapsed().as_secs_f64()));
        if let Err(error) = result {
            eprintln!("{name} failed: {error:#}");
            failed.push(*name);
            told.extend(telling::take().into_iter().map(|line| format!("{name}: {line}")));
        }
    }
    println!("\n{}", lines.join("\n"));
    // Once more and last, since what they say scrolled by long ago.
    told.iter().for_each(|line| println!("{line}"));
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

/// What is off by default: traces, and the test that receives them. The whole workspace is named so
/// that everything else is built with the features that it has already.
fn otel() -> anyhow::Result<()> {
    let feature = ["--workspace", "--features", "craftec-relay/otel"];
    let mut clippy = cargo();
    clippy.args(["clippy", "--quiet", "--all-targets"]).args(feature);
    run(clippy.args(["--", "-D", "warnings"]))?;
    run(cargo().args(["test", "--quiet", "--test", "otel"]).args(feature))
}

fn clippy_wasm() -> anyhow::Result<()> {
    // SQLite is C, and built for it too.
    setup::clang()?;
    let toolchain = setup::wasm_toolchain()?;
    if toolchain == setup::WasmToolchain::Fallback {
        say("the fallback toolchain has no clippy; skipped");
        return Ok(());
    }
    let mut clippy = toolchain.cargo();
    clippy.args(["clippy", "--quiet", "--target", "wasm32-unknown-unknown"]);
    clippy.args(["--package", "craftec-node-wasm", "--features", "craftec-node-wasm/sql"]);
    clippy.args(["--package", "craftec-web"]);
    clippy.args(["--package", "craftec-platform", "--package", "craftec-p2p"]);
    clippy.args(["--package", "craftec-rlnc", "--features", "craftec-rlnc/wasm32_simd"]);
    run(clippy.args(["--", "-D", "warnings"]))
}

fn rust() -> anyhow::Result<()> {
    setup::sqlite()?;
    run(cargo().args(["test", "--workspace", "--quiet", "--no-fail-fast"]))
}

/// The Rust tests that need a browser: the ports, the store and databases on OPFS, in a dedicated worker,
/// and the coder's kernel for it.
fn rust_in_a_tab() -> anyhow::Result<()> {
    let mut tests = in_a_tab()?;
    tests.args(["--package", "craftec-platform", "--package", "craftec-obj"]);
    tests.args(["--package", "craftec-sql"]);
    run(tests.args(["--package", "craftec-rlnc", "--features", "craftec-rlnc/wasm32_simd"]))
}

/// Cargo, to run the tests called `tab` of the packages that are added in a browser.
pub(crate) fn in_a_tab() -> anyhow::Result<Command> {
    let toolchain = setup::wasm_toolchain()?;
    setup::all()?;
    let mut tests = toolchain.cargo();
    tests.args(["test", "--target", "wasm32-unknown-unknown", "--test", "tab"]);
    let runner = paths::tool("wasm-bindgen-test-runner");
    tests.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
    tests.env("CHROMEDRIVER", setup::chromedriver()?);
    Ok(tests)
}

fn sdk() -> anyhow::Result<()> {
    let mut npm = command("npm");
    npm.env("CHROME", setup::chromium()?);
    run(npm.args(["test"]).current_dir(paths::root().join("sdk-js")))
}

/// The app in real browsers; a site of thousands of files is this project's own documentation.
fn browser() -> anyhow::Result<()> {
    setup::sqlite()?;
    run(cargo().args(["doc", "--quiet", "--no-deps", "--workspace"]))?;
    npm_test(command("npm").env("SITE", paths::target().join("doc")), "tests/browser")
}

/// js-libp2p as a foreign client, with the transports built as they are shipped.
fn interop() -> anyhow::Result<()> {
    setup::npm(&paths::root().join("tests/interop"))?;
    let mut npm = command("npm");
    npm.env("WASM_PROFILE", build::WEB_PROFILE);
    if setup::wasm_toolchain()? == setup::WasmToolchain::Fallback {
        npm.env("WASM_CARGO", "cargo +web");
    }
    npm_test(&mut npm, "tests/interop")
}

fn unixfs_interop() -> anyhow::Result<()> {
    setup::npm(&paths::root().join("tests/interop-unixfs"))?;
    npm_test(&mut command("npm"), "tests/interop-unixfs")
}

/// curl, ipfs-car, Helia and js-libp2p as foreign clients of the binary.
fn gateway() -> anyhow::Result<()> {
    setup::curl()?;
    setup::npm(&paths::root().join("tests/gateway"))?;
    npm_test(&mut command("npm"), "tests/gateway")
}

/// The app in Debian's Firefox, alone and with Chromium.
fn firefox() -> anyhow::Result<()> {
    setup::npm(&paths::root().join("tests/firefox"))?;
    npm_test(command("npm").env("FIREFOX", setup::firefox()?), "tests/firefox")
}

/// `npm test` of a folder, with the browser and the binary it drives.
fn npm_test(npm: &mut Command, folder: &str) -> anyhow::Result<()> {
    run(driving(npm, folder)?.arg("test"))
}

/// A command in a folder of tests, told of the browser and the binary that they drive.
pub(crate) fn driving<'a>(npm: &'a mut Command, folder: &str) -> anyhow::Result<&'a mut Command> {
    npm.env("CHROME", setup::chromium()?);
    npm.env("CRAFTEC", paths::target().join("release/craftec"));
    npm.env("CARGO_TARGET_DIR", paths::target());
    Ok(npm.current_dir(paths::root().join(folder)))
}
