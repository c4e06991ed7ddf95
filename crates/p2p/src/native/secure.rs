//! WebSocket in TLS (`/tls/ws`), with a certificate that can be replaced while the node runs, and
//! authorities to believe beside the usual ones.
//!
//! Connections that are up go on under the certificate they began with. What a certificate says is
//! no matter here: peers prove who they are inside, with Noise.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    dns, tcp,
    websocket::{self, tls},
};

/// Longest WebSocket message taken: peers write Noise frames of 64 KiB at most, some gather a few.
/// One is held whole before its sender has proved anything.
const MESSAGE_BYTES: usize = 1 << 20;

/// A certificate and its key that do not fit, or are none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// A certificate chain, the node's own first, and its private key; both DER.
pub struct Certificate {
    /// X.509.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: Vec<u8>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} in the chain)", self.chain.len())
    }
}

/// What the node believes and shows. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Mutex<State>>);

struct State {
    config: tls::Config,
    trusted: Vec<Vec<u8>>,
    version: u64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Default for Tls {
    /// A client that believes the usual authorities.
    fn default() -> Self {
        let (config, trusted) = (tls::Config::client(), Vec::new());
        Self(Arc::new(Mutex::new(State { config, trusted, version: 0 })))
    }
}

fn built(own: Option<&Certificate>, trusted: &[Vec<u8>]) -> Result<tls::Config, TlsError> {
    let mut builder = tls::Config::builder();
    let failed = |error: tls::Error| TlsError(error.to_string());
    for authority in trusted {
        builder.add_trust(&tls::Certificate::new(authority.clone())).map_err(failed)?;
    }
    if let Some(Certificate { chain, key }) = own {
        // A key of no known kind would panic below.
        if key.first() != Some(&0x30) {
            return Err(TlsError("the private key is not DER".to_owned()));
        }
        let chain = chain.iter().cloned().map(tls::Certificate::new);
        builder.server(tls::PrivateKey::new(key.clone()), chain).map_err(failed)?;
    }
    Ok(builder.finish())
}

impl Tls {
    /// Shows `own` and believes `trusted` (DER) beside the usual authorities.
    pub fn new(own: Option<&Certificate>, trusted: Vec<Vec<u8>>) -> Result<Self, TlsError> {
        let config = built(own, &trusted)?;
        Ok(Self(Arc::new(Mutex::new(State { config, trusted, version: 0 }))))
    }

    /// Shows another certificate to whoever connects from now on.
    pub fn replace(&self, own: &Certificate) -> Result<(), TlsError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.config = built(Some(own), &state.trusted)?;
        state.version += 1;
        Ok(())
    }

    fn newer(&self, than: u64) -> Option<(tls::Config, u64)> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.version > than).then(|| (state.config.clone(), state.version))
    }

    fn now(&self) -> (tls::Config, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.config.clone(), state.version)
    }
}

/// Names are resolved below TLS, which checks the certificate against the name.
type Named = dns::tokio::Transport<tcp::tokio::Transport>;

/// WebSocket, plain and in TLS.
pub(super) struct WebSocket {
    inner: websocket::Config<Named>,
    tls: Tls,
    version: u64,
}

impl WebSocket {
    pub(super) fn new(below: Named, tls: Tls) -> Self {
        let (config, version) = tls.now();
        let mut inner = websocket::Config::new(below);
        inner.set_tls_config(config).set_max_data_size(MESSAGE_BYTES);
        Self { inner, tls, version }
    }
}

type Inner = websocket::Config<Named>;

impl Transport for WebSocket {
    type Output = <Inner as Transport>::Output;
    type Error = <Inner as Transport>::Error;
    type ListenerUpgrade = <Inner as Transport>::ListenerUpgrade;
    type Dial = <Inner as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        addr: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, addr)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        addr: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial(addr, opts)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        // A connection is accepted by this poll, so it is met with what holds now.
        if let Some((config, version)) = self.tls.newer(self.version) {
            self.inner.set_tls_config(config);
            self.version = version;
        }
        Pin::new(&mut self.inner).poll(cx)
    }
}
