//! A cluster: real nodes on simulated machines that can lose power and come back with their disks.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use craftec_api::ApiError;
use craftec_core::PeerId;
use craftec_node::{Config, Keys, Node, NodeError, Ports, Session, record_check};
use craftec_obj::{
    Ledger, Store, StoreError,
    audit::Served,
    store::{Meta, StoreOptions},
};
use craftec_p2p::{NetError, Network, RecordCheck, Role};
use craftec_platform::{
    Clock,
    sim::{Damage, Executor, Group, SimClock, SimDisk, SimEntropy, Stalled},
};
use futures::channel::oneshot;

use crate::{Fabric, Joined, Weather, checked::Remembered};

/// Turns in which holders look after objects, unless the scenario says otherwise: short, as virtual days
/// are long to run.
const MEND_SLOT: Duration = Duration::from_secs(60);
/// Memory for each node's index: they are many.
const CACHE_BYTES: usize = 512 << 10;
/// Where a node's store has the secret of its identity.
const WALLET: &str = "wallet";
/// Streams of dice per node: one for every life of it.
const LIVES: u64 = 1 << 20;

/// What keeps a cluster from doing what a scenario asks.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A node does not run.
    #[error("node {0} is down")]
    Down(
        /// Its number.
        usize,
    ),
    /// A node's store does not open.
    #[error("the store of node {index}: {source}")]
    Store {
        /// Its number.
        index: usize,
        /// Why.
        source: StoreError,
    },
    /// A node does not start.
    #[error("node {index}: {source}")]
    Node {
        /// Its number.
        index: usize,
        /// Why.
        source: NodeError,
    },
    /// Two nodes can't be connected.
    #[error("node {index}: {source}")]
    Net {
        /// The number of the one that tried.
        index: usize,
        /// Why.
        source: NetError,
    },
    /// A node refuses what it must do.
    #[error("node {index}: {source}")]
    Refused {
        /// Its number.
        index: usize,
        /// What it says.
        source: ApiError,
    },
    /// The scenario did not end.
    #[error("{0}")]
    Stalled(
        /// Why.
        #[from]
        Stalled,
    ),
}

/// Nodes, the network between them, and their time. Cloning shares it.
#[derive(Clone)]
pub struct Cluster(Rc<Inner>);

struct Inner {
    executor: Executor,
    clock: SimClock,
    fabric: Fabric,
    seed: u64,
    dice: SimEntropy,
    check: Arc<dyn RecordCheck>,
    mend_slot: Cell<Duration>,
    nodes: RefCell<Vec<Machine>>,
}

struct Machine {
    disk: SimDisk,
    role: Role,
    lives: u64,
    frozen: bool,
    running: Option<Running>,
}

struct Running {
    clock: SimClock,
    node: Rc<Node>,
    peer: PeerId,
    address: String,
    group: Group,
}

impl Cluster {
    /// Runs a scenario in a world of `seed`, for at most `limit` of its time.
    pub fn run<T, F>(
        seed: u64,
        weather: Weather,
        limit: Duration,
        scenario: impl FnOnce(Self) -> F,
    ) -> Result<T, ClusterError>
    where
        T: 'static,
        F: Future<Output = Result<T, ClusterError>> + 'static,
    {
        let executor = Executor::new();
        let fabric = Fabric::new(&executor, seed, weather);
        let clock = executor.clock().0;
        let dice = SimEntropy::stream(seed, u64::MAX - 1);
        let check = Remembered::new(record_check(executor.wall_clock()));
        let (mend_slot, nodes) = (Cell::new(MEND_SLOT), RefCell::default());
        let inner = Inner { executor, clock, fabric, seed, dice, check, mend_slot, nodes };
        let cluster = Self(Rc::new(inner));
        let result = cluster.0.executor.run_until(limit, scenario(cluster.clone()));
        // Nodes hold clocks of the executor, and tasks of the executor hold nodes.
        for index in 0..cluster.len() {
            cluster.crash(index, Damage::Kept);
        }
        result?
    }

    /// Nodes that boot from now on look after objects in turns of `slot`.
    pub fn mend_every(&self, slot: Duration) {
        self.0.mend_slot.set(slot);
    }

