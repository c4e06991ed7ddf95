//! A cluster: real nodes on simulated machines that can lose power and come back with their disks.

use std::{cell::RefCell, future::Future, rc::Rc, time::Duration};

use craftec_core::PeerId;
use craftec_node::{Config, Keys, Node, NodeError, Ports, Session, record_check};
use craftec_obj::{Store, StoreError, store::StoreOptions};
use craftec_p2p::{NetError, Network, Role};
use craftec_platform::{
    Clock,
    sim::{Damage, Executor, Group, SimClock, SimDisk, SimEntropy, Stalled},
};

use crate::{Fabric, Joined, Weather};

/// Memory for each node's index: they are many.
const CACHE_BYTES: usize = 512 << 10;
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
    nodes: RefCell<Vec<Machine>>,
}

struct Machine {
    disk: SimDisk,
    role: Role,
    lives: u64,
    running: Option<Running>,
}

struct Running {
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
        let nodes = RefCell::default();
        let cluster = Self(Rc::new(Inner { executor, clock, fabric, seed, dice, nodes }));
        let result = cluster.0.executor.run_until(limit, scenario(cluster.clone()));
        // Nodes hold clocks of the executor, and tasks of the executor hold nodes.
        for index in 0..cluster.len() {
            cluster.crash(index, Damage::Kept);
        }
        result?
    }

    /// Starts `count` new machines of one role; returns the number of the first.
    pub async fn start(&self, count: usize, role: Role) -> Result<usize, ClusterError> {
        let first = self.len();
        for _ in 0..count {
            let index = self.len();
            let machine = Machine { disk: SimDisk::new(), role, lives: 0, running: None };
            self.0.nodes.borrow_mut().push(machine);
            self.boot(index).await?;
        }
        Ok(first)
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
        let check = record_check(self.0.executor.wall_clock());
        let network = self.0.fabric.join(Joined { peer, role, check });
        let address = network.addresses().join("");
        let (clock, group) = self.0.executor.clock();
        let ports =
            Ports { network: Rc::new(network), clock: Rc::new(clock), entropy: Rc::new(entropy) };
        let mut config = Config::new(match role {
            Role::Tab => craftec_api::Role::Tab,
            Role::Relay => craftec_api::Role::Relay,
            Role::Foreign => craftec_api::Role::Foreign,
        });
        config.folder = Some(Rc::new(disk));
        let node = Node::start(ports, store, keys, config).await.map_err(broken)?;
        if let Some(machine) = self.0.nodes.borrow_mut().get_mut(index) {
            machine.running = Some(Running { node, peer, address, group });
        }
        Ok(())
    }

    /// Takes a machine's power: its tasks end where they stand, its disk keeps what `damage` leaves.
    pub fn crash(&self, index: usize, damage: Damage) {
        let taken = self.0.nodes.borrow_mut().get_mut(index).and_then(|machine| {
            // First the disk: what is dropped below must not reach it.
            machine.disk.crash(damage);
            machine.running.take()
        });
        let Some(running) = taken else { return };
        self.0.fabric.power_off(&running.peer);
        self.0.executor.kill(running.group);
        drop(running);
    }

    /// Connects one node to another.
    pub async fn connect(&self, index: usize, to: usize) -> Result<(), ClusterError> {
        let address = self.with(to, |running| running.address.clone())?;
        let session = self.session(index)?;
        let command = craftec_api::Command::Connect { addr: address };
        match session.call(command).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let addr = self.with(to, |running| running.address.clone())?;
                let source = NetError::Address { addr, reason: error.message };
                Err(ClusterError::Net { index, source })
            }
        }
    }

    /// A client of a running node.
    pub fn session(&self, index: usize) -> Result<Session, ClusterError> {
        self.with(index, |running| running.node.session())
    }

    /// The store of a running node.
    pub fn store(&self, index: usize) -> Result<Store, ClusterError> {
        self.with(index, |running| running.node.store().clone())
    }

    /// Who a running node is.
    pub fn peer(&self, index: usize) -> Result<PeerId, ClusterError> {
        self.with(index, |running| running.peer)
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
