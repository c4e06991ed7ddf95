//! What everybody in the storm shares: what was put and published, what was seen, what went wrong.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use craftec_core::Cid;
use craftec_node::Session;
use craftec_platform::{Clock, Entropy, timeout};

use super::{StormSize, custody::Promised};
use crate::Cluster;

/// How long a person waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Shared = Rc<World>;

pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) size: StormSize,
    /// Machines whose disks may lie, rot or fill up.
    pub(super) weak: BTreeSet<usize>,
    pub(super) state: RefCell<State>,
}

/// An object that a node acknowledged.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) cid: Cid,
    pub(super) author: usize,
    /// Which disk of the author's acknowledged it.
    pub(super) disk: u64,
    pub(super) content: Rc<Vec<u8>>,
    pub(super) wanted: u16,
    /// Its author let go of it.
    pub(super) withdrawn: bool,
}

/// A name that somebody publishes.
#[derive(Default)]
pub(super) struct Name {
    pub(super) author: usize,
    /// Which disk of the author's has its heads.
    pub(super) disk: u64,
    pub(super) label: Option<String>,
    /// Every content that was to be published, in order.
    pub(super) versions: Vec<Vec<u8>>,
    /// The newest version that was acknowledged.
    pub(super) acknowledged: Option<usize>,
    /// Roots that readers were told, by number.
    pub(super) roots: BTreeMap<u64, Cid>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) failures: Vec<String>,
    pub(super) objects: Vec<Object>,
    pub(super) names: Vec<Name>,
    /// The label of the liar's name.
    pub(super) contradicted: Option<String>,
    /// The highest number of a name that was told at a machine with a good disk.
    pub(super) seen: BTreeMap<(usize, usize), u64>,
    /// Machines whose disks lied or rotted: what they acknowledged may be gone.
    pub(super) suspect: BTreeSet<usize>,
    /// Machines that have lost power or are about to, and the copies they had promised.
    pub(super) down: BTreeMap<usize, Promised>,
    /// How often a machine's disk was replaced.
    pub(super) disks: BTreeMap<usize, u64>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) put_times: Vec<Duration>,
    pub(super) get_times: Vec<Duration>,
    pub(super) healed_times: Vec<Duration>,
}

impl World {
    pub(super) fn new(cluster: Cluster, size: StormSize) -> Shared {
        let mut weak = BTreeSet::new();
        while weak.len() < size.weak_disks {
            weak.insert(cluster.dice().below(size.honest() as u64) as usize);
        }
        let state =
            State { names: (0..size.names).map(|_| Name::default()).collect(), ..State::default() };
        Rc::new(Self { cluster, size, weak, state: RefCell::new(state) })
    }

    /// Something that must not be.
    pub(super) fn fail(&self, what: String) {
        let at = self.cluster.clock().monotonic();
        tracing::error!(?at, what, "a failure");
        self.state.borrow_mut().failures.push(format!("at {at:.3?}: {what}"));
    }

    pub(super) fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    pub(super) fn add(&self, what: &'static str, more: u64) {
        *self.state.borrow_mut().counts.entry(what).or_default() += more;
    }

    /// A number below `bound`.
    pub(super) fn below(&self, bound: usize) -> usize {
        self.cluster.dice().below(bound as u64) as usize
    }

    /// Random bytes.
    pub(super) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.cluster.dice().fill(&mut bytes);
        bytes
    }

    /// A time between two.
    pub(super) fn between(&self, least: Duration, most: Duration) -> Duration {
        let spread = most.saturating_sub(least).as_millis() as u64;
        least + Duration::from_millis(self.cluster.dice().below(spread + 1))
    }

    /// An honest machine.
    pub(super) fn honest(&self) -> usize {
        self.below(self.size.honest())
    }

    /// An honest machine that runs now.
    pub(super) fn awake(&self) -> Option<usize> {
        let (from, all) = (self.honest(), self.size.honest());
        (from..from + all).map(|index| index % all).find(|index| self.cluster.is_awake(*index))
    }

    /// An honest relay that runs now.
    pub(super) fn awake_relay(&self) -> Option<usize> {
        let (from, all) = (self.below(self.size.relays), self.size.relays);
        (from..from + all).map(|index| index % all).find(|index| self.cluster.is_awake(*index))
    }

    /// Which disk a machine has now.
    pub(super) fn disk(&self, index: usize) -> u64 {
        self.state.borrow().disks.get(&index).copied().unwrap_or(0)
    }

    /// Whether a machine's disk never lied, rotted or was replaced.
    pub(super) fn is_sound(&self, index: usize) -> bool {
        !self.state.borrow().suspect.contains(&index) && self.disk(index) == 0
    }

    /// What an author with the disk that acknowledged something still answers for.
    pub(super) fn answers_for(&self, author: usize, disk: u64) -> bool {
        self.disk(author) == disk && !self.state.borrow().suspect.contains(&author)
    }

    /// Does `work` on a node as a person does; nothing where the node dies or takes too long.
    pub(super) async fn attempt<T, F>(
        &self,
        index: usize,
        work: impl FnOnce(Session) -> F,
    ) -> Option<T>
    where
        T: 'static,
        F: Future<Output = T> + 'static,
    {
        match timeout(self.cluster.clock(), PATIENCE, self.cluster.on(index, work)).await {
            Ok(Ok(result)) => Some(result),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}
