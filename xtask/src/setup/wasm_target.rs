//! A Rust standard library for `wasm32-unknown-unknown`.
//!
//! The ordinary way is `rustup target add`. Some closed networks refuse that download; there,
//! Debian's `rustc-web` carries the standard library's source, which is built once and linked as the
//! rustup toolchain `web`. That toolchain can't do LTO.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use super::apt;
use crate::{
    paths,
    shell::{cargo, command, read, run, say, works},
};

/// The target's name.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// The rustup name of the fallback.
const FALLBACK: &str = "web";

/// Which toolchain builds for the tab.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WasmToolchain {
    /// The one that builds everything else.
    Default,
    /// Debian's, through rustup.
    Fallback,
}

impl WasmToolchain {
    /// Cargo of this toolchain.
    pub(crate) fn cargo(self) -> Command {
        match self {
            Self::Default => cargo(),
            Self::Fallback => {
                let mut cargo = command("cargo");
                cargo.arg(format!("+{FALLBACK}"));
                cargo.env("CARGO_PROFILE_RELEASE_LTO", "off");
                cargo.env("CARGO_TARGET_DIR", paths::target().join("web-toolchain"));
                cargo
            }
        }
    }

    /// Has a program that calls Cargo by itself call this one.
    pub(crate) fn lend(self, program: &mut Command) {
        if self == Self::Fallback {
            program.env("RUSTUP_TOOLCHAIN", FALLBACK).env("CARGO_PROFILE_APP_LTO", "off");
        }
    }

    /// Where its WASM artifacts appear.
    pub(crate) fn artifacts(self, profile: &str) -> PathBuf {
        let target = match self {
            Self::Default => paths::target(),
            Self::Fallback => paths::target().join("web-toolchain"),
        };
        target.join(TARGET).join(profile)
    }
}

/// Finds or brings the target.
pub(crate) fn wasm_toolchain() -> anyhow::Result<WasmToolchain> {
    if has_std(command("rustc").args(["--print", "target-libdir", "--target", TARGET])) {
        return Ok(WasmToolchain::Default);
    }
    if fallback_ready() {
        return Ok(WasmToolchain::Fallback);
    }
    if works(command("rustup").arg("--version")) {
        say(&format!("adding the target {TARGET}"));
        if run(command("rustup").args(["target", "add", TARGET])).is_ok() {
            return Ok(WasmToolchain::Default);
        }
    }
    say("rustup could not bring the target; building its standard library from Debian's source");
    build_fallback().context(
        "no standard library for wasm32-unknown-unknown: `rustup target add` failed, and so did \
         building it from Debian's rustc-web",
    )?;
    Ok(WasmToolchain::Fallback)
}

fn has_std(print_libdir: &mut Command) -> bool {
    let Ok(dir) = read(print_libdir) else { return false };
    fs::read_dir(dir.trim()).is_ok_and(|entries| {
        entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

fn fallback_ready() -> bool {
    let toolchain = format!("+{FALLBACK}");
    has_std(command("rustc").args([&toolchain, "--print", "target-libdir", "--target", TARGET]))
}

fn build_fallback() -> anyhow::Result<()> {
    let packages = ["rustc-web", "cargo-web", "rust-web-src", "clang-19", "lld-19"];
    apt::install(&packages)?;
    let scratch = paths::cache().join("web-std");
    fs::create_dir_all(scratch.join("src"))?;
    let manifest = "[package]\nname = \"web-std\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
                    [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(scratch.join("Cargo.toml"), manifest)?;
    fs::write(scratch.join("src/lib.rs"), "")?;
    let mut build = Command::new("/usr/bin/cargo");
    build.current_dir(&scratch).env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    build.env("CARGO_TARGET_DIR", scratch.join("target")).env_remove("RUSTUP_TOOLCHAIN");
    build.args(["build", "-Z", "build-std=std,panic_abort", "--release", "--target", TARGET]);
    run(&mut build)?;
    install_std(&scratch.join("target").join(TARGET).join("release/deps"))?;
    link_lld()?;
    run(command("rustup").args(["toolchain", "link", FALLBACK, "/usr"]))
}

/// Copies the built libraries to where Debian's rustc looks for the target.
fn install_std(deps: &Path) -> anyhow::Result<()> {
    let libs = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libs)?;
    for entry in fs::read_dir(deps)? {
        let (path, name) = entry.map(|e| (e.path(), e.file_name()))?;
        if path.extension().is_some_and(|e| e == "rlib") {
            fs::copy(&path, libs.join(name))?;
        }
    }
    Ok(())
}

/// Debian's rustc comes without `rust-lld`; rustup's serves.
fn link_lld() -> anyhow::Result<()> {
    let sysroot = read(command("rustc").args(["--print", "sysroot"]))?;
    let host = "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";
    let (from, to) = (Path::new(sysroot.trim()).join(host), Path::new("/usr").join(host));
    if !to.exists() {
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        std::os::unix::fs::symlink(&from, &to)
            .with_context(|| format!("cannot link {} to {}", to.display(), from.display()))?;
    }
    Ok(())
}
