//! The node: the layers put together, and what it says about itself.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_api::{
    Event, HolderState, Link, Mended, ObjectHealth, Outlook, Peer, Reach, Reachability, Role,
    Status, Storage,
};
use craftec_core::Cid;
use craftec_obj::{
    Announcer, AuditServer, Exchange, Holder, Ledger, Mender, ObjEvent, Objects, Replicator, Store,
    StoreError,
    feed::Feed,
    mend,
    objects::ObjectRecord,
    replicate::{Lend, Signer, Surroundings},
};
use craftec_p2p::{PeerInfo, Rpc, pex};
use futures::{channel::oneshot, future::LocalBoxFuture};

use crate::{
    Config, Keys, NodeError, Ports, Session,
    databases::Databases,
    events::{self, Told},
    lending::Lending,
    names::Names,
    serving::Serving,
    session::Access,
};

/// How often this node's names are looked through for heads that grow old.
const RENEW: Duration = Duration::from_secs(12 * 60 * 60);
/// The same after a start, and while nobody is connected: a tab may be open for minutes only.
const RENEW_SOON: Duration = Duration::from_secs(60);

/// A running node.
pub struct Node {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) store: Store,
    pub(crate) exchange: Exchange,
    pub(crate) objects: Objects,
    pub(crate) names: Rc<Names>,
    pub(crate) databases: Databases,
    pub(crate) lending: Rc<Lending>,
    pub(crate) serving: Rc<Serving>,
    /// Bytes that were free when a write last found no room.
    pub(crate) full: Cell<Option<u64>>,
    replicator: Replicator,
    holder: Holder,
    mender: Mender,
    audits: AuditServer,
    ledger: Ledger,
    pub(crate) news: Feed<ObjEvent>,
    pub(crate) feed: Feed<Event>,
    pub(crate) told: Told,
    pub(crate) stopped: Cell<bool>,
    restarts: RefCell<Vec<oneshot::Sender<()>>>,
    started: Duration,
}

impl Node {
    /// Starts a node on `ports` over what is in `store`. The network must run under the keys'
    /// transport key.
    pub async fn start(
        ports: Ports,
        store: Store,
        keys: Keys,
        config: Config,
    ) -> Result<Rc<Self>, NodeError> {
        let network = ports.network.local_peer();
        if network != keys.peer_id() {
            return Err(NodeError::Peer { network, keys: keys.peer_id() });
        }
        let news = Feed::default();
        let (rpc, exchange) = exchange(&ports, &store, &config, &news);
        let clock = ports.clock.clone();
        let ledger = Ledger::open(store.clone(), clock, keys.transport().clone())?;
        exchange.keep_books(ledger.clone());
        let announcer = Announcer::start(ports.network.clone(), ports.clock.clone());
        let objects = objects(&ports, &store, &config, &exchange, &announcer).await?;
        let names = Names::start(&ports, &store, &keys, &rpc, announcer)?;
        let lending = Rc::new(Lending::load(store.clone(), config.clone())?);
        let around: Rc<dyn Surroundings> =
            Rc::new(Around { lending: lending.clone(), names: names.clone() });
        let clock = ports.clock.clone();
        let serving = Serving::start(store.clone(), exchange.clone(), clock, config.clone())?;
        let signer = signer(&keys);
        let clock = ports.clock.clone();
        let holder = Holder::start(&rpc, objects.clone(), clock, signer.clone(), around.clone());
        let audits = AuditServer::start(&rpc, exchange.clone(), ports.clock.clone());
        let mender = mender(&ports, &config, &rpc, &objects, &around);
        let clock = ports.clock.clone();
        let (owned, told) = (objects.clone(), news.clone());
        let replicator = Replicator::start(rpc.clone(), owned, clock, signer, around, told)?;
        ledger.start(rpc, replicator.kept_by_others());
        let databases = Databases::new(store.clone(), &config, &ports, &keys);
        let node = Rc::new(Self {
            started: ports.clock.monotonic(),
            ports,
            config,
            keys,
            store,
            exchange,
            objects,
            names,
            databases,
            lending,
            serving,
            full: Cell::new(None),
            replicator,
            holder,
            mender,
            audits,
            ledger,
            news,
            feed: Feed::default(),
            told: Told::default(),
            stopped: Cell::new(false),
            restarts: RefCell::default(),
        });
        events::start(&node);
        node.renew_names();
        #[cfg(feature = "sql")]
        node.publish_waiting();
        Ok(node)
    }

