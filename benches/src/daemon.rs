//! The release build of the binary as a process: started with a folder of its own, asked over its
//! command line, ended when it is dropped.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

/// A running `craftec up`.
pub struct Daemon {
    child: Child,
    binary: PathBuf,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where peers connect, with its id.
    pub addr: String,
    folder: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Daemon {
    /// Starts it with one listener for peers and `args` besides; done when it is ready.
    pub fn start(listen: &str, args: &[&str]) -> anyhow::Result<Self> {
        let binary = PathBuf::from(std::env::var_os("CRAFTEC").context("CRAFTEC names no binary")?);
        let folder = tempfile::tempdir()?;
        let mut up = command(&binary, folder.path());
        up.args(["up", "--http", "127.0.0.1:0", "--listen", listen]).args(args);
        let mut child = up.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready)?;
        let ready: Value = serde_json::from_str(&ready).context("the ready line")?;
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let url = text(&ready["url"]).context("no url in the ready line")?;
        let port = url.trim_end_matches('/').rsplit(':').next().context("no port")?.parse()?;
        let addr = text(&ready["addrs"][0]).context("no address in the ready line")?;
        Ok(Self { child, binary, http: (Ipv4Addr::LOCALHOST, port).into(), addr, folder })
    }

    /// What a command answers; it must succeed.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> anyhow::Result<Value> {
        let ran = command(&self.binary, self.folder.path()).args(args).output()?;
        if !ran.status.success() {
            bail!("{}: {}", ran.status, String::from_utf8_lossy(&ran.stdout));
        }
        Ok(serde_json::from_slice(&ran.stdout)?)
    }

    /// Puts `content`; its CID.
    pub fn put(&self, content: &[u8], args: &[&str]) -> anyhow::Result<String> {
        let file = self.folder.path().join("content");
        std::fs::write(&file, content)?;
        let file = file.to_str().context("UTF-8")?;
        let put = self.run([&["put", file][..], args].concat())?;
        Ok(put["cid"].as_str().context("no CID")?.to_owned())
    }

    /// The host of a site of its gateway.
    pub fn host(&self, cid: &str) -> String {
        format!("{cid}.craftec.localhost:{}", self.http.port())
    }

    /// Kills it, as a machine does that loses power.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill()?)
    }
}

fn command(binary: &Path, data: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("--data").arg(data).arg("--json").stderr(Stdio::inherit());
    command
}
