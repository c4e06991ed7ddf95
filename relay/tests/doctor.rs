//! `craftec doctor` on set-ups that are broken in one way each, with the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use support::{Daemon, Home, Ran};

/// A home whose configuration asks for no fixed port, so that other tests are not in the way.
fn quiet_home() -> Home {
    let home = Home::new();
    home.write("data/craftec.toml", "http = '127.0.0.1:0'\nlisten = ['/ip4/127.0.0.1/tcp/0']\n");
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o700)).unwrap();
    home
}

/// The check of that name; its verdict.
fn check<'a>(report: &'a Value, group: &str, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    let is = |check: &&Value| check["group"] == group && check["name"] == name;
    checks.iter().find(is).unwrap_or_else(|| panic!("no {group} {name}: {report:#}"))
}

/// The one problem that a run must have found.
fn problem(ran: &Ran, group: &str, name: &str, words: &[&str]) {
    let report = ran.json();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"], 1, "{report:#}");
    let check = check(&report, group, name);
    assert_eq!(check["verdict"], "problem");
    for word in words {
        let text = format!("{} {}", check["found"], check["advice"]);
        assert!(text.contains(word), "{word}: {check:#}");
    }
}

#[test]
fn a_sound_machine_has_no_problem() {
    let home = quiet_home();
    let report = home.run(["doctor"]).ok();
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &0.into()));
    let file = check(&report, "config", "file")["found"].as_str().unwrap();
    assert!(file.contains("craftec.toml sets http, listen"), "{file}");
    // On a busy disk it may be slow.
    assert_ne!(check(&report, "data", "durable write")["verdict"], "problem");
    for (group, name) in [("clock", "steady"), ("limits", "open files"), ("names", "site")] {
        assert!(check(&report, group, name)["found"].is_string());
    }
    let left: Vec<_> = fs::read_dir(home.data()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "it leaves nothing behind: {left:?}");
    let text = home.plain(["doctor", "--only", "data,clock"]).stdout;
    assert!(text.contains("ok       data folder") && !text.contains("names app"), "{text}");
    assert!(text.contains("0 problems"), "{text}");
}

#[test]
fn a_folder_that_is_not_there_yet_is_no_problem() {
    let home = Home::new();
    let report = home.run(["doctor", "--only", "data"]).ok();
    let found = check(&report, "data", "folder")["found"].as_str().unwrap();
    assert!(found.contains("not there yet"), "{found}");
    assert!(!home.data().exists(), "and is not made");
    home.write("data", "a file");
    problem(&home.run(["doctor", "--only", "data"]), "data", "folder", &["not a folder"]);
}

#[test]
fn a_running_node_is_described() {
    let daemon = Daemon::start(&[]);
    let pid = daemon.pid().to_string();
    let port = format!("127.0.0.1:{}", daemon.port);
    let http = ["--only", "node,data,ports,limits", "--running"];
    let listen = daemon.home.write("one.toml", "listen = ['/ip4/127.0.0.1/tcp/0']");
    let args = ["doctor", "--config", listen.to_str().unwrap()];
    let report = daemon.home.run(args.iter().chain(&http)).ok();
    let found = |group, name| check(&report, group, name)["found"].as_str().unwrap().to_owned();
    assert!(found("node", "running").contains(&format!("as process {pid}")));
    assert!(found("data", "lock").contains(&pid));
    assert!(found("ports", "http").contains(&format!("{port} answers /healthz")));
    assert!(found("limits", "open files").contains("the node has"));
    assert_eq!(check(&report, "node", "reachable")["verdict"], "warning", "loopback only");
}

#[test]
fn that_no_node_runs_counts_when_one_should() {
    let home = quiet_home();
    assert_eq!(home.run(["doctor", "--only", "node"]).code, 0);
    let ran = home.run(["doctor", "--only", "node", "--running"]);
    problem(&ran, "node", "running", &["no node runs", "craftec up"]);
}

