//! Our side of the native bench: two nodes on loopback, each on a thread of its own as in the
//! daemon, disk store to disk store, driven through the language of `craftec-api`.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use craftec_api::{Command, Reply, Role};
use craftec_core::Cid;
use craftec_node::{Config, Keys, Node, Ports, Session, record_check};
use craftec_obj::Store;
use craftec_p2p::native;
use craftec_platform::{
    Clock,
    native::{NativeClock, NativeFolder, OsEntropy},
};
use tokio::sync::{mpsc, oneshot};

/// Bytes of one upload frame.
const CHUNK: usize = 1 << 20;

/// How long the two halves of a run took.
#[derive(Clone, Copy)]
pub struct Took {
    /// Until it was stored.
    pub put: Duration,
    /// Until it was fetched.
    pub get: Duration,
}

enum Ask {
    Addr(oneshot::Sender<String>),
    Connect(String, oneshot::Sender<anyhow::Result<()>>),
    /// Stores and answers how long it took.
    Put(Vec<u8>, oneshot::Sender<anyhow::Result<(Cid, Duration)>>),
    /// Fetches and answers how long it took.
    Get(Cid, oneshot::Sender<anyhow::Result<(Duration, u64)>>),
}

/// Two nodes, connected.
pub struct Pair {
    from: mpsc::UnboundedSender<Ask>,
    to: mpsc::UnboundedSender<Ask>,
    _folders: [tempfile::TempDir; 2],
}

impl Pair {
    /// Starts both nodes and connects them over QUIC.
    pub async fn start() -> anyhow::Result<Self> {
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let from = spawn(folders[0].path().to_owned())?;
        let to = spawn(folders[1].path().to_owned())?;
        let addr = ask(&from, Ask::Addr).await?;
        ask(&to, |answer| Ask::Connect(addr, answer)).await??;
        Ok(Self { from, to, _folders: folders })
    }

    /// Puts `content` on one node, durably, and has the other fetch it to its disk.
    pub async fn run(&self, content: Vec<u8>) -> anyhow::Result<Took> {
        let bytes = content.len() as u64;
        let (cid, put) = ask(&self.from, |answer| Ask::Put(content, answer)).await??;
        let (get, read) = ask(&self.to, |answer| Ask::Get(cid, answer)).await??;
        if read != bytes {
            bail!("read {read} of {bytes} bytes");
        }
        Ok(Took { put, get })
    }
}

async fn ask<T>(
    node: &mpsc::UnboundedSender<Ask>,
    make: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> anyhow::Result<T> {
    let (answer, wait) = oneshot::channel();
    node.send(make(answer)).ok().context("the node ended")?;
    wait.await.context("the node ended")
}

fn spawn(folder: std::path::PathBuf) -> anyhow::Result<mpsc::UnboundedSender<Ask>> {
    let (asks, incoming) = mpsc::unbounded_channel();
    std::thread::Builder::new().spawn(move || {
        let ran = NativeClock::run(async move {
            if let Err(error) = serve(&folder, incoming).await {
                eprintln!("a node of ours failed: {error:#}");
            }
        });
        if let Err(error) = ran {
            eprintln!("no runtime for a node: {error}");
        }
    })?;
    Ok(asks)
}

async fn serve(
    folder: &std::path::Path,
    mut asks: mpsc::UnboundedReceiver<Ask>,
) -> anyhow::Result<()> {
    let folder = NativeFolder::open(folder)?;
    let store = Store::open(&folder).await?;
    let keys = Keys::load_or_create(&store, &OsEntropy)?;
    let check = record_check(|| NativeClock::new().now());
    let mut config = native::NativeConfig::new(keys.transport().clone(), check);
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
    let network = Rc::new(native::start(config).await?);
    let ports = Ports {
        network: network.clone(),
        clock: Rc::new(NativeClock::new()),
        entropy: Rc::new(OsEntropy),
    };
    let mut config = Config::new(Role::Relay);
    // Copies on the other node would race with the fetch that is timed.
    config.lend_limit = Some(0);
    let node = Node::start(ports, store, keys, config).await?;
    let session = node.session();
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Addr(answer) => drop(answer.send(addr(&*network).await)),
            Ask::Connect(addr, answer) => drop(answer.send(connect(&session, addr).await)),
            Ask::Put(content, answer) => drop(answer.send(put(&session, content).await)),
            Ask::Get(cid, answer) => drop(answer.send(get(&session, cid).await)),
        }
    }
    node.stop().await;
    Ok(())
}

async fn addr(network: &dyn craftec_p2p::Network) -> String {
    loop {
        if let Some(addr) = network.addresses().into_iter().find(|a| a.contains("/quic-v1")) {
            let own = format!("/p2p/{}", network.local_peer());
            return if addr.contains("/p2p/") { addr } else { addr + &own };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn connect(session: &Session, addr: String) -> anyhow::Result<()> {
    session.call(Command::Connect { addr }).await?;
    Ok(())
}

async fn put(session: &Session, content: Vec<u8>) -> anyhow::Result<(Cid, Duration)> {
    let started = Instant::now();
    let Reply::Handle { handle } =
        session.call(Command::PutOpen { replicas: Some(0), redundancy: None, name: None }).await?
    else {
        bail!("no handle")
    };
    for chunk in content.chunks(CHUNK) {
        let bytes = chunk.to_vec().into();
        session.call(Command::PutChunk { handle, bytes }).await?;
    }
    match session.call(Command::PutClose { handle }).await? {
        Reply::Stored { cid, .. } => Ok((cid, started.elapsed())),
        other => bail!("unexpected answer {other:?}"),
    }
}

async fn get(session: &Session, cid: Cid) -> anyhow::Result<(Duration, u64)> {
    let started = Instant::now();
    let open = Command::GetOpen { cid, path: String::new(), range: None };
    let Reply::Opened(opened) = session.call(open).await? else { bail!("not opened") };
    let mut read = 0;
    loop {
        match session.call(Command::GetRead { handle: opened.handle }).await? {
            Reply::Bytes { bytes } if bytes.is_empty() => break,
            Reply::Bytes { bytes } => read += bytes.len() as u64,
            other => bail!("unexpected answer {other:?}"),
        }
    }
    Ok((started.elapsed(), read))
}
