//! The [`Network`] port and what is built on it once for every implementation: requests, served
//! protocols and subscriptions.
//!
//! Behind the port stand libp2p (feature `libp2p`; native and tab) and the simulator. Nothing above
//! this crate knows which.

mod error;
mod port;

pub use error::NetError;
pub use port::{
    ByteStream, Key, Link, NetEvent, Network, PeerInfo, Protocol, Record, RecordCheck,
    RecordChoice, Role, SharedNetwork,
};
