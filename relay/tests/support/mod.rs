//! Runs the real binary in temporary folders and speaks plain HTTP/1.1 to it.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::expect_used, reason = "what a test needs and does not get fails the test")]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test (`CRAFTEC` names another than Cargo's, say the release build), without
/// anything of the caller's environment.
pub(crate) fn binary() -> Command {
    let named = std::env::var_os("CRAFTEC");
    let mut command = Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_craftec").into()));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CRAFTEC_") {
            command.env_remove(name);
        }
    }
    command
}

/// What one run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The one JSON object on standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.trim().lines().count(), 1, "one object: {self:?}");
        let value: Value = serde_json::from_str(&self.stdout).expect("JSON");
        assert!(value.is_object(), "{value}");
        value
    }

    /// The same, of a run that must have succeeded.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.json()
    }
}

/// A data folder to run commands on.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = binary();
        command.arg("--data").arg(self.data()).current_dir(self.folder.path());
        command
    }

    /// Runs with these arguments, as a person would.
    pub(crate) fn plain<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        let output = self.command().args(args).stdin(Stdio::null()).output().expect("it runs");
        Ran::of(output)
    }

    /// Runs with `--json`.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        let mut command = self.command();
        let output = command.arg("--json").args(args).stdin(Stdio::null()).output();
        Ran::of(output.expect("it runs"))
    }
}

/// A running `craftec up`.
pub(crate) struct Daemon {
    pub(crate) home: Home,
    pub(crate) ready: Value,
    pub(crate) port: u16,
    child: Child,
}

impl Daemon {
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::start_in(Home::new(), extra)
    }

    pub(crate) fn start_in(home: Home, extra: &[&str]) -> Self {
        let listen = ["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/ws"];
        Self::start_with(home, &[&listen[..], extra].concat())
    }

    /// The same, with all its addresses given.
    pub(crate) fn start_with(home: Home, args: &[&str]) -> Self {
        let mut child = home
            .command()
            .args(["--json", "up", "--http", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output"));
        stdout.read_line(&mut line).expect("the ready line");
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        let url = ready["url"].as_str().expect("url");
        let port = url.rsplit(':').next().expect("a port").trim_end_matches('/');
        let port = port.parse().expect("a port");
        Self { home, ready, port, child }
    }

    /// The address of its TCP listener, with its peer id.
    pub(crate) fn addr(&self) -> String {
        let addrs = self.ready["addrs"].as_array().expect("addrs");
        let tcp = addrs.iter().filter_map(Value::as_str).find(|addr| !addr.contains("/ws"));
        tcp.expect("a TCP address").to_owned()
    }

    /// Of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn peer_id(&self) -> &str {
        self.ready["peer_id"].as_str().expect("peer_id")
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills it, as a machine does that loses power. Nobody waits for its end yet.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
    }

    /// Sends SIGTERM and waits; the exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the end; the exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code().unwrap_or(-1);
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The sum of a metric over all of its labels; `None` where it is not counted.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let text = self.get("localhost", "/metrics").text();
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let value = rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next())??;
            value.parse::<u64>().ok()
        };
        text.lines().filter_map(value).reduce(|a, b| a + b)
    }

    pub(crate) fn get(&self, host: &str, target: &str) -> Answer {
        self.ask("GET", host, target, &[])
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let host = format!("{host}:{}", self.port);
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        self.raw(head.as_bytes())
    }

    /// Sends these bytes and reads to the end.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        Answer::parse(&answer)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let mut headers = BTreeMap::<String, String>::new();
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header");
            let entry = headers.entry(name.to_ascii_lowercase()).or_default();
            if !entry.is_empty() {
                entry.push_str("; ");
            }
            entry.push_str(value.trim());
        }
        let mut body = bytes[end + 4..].to_vec();
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            body = unchunk(&body);
        }
        Self { status: status.parse().expect("a status"), headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").expect("a chunk");
        let size = std::str::from_utf8(&bytes[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
}

/// Bytes that compress badly and differ by seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Every file below a folder, by its path; links that lead nowhere are none.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.exists() {
                let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8");
                found.insert(name.to_owned(), std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
