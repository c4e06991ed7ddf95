//! The node: the layers put together, and what it says about itself.

use std::{cell::Cell, rc::Rc, time::Duration};

use craftec_api::{Event, HolderState, Link, ObjectHealth, Peer, Role, Status, Storage};
use craftec_core::Cid;
use craftec_obj::{
    Announcer, Exchange, ObjEvent, Objects, Store, StoreError, feed::Feed, store::Meta,
};
use craftec_p2p::{PeerInfo, Rpc};

use crate::{
    Config, Keys, NodeError, Ports, Session,
    events::{self, Told},
    names::Names,
    session::Access,
};

/// Key in the namespace `Node`: the lending limit that a person set, 8 bytes, big endian.
const LEND: &str = "lend";

/// A running node.
pub struct Node {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) store: Store,
    pub(crate) exchange: Exchange,
    pub(crate) objects: Objects,
    pub(crate) names: Names,
    pub(crate) news: Feed<ObjEvent>,
    pub(crate) feed: Feed<Event>,
    pub(crate) told: Told,
    pub(crate) stopped: Cell<bool>,
    started: Duration,
    lend_set: Cell<Option<u64>>,
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
        let rpc = Rpc::new(ports.network.clone(), ports.clock.clone());
        let exchange = Exchange::start(rpc, ports.clock.clone(), store.clone(), news.clone());
        let announcer = Announcer::start(ports.network.clone(), ports.clock.clone());
        let objects = Objects::start(
            exchange.clone(),
            store.clone(),
            ports.clock.clone(),
            announcer.clone(),
            config.cache_bytes(),
        )?;
        let names = Names {
            store: store.clone(),
            keys: keys.clone(),
            clock: ports.clock.clone(),
            network: ports.network.clone(),
            announcer,
        };
        names.announce_own()?;
        let node = Rc::new(Self {
            started: ports.clock.monotonic(),
            lend_set: Cell::new(lend_limit(&store)?),
            ports,
            config,
            keys,
            store,
            exchange,
            objects,
            names,
            news,
            feed: Feed::default(),
            told: Told::default(),
            stopped: Cell::new(false),
        });
        events::start(&node);
        Ok(node)
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

    /// The node's store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Ends the node: what was fetched is kept, sessions fail from now on, the network shuts down.
    pub async fn stop(&self) {
        if self.stopped.replace(true) {
            return;
        }
        self.objects.announcer().stop();
        self.exchange.stop();
        self.feed.close();
        self.news.close();
        self.ports.network.shutdown();
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

    /// Copies of a root on other nodes.
    pub(crate) fn health(&self, root: &Cid) -> (ObjectHealth, Vec<HolderState>) {
        let wanted = self.objects.record(root).ok().flatten().map_or(0, |record| record.wanted);
        (ObjectHealth { wanted, signed: 0, reachable: 0 }, Vec::new())
    }

    /// A root was put here: copies are wanted.
    pub(crate) fn placed(&self, root: Cid) {
        self.news.tell(ObjEvent::Copies { root });
    }

    /// A root is no longer wanted here: its holders may let go.
    pub(crate) fn released(&self, root: Cid) {
        self.news.tell(ObjEvent::Copies { root });
    }

    /// Bytes that the disk or quota still allows.
    pub(crate) async fn free_bytes(&self) -> Option<u64> {
        match &self.config.folder {
            Some(folder) => folder.free_bytes().await.ok().flatten(),
            None => None,
        }
    }

    /// The most that may be kept for others.
    pub(crate) async fn lend_bytes(&self) -> u64 {
        match self.lend_set.get().or(self.config.lend_limit) {
            Some(bytes) => bytes,
            None => self.config.default_lend_bytes(self.free_bytes().await),
        }
    }

    /// Sets the lending limit for good; `None` leaves it to the node.
    pub(crate) fn set_lend_bytes(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        match bytes {
            Some(bytes) => self.store.meta_put(Meta::Node, LEND, bytes.to_be_bytes().to_vec())?,
            None => self.store.meta_delete(Meta::Node, LEND)?,
        }
        self.lend_set.set(bytes);
        Ok(())
    }

    /// Who and how the node is.
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let records = self.objects.records()?;
        let short = records.iter().filter(|(root, record)| {
            record.wanted > 0 && self.health(root).0.signed < record.wanted
        });
        let objects_short = short.count() as u64;
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
                for_others: 0,
                lend_limit: self.lend_bytes().await,
                free: self.free_bytes().await,
            },
            objects: records.len() as u64,
            objects_short,
        })
    }
}

fn lend_limit(store: &Store) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = store.meta_get(Meta::Node, LEND)? else { return Ok(None) };
    let damaged = |_| StoreError::Corrupt { reason: "the lending limit".to_owned() };
    Ok(Some(u64::from_be_bytes(bytes.as_ref().try_into().map_err(damaged)?)))
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
