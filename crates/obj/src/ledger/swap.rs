//! The exchange of receipts: hourly with everyone connected of whom the book knows something.
//!
//! What a peer sends costs at most two checks of a signature in [`AGAIN`], and opens no page: only a
//! signature of our own does.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_core::{
    PeerId,
    receipt::{Receipt, SignedReceipt},
};
use craftec_p2p::{
    Handler, Rpc,
    rate::{Buckets, Rate},
};
use futures::{FutureExt, StreamExt, stream};

use super::{
    Inner,
    book::PEERS,
    wire::{PROTOCOL, SWAP_BYTES, Swap},
};

/// How often receipts are exchanged with one peer. What a lost hour costs is an hour.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How often one peer is answered.
const AGAIN: Duration = Duration::from_secs(10 * 60);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Peers asked at one time.
const AT_ONCE: usize = 8;
/// Peers whose last question is remembered; whoever comes beyond that shares one turn with others.
const ASKERS: usize = 1024;

/// When receipts were exchanged with whom.
#[derive(Debug)]
pub(super) struct Swaps {
    last: BTreeMap<PeerId, Duration>,
    answered: Buckets<PeerId>,
}

impl Default for Swaps {
    fn default() -> Self {
        let rate = Rate { count: 1, per: AGAIN, burst: 1 };
        Self { last: BTreeMap::new(), answered: Buckets::new(rate, ASKERS) }
    }
}

/// Answers others from now on.
pub(super) fn serve(inner: &Rc<Inner>, rpc: &Rpc) {
    let weak = Rc::downgrade(inner);
    let handler: Handler = Rc::new(move |peer, _version, body: Bytes| {
        let answer = weak.upgrade().map(|inner| inner.answer(peer, &body)).unwrap_or_default();
        // A message of ours always encodes; an empty answer would be refused as what it is.
        let bytes = Bytes::from(answer.encode().unwrap_or_default());
        std::future::ready(bytes).boxed_local()
    });
    rpc.serve(PROTOCOL, handler);
}

/// Exchanges receipts with whoever is due.
pub(super) async fn swap_all(inner: &Rc<Inner>) {
    let Some(rpc) = inner.rpc.get() else { return };
    let swaps = stream::iter(inner.due()).map(|peer| swap_one(inner, rpc, peer));
    let mut swaps = swaps.buffer_unordered(AT_ONCE);
    while swaps.next().await.is_some() {}
}

async fn swap_one(inner: &Inner, rpc: &Rpc, peer: PeerId) {
    let Ok(body) = inner.swap_with(peer).encode() else { return };
    inner.swaps.borrow_mut().last.insert(peer, inner.clock.monotonic());
    match rpc.request(peer, PROTOCOL, body, ANSWER).await {
        Ok(answer) => inner.heard(peer, &answer),
        // It speaks no receipts, or is gone: an hour later it is tried again.
        Err(error) => tracing::debug!(%peer, %error, "no receipts were exchanged"),
    }
}

impl Inner {
    /// Connected peers of whom the book knows something and whose hour has come.
    fn due(&self) -> Vec<PeerId> {
        let (book, now) = (self.book.borrow(), self.clock.monotonic());
        let mut swaps = self.swaps.borrow_mut();
        swaps.last.retain(|peer, at| now.saturating_sub(*at) < EVERY && book.entry(peer).is_some());
        let places = self.places.borrow();
        let known = places.keys().filter(|peer| book.entry(peer).is_some());
        known.filter(|peer| !swaps.last.contains_key(peer)).take(PEERS).copied().collect()
    }

    /// What is sent to `peer`: a receipt signed now, and the newest that it gave us.
    fn swap_with(&self, peer: PeerId) -> Swap {
        let (book, now_ms) = (self.book.borrow(), self.clock.now().0);
        let receipt = book.receipt_for(self.key.peer_id(), peer, now_ms);
        let given = receipt.and_then(|receipt| SignedReceipt::sign(receipt, &self.key).ok());
        let known = book.entry(&peer).and_then(|entry| entry.receipt.clone());
        Swap { given, known }
    }

    pub(super) fn answer(&self, peer: PeerId, body: &[u8]) -> Swap {
        let now = self.clock.monotonic();
        let in_time = {
            let mut swaps = self.swaps.borrow_mut();
            let in_time = swaps.answered.try_take(peer, 1, now);
            if in_time && self.book.borrow().entry(&peer).is_some() {
                swaps.last.insert(peer, now);
            }
            in_time
        };
        if !in_time || body.len() > SWAP_BYTES {
            return Swap::default();
        }
        // First what we are reminded of: what we sign now then says it too.
        self.heard(peer, body);
        self.swap_with(peer)
    }

    pub(super) fn heard(&self, peer: PeerId, message: &[u8]) {
        let swap = match Swap::decode(message) {
            Ok(swap) => swap,
            Err(error) => return tracing::debug!(%peer, %error, "not an exchange of receipts"),
        };
        let now_ms = self.clock.now().0;
        let is_right = |signed: &SignedReceipt, giver: PeerId, to: PeerId| {
            let Receipt { giver: by, to: whom, .. } = signed.receipt;
            (by, whom) == (giver, to) && signed.verify(now_ms).is_ok()
        };
        let own = self.key.peer_id();
        if let Some(given) = swap.given.filter(|given| is_right(given, peer, own)) {
            self.book.borrow_mut().take_receipt(given, now_ms);
        }
        if let Some(known) = swap.known.filter(|known| is_right(known, own, peer))
            && self.book.borrow_mut().remind(&known.receipt, now_ms)
        {
            tracing::info!(%peer, "reminded of what it did for us");
        }
    }
}
