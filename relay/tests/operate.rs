//! What an operator relies on: one owner of a folder, an orderly end, logs a program can read, and
//! what is packaged.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::{Daemon, Home, PATIENCE, noise};

#[test]
fn a_second_owner_is_told_who_is_first() {
    let daemon = Daemon::start(&[]);
    let second = daemon.home.run(["up", "--http", "127.0.0.1:0"]);
    assert_eq!(second.code, 4, "{second:?}");
    let error = &second.json()["error"];
    let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
    assert!(message.contains(&format!("(id {})", daemon.pid())), "{message}");
    assert!(hint.contains(&format!("kill {}", daemon.pid())), "{hint}");
    assert_eq!(daemon.get("localhost", "/healthz").status, 200, "the first is not disturbed");
}

/// Publishes a file of more bytes than sockets hold, asks for it, and reads the beginning.
fn reading(daemon: &Daemon, bytes: usize) -> (TcpStream, Vec<u8>) {
    daemon.home.write("site/big.bin", noise(7, bytes));
    let site = daemon.home.run(["site", "publish", "site"]).ok();
    let host = site["url"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = format!("GET /big.bin HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut begun = vec![0; 4096];
    stream.read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun));
    (stream, begun)
}

/// Waits until it listens no more.
fn refuses(daemon: &Daemon) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", daemon.port)).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(8), "it still listens");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn requests_in_flight_end_before_the_process_does() {
    let mut daemon = Daemon::start(&[]);
    let bytes = 48 << 20;
    let (mut stream, mut answer) = reading(&daemon, bytes);
    daemon.signal("TERM");
    // Asked to end, it takes no new connection but goes on with this one.
    refuses(&daemon);
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - head, bytes);
    assert!(answer[head..] == noise(7, bytes), "every byte is right");
    assert_eq!(daemon.wait(), 0);
    assert!(!daemon.home.data().join("craftec.sock").exists());
    assert_eq!(daemon.home.run(["status"]).ok()["objects"], 1, "and the folder is free");
}

#[test]
fn a_reader_that_never_ends_does_not_hold_the_process() {
    let mut daemon = Daemon::start(&[]);
    let (stream, _) = reading(&daemon, 48 << 20);
    let start = Instant::now();
    assert_eq!(daemon.stop(), 0);
    let took = start.elapsed();
    assert!(took > Duration::from_secs(5), "it was given time: {took:?}");
    assert!(took < Duration::from_secs(25), "within its bound: {took:?}");
    drop(stream);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut daemon = Daemon::start(&[]);
    let (stream, _) = reading(&daemon, 48 << 20);
    daemon.signal("TERM");
    refuses(&daemon);
    let start = Instant::now();
    daemon.signal("INT");
    daemon.wait();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    drop(stream);
    assert_eq!(daemon.home.run(["status"]).ok()["objects"], 1, "what was acknowledged is there");
}

#[test]
fn logs_are_json_when_asked_for() {
    let home = Home::new();
    let relay = "/ip4/127.0.0.1/tcp/1";
    let run = |format: &str| {
        let args = ["--relay", relay, "--log-format", format, "status"];
        let output = home.command().args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // A relay that does not answer is worth a line.
    let json = run("json");
    let lines: Vec<serde_json::Value> =
        json.lines().filter(|line| line.starts_with('{')).map(|l| l.parse().unwrap()).collect();
    let warned = |line: &serde_json::Value| {
        line["level"] == "WARN" && line["fields"]["message"].as_str().unwrap().contains("no relay")
    };
    assert!(lines.iter().any(warned), "{json}");
    assert!(run("text").contains("WARN"));
}

#[test]
fn completions_are_valid_for_their_shells() {
    let home = Home::new();
    for (shell, check) in [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish --no-execute")] {
        let ran = home.plain(["completions", shell]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("doctor"), "{shell}");
        let file = home.write(shell, &ran.stdout);
        let (program, flag) = check.split_once(' ').unwrap();
        match Command::new(program).arg(flag).arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(_) => eprintln!("skipped: {program} is not installed"),
        }
    }
    let words = "COMP_WORDS=(craftec do); COMP_CWORD=1; _craftec craftec do craftec; \
                 printf '%s\\n' \"${COMPREPLY[@]}\"";
    let script = format!("source {}; {words}", home.path("bash").display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "doctor");
    assert!(!home.data().exists(), "they need no data folder");
}

#[test]
fn manual_pages_are_written_and_valid() {
    let home = Home::new();
    let written = home.run(["man", "pages"]).ok();
    let files = written["files"].as_array().unwrap();
    for wanted in ["craftec.1", "craftec-up.1", "craftec-site-publish.1", "craftec-doctor.1"] {
        assert!(files.contains(&wanted.into()), "{wanted}: {written}");
    }
    let page = home.plain(["man"]).stdout;
    assert!(page.contains(".TH craftec 1") && page.contains("Exit codes"), "{page}");
    for file in files {
        let path = home.path("pages").join(file.as_str().unwrap());
        match Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{file}: {output:?}"),
            Err(_) => return eprintln!("skipped: mandoc is not installed"),
        }
    }
}

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

#[test]
fn the_packaged_configuration_is_valid_and_whole() {
    let home = Home::new();
    let path = packaging("craftec.toml");
    let ran = home.run(["--config", path.to_str().unwrap(), "--check-config"]);
    let settings = ran.ok();
    assert_eq!(settings["lend"], 20u64 << 30);
    // Commented keys count too: what is shown to people must be right when they uncomment it.
    let text = fs::read_to_string(&path).unwrap();
    let whole: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest,
            _ => line,
        })
        .collect();
    let whole = home.write("whole.toml", whole.join("\n"));
    let settings = home.run(["--config", whole.to_str().unwrap(), "--check-config"]).ok();
    assert_eq!(settings["announce"].as_array().unwrap().len(), 1);
    assert_eq!(settings["relay"].as_array().unwrap().len(), 1);
}

#[test]
fn the_unit_runs_commands_that_exist() {
    let text = fs::read_to_string(packaging("systemd/craftec.service")).unwrap();
    let home = Home::new();
    let config = packaging("craftec.toml");
    let mut run = 0;
    for line in text.lines() {
        let Some(args) = line.strip_prefix("ExecStartPre=/usr/bin/craftec ") else { continue };
        let args = args.replace("/etc/craftec/craftec.toml", config.to_str().unwrap());
        assert_eq!(home.plain(args.split(' ')).code, 0, "{line}");
        run += 1;
    }
    assert_eq!(run, 1);
    for wanted in ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "MemoryMax="] {
        assert!(text.contains(wanted), "{wanted}");
    }
    let verify = |mut command: Command| {
        let output = command.stdin(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(packaging("systemd/craftec.service"));
    match verify(command) {
        Some(said) => {
            // The binary is not installed on a developer's machine.
            let wrong: Vec<_> =
                said.lines().filter(|line| !line.contains("is not executable")).collect();
            assert!(wrong.is_empty(), "{wrong:?}");
        }
        None => eprintln!("skipped: systemd-analyze is not installed"),
    }
}
