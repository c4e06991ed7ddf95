//! `craftec backup` and `craftec restore`, as an operator uses them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use support::{Daemon, Home, noise};

/// A folder with an object, a named site and the backup `b.craftec` of both.
fn backed_up() -> (Home, String, String, String) {
    let home = Home::new();
    let big = home.write("big.bin", noise(1, 3 << 20));
    let cid = home.run(["put".as_ref(), big.as_os_str()]).ok()["cid"].as_str().unwrap().to_owned();
    home.write("site/index.html", "<h1>hello");
    let site = home.run(["site", "publish", "site", "--name", "blog"]).ok();
    let url = site["url"].as_str().unwrap().to_owned();
    let did = home.run(["id"]).ok()["did"].as_str().unwrap().to_owned();
    home.write("pass", "correct horse\nsecond line\n");
    let written = home.run(["backup", "b.craftec", "--passphrase-file", "pass"]).ok();
    assert_eq!(written["objects"], 2);
    assert_eq!(written["bytes"], fs::metadata(home.path("b.craftec")).unwrap().len());
    (home, cid, url, did)
}

#[test]
fn a_backup_brings_everything_to_an_empty_folder() {
    let (home, cid, url, did) = backed_up();
    let mode = fs::metadata(home.path("b.craftec")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "only its owner reads it");
    let again = home.run(["backup", "b.craftec", "--passphrase-file", "pass"]);
    assert_eq!(again.code, 1, "it never overwrites: {again:?}");
    let none = home.run(["backup", "c.craftec"]);
    assert_eq!(none.code, 2, "{none:?}");
    let file = fs::read(home.path("b.craftec")).unwrap();
    assert!(!file.windows(5).any(|w| w == b"hello"), "it is encrypted");

    let new = Home::new();
    new.write("b.craftec", &file);
    new.write("pass", "correct horse");
    new.write("wrong", "incorrect horse");
    let wrong = new.run(["restore", "b.craftec", "--passphrase-file", "wrong"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("passphrase is wrong"), "{wrong:?}");
    new.write("cut", &file[..file.len() / 2]);
    let cut = new.run(["restore", "cut", "--passphrase-file", "pass"]);
    assert_eq!(cut.code, 2);
    assert!(cut.stderr.contains("ends too early"), "{cut:?}");
    let restored = new.run(["restore", "b.craftec", "--passphrase-file", "pass"]).ok();
    assert_eq!((&restored["objects"], &restored["did"]), (&2.into(), &did.clone().into()));
    assert_eq!(new.run(["id"]).ok()["did"], did);
    new.run(["get", &cid, "-o", "copy.bin"]).ok();
    assert!(fs::read(new.path("copy.bin")).unwrap() == noise(1, 3 << 20));
    let sites = new.run(["site", "list"]).ok();
    assert_eq!(sites["sites"][0]["url"], url);
    // Once more changes nothing.
    let twice = new.run(["restore", "b.craftec", "--passphrase-file", "pass"]).ok();
    assert_eq!((&twice["objects"], &twice["known"]), (&0.into(), &2.into()));
}

#[test]
fn another_identity_and_a_running_node_are_not_overwritten() {
    let (home, ..) = backed_up();
    let other = Home::new();
    other.write("b.craftec", fs::read(home.path("b.craftec")).unwrap());
    other.write("pass", "correct horse");
    other.write("own.txt", "own");
    let own = other.run(["put", "own.txt"]).ok();
    let did = other.run(["id"]).ok()["did"].as_str().unwrap().to_owned();
    let refused = other.run(["restore", "b.craftec", "--passphrase-file", "pass"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains(&did), "{refused:?}");
    assert_eq!(other.run(["id"]).ok()["did"], did);
    let args = ["restore", "b.craftec", "--passphrase-file", "pass", "--replace-identity"];
    other.run(args).ok();
    assert_ne!(other.run(["id"]).ok()["did"], did);
    other.run(["get", own["cid"].as_str().unwrap(), "-o", "own.copy"]).ok();

    let daemon = Daemon::start_in(home, &["--serve-rate", "5MB", "--serve-monthly", "1TB"]);
    let running = daemon.home.run(["restore", "b.craftec", "--passphrase-file", "pass"]);
    assert_eq!(running.code, 1);
    assert!(running.stderr.contains("a node runs"), "{running:?}");
    let status = daemon.home.run(["status"]).ok();
    assert_eq!(status["serving"]["rate"], 5_000_000);
    assert_eq!(status["serving"]["monthly"], 1_000_000_000_000_u64);
    // A running node is backed up over its socket.
    daemon.home.run(["backup", "live.craftec", "--passphrase-file", "pass"]).ok();
}
