//! What is released: a tarball with the binary, its unit, manual pages, completions, documentation and bill
//! of materials, and the extension for SQLite; and the checksums of all that is handed out.
//!
//! The same commit gives the same tarball around the same binary: names are sorted, times are the
//! commit's, owners are nobody.

mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    docs, paths,
    shell::{command, read, run, say},
};

/// Files of the repository, and where they go in the tarball.
const FILES: [(&str, &str); 7] = [
    ("packaging/systemd/craftec.service", "lib/systemd/system"),
    ("packaging/craftec.toml", "etc/craftec"),
    ("README.md", "share/doc/craftec"),
    ("CHANGELOG.md", "share/doc/craftec"),
    ("SECURITY.md", "share/doc/craftec"),
    ("LICENSE-MIT", "share/doc/craftec"),
    ("LICENSE-APACHE", "share/doc/craftec"),
];

/// Shells, and where each looks for completions.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/craftec"),
    ("zsh", "share/zsh/site-functions/_craftec"),
    ("fish", "share/fish/vendor_completions.d/craftec.fish"),
];

/// Builds it all into `target/dist`, around the binary that `CRAFTEC` names or else one built now.
pub(crate) fn all() -> anyhow::Result<()> {
    let binary = docs::binary()?;
    docs::build_with(&binary)?;
    let name = format!("craftec-{}-{}", env!("CARGO_PKG_VERSION"), host()?);
    let out = paths::target().join("dist");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let tree = out.join(&name);
    stage(&binary, &tree)?;
    let bill = out.join(format!("{name}.cdx.json"));
    let time = read(command("git").args(["log", "-1", "--format=%cI"]))?;
    let text = serde_json::to_string_pretty(&sbom::of(time.trim())?)?;
    fs::write(&bill, &text)?;
    fs::write(tree.join("share/doc/craftec/sbom.cdx.json"), &text)?;
    let tarball = format!("{name}.tar.gz");
    let mut tar = command("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+w,a+rX,go-w"]);
    tar.arg(format!("--mtime={}", time.trim())).args(["-I", "gzip -n -9"]);
    run(tar.arg("-cf").arg(out.join(&tarball)).arg("-C").arg(&out).arg(&name))?;
    let bill_name = bill.file_name().unwrap_or_default();
    let sums = read(command("sha256sum").arg(&tarball).arg(bill_name).current_dir(&out))?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    say(&format!("released files are in {}:\n{}", out.display(), sums.trim_end()));
    Ok(())
}

/// Lays out the tarball's tree below `tree`.
fn stage(binary: &Path, tree: &Path) -> anyhow::Result<()> {
    copy(binary, &tree.join("bin/craftec"))?;
    let library = format!("libcraftsql{}", std::env::consts::DLL_SUFFIX);
    copy(&binary.with_file_name(&library), &tree.join("lib/craftec").join(&library))?;
    for (file, folder) in FILES {
        let name = Path::new(file).file_name().context("a file has a name")?;
        copy(&paths::root().join(file), &tree.join(folder).join(name))?;
    }
    read(command(binary).arg("man").arg(tree.join("share/man/man1")))?;
    for (shell, place) in SHELLS {
        let text = read(command(binary).args(["completions", shell]))?;
        write(&tree.join(place), text.as_bytes())?;
    }
    for entry in fs::read_dir(docs::out())? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        copy(&path, &tree.join("share/doc/craftec/html").join(name))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &PathBuf) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn write(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// What this toolchain builds for.
fn host() -> anyhow::Result<String> {
    let version = read(command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not name its host")
}