    /// Starts `count` new machines of one role; returns the number of the first.
    pub async fn start(&self, count: usize, role: Role) -> Result<usize, ClusterError> {
        let first = self.len();
        for _ in 0..count {
            let index = self.len();
            let disk = SimDisk::new();
            let machine = Machine { disk, role, lives: 0, frozen: false, running: None };
            self.0.nodes.borrow_mut().push(machine);
            self.boot(index).await?;
        }
        Ok(first)
    }

    /// Starts a new machine with the identity of node `owner`: another device of the same person.
    pub async fn start_device_of(&self, owner: usize, role: Role) -> Result<usize, ClusterError> {
        let index = self.len();
        let broken = |source| ClusterError::Store { index, source };
        let wallet = self.store(owner)?.meta_get(Meta::Node, WALLET).map_err(broken)?;
        let disk = SimDisk::new();
        let store = Store::open(&disk).await.map_err(broken)?;
        store.meta_put(Meta::Node, WALLET, wallet.unwrap_or_default()).map_err(broken)?;
        drop(store);
        let machine = Machine { disk, role, lives: 0, frozen: false, running: None };
        self.0.nodes.borrow_mut().push(machine);
        self.boot(index).await?;
        Ok(index)
    }

    /// Boots a machine that is down, with what is on its disk.
    pub async fn boot(&self, index: usize) -> Result<(), ClusterError> {
        let (disk, role, life) = {
            let mut nodes = self.0.nodes.borrow_mut();
            let machine = nodes.get_mut(index).ok_or(ClusterError::Down(index))?;
            machine.lives += 1;
            (machine.disk.clone(), machine.role, machine.lives)
        };
        let options = StoreOptions { cache_bytes: CACHE_BYTES };
        let store = Store::open_with(&disk, options).await;
        let store = store.map_err(|source| ClusterError::Store { index, source })?;
        let entropy = SimEntropy::stream(self.0.seed, index as u64 * LIVES + life);
        let broken = |source| ClusterError::Node { index, source };
        let keys = Keys::load_or_create(&store, &entropy).map_err(broken)?;
        let peer = keys.peer_id();
        let network = self.0.fabric.join(Joined { peer, role, check: self.record_check() });
        let address = network.addresses().join("");
        let (clock, group) = self.0.executor.clock();
        let ports = Ports {
            network: Rc::new(network),
            clock: Rc::new(clock.clone()),
            entropy: Rc::new(entropy),
        };
        let mut config = Config::new(match role {
            Role::Tab => craftec_api::Role::Tab,
            Role::Relay => craftec_api::Role::Relay,
            Role::Foreign => craftec_api::Role::Foreign,
        });
        config.mend_slot = Some(self.0.mend_slot.get());
        config.folder = Some(Rc::new(disk));
        let node = Node::start(ports, store, keys, config).await.map_err(broken)?;
        if let Some(machine) = self.0.nodes.borrow_mut().get_mut(index) {
            machine.running = Some(Running { clock, node, peer, address, group });
        }
        Ok(())
    }

    /// Takes a machine's power: its tasks end where they stand, its disk keeps what `damage` leaves.
    pub fn crash(&self, index: usize, damage: Damage) {
        let taken = self.0.nodes.borrow_mut().get_mut(index).and_then(|machine| {
            // First the disk: what is dropped below must not reach it.
            machine.disk.crash(damage);
            machine.frozen = false;
            machine.running.take()
        });
        let Some(running) = taken else { return };
        self.0.fabric.power_off(&running.peer);
        self.0.executor.kill(running.group);
        drop(running);
    }

    /// Stops a node where it stands, as a browser stops a hidden tab.
    pub fn freeze(&self, index: usize) {
        let frozen = {
            let mut nodes = self.0.nodes.borrow_mut();
            let Some(machine) = nodes.get_mut(index) else { return };
            let Some(running) = machine.running.as_ref() else { return };
            if std::mem::replace(&mut machine.frozen, true) {
                return;
            }
            (running.group, running.peer)
        };
        self.0.executor.freeze(frozen.0);
        self.0.fabric.freeze(&frozen.1);
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self, index: usize) {
        let thawed = {
            let mut nodes = self.0.nodes.borrow_mut();
            let Some(machine) = nodes.get_mut(index) else { return };
            if !std::mem::replace(&mut machine.frozen, false) {
                return;
            }
            machine.running.as_ref().map(|running| (running.group, running.peer))
        };
        let Some((group, peer)) = thawed else { return };
        self.0.fabric.thaw(&peer);
        self.0.executor.thaw(group);
    }

