//! The crate graph: arrows go down only.

use std::collections::BTreeMap;

use anyhow::Context;

use crate::shell::{cargo, read};

/// Each crate and all that it may use of ours.
const ALLOWED: [(&str, &[&str]); 16] = [
    ("craftec-core", &[]),
    ("craftec-rlnc", &[]),
    ("craftec-platform", &[]),
    ("craftec-api", &["craftec-core"]),
    ("craftec-p2p", &["craftec-core", "craftec-platform"]),
    ("craftec-obj", &["craftec-core", "craftec-rlnc", "craftec-platform", "craftec-p2p"]),
    ("craftec-pager", &["craftec-core"]),
    ("craftec-sql", &["craftec-core", "craftec-platform", "craftec-obj", "craftec-pager"]),
    ("craftec-bucket", &["craftec-core", "craftec-platform", "craftec-sql"]),
    ("craftsql", &["craftec-core", "craftec-api", "craftec-pager"]),
    (
        "craftec-node",
        &[
            "craftec-core",
            "craftec-platform",
            "craftec-p2p",
            "craftec-obj",
            "craftec-sql",
            "craftec-api",
        ],
    ),
    (
        "craftec-sim",
        &[
            "craftec-core",
            "craftec-platform",
            "craftec-p2p",
            "craftec-obj",
            "craftec-node",
            "craftec-api",
        ],
    ),
    (
        "craftec-node-wasm",
        &[
            "craftec-core",
            "craftec-platform",
            "craftec-p2p",
            "craftec-obj",
            "craftec-node",
            "craftec-api",
        ],
    ),
    (
        "craftec-relay",
        &[
            "craftec-core",
            "craftec-platform",
            "craftec-p2p",
            "craftec-obj",
            "craftec-node",
            "craftec-api",
        ],
    ),
    ("craftec-web", &["craftec-api", "craftec-core"]),
    ("xtask", &[]),
];

/// Edges that are not allowed, and crates that are not in the table. Test-only edges are free.
pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let metadata = read(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let allowed = BTreeMap::from(ALLOWED);
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(may_use) = allowed.get(name) else {
            wrong.push(format!("{name}: not in the crate graph (xtask/src/tidy/graph.rs)"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let ours = dependencies
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .filter_map(|d| d["name"].as_str())
            .filter(|d| d.starts_with("craftec-"));
        wrong.extend(
            ours.filter(|d| !may_use.contains(d)).map(|d| format!("{name} must not use {d}")),
        );
    }
    Ok(wrong)
}
