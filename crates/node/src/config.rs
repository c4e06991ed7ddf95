//! What a shell gives a node: the ports to its machine and how it should behave.

use std::{rc::Rc, time::Duration};

use craftec_api::Role;
use craftec_core::Cid;
use craftec_p2p::SharedNetwork;
use craftec_platform::{Clock, Entropy, Folder};

/// Copies of an object on other nodes, unless the client says otherwise.
pub const REPLICAS: u16 = 3;

/// Pieces per hundred source pieces of a coded object, unless the client says otherwise.
pub const REDUNDANCY: u16 = 250;

/// How long a statement of a database may compute, unless the configuration says otherwise.
pub const STATEMENT: Duration = Duration::from_secs(5);

/// The same where it pauses, and holds nothing up but its database: what an index over some gigabytes takes.
pub const SLICED_STATEMENT: Duration = Duration::from_secs(600);

/// The machine below a node.
#[derive(Clone)]
pub struct Ports {
    /// The network, running under the node's transport key.
    pub network: SharedNetwork,
    /// Time and tasks.
    pub clock: Rc<dyn Clock>,
    /// Randomness.
    pub entropy: Rc<dyn Entropy>,
}

/// Says which content others do not get from a node.
pub type Denied = Rc<dyn Fn(&Cid) -> bool>;

/// How a node behaves.
#[derive(Clone)]
pub struct Config {
    /// What it is: a tab or a native node.
    pub role: Role,
    /// Software and version, for instance `craftec/0.1.0`.
    pub agent: String,
    /// Bytes it may keep for others. `None` is the default of its role: 10 GiB natively, in a tab
    /// 512 MiB or a tenth of what the browser allows, whichever is less. A limit that a person set
    /// at run time comes before this one.
    pub lend_limit: Option<u64>,
    /// Bytes per second that it sends to others at most. `None` is the default of its role: no limit
    /// natively, 2 MB/s in a tab. What a person set at run time comes before this, too.
    pub serve_rate: Option<u64>,
    /// The same per calendar month: no limit natively, 20 GB in a tab.
    pub serve_monthly: Option<u64>,
    /// Bytes of what no pin reaches that it keeps as cache. `None` is the default of its role.
    pub cache_limit: Option<u64>,
    /// Most bytes that it reads in an hour to find what rotted on its disk; 0 for none. `None` is
    /// [`craftec_obj::objects::SCRUB_BYTES_PER_HOUR`].
    pub scrub_bytes_per_hour: Option<u64>,
    /// How long a turn is in which one holder of a coded file looks after it. `None` is
    /// [`craftec_obj::mend::SLOT`].
    pub mend_slot: Option<Duration>,
    /// How long a statement of a database may compute. `None` is [`STATEMENT`], or [`SLICED_STATEMENT`]
    /// where it pauses.
    pub statement_time: Option<Duration>,
    /// How long it computes at one go, between which the node does everything else. `None` is: to its end,
    /// as it must be in a tab.
    pub statement_slice: Option<Duration>,
    /// The folder of the store, where databases are too; without it there are none. Asked for its free space.
    pub folder: Option<Rc<dyn Folder>>,
    /// Content that others do not get from here.
    pub denied: Option<Denied>,
}

impl Config {
    /// The defaults of a role.
    pub fn new(role: Role) -> Self {
        let agent = format!("craftec/{}", env!("CARGO_PKG_VERSION"));
        Self {
            role,
            agent,
            lend_limit: None,
            serve_rate: None,
            serve_monthly: None,
            cache_limit: None,
            scrub_bytes_per_hour: None,
            mend_slot: None,
            statement_time: None,
            statement_slice: None,
            folder: None,
            denied: None,
        }
    }

    /// Bytes of cache.
    pub(crate) fn cache_bytes(&self, free_bytes: Option<u64>) -> u64 {
        self.cache_limit.unwrap_or(match self.role {
            Role::Tab => free_bytes.map_or(256 << 20, |free| (free / 4).min(1 << 30)),
            Role::Relay | Role::Foreign => 10 << 30,
        })
    }

    /// Bytes for others where neither a person nor the configuration says.
    pub(crate) fn default_lend_bytes(&self, free_bytes: Option<u64>) -> u64 {
        match self.role {
            Role::Tab => free_bytes.map_or(512 << 20, |free| (free / 10).min(512 << 20)),
            Role::Relay | Role::Foreign => 10 << 30,
        }
    }
}
