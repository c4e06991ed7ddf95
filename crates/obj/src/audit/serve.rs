//! The answering side: proofs of what is here, which count as no use of it, within limits. It never
//! fetches anything for an answer.
//!
//! # What a flood costs
//!
//! A challenge is 57 bytes and makes us read and hash a block of up to 1 MiB twice (to check it, and for
//! the ways of its tree), so each is charged the block's length, at least [`FLOOR_BYTES`] for the answer
//! that it sends. One peer gets [`PEER`], all together get [`ALL`]; who asks more is told to wait and
//! costs a look-up of lengths. That is 8 MiB of hashing a second at most, one hundredth of one thread of
//! a tab, and 88 KiB of answers a second. A usual look (32 samples of 256 KiB) takes half of one peer's
//! burst; an auditor of everything by the hour needs 2.3 KiB a second, so that [`ALL`] is enough for 1800.
//!
//! Identities are free: enough of them can use all of it up, and honest auditors then wait. What they ask
//! stays open and is failed only after a day without any proof.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{Cid, PeerId};
use craftec_p2p::{
    Rpc,
    rate::{Bucket, Buckets, Rate},
};
use craftec_platform::Clock;
use futures::future::LocalBoxFuture;

use super::{
    proof::Proof,
    wire::{Answer, Item, PROTOCOL, Request},
};
use crate::{Exchange, StoreError};

/// The least that a challenge is charged, for its answer of 1.4 KiB and the look-up.
const FLOOR_BYTES: u64 = 64 << 10;
/// Bytes of blocks that are hashed for one peer: a closer look (896 samples of 256 KiB) in four minutes;
/// at once the largest request.
const PEER: Rate = Rate { count: 1 << 20, per: Duration::from_secs(1), burst: 16 << 20 };
/// The same for all.
const ALL: Rate = Rate { count: 4 << 20, per: Duration::from_secs(1), burst: 32 << 20 };
/// Peers told apart; more share one bucket.
const PEERS: usize = 4096;
/// Bytes hashed before others get a turn: some milliseconds in a tab.
const TURN_BYTES: u64 = 2 << 20;
/// What a peer waits whose block could not be read now.
const UNREADABLE: Duration = Duration::from_secs(60);

/// What was answered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Chunks proved.
    pub proofs: u64,
    /// Challenges for what is not here.
    pub missing: u64,
    /// Bytes of the blocks that were hashed for proofs.
    pub hashed_bytes: u64,
    /// Bytes of answers with proofs.
    pub sent_bytes: u64,
    /// Requests that were told to wait.
    pub busy: u64,
}

/// Answers audits for as long as it lives. Cloning shares it.
#[derive(Clone)]
pub struct AuditServer(Rc<Inner>);

struct Inner {
    exchange: Exchange,
    clock: Rc<dyn Clock>,
    limits: RefCell<Limits>,
    served: Cell<Served>,
}

struct Limits {
    peers: Buckets<PeerId>,
    all: Bucket,
}

impl Limits {
    /// Takes `bytes` for `peer`, or says how long to wait.
    fn take(&mut self, peer: PeerId, bytes: u64, now: Duration) -> Result<(), Duration> {
        // Nobody is charged for what others use up.
        let wait = self.all.wait(&ALL, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        if !self.peers.try_take(peer, bytes, now) {
            return Err(PEER.per.mul_f64(bytes as f64 / PEER.count as f64));
        }
        self.all.spend(&ALL, bytes, now);
        Ok(())
    }
}

impl AuditServer {
    /// Answers over `rpc` from now on, with what `exchange` has.
    pub fn start(rpc: &Rpc, exchange: Exchange, clock: Rc<dyn Clock>) -> Self {
        let limits = Limits { peers: Buckets::new(PEER, PEERS), all: Bucket::default() };
        let (limits, served) = (RefCell::new(limits), Cell::default());
        let inner = Rc::new(Inner { exchange, clock, limits, served });
        let weak = Rc::downgrade(&inner);
        let handler = move |peer: PeerId, _version: u16, body: Bytes| {
            let answer: LocalBoxFuture<'static, Bytes> = Box::pin(answer(weak.clone(), peer, body));
            answer
        };
        rpc.serve(PROTOCOL, Rc::new(handler));
        Self(inner)
    }

