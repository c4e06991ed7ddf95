//! The documentation site: Markdown of `docs/site` as plain pages, with the app's tokens, pictures
//! inlined so that they follow the reader's colours, and the command line's reference as the binary
//! itself prints it. No script, nothing fetched from elsewhere.

mod check;
mod guide;
mod links;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    build, paths,
    shell::{command, read, say},
};

/// The pages in the order of reading: file name, and how the menu calls it.
const PAGES: [(&str, &str); 9] = [
    ("index", "First site in a minute"),
    ("sdk", "SDK guide"),
    ("relay", "Run a relay"),
    ("how", "How it works"),
    ("alive", "Staying alive"),
    ("sql", "Databases"),
    ("fair", "Give and take"),
    ("threats", "Threat model"),
    (REFERENCE, "Command line"),
];
/// The page that the binary writes.
const REFERENCE: &str = "cli";

/// Where the site is built.
pub(crate) fn out() -> PathBuf {
    paths::root().join("dist-docs")
}

/// Builds the site; says where.
pub(crate) fn build() -> anyhow::Result<()> {
    build_with(&binary()?)?;
    say(&format!("the documentation is in {}", out().display()));
    Ok(())
}

/// Builds the site, compiles the code of its guide, publishes it with Craftec, and reads every page
/// of it through the gateway.
pub(crate) fn check() -> anyhow::Result<()> {
    let binary = binary()?;
    build_with(&binary)?;
    guide::compiles(&paths::root().join("docs/site/sdk.md"))?;
    check::published(&binary, &out())
}

/// `CRAFTEC`, or the binary of this checkout, built now where it isn't.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    match std::env::var_os("CRAFTEC") {
        Some(path) => Ok(PathBuf::from(path)),
        None => build::all(),
    }
}

/// Builds the site with the reference as this binary prints it.
pub(crate) fn build_with(binary: &Path) -> anyhow::Result<()> {
    let source = paths::root().join("docs/site");
    let out = out();
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    fs::create_dir_all(&out)?;
    for (name, _) in PAGES {
        let text = match name {
            REFERENCE => read(command(binary).args(["man", "--markdown"]))?,
            name => {
                let path = source.join(name).with_extension("md");
                fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?
            }
        };
        let html = page::render(name, &text, &source, &PAGES)
            .with_context(|| format!("the page `{name}`"))?;
        fs::write(out.join(name).with_extension("html"), html)?;
    }
    let tokens = paths::root().join("web/style/tokens.css");
    fs::copy(&tokens, out.join("tokens.css")).context("no tokens.css of the app")?;
    fs::copy(source.join("site.css"), out.join("site.css")).context("no site.css")?;
    fs::copy(paths::root().join("web/icon.svg"), out.join("icon.svg")).context("no icon.svg")?;
    let broken = links::broken(&out)?;
    if !broken.is_empty() {
        bail!("broken links in the documentation:\n{}", broken.join("\n"));
    }
    Ok(())
}