    /// Signs heads that grow old anew, for as long as the node runs.
    fn renew_names(self: &Rc<Self>) {
        let (weak, clock) = (Rc::downgrade(self), self.ports.clock.clone());
        self.ports.clock.spawn(Box::pin(async move {
            let mut pause = RENEW_SOON;
            loop {
                clock.sleep(pause).await;
                let Some(node) = weak.upgrade() else { return };
                pause = match node.names.renew().await {
                    Ok(true) => RENEW,
                    Ok(false) => RENEW_SOON,
                    Err(error) => {
                        tracing::warn!(%error, "names could not be renewed");
                        RENEW
                    }
                };
                if pause == RENEW
                    && let Err(error) = node.names.announce_own()
                {
                    tracing::warn!(%error, "names could not be announced");
                }
            }
        }));
    }

    /// A session of somebody on this machine.
    pub fn session(self: &Rc<Self>) -> Session {
        self.session_with(Access::Local)
    }

    /// A session with the rights of `access`.
    pub fn session_with(self: &Rc<Self>, access: Access) -> Session {
        Session::new(self.clone(), access)
    }

    /// The node's keys.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The node's objects, with what scrubbing has found in them.
    pub const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What answers audits here.
    pub const fn audits(&self) -> &AuditServer {
        &self.audits
    }

    /// The node's store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What peers and this node did for each other.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Ends the node: what was fetched is kept, sessions fail from now on, the network shuts down.
    pub async fn stop(&self) {
        if self.stopped.replace(true) {
            return;
        }
        self.serving.keep();
        self.ledger.keep();
        self.replicator.stop();
        self.mender.stop();
        self.objects.announcer().stop();
        self.exchange.stop();
        self.feed.close();
        self.news.close();
        self.ports.network.shutdown();
    }

    /// Resolves when the node ended because a backup brought another identity: it is to be started
    /// anew over the same store. Fails when the node is dropped.
    pub fn restarting(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.restarts.borrow_mut().push(sender);
        receiver
    }

    pub(crate) fn restart(&self) {
        for waiting in self.restarts.take() {
            // Whoever left does not need to know.
            let _left = waiting.send(());
        }
    }

    /// Everyone connected, with the bytes exchanged.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.ports.network.peers().into_iter().map(|info| self.peer(info)).collect()
    }

    fn peer(&self, info: PeerInfo) -> Peer {
        let traffic = self.exchange.traffic(&info.peer);
        Peer {
            peer_id: info.peer,
            link: link(info.link),
            role: role(info.role),
            rtt_ms: info.rtt_ms,
            addr: info.addr,
            via: info.via,
            received: traffic.received,
            sent: traffic.sent,
        }
    }

    /// Reads below a root, from here or from whoever is known to have it.
    pub(crate) fn reader(&self, root: Cid) -> craftec_obj::Session {
        let session = self.objects.reader(root);
        session.hint(self.replicator.signers(&root));
        self.names.hint(&session);
        session
    }

    /// Copies of a root on other nodes, and each holder.
    pub(crate) fn health(&self, root: &Cid) -> (ObjectHealth, Vec<HolderState>) {
        let holders = self.replicator.holders(root).into_iter().map(|copy| HolderState {
            peer: copy.peer,
            signed: copy.signed,
            connected: copy.connected,
            bytes: copy.bytes,
            error: copy.error,
        });
        (self.copies(root), holders.collect())
    }

    /// How a coded object stands, of which shards are here.
    pub(crate) fn outlook(&self, root: &Cid) -> Option<Outlook> {
        let outlook = self.mender.outlook(root)?;
        let loss = ((1.0 - outlook.survives) * 1e9).clamp(0.0, 1e9);
        Some(Outlook {
            at_ms: outlook.at_ms,
            needed: outlook.needed.into(),
            reachable: outlook.reachable.into(),
            counted: outlook.counted.into(),
            wholes: outlook.wholes.into(),
            loss_ppb: loss.round() as u32,
        })
    }

    /// What was done for others' coded objects.
    fn mended(&self) -> Option<Mended> {
        let done = self.mender.mended();
        (done.looks > 0).then_some(Mended {
            looks: done.looks,
            shards: done.shards,
            copies: done.copies,
            read: done.read_bytes,
            written: done.written_bytes,
        })
    }

    /// Copies of a root on other nodes.
    pub(crate) fn copies(&self, root: &Cid) -> ObjectHealth {
        let copies = self.replicator.copies(root);
        let (wanted, signed, reachable) = (copies.wanted, copies.signed, copies.reachable);
        ObjectHealth { wanted, signed, reachable, needed: copies.needed }
    }

    /// A root was put here: copies are wanted.
    pub(crate) fn place(&self, root: Cid, record: &ObjectRecord) -> Result<(), StoreError> {
        self.replicator.place(root, record)
    }

    /// A root is no longer wanted here: its holders may let go.
    pub(crate) fn release(&self, root: Cid) -> Result<(), StoreError> {
        self.replicator.release(root)
    }

    /// Who and how the node is.
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let records = self.objects.records()?;
        let short = |(root, _): &&(Cid, ObjectRecord)| {
            let copies = self.replicator.copies(root);
            copies.signed < copies.wanted
        };
        let objects_short = records.iter().filter(short).count() as u64;
        let lend = self.lending.now().await;
        Ok(Status {
            did: self.keys.did().to_string(),
            peer_id: self.keys.peer_id(),
            role: self.config.role,
            agent: self.config.agent.clone(),
            uptime_ms: (self.ports.clock.monotonic() - self.started).as_millis() as u64,
            addresses: self.ports.network.addresses(),
            peers: self.peers(),
            storage: Storage {
                used: self.store.used_bytes()?,
                for_others: self.holder.lent_bytes()?,
                lend_limit: lend.limit_bytes,
                free: lend.free_bytes,
                full: self.still_full(lend.free_bytes),
            },
            objects: records.len() as u64,
            objects_short,
            reach: (self.config.role != Role::Tab).then(|| reach(self.ports.network.reach())),
            serving: Some(self.serving.now()),
            mended: self.mended(),
        })
    }
}

