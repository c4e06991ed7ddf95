//! A tab's network and nothing else, for tests in a browser: echoes what is sent to it, and says who
//! is connected how. Never used by the product. Built for wasm only.

use std::{rc::Rc, sync::Arc};

use craftec_core::TransportKey;
use craftec_p2p::{
    ByteStream, NetError, Network, Protocol, Record, RecordCheck, RecordChoice, tab,
};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use wasm_bindgen::prelude::*;

/// `/craftec/echo/1`: everything up to the end of the stream comes back.
const ECHO: Protocol = Protocol { name: "echo", versions: &[1] };
/// Largest echo.
const ECHO_BYTES: u64 = 64 << 20;

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
pub struct Probe(Rc<dyn Network>);

#[wasm_bindgen]
impl Probe {
    /// Starts with a key made of `seed` (32 bytes), through the page at `port`.
    pub fn start(
        seed: &[u8],
        port: web_sys::MessagePort,
        relays: Vec<String>,
    ) -> Result<Probe, JsError> {
        console_error_panic_hook::set_once();
        let seed = seed.try_into().map_err(js)?;
        let network = tab::start(tab::TabConfig {
            key: TransportKey::from_seed(seed),
            page: port,
            relays,
            agent: "craftec/0.1.0 (tab)".to_owned(),
            check: Arc::new(NoRecords),
            ice: JsValue::UNDEFINED,
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
        Ok(Self(network))
    }

    /// Our peer id.
    pub fn id(&self) -> String {
        self.0.local_peer().to_string()
    }

    /// Our own addresses.
    pub fn addresses(&self) -> Vec<String> {
        self.0.addresses()
    }

    /// Who is connected, as `peer link agent` per line.
    pub fn peers(&self) -> Vec<String> {
        let peers = self.0.peers();
        peers.iter().map(|p| format!("{} {:?} {}", p.peer, p.link, p.agent)).collect()
    }

    /// Connects to an address; the peer's id.
    pub async fn connect(&self, address: String) -> Result<String, JsError> {
        let connecting = self.0.connect(&address);
        Ok(connecting.await?.to_string())
    }

    /// Sends `data` to be echoed, and returns what came back.
    pub async fn exchange(&self, peer: String, data: Vec<u8>) -> Result<Vec<u8>, JsError> {
        let stream = self.0.open(peer.parse()?, ECHO).await?;
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
        self.0.shutdown();
    }
}

async fn echo(stream: ByteStream) -> Result<(), NetError> {
    let (reader, mut writer) = stream.split();
    let mut reader = reader.take(ECHO_BYTES);
    let closed = |_| NetError::Closed;
    futures::io::copy(&mut reader, &mut writer).await.map_err(closed)?;
    writer.close().await.map_err(closed)
}
