//! Nothing is forgotten: every Rust file is part of a crate, every vector is read by a test.

use std::collections::BTreeSet;

use super::Source;
use crate::{paths, stamp::files_below};

pub(super) fn check(sources: &[Source]) -> anyhow::Result<Vec<String>> {
    let mut wrong: Vec<String> = sources.iter().filter_map(|s| orphan(s, sources)).collect();
    for vector in files_below(&paths::root().join("tests/vectors"))? {
        let name = vector.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let languages: [(&str, &[&str]); 2] = [("Rust", &[".rs"]), ("script", &[".ts", ".mjs"])];
        for (kind, endings) in languages {
            let reads = |s: &Source| {
                endings.iter().any(|ending| s.path.ends_with(ending)) && s.text.contains(&name)
            };
            let read = sources.iter().any(reads);
            if name.ends_with(".json") && !read {
                wrong.push(format!("tests/vectors/{name}: no {kind} test reads it"));
            }
        }
    }
    Ok(wrong)
}

/// A file below `src/` that no `mod` line names.
fn orphan(source: &Source, sources: &[Source]) -> Option<String> {
    let (folder, name) = source.path.strip_suffix(".rs")?.rsplit_once('/')?;
    if !source.path.contains("/src/") || source.path.contains("/bin/") {
        return None;
    }
    let roots = ["main", "lib"];
    if roots.contains(&name) && folder.ends_with("/src") {
        return None;
    }
    // `a/mod.rs` is declared by the module that holds `a`.
    let (folder, name) = if name == "mod" { folder.rsplit_once('/')? } else { (folder, name) };
    let parents: BTreeSet<String> = [
        format!("{folder}/mod.rs"),
        format!("{folder}/lib.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}.rs"),
    ]
    .into();
    let declared = sources.iter().filter(|s| parents.contains(&s.path)).any(|s| {
        s.text.lines().any(|l| {
            let l = l.trim();
            l.ends_with(&format!("mod {name};")) || l.contains(&format!("mod {name} {{"))
        })
    });
    let by_path = format!("#[path = \"{name}.rs\"]");
    let declared = declared || sources.iter().any(|s| s.text.contains(&by_path));
    (!declared).then(|| format!("{}: no `mod {name};` reaches it", source.path))
}
