//! The [`Network`] port and what is built on it once for every implementation: requests, served
//! protocols and subscriptions ([`Rpc`]).
//!
//! Behind the port stand libp2p (feature `libp2p`; native and tab) and the simulator. Nothing above
//! this crate knows which.

mod bounds;
#[cfg(test)]
mod double;
mod error;
pub mod frame;
mod gate;
mod pool;
mod port;
mod rpc;
mod subscription;
#[cfg(test)]
mod tests;

pub use error::NetError;
pub use port::{
    ByteStream, Key, Link, NetEvent, Network, PeerInfo, Protocol, Record, RecordCheck,
    RecordChoice, Role, SharedNetwork,
};
pub use rpc::{Handler, Rpc};
pub use subscription::SubscriptionHandler;
