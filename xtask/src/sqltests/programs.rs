//! SQLite's test programs, built from Debian's source package with our VFS linked in.

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

/// Debian's release whose SQLite is nearest to the one that we build.
const SUITE: &str = "sid";

/// What Debian signs with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// As our SQLite is built, where it matters for a VFS; pages of the size that ours has.
const DEFINED: &str = "-USQLITE_DEFAULT_PAGE_SIZE -DSQLITE_DEFAULT_PAGE_SIZE=4096 \
                       -DSQLITE_ENABLE_BATCH_ATOMIC_WRITE -DSQLITE_EXTRA_INIT=craftec_sqltests_init";

/// What was built. Both are stock SQLite unless `CRAFTEC_VFS` is `craft`.
pub(super) struct Programs {
    /// SQLite's source tree.
    pub(super) source: PathBuf,
    /// Its version.
    pub(super) version: String,
    pub(super) testfixture: PathBuf,
    pub(super) speedtest1: PathBuf,
}

/// Brings and builds what is not there yet.
pub(super) fn all() -> anyhow::Result<Programs> {
    setup::sqlite_tools()?;
    let source = source()?;
    let version = fs::read_to_string(source.join("VERSION"))?.trim().to_owned();
    let built = paths::target().join("sqltests").join(&version);
    fs::create_dir_all(&built)?;
    let vfs = vfs()?;
    let programs = Programs {
        testfixture: built.join("testfixture"),
        speedtest1: built.join("speedtest1"),
        source,
        version,
    };
    if !built.join("Makefile").exists() {
        let mut configure = command(programs.source.join("configure"));
        run(configure.args(["--all", "--disable-debug"]).current_dir(&built))?;
    }
    let outputs = [programs.testfixture.clone(), programs.speedtest1.clone()];
    stamp::when_changed("sqltests", std::slice::from_ref(&vfs), &outputs, || {
        for output in &outputs {
            let _ = fs::remove_file(output);
        }
        // The last words of each link: they undo what SQLite's makefile says before.
        let last = format!("LDFLAGS.configure={DEFINED} {} -lpthread -ldl -lm", vfs.display());
        let mut make = command("make");
        run(make.args(["testfixture", "speedtest1", &last]).current_dir(&built))
    })?;
    Ok(programs)
}

/// Our VFS as a library for C.
fn vfs() -> anyhow::Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--lib"]);
    run(build.current_dir(paths::root().join("tests/sqlite")))?;
    Ok(paths::target().join("release/libcraftec_sqltests.a"))
}

/// SQLite's source tree, fetched through apt with a state of its own.
fn source() -> anyhow::Result<PathBuf> {
    let folder = paths::cache().join("sqlite-source");
    if let Some(tree) = tree(&folder)? {
        return Ok(tree);
    }
    say("fetching Debian's source package of SQLite (15 MB)");
    let (parts, lists, cache) = (folder.join("parts"), folder.join("lists"), folder.join("cache"));
    for made in [&parts, &lists.join("partial"), &cache.join("archives/partial")] {
        fs::create_dir_all(made)?;
    }
    let targets =
        read(command("apt-get").args(["indextargets", "--format", "$(SITE)", "Label: Debian"]))?;
    let site = targets.lines().next();
    let site = site.context("apt knows no archive of Debian; the tests come from there")?;
    let entry = format!(
        "Types: deb-src\nURIs: {site}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
    );
    fs::write(parts.join("debian.sources"), entry)?;
    let apt = |args: &[&str]| {
        let mut apt = command("apt-get");
        for (key, path) in [
            ("Dir::Etc::SourceList", Path::new("/dev/null")),
            ("Dir::Etc::SourceParts", &parts),
            ("Dir::State::Lists", &lists),
            ("Dir::Cache", &cache),
        ] {
            apt.arg("-o").arg(format!("{key}={}", path.display()));
        }
        run(apt.args(args).current_dir(&folder))
    };
    apt(&["update", "-qq"])?;
    apt(&["source", "-qq", "--download-only", "sqlite3"])?;
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if path.to_string_lossy().ends_with(".orig.tar.xz") {
            run(command("tar").arg("-xJf").arg(&path).current_dir(&folder))?;
        }
    }
    tree(&folder)?.context("Debian's package holds no tree with a VERSION")
}

fn tree(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    let mut trees = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("VERSION").exists() && path.join("test/tester.tcl").exists() {
            trees.push(path);
        }
    }
    match trees.len() {
        0 | 1 => Ok(trees.pop()),
        _ => bail!("{} holds more than one SQLite: remove all but one", folder.display()),
    }
}
