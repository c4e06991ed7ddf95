//! Web servers on loopback, ours and nginx, with the same two files, and clients: one that asks as
//! fast as it is answered, and one that asks once.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use crate::daemon::Daemon;

/// Longest head of an answer that is understood, in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// A server that runs until this is dropped.
pub struct Server {
    _process: Process,
    addr: SocketAddr,
    host: String,
}

enum Process {
    Ours { _daemon: Daemon },
    Nginx { child: Child, _folder: tempfile::TempDir },
}

impl Drop for Process {
    fn drop(&mut self) {
        let Self::Nginx { child, .. } = self else { return };
        // nginx's master ends its workers when it is asked to, not when it is killed.
        let pid = child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        if asked.is_err() {
            drop(child.kill());
        }
        drop(child.wait());
    }
}

impl Server {
    /// `craftec up` of the release build, with `folder` published as a site.
    pub fn craftec(folder: &Path) -> anyhow::Result<Self> {
        let daemon = Daemon::start("/ip4/127.0.0.1/tcp/0/ws", &[])?;
        let published =
            daemon.run([OsStr::new("site"), OsStr::new("publish"), folder.as_os_str()])?;
        let cid = published["cid"].as_str().context("the site was not published")?;
        let (addr, host) = (daemon.http, daemon.host(cid));
        Ok(Self { _process: Process::Ours { _daemon: daemon }, addr, host })
    }

    /// nginx as Debian configures it (a worker for each core, sendfile), without logs and with
    /// connections that are kept.
    pub fn nginx(root: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let config = format!(
            "worker_processes auto; daemon off; pid {dir}/pid; error_log {dir}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
             client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;\n\
             uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n",
            dir = folder.path().display(),
            root = root.display(),
        );
        let file: PathBuf = folder.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        // Its workers run as another user, who must reach the files.
        for path in [folder.path(), root] {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        }
        let child = Command::new("nginx").arg("-c").arg(file).spawn().context("nginx")?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = Process::Nginx { child, _folder: folder };
        let server = Self { _process: process, addr, host: format!("localhost:{port}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(addr).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                bail!("nginx did not start");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Answers per second of the file at `path` over `connections` connections; every answer must
    /// be 200 and as long as `content`, the first of each connection equal to it.
    pub fn load(
        &self,
        path: &str,
        content: &[u8],
        connections: usize,
        during: Duration,
    ) -> anyhow::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        let (request, content): (Rc<str>, Rc<[u8]>) = (request.into(), content.into());
        let addr = self.addr;
        LocalSet::new().block_on(&runtime, async move {
            let started = Instant::now();
            let until = started + during;
            let clients: Vec<_> = (0..connections)
                .map(|_| {
                    tokio::task::spawn_local(client(addr, request.clone(), content.clone(), until))
                })
                .collect();
            let mut answers = 0;
            for client in clients {
                answers += client.await??;
            }
            Ok(answers as f64 / started.elapsed().as_secs_f64())
        })
    }
}

async fn client(
    addr: SocketAddr,
    request: Rc<str>,
    content: Rc<[u8]>,
    until: Instant,
) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut answers = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        let first = (answers == 0).then_some(&*content);
        answer(&mut stream, &mut buffer, content.len(), first).await?;
        answers += 1;
    }
    Ok(answers)
}

/// How long one answer took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Until the first byte of the content was there.
    pub first: Duration,
    /// Until all of it was.
    pub whole: Duration,
}

/// Asks once, over a connection that stands, for the file at `host`, which must be `content`.
pub fn fetch(addr: SocketAddr, host: &str, content: &[u8]) -> anyhow::Result<Took> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; READ_BYTES];
        let begun = Instant::now();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let first = answer(&mut stream, &mut buffer, content.len(), Some(content)).await?;
        Ok(Took { first: first.duration_since(begun), whole: begun.elapsed() })
    })
}

/// Reads one answer; when the first byte of its content came.
async fn answer(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    bytes: usize,
    mut expected: Option<&[u8]>,
) -> anyhow::Result<Instant> {
    let mut filled = 0;
    let head = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        filled += read;
        let end = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n");
        match end {
            Some(end) => break end + 4,
            None if read == 0 || filled > HEAD_BYTES => bail!("no head of an answer"),
            None => {}
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 200 ") {
        // What went wrong is in the body, which is short.
        bail!("{}", String::from_utf8_lossy(&buffer[..filled]));
    }
    let mut check = |part: &[u8]| match &mut expected {
        Some(rest) if rest.len() < part.len() || &rest[..part.len()] != part => {
            bail!("the answer has other bytes")
        }
        Some(rest) => {
            *rest = &rest[part.len()..];
            Ok(())
        }
        None => Ok(()),
    };
    check(&buffer[head..filled])?;
    let mut left = bytes.checked_sub(filled - head).context("the answer is longer")?;
    let mut first = (filled > head).then(Instant::now);
    while left > 0 {
        let most = left.min(buffer.len());
        let read = stream.read(&mut buffer[..most]).await?;
        if read == 0 {
            bail!("the answer broke off");
        }
        first.get_or_insert_with(Instant::now);
        check(&buffer[..read])?;
        left -= read;
    }
    Ok(first.unwrap_or_else(Instant::now))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
