//! Exchange of blocks with other nodes (`/craftec/obj/1`).
//!
//! A [`Session`] fetches what lies below one root from whoever has it; [`Exchange`] serves what is
//! here, keeps what sessions fetched, and remembers who sent wrong bytes. Every block is verified
//! by its CID before anybody sees it. It never decides what is kept for long: what it stores is
//! cache until something pins it.

mod ahead;
mod ask;
mod budget;
mod coded;
mod errand;
mod keep;
mod plan;
mod serve;
mod session;
mod shards;
mod standing;
pub mod wire;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::{Rc, Weak},
    time::Duration,
};

use craftec_core::{Cid, PeerId};
use craftec_p2p::{Key, NetEvent, PeerInfo, Role, Rpc, SharedNetwork};
use craftec_platform::Clock;
use futures::StreamExt;

use crate::{Ledger, Store, StoreError, block::Block, event::ObjEvent, feed::Feed};
pub use budget::{Sent, ServeLimits, month};
pub use session::Session;
pub use shards::{Healer, PROTOCOL as CODE_PROTOCOL, Question, Shards, Told};
use standing::Standing;

/// Sessions kept for a while after their last use, so that the many files of one site are read
/// through one, which knows already who has them.
const RECENT_SESSIONS: usize = 16;
/// How long an unused session is kept.
const RECENT_FOR: Duration = Duration::from_secs(30);

/// Peers whose traffic is counted; more are connected only under attack.
const TRAFFIC_PEERS: usize = 4096;

/// Bytes exchanged with one peer since it connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Block bytes received from it.
    pub received: u64,
    /// Block bytes sent to it.
    pub sent: u64,
}

/// The exchange of one node. Cloning shares it.
#[derive(Clone)]
pub struct Exchange(Rc<Shared>);

struct Shared {
    rpc: Rpc,
    clock: Rc<dyn Clock>,
    store: Store,
    feed: Feed<ObjEvent>,
    standing: RefCell<Standing>,
    traffic: RefCell<BTreeMap<PeerId, Traffic>>,
    sessions: RefCell<BTreeMap<Cid, Weak<session::Inner>>>,
    recent: RefCell<VecDeque<(Duration, Rc<session::Inner>)>>,
    fresh: RefCell<keep::Fresh>,
    budget: RefCell<budget::Budget>,
    /// Peers that are taking copies which we asked them to take, and how many.
    favoured: RefCell<BTreeMap<PeerId, usize>>,
    reads: errand::Reads,
    stopped: Cell<bool>,
    denied: RefCell<Option<Denied>>,
    kept: shards::Kept,
    ledger: RefCell<Option<Ledger>>,
}

/// Says which content others do not get from here.
pub type Denied = Rc<dyn Fn(&Cid) -> bool>;

/// The DHT key under which holders of `root` announce themselves.
pub fn provider_key(root: &Cid) -> Key {
    Key(*root.hash())
}

impl Exchange {
    /// The exchange over `rpc`, serving and filling `store`. Serves from now on.
    pub fn start(rpc: Rpc, clock: Rc<dyn Clock>, store: Store, feed: Feed<ObjEvent>) -> Self {
        let shared = Rc::new(Shared {
            rpc,
            clock,
            store,
            feed,
            standing: RefCell::default(),
            traffic: RefCell::default(),
            sessions: RefCell::default(),
            recent: RefCell::default(),
            fresh: RefCell::default(),
            budget: RefCell::default(),
            favoured: RefCell::default(),
            reads: errand::Reads::default(),
            stopped: Cell::new(false),
            denied: RefCell::default(),
            kept: shards::Kept::default(),
            ledger: RefCell::default(),
        });
        serve::start(&shared);
        shards::start(&shared);
        shared.follow_peers();
        Self(shared)
    }

    /// A session for what lies below `root`: the running one, if there is one.
    pub fn session(&self, root: Cid) -> Session {
        self.0.session(root)
    }

    /// From now on, others do not get from here what `denied` names: to them it is not here.
    pub fn deny(&self, denied: Denied) {
        *self.0.denied.borrow_mut() = Some(denied);
    }

    /// From now on, `ledger` books what is sent and received, and says who is served first when the
    /// upload is short.
    pub fn keep_books(&self, ledger: Ledger) {
        *self.0.ledger.borrow_mut() = Some(ledger);
    }

    /// The book of peers, where one is kept.
    pub fn ledger(&self) -> Option<Ledger> {
        self.0.ledger()
    }

    /// Bytes exchanged with a connected peer.
    pub fn traffic(&self, peer: &PeerId) -> Traffic {
        self.0.traffic.borrow().get(peer).copied().unwrap_or_default()
    }

    /// Limits what is sent to others from now on.
    pub fn limit_serving(&self, limits: ServeLimits) {
        self.0.budget.borrow_mut().limit(limits, self.0.clock.monotonic());
    }

    /// Goes on counting from what an earlier run sent.
    pub fn resume_sent(&self, sent: Sent) {
        self.0.budget.borrow_mut().resume(sent);
    }

    /// What was sent to others this month.
    pub fn sent(&self) -> Sent {
        self.0.budget.borrow_mut().sent(self.0.clock.now().0)
    }

    /// Serves `peer` without holding back for as long as the answer lives: it takes a copy that we
    /// asked it to take.
    pub fn favour(&self, peer: PeerId) -> Favour {
        *self.0.favoured.borrow_mut().entry(peer).or_default() += 1;
        Favour { shared: self.0.clone(), peer }
    }

    /// A block that is here, on disk or on its way to it.
    pub fn local(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        self.0.local(cid)
    }

    /// The same, without counting as a use of it.
    pub fn peek(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        self.0.peek(cid)
    }

