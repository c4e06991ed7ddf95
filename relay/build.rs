//! Makes sure that the folder of the built web app exists, so that the binary compiles before the
//! app was ever built, and compiles again when the app changes.

use std::{fs, path::Path};

fn main() {
    let dist = Path::new("../dist");
    if let Err(error) = fs::create_dir_all(dist) {
        println!("cargo::warning=cannot create {}: {error}", dist.display());
    }
    println!("cargo::rerun-if-changed=../dist");
    println!("cargo::rerun-if-changed=build.rs");
}
