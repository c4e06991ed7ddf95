//! Asking a peer to keep something: one question, then what it tells until it has signed or refused.

use std::{rc::Rc, time::Duration};

use craftec_core::{PeerId, cbor, placement::SignedPromise};
use craftec_p2p::{NetError, Rpc};
use craftec_platform::{Clock, timeout};
use futures::StreamExt;

use super::wire::{Ask, Hold, PROTOCOL, TOLD_BYTES, Told};
use crate::Exchange;

/// A peer that does not know the protocol is asked again after this time.
const UNSUPPORTED: Duration = Duration::from_secs(60 * 60);

/// Why there is no promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPromise {
    /// In words.
    pub(crate) reason: String,
    /// When asking again may help, where the peer said so.
    pub(crate) pause: Option<Duration>,
}

impl NoPromise {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), pause: None }
    }
}

/// What asking takes.
pub(crate) struct Asker<'a> {
    pub(crate) rpc: &'a Rpc,
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) exchange: Exchange,
    /// A holder tells at once that it heard the question: one that doesn't within this time is gone, or
    /// as good as that.
    pub(crate) first: Duration,
    /// A holder that tells nothing for so long afterwards is given up.
    pub(crate) silence: Duration,
}

impl Asker<'_> {
    /// Asks `peer` to keep something, and serves it without holding back meanwhile. `progress` hears
    /// the bytes that it has, and says whether the answer is still of interest.
    ///
    /// # Errors
    /// When there is no valid promise for what was asked.
    pub(crate) async fn hold(
        &self,
        peer: PeerId,
        hold: Hold,
        progress: impl Fn(u64) -> bool,
    ) -> Result<SignedPromise, NoPromise> {
        let _favoured = self.exchange.favour(peer);
        let (root, owner) = (hold.root, hold.owner);
        let body = cbor::encode(&Ask::Hold(hold)).map_err(|e| NoPromise::new(e.to_string()))?;
        let mut told = self.rpc.subscribe(peer, PROTOCOL, body);
        let (mut has, mut patience) = (0, self.first);
        loop {
            let next = timeout(&*self.clock, patience, told.next()).await;
            patience = self.silence;
            if !progress(has) {
                return Err(NoPromise::new("it is no longer wanted"));
            }
            let bytes = match next {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(error))) => {
                    let unsupported = matches!(error, NetError::Unsupported { .. });
                    let pause = unsupported.then_some(UNSUPPORTED);
                    return Err(NoPromise { reason: error.to_string(), pause });
                }
                Ok(None) => return Err(NoPromise::new("it ended without a promise")),
                Err(_) => return Err(NoPromise::new("it fell silent")),
            };
            match cbor::decode(&bytes, TOLD_BYTES) {
                Ok(Told::Progress(bytes)) => has = bytes,
                Ok(Told::Signed(signed)) => {
                    let promise = &signed.promise;
                    let fits = promise.root == root
                        && promise.owner == owner
                        && promise.holder == peer
                        && promise.until_ms > self.clock.now().0;
                    let valid = fits && signed.verify().is_ok();
                    return valid
                        .then_some(signed)
                        .ok_or(NoPromise::new("its promise is not valid"));
                }
                Ok(Told::Refused(refusal)) => {
                    let pause = Some(Duration::from_millis(refusal.retry_ms));
                    return Err(NoPromise { reason: refusal.reason, pause });
                }
                Ok(Told::Released) => return Err(NoPromise::new("it let go")),
                Err(error) => return Err(NoPromise::new(error.to_string())),
            }
        }
    }
}