    /// Whether a node runs and is not frozen.
    pub fn is_awake(&self, index: usize) -> bool {
        let nodes = self.0.nodes.borrow();
        nodes.get(index).is_some_and(|machine| machine.running.is_some() && !machine.frozen)
    }

    /// Puts an empty disk into a machine that is down, as one does when the old one is broken.
    pub fn replace_disk(&self, index: usize) {
        if let Some(machine) = self.0.nodes.borrow_mut().get_mut(index) {
            machine.disk = SimDisk::new();
        }
    }

    /// The disk of a machine.
    pub fn disk(&self, index: usize) -> Result<SimDisk, ClusterError> {
        let nodes = self.0.nodes.borrow();
        nodes.get(index).map(|machine| machine.disk.clone()).ok_or(ClusterError::Down(index))
    }

    /// Does `work` on a node, among its own tasks: it stands still while the node does, and dies
    /// with it, which is [`ClusterError::Down`].
    pub async fn on<T, F>(
        &self,
        index: usize,
        work: impl FnOnce(Session) -> F,
    ) -> Result<T, ClusterError>
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        let clock = self.with(index, |running| running.clock.clone())?;
        let work = work(self.session(index)?);
        let (done, result) = oneshot::channel();
        clock.spawn(Box::pin(async move {
            // Nobody waits any more where that was for too long.
            let _ = done.send(work.await);
        }));
        result.await.map_err(|_| ClusterError::Down(index))
    }

    /// A clock for somebody who is no node of this cluster.
    pub fn foreign_clock(&self) -> SimClock {
        self.0.executor.clock().0
    }

    /// The rule by which honest nodes keep records.
    pub fn record_check(&self) -> Arc<dyn RecordCheck> {
        self.0.check.clone()
    }

    /// Connects one node to another.
    pub async fn connect(&self, index: usize, to: usize) -> Result<(), ClusterError> {
        let addr = self.with(to, |running| running.address.clone())?;
        let command = craftec_api::Command::Connect { addr: addr.clone() };
        let called = self.on(index, |session| async move { session.call(command).await });
        called.await?.map(drop).map_err(|error| {
            let source = NetError::Address { addr, reason: error.message };
            ClusterError::Net { index, source }
        })
    }

    /// A client of a running node.
    pub fn session(&self, index: usize) -> Result<Session, ClusterError> {
        self.with(index, |running| running.node.session())
    }

    /// The store of a running node.
    pub fn store(&self, index: usize) -> Result<Store, ClusterError> {
        self.with(index, |running| running.node.store().clone())
    }

    /// What a running node answered to audits.
    pub fn audits(&self, index: usize) -> Result<Served, ClusterError> {
        self.with(index, |running| running.node.audits().served())
    }

    /// The book of peers of a running node.
    pub fn ledger(&self, index: usize) -> Result<Ledger, ClusterError> {
        self.with(index, |running| running.node.ledger().clone())
    }

    /// Who a running node is.
    pub fn peer(&self, index: usize) -> Result<PeerId, ClusterError> {
        self.with(index, |running| running.peer)
    }

    /// Where a running node is dialed.
    pub fn address(&self, index: usize) -> Result<String, ClusterError> {
        self.with(index, |running| running.address.clone())
    }

    /// Whether a node runs.
    pub fn is_up(&self, index: usize) -> bool {
        self.with(index, |_| ()).is_ok()
    }

    /// How many machines there are, running or not.
    pub fn len(&self) -> usize {
        self.0.nodes.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The network between them.
    pub fn fabric(&self) -> &Fabric {
        &self.0.fabric
    }

    /// The scenario's own dice.
    pub fn dice(&self) -> &SimEntropy {
        &self.0.dice
    }

    /// The scenario's own clock.
    pub fn clock(&self) -> &SimClock {
        &self.0.clock
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        self.0.clock.sleep(duration).await;
    }

    fn with<T>(&self, index: usize, read: impl FnOnce(&Running) -> T) -> Result<T, ClusterError> {
        let nodes = self.0.nodes.borrow();
        let running = nodes.get(index).and_then(|machine| machine.running.as_ref());
        running.map(read).ok_or(ClusterError::Down(index))
    }
}
