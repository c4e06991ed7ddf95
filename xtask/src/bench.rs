//! Measuring beside the peers that a user would pick instead.
//!
//! Every bench prints a table, and for machines a line `ratio <name> <value>` per comparison: ours
//! over the peer's, higher is better, the median of paired runs. Peers live in a workspace of their
//! own (`benches/`), outside the main lock file.

use std::{ffi::OsStr, process::Command};

use anyhow::bail;

use crate::{
    build, paths, setup,
    shell::{cargo, command, run},
};

type Bench = (&'static str, fn() -> anyhow::Result<()>);

const BENCHES: [Bench; 12] = [
    ("size", size),
    ("coding", coding),
    ("store", store),
    ("sql", sql),
    ("native-get", native_get),
    ("gateway", gateway),
    ("strangers", strangers),
    ("tab-coding", tab_coding),
    ("tab-get", tab_get),
    ("tab-sql", tab_sql),
    ("lazy", lazy),
    ("idle", idle),
];

/// Runs all benches, or one.
pub(crate) fn all(name: Option<&str>) -> anyhow::Result<()> {
    let chosen: Vec<_> = BENCHES.iter().filter(|(n, _)| name.is_none_or(|w| w == *n)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = BENCHES.iter().map(|(n, _)| *n).collect();
        bail!("no bench of that name; there are: {}", names.join(", "));
    }
    build::all()?;
    chosen.into_iter().try_for_each(|(_, bench)| bench())
}

/// What a browser downloads, gzipped.
fn size() -> anyhow::Result<()> {
    let dist = paths::root().join("dist");
    let app = build::app_bytes(&dist)?;
    let sum = |files: [&str; 2]| -> anyhow::Result<u64> {
        files.iter().map(|file| build::gzipped_bytes(&dist.join("sdk").join(file))).sum()
    };
    let node = sum(["worker.js", "node_bg.wasm"])?;
    let with_databases = sum(["worker-sql.js", "node_sql_bg.wasm"])?;
    let brotli = |name: &str| -> anyhow::Result<u64> {
        Ok(std::fs::metadata(dist.join(format!("{name}.br")))?.len())
    };
    println!("\nbench size (what a browser downloads: gzip -9, and Brotli where it takes that)");
    println!("{:<28} {:>12} {:>12} {:>12}", "", "gzip", "goal", "brotli");
    let app_brotli = build::app_brotli_bytes(&dist)?;
    let row = |what, gzip, goal: u64, brotli| {
        println!("{what:<28} {gzip:>12} {goal:>12} {brotli:>12}");
    };
    row("app, before the node loads", app, 150_000, app_brotli);
    row("node", node, 2_000_000, brotli("sdk/worker.js")? + brotli("sdk/node_bg.wasm")?);
    let databases = brotli("sdk/worker-sql.js")? + brotli("sdk/node_sql_bg.wasm")?;
    println!("{:<28} {with_databases:>12} {:>12} {databases:>12}", "node with databases", "");
    println!("ratio app-size {:.2}", 150_000.0 / app as f64);
    println!("ratio node-size {:.2}", 2_000_000.0 / node as f64);
    Ok(())
}

/// Network coding in memory, beside `reed-solomon-simd` and `rlnc`.
fn coding() -> anyhow::Result<()> {
    run(cargo_in("benches/coding").args(["run", "--quiet", "--release"]))
}

/// The block store beside other ways to keep blocks.
fn store() -> anyhow::Result<()> {
    run(cargo_in("benches/store").args(["run", "--quiet", "--release"]))
}

/// Databases beside stock SQLite.
fn sql() -> anyhow::Result<()> {
    run(cargo_in("benches/sql").args(["run", "--quiet", "--release"]))
}

/// Objects over loopback, beside `iroh-blobs`.
fn native_get() -> anyhow::Result<()> {
    run(cargo_in("benches").args(["run", "--quiet", "--release", "--bin", "native-get"]))
}

/// A site's files over HTTP, beside nginx.
fn gateway() -> anyhow::Result<()> {
    setup::nginx()?;
    with_binary("gateway")
}

/// Objects whose author is gone, beside the plain transfer of one whole copy.
fn strangers() -> anyhow::Result<()> {
    with_binary("strangers")
}

/// A bench of `benches/` that starts the binary itself.
fn with_binary(name: &str) -> anyhow::Result<()> {
    let mut bench = cargo_in("benches");
    bench.args(["run", "--quiet", "--release", "--bin", name]);
    run(bench.env("CRAFTEC", paths::target().join("release/craftec")))
}

/// Cargo in a workspace of peers.
fn cargo_in(folder: &str) -> Command {
    let mut cargo = cargo();
    cargo.env("CARGO_TARGET_DIR", paths::cache().join("benches-target"));
    cargo.current_dir(paths::root().join(folder));
    cargo
}

/// Network coding in a worker of Chromium, with simd128 and with relaxed SIMD.
fn tab_coding() -> anyhow::Result<()> {
    let target = paths::cache().join("benches-target");
    for (name, features) in [("simd128", "+simd128"), ("relaxed", "+simd128,+relaxed-simd")] {
        let mut build = setup::wasm_toolchain()?.cargo();
        build.env("RUSTFLAGS", format!("-C target-feature={features}"));
        build.env("CARGO_TARGET_DIR", target.join(name));
        build.args(["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown"]);
        run(build.current_dir(paths::root().join("benches/coding-wasm")))?;
    }
    tab("tab-coding.mjs", &[target.as_os_str()])
}

/// Objects and a small site from tab to tab, beside Helia over WebRTC.
fn tab_get() -> anyhow::Result<()> {
    tab("tab-get.mjs", &[])
}

/// Databases in a tab, beside two SQLites of others.
fn tab_sql() -> anyhow::Result<()> {
    tab("sql.mjs", &[])
}

/// A large database that a tab reads over a slow link.
fn lazy() -> anyhow::Result<()> {
    tab("lazy.mjs", &[])
}

/// What a node that does nothing holds in memory.
fn idle() -> anyhow::Result<()> {
    tab("idle.mjs", &[])
}

/// A bench in browser tabs.
fn tab(script: &str, args: &[&OsStr]) -> anyhow::Result<()> {
    let folder = paths::root().join("benches/tab");
    setup::npm(&folder)?;
    let chrome = setup::chromium()?;
    let binary = paths::target().join("release/craftec");
    let mut bench = command("node");
    bench.arg(script).args(args).env("CHROME", chrome).env("CRAFTEC", binary);
    run(bench.current_dir(folder))
}