#[test]
fn taken_ports_are_told_from_our_own() {
    let home = quiet_home();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    home.write(
        "data/craftec.toml",
        format!("http = '127.0.0.1:{port}'\nlisten = ['/ip4/127.0.0.1/tcp/0']"),
    );
    let ran = home.run(["doctor", "--only", "ports"]);
    problem(&ran, "ports", "http", &["can't be listened on", "ss -lptu"]);
    let listen = format!("http = '127.0.0.1:0'\nlisten = ['/ip4/127.0.0.1/tcp/{port}']");
    home.write("data/craftec.toml", &listen);
    let ran = home.run(["doctor", "--only", "ports"]);
    problem(&ran, "ports", "peers", &["can't be listened on"]);
    drop(other);

    // Now it is our own node that has it.
    let daemon = Daemon::start_with(home, &["--listen", &format!("/ip4/127.0.0.1/tcp/{port}")]);
    let report = daemon.home.run(["doctor", "--only", "ports"]).ok();
    let found = check(&report, "ports", "peers")["found"].as_str().unwrap().to_owned();
    assert!(found.contains("the running node listens on"), "{found}");
}

#[test]
fn a_relay_that_is_not_there_is_a_problem() {
    let home = quiet_home();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let relay = format!("/ip4/127.0.0.1/tcp/{port}");
    let args = ["doctor", "--only", "node", "--relay", &relay];
    assert_eq!(check(&home.run(args).ok(), "node", "relay")["verdict"], "ok");
    drop(held);
    problem(&home.run(args), "node", "relay", &[&relay, "refused"]);
}

#[test]
fn a_folder_that_others_can_enter_is_a_problem() {
    let home = quiet_home();
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = home.run(["doctor", "--only", "data"]);
    problem(&ran, "data", "folder", &["mode 755", "chmod 700"]);
}

#[test]
fn a_clock_behind_its_own_files_is_a_problem() {
    let home = quiet_home();
    let file = fs::File::create(home.data().join("later")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    problem(&home.run(["doctor", "--only", "clock"]), "clock", "date", &["after now"]);
}

#[test]
fn a_wrong_configuration_is_named_and_the_rest_is_checked() {
    let home = quiet_home();
    home.write("data/craftec.toml", "http = '127.0.0.1:0'\nhtpp = 1\n");
    let ran = home.run(["doctor", "--only", "config,data"]);
    problem(&ran, "config", "file", &["line 2", "unknown field", "--check-config"]);
    assert_eq!(check(&ran.json(), "data", "folder")["verdict"], "ok");
}

/// Runs a script in a mount namespace of its own, where that is allowed; `None` elsewhere.
fn mounted(home: &Home, script: &str) -> Option<Ran> {
    let may = Command::new("unshare").args(["--mount", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mount namespace can be made here");
        return None;
    }
    let doctor = "\"$CRAFTEC\" --json --data \"$DATA\" doctor --only data";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &format!("{script}\nexec {doctor}")])
        .env("CRAFTEC", env!("CARGO_BIN_EXE_craftec"))
        .env("DATA", home.data())
        .output()
        .unwrap();
    Some(Ran::of(output))
}

#[test]
fn a_read_only_disk_is_a_problem() {
    let home = quiet_home();
    let script = "mount --bind \"$DATA\" \"$DATA\"; mount -o remount,ro,bind \"$DATA\"";
    if let Some(ran) = mounted(&home, script) {
        problem(&ran, "data", "durable write", &["read-only"]);
    }
}

#[test]
fn a_full_disk_is_a_problem() {
    let home = quiet_home();
    let script = "mount -t tmpfs -o size=64k,mode=700 none \"$DATA\"
                  head -c 65536 /dev/zero > \"$DATA/full\" || true";
    let Some(ran) = mounted(&home, script) else { return };
    let report = ran.json();
    assert_eq!(ran.code, 1, "{report:#}");
    for name in ["space", "durable write"] {
        assert_eq!(check(&report, "data", name)["verdict"], "problem", "{report:#}");
    }
    assert!(check(&report, "data", "durable write")["advice"].to_string().contains("Make room"));
    assert!(check(&report, "data", "kind")["found"].to_string().contains("in memory"));
}