/// What speaks to other nodes.
fn exchange(
    ports: &Ports,
    store: &Store,
    config: &Config,
    news: &Feed<ObjEvent>,
) -> (Rpc, Exchange) {
    let rpc = Rpc::new(ports.network.clone(), ports.clock.clone());
    let role = match config.role {
        Role::Tab => craftec_p2p::Role::Tab,
        Role::Relay | Role::Foreign => craftec_p2p::Role::Relay,
    };
    pex::start(&rpc, ports.clock.clone(), ports.entropy.clone(), role);
    let exchange = Exchange::start(rpc.clone(), ports.clock.clone(), store.clone(), news.clone());
    if let Some(denied) = &config.denied {
        exchange.deny(denied.clone());
    }
    (rpc, exchange)
}

/// What looks after others' coded objects.
fn mender(
    ports: &Ports,
    config: &Config,
    rpc: &Rpc,
    objects: &Objects,
    around: &Rc<dyn Surroundings>,
) -> Mender {
    let (clock, entropy) = (ports.clock.clone(), ports.entropy.clone());
    let slot = config.mend_slot.unwrap_or(mend::SLOT);
    Mender::start(rpc.clone(), objects.clone(), clock, entropy, around.clone(), slot)
}

/// What is kept here.
async fn objects(
    ports: &Ports,
    store: &Store,
    config: &Config,
    exchange: &Exchange,
    announcer: &Announcer,
) -> Result<Objects, StoreError> {
    let free_bytes = match &config.folder {
        Some(folder) => folder.free_bytes().await.ok().flatten(),
        None => None,
    };
    let (exchange, clock, announcer) = (exchange.clone(), ports.clock.clone(), announcer.clone());
    let cache_bytes = config.cache_bytes(free_bytes);
    let objects = Objects::start(exchange, store.clone(), clock, announcer, cache_bytes)?;
    if let Some(bytes) = config.scrub_bytes_per_hour {
        objects.set_scrub_bytes_per_hour(bytes);
    }
    Ok(objects)
}

/// The rest of the node, as its copies see it.
struct Around {
    lending: Rc<Lending>,
    names: Rc<Names>,
}

impl Surroundings for Around {
    fn lend(&self) -> LocalBoxFuture<'static, Lend> {
        let lending = self.lending.clone();
        Box::pin(async move { lending.now().await })
    }

    fn heads_of(&self, root: &Cid) -> Vec<Bytes> {
        self.names.heads_of(root)
    }

    fn keep_head(&self, root: &Cid, record: &[u8]) {
        self.names.keep_head(root, record);
    }
}

fn signer(keys: &Keys) -> Signer {
    Signer {
        did: keys.did(),
        writer: keys.writer(),
        log: keys.log().clone(),
        transport: keys.transport().clone(),
    }
}

const fn link(link: craftec_p2p::Link) -> Link {
    match link {
        craftec_p2p::Link::WebRtc => Link::Webrtc,
        craftec_p2p::Link::Quic => Link::Quic,
        craftec_p2p::Link::Tcp => Link::Tcp,
        craftec_p2p::Link::WebSocket => Link::Websocket,
        craftec_p2p::Link::Relayed => Link::Relayed,
    }
}

const fn role(role: craftec_p2p::Role) -> Role {
    match role {
        craftec_p2p::Role::Tab => Role::Tab,
        craftec_p2p::Role::Relay => Role::Relay,
        craftec_p2p::Role::Foreign => Role::Foreign,
    }
}

fn reach(reach: craftec_p2p::Reach) -> Reach {
    let state = match reach.state {
        craftec_p2p::Reachability::Unknown => Reachability::Unknown,
        craftec_p2p::Reachability::Public => Reachability::Public,
        craftec_p2p::Reachability::Nat => Reachability::Nat,
    };
    Reach { state, confirmed: reach.confirmed }
}
