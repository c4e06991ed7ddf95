//! A tab's network and nothing else, for tests in a browser: echoes what is sent to it, and says who
//! is connected how. Never used by the product. Built for wasm only.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use craftec_core::TransportKey;
use craftec_p2p::{
    ByteStream, NetError, Network, Protocol, Record, RecordCheck, RecordChoice, Role, Rpc, pex, tab,
};
use craftec_platform::{
    tab::{TabClock, WebEntropy},
    timeout,
};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use wasm_bindgen::prelude::*;

/// `/craftec/echo/1`: everything up to the end of the stream comes back.
const ECHO: Protocol = Protocol { name: "echo", versions: &[1] };
/// Largest echo.
const ECHO_BYTES: u64 = 64 << 20;

/// `/craftec/bulk/1`: taken, and not read before [`Probe::drain`].
const BULK: Protocol = Protocol { name: "bulk", versions: &[1] };
/// The most that [`Probe::fill`] writes.
const FILL_BYTES: usize = 48 << 20;
/// Nothing taken for so long means that the writer is held back.
const HELD_BACK: Duration = Duration::from_secs(2);

/// Read at one time.
const PART_BYTES: usize = 64 << 10;

/// This network keeps no records.
struct NoRecords;

impl RecordCheck for NoRecords {
    fn choose(&self, _: &Record, _: Option<&Record>) -> Result<RecordChoice, String> {
        Err("a probe keeps no records".to_owned())
    }
}

fn js(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

/// One network in this worker.
#[wasm_bindgen]
pub struct Probe {
    network: Rc<dyn Network>,
    /// Bulk streams from peers, unread, and ours, unfinished.
    unread: Rc<RefCell<Vec<ByteStream>>>,
    unfinished: Rc<RefCell<Vec<ByteStream>>>,
}

#[wasm_bindgen]
impl Probe {
    /// Starts with a key made of `seed` (32 bytes), through the page at `port`; `ice` is the page's
    /// `RTCConfiguration`, or nothing.
    pub fn start(
        seed: &[u8],
        port: web_sys::MessagePort,
        relays: Vec<String>,
        ice: JsValue,
    ) -> Result<Probe, JsError> {
        console_error_panic_hook::set_once();
        let seed = seed.try_into().map_err(js)?;
        let network = tab::start(tab::TabConfig {
            key: TransportKey::from_seed(seed),
            page: port,
            relays,
            agent: "craftec/0.1.0 (tab)".to_owned(),
            check: Arc::new(NoRecords),
            ice,
        })?;
        let network: Rc<dyn Network> = Rc::new(network);
        let mut streams = network.accept(ECHO);
        wasm_bindgen_futures::spawn_local(async move {
            while let Some((_, stream)) = streams.next().await {
                wasm_bindgen_futures::spawn_local(async move {
                    let _ = echo(stream).await;
                });
            }
        });
        let unread = Rc::<RefCell<Vec<ByteStream>>>::default();
        let (mut bulk, taken) = (network.accept(BULK), unread.clone());
        wasm_bindgen_futures::spawn_local(async move {
            while let Some((_, stream)) = bulk.next().await {
                taken.borrow_mut().push(stream);
            }
        });
        Ok(Self { network, unread, unfinished: Rc::default() })
    }

    /// Exchanges peers and keeps links of its own, as a whole node does.
    pub fn mesh(&self) {
        let clock = Rc::new(TabClock::new());
        let rpc = Rpc::new(self.network.clone(), clock.clone());
        pex::start(&rpc, clock, Rc::new(WebEntropy), Role::Tab);
    }

    /// Writes to a peer that does not read until nothing more is taken; how many bytes were.
    pub async fn fill(&self, peer: String) -> Result<usize, JsError> {
        let (network, unfinished) = (self.network.clone(), self.unfinished.clone());
        let mut stream = network.open(peer.parse()?, BULK).await?;
        let (clock, piece, mut written) = (TabClock::new(), vec![7; PART_BYTES], 0);
        while written < FILL_BYTES {
            match timeout(&clock, HELD_BACK, stream.write(&piece)).await {
                Ok(more) => written += more.map_err(js)?,
                Err(_) => break,
            }
        }
        unfinished.borrow_mut().push(stream);
        Ok(written)
    }

    /// Ends what [`Probe::fill`] began.
    pub async fn finish(&self) -> Result<(), JsError> {
        let streams = self.unfinished.take();
        for mut stream in streams {
            stream.close().await.map_err(js)?;
        }
        Ok(())
    }

    /// Reads everything that peers filled in, to its end; how many bytes that was.
    pub async fn drain(&self) -> Result<usize, JsError> {
        let (streams, mut read, mut part) = (self.unread.take(), 0, vec![0; PART_BYTES]);
        for mut stream in streams {
            loop {
                match stream.read(&mut part).await.map_err(js)? {
                    0 => break,
                    more => read += more,
                }
            }
        }
        Ok(read)
    }

    /// Our peer id.
    pub fn id(&self) -> String {
        self.network.local_peer().to_string()
    }

    /// Our own addresses.
    pub fn addresses(&self) -> Vec<String> {
        self.network.addresses()
    }

    /// Who is connected, as `peer link agent` per line.
    pub fn peers(&self) -> Vec<String> {
        let peers = self.network.peers();
        peers.iter().map(|p| format!("{} {:?} {}", p.peer, p.link, p.agent)).collect()
    }

    /// Connects to an address; the peer's id.
    pub async fn connect(&self, address: String) -> Result<String, JsError> {
        let connecting = self.network.connect(&address);
        Ok(connecting.await?.to_string())
    }

    /// Sends `data` to be echoed, and returns what came back.
    pub async fn exchange(&self, peer: String, data: Vec<u8>) -> Result<Vec<u8>, JsError> {
        let stream = self.network.open(peer.parse()?, ECHO).await?;
        let (mut reader, mut writer) = stream.split();
        let send = async move {
            writer.write_all(&data).await?;
            writer.close().await
        };
        // By hand: `read_to_end` clears its whole spare room again at each wait.
        let receive = async move {
            let (mut back, mut part) = (Vec::new(), vec![0; PART_BYTES]);
            loop {
                match reader.read(&mut part).await? {
                    0 => return Ok::<_, std::io::Error>(back),
                    n => back.extend_from_slice(&part[..n]),
                }
            }
        };
        let (sent, back) = futures::join!(send, receive);
        sent.map_err(js)?;
        back.map_err(js)
    }

    /// Ends all connections.
    pub fn stop(&self) {
        self.network.shutdown();
    }
}

async fn echo(stream: ByteStream) -> Result<(), NetError> {
    let (reader, mut writer) = stream.split();
    let mut reader = reader.take(ECHO_BYTES);
    let closed = |_| NetError::Closed;
    futures::io::copy(&mut reader, &mut writer).await.map_err(closed)?;
    writer.close().await.map_err(closed)
}