    /// What was answered so far.
    pub fn served(&self) -> Served {
        self.0.served.get()
    }
}

async fn answer(inner: Weak<Inner>, peer: PeerId, body: Bytes) -> Bytes {
    let answer = match (inner.upgrade(), Request::decode(&body)) {
        (Some(inner), Ok(request)) => inner.answer(peer, &request).await,
        (None, _) => Answer::refused("this node is stopping"),
        (_, Err(error)) => Answer::refused(&error.to_string()),
    };
    answer.to_message()
}

impl Inner {
    async fn answer(&self, peer: PeerId, request: &Request) -> Answer {
        if let Some(reason) = self.exchange.refuses() {
            return Answer::refused(reason);
        }
        let cost = request.challenges.iter().map(|challenge| self.cost(&challenge.cid)).sum();
        let taken = self.limits.borrow_mut().take(peer, cost, self.clock.monotonic());
        if let Err(wait) = taken {
            return self.busy(wait);
        }
        let (mut items, mut turn) = (Vec::with_capacity(request.challenges.len()), 0);
        let mut served = Served::default();
        for challenge in &request.challenges {
            let item = match self.block(&challenge.cid) {
                Ok(Some(block)) => {
                    served.hashed_bytes += block.len() as u64;
                    turn += block.len() as u64;
                    Item::Proof(Proof::make(&block, challenge.chunk))
                }
                Ok(None) => Item::Missing,
                Err(error) => {
                    // Not a word about the block: it may be readable again.
                    tracing::warn!(%error, cid = %challenge.cid, "a block could not be read");
                    return self.busy(UNREADABLE);
                }
            };
            match item {
                Item::Proof(_) => served.proofs += 1,
                Item::Missing => served.missing += 1,
            }
            items.push(item);
            if turn >= TURN_BYTES {
                turn = 0;
                self.clock.sleep(Duration::ZERO).await;
            }
        }
        self.count(peer, served, items)
    }

    /// Counts an answer, which is sent.
    fn count(&self, peer: PeerId, served: Served, items: Vec<Item>) -> Answer {
        let proof = |item: &Item| match item {
            Item::Proof(proof) => proof.chunk.len() + proof.path.len(),
            Item::Missing => 0,
        };
        let sent: usize = items.iter().map(proof).sum();
        self.exchange.count_proofs(peer, sent as u64);
        let so_far = self.served.get();
        self.served.set(Served {
            proofs: so_far.proofs + served.proofs,
            missing: so_far.missing + served.missing,
            hashed_bytes: so_far.hashed_bytes + served.hashed_bytes,
            sent_bytes: so_far.sent_bytes + sent as u64,
            busy: so_far.busy,
        });
        Answer::Proofs(items)
    }

    fn busy(&self, wait: Duration) -> Answer {
        let served = self.served.get();
        self.served.set(Served { busy: served.busy + 1, ..served });
        Answer::Busy(wait.as_millis().try_into().unwrap_or(u32::MAX))
    }

    /// What a challenge is charged.
    fn cost(&self, cid: &Cid) -> u64 {
        let bytes = self.exchange.len_of(cid).ok().flatten().unwrap_or_default();
        bytes.max(FLOOR_BYTES)
    }

    /// A block, as others may have it. One that was found rotten is not here.
    fn block(&self, cid: &Cid) -> Result<Option<crate::Block>, StoreError> {
        if self.exchange.is_denied(cid) {
            return Ok(None);
        }
        match self.exchange.peek(cid) {
            Err(StoreError::Rotten { .. }) => Ok(None),
            found => found,
        }
    }
}
