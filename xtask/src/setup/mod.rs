//! Bringing the tools that a build needs to a bare machine: the WASM target, clang, the
//! wasm-bindgen CLI of the version in Cargo.lock, trunk, npm packages, Chromium.

mod apt;
mod chromium;
mod firefox;
mod wasm_target;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

pub(crate) use chromium::{chromedriver, chromium};
pub(crate) use firefox::firefox;
pub(crate) use wasm_target::{WasmToolchain, wasm_toolchain};

use crate::{
    paths,
    shell::{cargo, command, read, run, say, works},
    stamp,
};

/// The last trunk that the stable toolchain of this project builds.
const TRUNK: &str = "0.21.14";
/// The checker of licences, sources and advisories.
const DENY: &str = "0.20.2";
/// What Vite, Playwright and the SDK's build need.
const NODE_MAJOR: u32 = 20;

/// Everything that `build` needs.
pub(crate) fn all() -> anyhow::Result<()> {
    wasm_toolchain()?;
    clang()?;
    wasm_bindgen()?;
    trunk()?;
    npm(&paths::root())
}

pub(crate) fn clang() -> anyhow::Result<()> {
    if works(command("clang").arg("--version")) {
        return Ok(());
    }
    apt::install(&["clang"]).context("clang compiles C for WebAssembly; install it and try again")
}

/// What makes network namespaces and translates addresses between them.
pub(crate) fn netfilter() -> anyhow::Result<()> {
    let have = |tool: &str, ask: &str| works(command(tool).arg(ask));
    if have("nft", "--version") && have("ip", "-V") && have("sysctl", "--version") {
        return Ok(());
    }
    apt::install(&["iproute2", "nftables", "procps"])
        .context("nft and ip make the routers of the NAT test; install them and try again")
}

/// The CLI must have exactly the version of the library that the lock file names.
fn wasm_bindgen() -> anyhow::Result<()> {
    let version = locked("wasm-bindgen")?;
    let tool = paths::tool("wasm-bindgen");
    let have = read(command(&tool).arg("--version")).unwrap_or_default();
    if have.trim() == format!("wasm-bindgen {version}") {
        return Ok(());
    }
    say(&format!("installing wasm-bindgen {version} (about two minutes, once)"));
    // `--locked` is left out: the published lock file of this version does not build.
    cargo_install(&["wasm-bindgen-cli", "--version", &version, "--force"])
}

fn trunk() -> anyhow::Result<()> {
    let have = read(command(paths::tool("trunk")).arg("--version")).unwrap_or_default();
    if have.trim() == format!("trunk {TRUNK}") {
        return Ok(());
    }
    say(&format!("installing trunk {TRUNK} (about five minutes, once)"));
    let features = ["--no-default-features", "--features", "rustls"];
    let args = ["trunk", "--version", TRUNK, "--locked", "--force"];
    cargo_install(&[&args[..], &features[..]].concat())
}

/// cargo-deny, for licences, sources and advisories.
pub(crate) fn cargo_deny() -> anyhow::Result<PathBuf> {
    let tool = paths::tool("cargo-deny");
    let have = read(command(&tool).arg("--version")).unwrap_or_default();
    if have.trim() != format!("cargo-deny {DENY}") {
        say(&format!("installing cargo-deny {DENY} (some minutes, once)"));
        cargo_install(&["cargo-deny", "--version", DENY, "--locked", "--force"])?;
    }
    Ok(tool)
}

pub(crate) fn cargo_install(args: &[&str]) -> anyhow::Result<()> {
    let mut install = cargo();
    install.env("CARGO_TARGET_DIR", paths::cache().join("tools-target"));
    run(install.arg("install").args(args).arg("--root").arg(paths::cache().join("tools")))
}

/// The HTTP client that tests ask the gateway with.
pub(crate) fn curl() -> anyhow::Result<()> {
    if works(command("curl").arg("--version")) {
        return Ok(());
    }
    apt::install(&["curl"]).context("the gateway's tests need curl; install it and try again")
}

/// Programs that load our extension in tests. Debian's Python is asked for even where there is another,
/// which may be built without extensions.
pub(crate) fn sqlite() -> anyhow::Result<()> {
    let loads = "import sqlite3; sqlite3.connect(':memory:').enable_load_extension(True)";
    let python = ["python3", "/usr/bin/python3"];
    let able = python.iter().any(|python| works(command(python).args(["-c", loads])));
    if able && works(command("sqlite3").arg("--version")) {
        return Ok(());
    }
    apt::install(&["sqlite3", "python3"])
        .context("the extension's tests need sqlite3 and python3; install them and try again")
}

/// What SQLite's tests are built with and written in.
pub(crate) fn sqlite_tools() -> anyhow::Result<()> {
    let tcl =
        works(command("sh").args(["-c", "echo exit | tclsh && test -e /usr/include/tcl/tcl.h"]));
    if tcl && works(command("make").arg("--version")) && works(command("xz").arg("--version")) {
        return Ok(());
    }
    apt::install(&["tcl-dev", "make", "xz-utils", "zlib1g-dev"])
        .context("SQLite's tests need Tcl and make; install them and try again")
}

/// The web server that a bench measures beside.
pub(crate) fn nginx() -> anyhow::Result<()> {
    if works(command("nginx").arg("-v")) {
        return Ok(());
    }
    apt::install(&["nginx-light"]).context("the bench needs nginx; install it and try again")
}

/// The version of a package in Cargo.lock.
pub(crate) fn locked(package: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string(paths::root().join("Cargo.lock"))?;
    let lock: toml::Table = lock.parse().context("Cargo.lock is not TOML")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    packages
        .into_iter()
        .flatten()
        .find(|p| p.get("name").and_then(toml::Value::as_str) == Some(package))
        .and_then(|p| p.get("version").and_then(toml::Value::as_str))
        .map(str::to_owned)
        .with_context(|| format!("{package} is not in Cargo.lock"))
}

/// Installs the packages of `folder` when its manifest or lock file changed.
pub(crate) fn npm(folder: &Path) -> anyhow::Result<()> {
    node()?;
    let inputs = [folder.join("package.json"), folder.join("package-lock.json")];
    let name = folder.strip_prefix(paths::root()).unwrap_or(folder).to_string_lossy();
    let name = format!("npm-{}", name.replace('/', "-"));
    stamp::when_changed(&name, &inputs, &[folder.join("node_modules")], || {
        let locked = folder.join("package-lock.json").exists();
        let mut npm = command("npm");
        // Test tools would fetch browsers of their own; Debian's Chromium is used instead.
        npm.args([if locked { "ci" } else { "install" }, "--ignore-scripts"]);
        run(npm.args(["--no-audit", "--no-fund"]).current_dir(folder))
    })
}

fn node() -> anyhow::Result<()> {
    let version = read(command("node").arg("--version"))
        .context("Node.js is needed; install version 20 or newer")?;
    let major =
        version.trim_start_matches('v').split('.').next().and_then(|v| v.parse::<u32>().ok());
    match major {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => bail!("Node.js {NODE_MAJOR} or newer is needed, found {}", version.trim()),
    }
}
