//! The documentation as a site of Craftec: published by a running node, then read page by page
//! through its gateway, as a browser would.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::links;
use crate::{
    paths,
    shell::{command, read, say},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node of its own, ended with this value.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Publishes `site` and reads all of it.
pub(super) fn published(binary: &Path, site: &Path) -> anyhow::Result<()> {
    let data = paths::target().join("xtask/docs-node");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    let mut up = command(binary);
    up.arg("--data").arg(&data).args(["--json", "up", "--http", "127.0.0.1:0"]);
    up.args(["--listen", "/ip4/127.0.0.1/tcp/0"]).stdout(Stdio::piped());
    let mut node = Node(up.spawn().with_context(|| format!("no {}", binary.display()))?);
    let stdout = node.0.stdout.take().context("no standard output")?;
    let mut ready = String::new();
    BufReader::new(stdout).read_line(&mut ready)?;
    let ready: Value = serde_json::from_str(&ready).context("the node did not start")?;
    let url = ready["url"].as_str().context("the node has no address")?;
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap_or_default();
    let port: u16 = port.parse().context("the node's address has no port")?;

    let mut publish = command(binary);
    publish.arg("--data").arg(&data).args(["--json", "site", "publish"]).arg(site);
    let published: Value = serde_json::from_str(&read(&mut publish)?)?;
    let url = published["url"].as_str().context("the site has no address")?;
    let host = url.trim_start_matches("http://").trim_end_matches('/');

    let (seen, mut wrong) = crawl(host, port, site)?;
    for entry in fs::read_dir(site)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !seen.contains(&name) {
            wrong.push(format!("no link leads to {name}"));
        }
    }
    if !wrong.is_empty() {
        bail!("the published documentation is not whole:\n{}", wrong.join("\n"));
    }
    say(&format!("{} files of the documentation read at {url}, all linked", seen.len()));
    Ok(())
}

/// Follows links from the root; the files reached, and what was wrong.
fn crawl(host: &str, port: u16, site: &Path) -> anyhow::Result<(BTreeSet<String>, Vec<String>)> {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut left = vec![String::new()];
    while let Some(name) = left.pop() {
        let file = if name.is_empty() { "index.html" } else { &name };
        if !seen.insert(file.to_owned()) {
            continue;
        }
        let (status, body) = get(host, port, &format!("/{name}"))?;
        if status != 200 {
            wrong.push(format!("/{name}: status {status}"));
            continue;
        }
        if fs::read(site.join(file)).ok().as_ref() != Some(&body) {
            wrong.push(format!("/{name}: other bytes than were published"));
        }
        if !file.ends_with(".html") {
            continue;
        }
        let html = String::from_utf8(body).context("a page is not UTF-8")?;
        for link in links::values(&html, "href").chain(links::values(&html, "src")) {
            let target = link.split('#').next().unwrap_or_default();
            if !links::is_outside(link) && !target.is_empty() {
                left.push(target.to_owned());
            }
        }
    }
    Ok((seen, wrong))
}

/// A request of the sort that a link makes; names below localhost are this machine.
fn get(host: &str, port: u16, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    if head.contains("transfer-encoding") {
        bail!("{path} came in parts, which this does not read");
    }
    Ok((status.context("no status")?, answer.split_off(end + 4)))
}
