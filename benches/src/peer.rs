//! The peer of the native bench: `iroh-blobs` between two endpoints on loopback, disk store to disk
//! store.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use anyhow::Context;
use iroh::{
    Endpoint, EndpointAddr, RelayMode,
    endpoint::{Connection, presets},
    protocol::Router,
};
use iroh_blobs::{ALPN, BlobsProtocol, store::fs::FsStore};

use crate::ours::Took;

/// Two endpoints, connected.
pub struct Pair {
    from: FsStore,
    to: FsStore,
    connection: Connection,
    _router: Router,
    _client: Endpoint,
    _folders: [tempfile::TempDir; 2],
}

impl Pair {
    /// Starts both sides and connects them.
    pub async fn start() -> anyhow::Result<Self> {
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let from = load(&folders[0]).await?;
        let to = load(&folders[1]).await?;
        let server = endpoint().await?;
        let blobs = BlobsProtocol::new(&from, None);
        let addr = EndpointAddr::new(server.id())
            .with_ip_addr(server.bound_sockets().first().copied().context("not bound")?);
        let router = Router::builder(server).accept(ALPN, blobs).spawn();
        let client = endpoint().await?;
        let connection = client.connect(addr, ALPN).await.map_err(text)?;
        Ok(Self { from, to, connection, _router: router, _client: client, _folders: folders })
    }

    /// Puts `content` on one side, durably, and has the other fetch it to its disk, which neither
    /// program flushes before it says that it is done.
    pub async fn run(&self, content: Vec<u8>) -> anyhow::Result<Took> {
        let started = Instant::now();
        let tag = self.from.blobs().add_bytes(content).await.map_err(text)?;
        self.from.sync_db().await.map_err(text)?;
        let put = started.elapsed();
        let started = Instant::now();
        let fetched = self.to.remote().fetch(self.connection.clone(), tag.hash_and_format());
        fetched.await.map_err(text)?;
        Ok(Took { put, get: started.elapsed() })
    }
}

async fn load(folder: &tempfile::TempDir) -> anyhow::Result<FsStore> {
    FsStore::load(folder.path()).await.map_err(text)
}

async fn endpoint() -> anyhow::Result<Endpoint> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let builder = Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled);
    builder.clear_ip_transports().bind_addr(local).map_err(text)?.bind().await.map_err(text)
}

fn text(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
