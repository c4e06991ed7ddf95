//! A whole node: store, exchange, objects, copies, names, and the language of `craftec-api` over
//! them. The same in a tab, on a server and in the simulator; what differs is behind the ports.
//!
//! It never touches a disk, a socket or a clock itself, and never runs on more than one thread.

mod backup;
mod bell;
mod check;
mod config;
#[cfg(feature = "sql")]
mod databases;
#[cfg(not(feature = "sql"))]
#[path = "no_databases.rs"]
mod databases;
mod error;
mod events;
mod fault;
mod keys;
mod lending;
mod mime;
mod names;
mod node;
mod room;
mod serving;
mod session;

pub use check::record_check;
pub use config::{Config, Denied, Ports, REDUNDANCY, REPLICAS, SLICED_STATEMENT, STATEMENT};
pub use error::NodeError;
pub use keys::Keys;
pub use node::Node;
pub use session::{Access, Session};
