//! Many nodes in one process: real [`craftec_node::Node`]s over simulated time, disks and networks.
//!
//! One seed determines a run: who is slow, what is lost, when a node dies and what its disk keeps.
//! The trace hash proves it; a failure names the seed that replays it. Nothing here asks the machine
//! for time, threads or randomness, and nothing here is part of a node.

mod checked;
pub mod churn;
mod cluster;
pub mod kept;
mod net;
mod report;
mod runner;
pub mod scenario;
mod trace;

pub use cluster::{Cluster, ClusterError};
pub use net::{Fabric, Joined, SimNetwork, Weather};
pub use report::Report;
pub use runner::{Campaign, run_seed};
pub use trace::Trace;
