//! The bill of materials (CycloneDX 1.6): every crate that is linked into the binary or into what it
//! serves, from Cargo's own resolution, with licences and the hashes of the lock file, and the npm
//! packages bundled into the SDK.
//!
//! Cargo resolves the workspace at once, so that a feature which only a test turns on may bring a
//! crate more than the binary has; it never lacks one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    paths,
    shell::{cargo, read},
};

/// Packages of ours whose code is handed out: the binary, the extension, the tab's node, the web app.
const ROOTS: [&str; 4] = ["craftec-relay", "craftsql", "craftec-node-wasm", "craftec-web"];
/// npm packages that the SDK's bundle contains (all others only build or test it).
const BUNDLED: [&str; 1] = ["cborg"];

/// A crate in the resolved graph.
struct Package<'a> {
    about: &'a Value,
    depends_on: Vec<&'a str>,
}

/// The document, made at `time`.
pub(super) fn of(time: &str) -> anyhow::Result<Value> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    for target in ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown"] {
        metadata.args(["--filter-platform", target]);
    }
    let metadata: Value = serde_json::from_str(&read(&mut metadata)?)?;
    let packages = linked(&metadata)?;
    let hashes = hashes()?;
    let mut components: Vec<_> = packages.values().map(|p| component(p.about, &hashes)).collect();
    let mut edges: Vec<_> = packages
        .values()
        .map(|package| {
            let below = package.depends_on.iter().filter_map(|id| packages.get(id));
            let refs: BTreeSet<_> = below.map(|package| purl(package.about)).collect();
            json!({ "ref": purl(package.about), "dependsOn": refs })
        })
        .collect();
    let bundled = bundled()?;
    let version = env!("CARGO_PKG_VERSION");
    let product = format!("pkg:cargo/craftec@{version}");
    let is_root = |package: &&Package<'_>| ROOTS.iter().any(|root| package.about["name"] == *root);
    let tops: BTreeSet<_> = packages.values().filter(is_root).map(|p| purl(p.about)).collect();
    let npm = bundled.iter().filter_map(|package| Some(package["purl"].as_str()?.to_owned()));
    let tops: Vec<_> = tops.into_iter().chain(npm).collect();
    edges.push(json!({ "ref": product, "dependsOn": tops }));
    components.extend(bundled);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "component": {
                "type": "application",
                "bom-ref": product,
                "name": "craftec",
                "version": version,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                "purl": product,
            },
        },
        "components": components,
        "dependencies": edges,
    }))
}

/// Everything that the roots link, by Cargo's id; build scripts and tests don't count.
fn linked(metadata: &Value) -> anyhow::Result<BTreeMap<&str, Package<'_>>> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let about: BTreeMap<_, _> = metadata["packages"]
        .as_array()
        .context("cargo named no packages")?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<_, _> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo resolved nothing")?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let is_root = |id: &&str| ROOTS.iter().any(|root| about[*id]["name"] == *root);
    let mut left: Vec<_> = about.keys().filter(|id| is_root(id)).copied().collect();
    let mut found = BTreeMap::new();
    while let Some(id) = left.pop() {
        if found.contains_key(id) {
            continue;
        }
        let node = nodes.get(id).with_context(|| format!("{id} is not resolved"))?;
        let normal =
            |dep: &&Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        let deps = node["deps"].as_array().into_iter().flatten().filter(normal);
        let depends_on: Vec<_> = deps.filter_map(|dep| dep["pkg"].as_str()).collect();
        left.extend(&depends_on);
        let about = about.get(id).copied().with_context(|| format!("{id} is not described"))?;
        found.insert(id, Package { about, depends_on });
    }
    Ok(found)
}

fn purl(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

fn component(package: &Value, hashes: &BTreeMap<String, String>) -> Value {
    let purl = purl(package);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package["name"],
        "version": package["version"],
        "purl": purl,
    });
    if let Some(license) = package["license"].as_str() {
        // The way licences were written before SPDX expressions.
        let expression = license.replace('/', " OR ").replace("  ", " ");
        component["licenses"] = json!([{ "expression": expression }]);
    } else if package["license_file"].is_string() {
        component["licenses"] = json!([{ "license": { "name": "see the crate's licence file" } }]);
    }
    if let Some(hash) = hashes.get(&purl) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": hash }]);
    }
    if let Some(repository) = package["repository"].as_str() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

/// SHA-256 of each crate's archive, as the lock file has it.
fn hashes() -> anyhow::Result<BTreeMap<String, String>> {
    let lock = fs::read_to_string(paths::root().join("Cargo.lock"))?;
    let lock: toml::Table = lock.parse().context("Cargo.lock is not TOML")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let text = |package: &toml::Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
    let row = |package: &toml::Value| {
        let (name, version) = (text(package, "name")?, text(package, "version")?);
        Some((format!("pkg:cargo/{name}@{version}"), text(package, "checksum")?))
    };
    Ok(packages.into_iter().flatten().filter_map(row).collect())
}

fn bundled() -> anyhow::Result<Vec<Value>> {
    let lock = fs::read_to_string(paths::root().join("package-lock.json"))?;
    let lock: Value = serde_json::from_str(&lock)?;
    let row = |name: &&str| {
        let package = &lock["packages"][format!("node_modules/{name}")];
        let version = package["version"].as_str();
        let version = version.with_context(|| format!("{name} is not in package-lock.json"))?;
        let purl = format!("pkg:npm/{name}@{version}");
        Ok(json!({
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "licenses": [{ "expression": package["license"] }],
            "purl": purl,
        }))
    };
    BUNDLED.iter().map(row).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |id: &str, name: &str| json!({ "id": id, "name": name, "version": "1.0.0" });
        let dep = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("r", "craftec-relay"),
                package("a", "a"),
                package("t", "only-for-tests"),
            ],
            "resolve": { "nodes": [
                { "id": "r", "deps": [dep("a", Value::Null), dep("t", "dev".into())] },
                { "id": "a", "deps": [] },
                { "id": "t", "deps": [] },
            ] },
        });
        let found = linked(&metadata).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["a", "r"]);
        assert_eq!(found["r"].depends_on, ["a"]);
        let old = json!({ "name": "a", "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let hashes = BTreeMap::from([("pkg:cargo/a@1.0.0".to_owned(), "00".to_owned())]);
        let component = component(&old, &hashes);
        assert_eq!(component["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(component["hashes"][0]["content"], "00");
    }

    /// This repository's own: every crate has a licence, and every one from outside a hash.
    #[test]
    fn the_bill_of_this_repository_is_whole() {
        let bill = of("2026-01-01T00:00:00Z").unwrap();
        let components = bill["components"].as_array().unwrap();
        assert!(components.len() > 200, "{}", components.len());
        let names = |name: &str| components.iter().any(|c| c["name"] == name);
        assert!(names("libp2p") && names("leptos") && names("cborg") && !names("proptest"));
        for component in components {
            assert!(component["licenses"].is_array(), "{component}");
            let name = component["name"].as_str().unwrap();
            let ours = name.starts_with("craftec") || ROOTS.contains(&name);
            assert!(ours || component["hashes"].is_array() || component["name"] == "cborg");
        }
    }
}