    /// The length of a block that is here.
    pub fn len_of(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.0.len_of(cid)
    }

    /// Whether a block is here.
    pub fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        self.0.has(cid)
    }

    /// Whether others are not to get this from here.
    pub(crate) fn is_denied(&self, cid: &Cid) -> bool {
        self.0.is_denied(cid)
    }

    /// Why others get nothing at all from here now, if that is so.
    pub(crate) fn refuses(&self) -> Option<&'static str> {
        self.0.refuses()
    }

    /// Counts bytes of proofs that were sent. They are few: they are not held back, and hold nobody
    /// back.
    pub(crate) fn count_proofs(&self, peer: PeerId, bytes: u64) {
        self.0.count(peer, 0, bytes as usize);
        self.0.budget.borrow_mut().count(bytes, self.0.clock.now().0);
    }

    /// Makes everything durable that sessions have fetched so far.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.0.flush()
    }

    /// Whether fetched blocks were dropped since the last flush because the disk is full.
    pub fn ran_full(&self) -> bool {
        self.0.ran_full()
    }

    /// Ends all sessions: what waits is told that nothing more will come.
    pub fn stop(&self) {
        self.0.stopped.set(true);
        self.0.recent.borrow_mut().clear();
        self.0.live().iter().for_each(|session| session.stop());
        if let Err(error) = self.0.flush() {
            tracing::warn!(%error, "fetched blocks could not be kept");
        }
    }
}

/// See [`Exchange::favour`].
pub struct Favour {
    shared: Rc<Shared>,
    peer: PeerId,
}

impl Drop for Favour {
    fn drop(&mut self) {
        let mut favoured = self.shared.favoured.borrow_mut();
        if let Some(count) = favoured.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                favoured.remove(&self.peer);
            }
        }
    }
}

impl Shared {
    fn network(&self) -> &SharedNetwork {
        self.rpc.network()
    }

    fn session(self: &Rc<Self>, root: Cid) -> Session {
        let now = self.clock.monotonic();
        // First: one that nobody used for long must not live on because it is asked for again.
        self.forget_old(now);
        let live = self.sessions.borrow().get(&root).and_then(Weak::upgrade);
        let inner = live.unwrap_or_else(|| {
            let inner = session::Inner::new(self, root);
            let mut sessions = self.sessions.borrow_mut();
            sessions.retain(|_, session| session.strong_count() > 0);
            sessions.insert(root, Rc::downgrade(&inner));
            inner
        });
        // What is dropped here may end a session; that must not happen while we hold the list.
        let mut ended = Vec::new();
        {
            let mut recent = self.recent.borrow_mut();
            recent.retain(|(_, session)| session.root() != root);
            recent.push_back((now, inner.clone()));
            while recent.len() > RECENT_SESSIONS {
                ended.extend(recent.pop_front());
            }
        }
        Session { shared: self.clone(), inner, errand: false }
    }

    /// Sessions that somebody still uses, or did a moment ago.
    fn live(&self) -> Vec<Rc<session::Inner>> {
        self.sessions.borrow().values().filter_map(Weak::upgrade).collect()
    }

    fn forget_old(&self, now: Duration) {
        let mut ended = Vec::new();
        let mut recent = self.recent.borrow_mut();
        while let Some((used, _)) = recent.front() {
            if now.saturating_sub(*used) < RECENT_FOR {
                break;
            }
            ended.extend(recent.pop_front());
        }
        drop(recent);
        drop(ended);
    }

    /// Tells sessions who comes and forgets the counters of who goes.
    fn follow_peers(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let mut events = self.network().events();
        self.clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                let Some(shared) = weak.upgrade() else { return };
                match event {
                    NetEvent::Connected(info) | NetEvent::Changed(info) => shared.joined(&info),
                    NetEvent::Disconnected(peer) => {
                        shared.traffic.borrow_mut().remove(&peer);
                        shared.standing.borrow_mut().left(&peer);
                        shared.live().iter().for_each(|session| session.left(&peer));
                    }
                    NetEvent::Addresses(_) => {}
                }
                shared.forget_old(shared.clock.monotonic());
            }
        }));
    }

    fn joined(&self, info: &PeerInfo) {
        if info.role == Role::Foreign {
            return;
        }
        self.live().iter().for_each(|session| session.joined(info.peer));
    }

    /// The book of peers, where one is kept.
    fn ledger(&self) -> Option<Ledger> {
        self.ledger.borrow().clone()
    }

    fn count(&self, peer: PeerId, received: usize, sent: usize) {
        let mut traffic = self.traffic.borrow_mut();
        if !traffic.contains_key(&peer) && traffic.len() >= TRAFFIC_PEERS {
            traffic.pop_first();
        }
        let counted = traffic.entry(peer).or_default();
        counted.received += received as u64;
        counted.sent += sent as u64;
    }

    /// A peer sent wrong bytes: it is dropped, and nobody asks it again for a while.
    fn lied(&self, root: Cid, peer: PeerId, cid: Cid) {
        tracing::warn!(%peer, %cid, "wrong bytes; the peer is dropped for a while");
        self.network().disconnect(peer, standing::BAN, "it sent wrong bytes");
        self.standing.borrow_mut().ban(peer, self.clock.monotonic());
        self.live().iter().for_each(|session| session.drop_peer(&peer));
        self.feed.tell(ObjEvent::Lied { root, peer, cid });
    }

    fn is_denied(&self, cid: &Cid) -> bool {
        self.denied.borrow().as_ref().is_some_and(|denied| denied(cid))
    }

    fn is_banned(&self, peer: &PeerId) -> bool {
        self.standing.borrow().is_banned(peer, self.clock.monotonic())
    }
}
