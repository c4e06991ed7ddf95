//! Building the product, in the order in which the parts contain each other: the node for the tab,
//! the SDK around it, the web app with both, the binary that embeds all of it, and the extension for
//! other programs' SQLite.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    paths, setup,
    shell::{cargo, command, read, run, say},
    stamp,
};

/// Cargo's profile for what a browser downloads.
pub(crate) const WEB_PROFILE: &str = "web";

/// What rustc emits and every supported browser takes. Naming them, instead of all features, keeps
/// binaryen from writing encodings that only the newest engines know.
const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// Builds everything and returns the path of the `craftec` binary.
pub(crate) fn all() -> anyhow::Result<PathBuf> {
    setup::all()?;
    nodes_for_the_tab()?;
    sdk()?;
    web_app()?;
    let mut binary = cargo();
    binary.args(["build", "--release", "--quiet"]);
    run(binary.args(["--package", "craftec-relay", "--package", "craftsql"]))?;
    Ok(paths::target().join("release/craftec"))
}

/// Builds, then runs `craftec up` until it ends.
pub(crate) fn up(args: &[String]) -> anyhow::Result<()> {
    let binary = all()?;
    say("starting the node; Ctrl-C stops it");
    let status = command(&binary).arg("up").args(args).status();
    let status = status.with_context(|| format!("cannot start {}", binary.display()))?;
    std::process::exit(status.code().unwrap_or(1))
}

/// The builds of the node for the tab: their names, and the features they have.
const TAB_NODES: [(&str, &[&str]); 2] = [("node", &[]), ("node_sql", &["--features", "sql"])];

/// `node-wasm` → `sdk-js/pkg`, without and with databases.
fn nodes_for_the_tab() -> anyhow::Result<()> {
    // SQLite is C.
    setup::clang()?;
    TAB_NODES.into_iter().try_for_each(|(name, features)| node_for_the_tab(name, features))
}

fn node_for_the_tab(name: &str, features: &[&str]) -> anyhow::Result<()> {
    let toolchain = setup::wasm_toolchain()?;
    let mut build = toolchain.cargo();
    let program = format!("tab_{name}");
    build.args(["build", "--quiet", "--package", "craftec-node-wasm"]).args(features);
    build.args(["--bin", &program]);
    run(build.args(["--target", "wasm32-unknown-unknown", "--profile", WEB_PROFILE]))?;
    let wasm = toolchain.artifacts(WEB_PROFILE).join(format!("{program}.wasm"));
    let out = paths::root().join("sdk-js/pkg");
    let done = out.join(format!("{name}_bg.wasm"));
    stamp::when_changed(
        &format!("{name}-pkg"),
        std::slice::from_ref(&wasm),
        std::slice::from_ref(&done),
        || {
            fs::create_dir_all(&out)?;
            let mut bindgen = command(paths::tool("wasm-bindgen"));
            bindgen.args(["--target", "web", "--out-name", name, "--out-dir"]);
            run(bindgen.arg(&out).arg(&wasm))?;
            // npm's binaryen: Debian's old one corrupts what wasm-bindgen writes.
            let mut opt = command(paths::npm_tool("wasm-opt"));
            opt.arg("-Oz").args(WASM_FEATURES);
            run(opt.arg(&done).arg("-o").arg(&done))
        },
    )
}

/// `sdk-js` → `sdk-js/dist`.
fn sdk() -> anyhow::Result<()> {
    let sdk = paths::root().join("sdk-js");
    let inputs = ["src", "pkg", "build.mjs", "package.json", "tsconfig.json"].map(|i| sdk.join(i));
    stamp::when_changed("sdk", &inputs, &[sdk.join("dist/index.js")], || {
        run(command("node").arg("build.mjs").current_dir(&sdk))
    })
}

/// `web` and the SDK → `dist`.
fn web_app() -> anyhow::Result<()> {
    let root = paths::root();
    let names = ["index.html", "Trunk.toml", "web", "sdk-js/dist", "Cargo.lock"];
    let inputs = names.map(|name| root.join(name));
    stamp::when_changed("web-app", &inputs, &[root.join("dist/index.html")], || {
        let mut trunk = command(paths::tool("trunk"));
        trunk.env("CARGO_TARGET_DIR", paths::target());
        setup::wasm_toolchain()?.lend(&mut trunk);
        // Trunk takes this variable for a flag of its own and refuses what terminals set it to.
        trunk.env_remove("NO_COLOR");
        // Leptos makes a type of every view, and code for each; erased, a fifth of the download is
        // gone. Nothing here is drawn so often that the calls in between could be felt.
        trunk.env("RUSTFLAGS", "--cfg erase_components");
        run(trunk.args(["build", "--release", "--offline"]))?;
        // The package keeps its names for whoever reads it; the page has no need of them.
        let script = root.join("dist/sdk/index.js");
        let mut minify = command(paths::npm_tool("esbuild"));
        minify.arg(&script).args(["--minify", "--allow-overwrite", "--charset=utf8"]);
        run(minify.arg(format!("--outfile={}", script.display())))?;
        let mut compress = command("node");
        compress.arg(root.join("web/compress.mjs")).arg(root.join("dist"));
        run(compress.arg(paths::target().join("xtask/brotli")))
    })?;
    small_enough(&root.join("dist"))
}

/// Most bytes, gzipped, that the app may need before the node loads. The goal is 150,000; what is
/// above it is nearly all Leptos and our views in it, of which the databases' screen is 33,000, their
/// branches another 5,000, who can read them 10,000. Lower this whenever a change allows it.
const APP_BYTES: u64 = 391_000;

/// Fails when the app outgrew what it may be, so that nobody adds to it without noticing.
fn small_enough(dist: &Path) -> anyhow::Result<()> {
    let bytes = app_bytes(dist)?;
    if bytes > APP_BYTES {
        bail!(
            "the app is {bytes} bytes (gzip) before the node loads, and may be {APP_BYTES}: find \
             out with `make bench BENCH=size` what grew, or raise APP_BYTES with a reason"
        );
    }
    Ok(())
}

/// What a browser downloads before the app can be used and the node begins to load, gzipped: page,
/// styles, scripts, WebAssembly, and the SDK's entry.
pub(crate) fn app_bytes(dist: &Path) -> anyhow::Result<u64> {
    app_files(dist)?.iter().map(|file| gzipped_bytes(file)).sum()
}

/// The same as the build compressed it; what it left alone counts as it is.
pub(crate) fn app_brotli_bytes(dist: &Path) -> anyhow::Result<u64> {
    let bytes = |file: &PathBuf| {
        let packed = PathBuf::from(format!("{}.br", file.display()));
        Ok(fs::metadata(if packed.exists() { &packed } else { file })?.len())
    };
    app_files(dist)?.iter().map(bytes).sum()
}

fn app_files(dist: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let code = |name: &str| {
        let ours = [".js", ".wasm", ".css", ".html", ".svg"].iter().any(|e| name.ends_with(e));
        ours && name != "app-sw.js" && !name.starts_with("bridge")
    };
    let mut files = vec![dist.join("sdk/index.js"), dist.join("sdk/support.js")];
    for file in fs::read_dir(dist)? {
        let path = file?.path();
        if path.is_file() && path.file_name().and_then(|n| n.to_str()).is_some_and(code) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Bytes of `file` after gzip -9, as a browser would receive it.
pub(crate) fn gzipped_bytes(file: &Path) -> anyhow::Result<u64> {
    let count = read(command("sh").args(["-c", "gzip -9 -c \"$0\" | wc -c"]).arg(file))?;
    count.trim().parse().with_context(|| format!("cannot gzip {}", file.display()))
}
