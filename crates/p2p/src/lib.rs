//! The [`Network`] port and what is built on it once for every implementation: requests, served
//! protocols and subscriptions ([`Rpc`]), and the exchange of peers ([`pex`]).
//!
//! Behind the port stand libp2p (feature `libp2p`; native and tab) and the simulator. Nothing above
//! this crate knows which.

mod bounds;
pub mod counters;
#[cfg(test)]
mod double;
mod error;
pub mod frame;
mod gate;
#[cfg(feature = "libp2p")]
mod libp2p;
pub mod limits;
#[cfg(all(feature = "libp2p", not(target_arch = "wasm32")))]
pub mod native;
pub mod pex;
mod pool;
mod port;
mod prefix;
pub mod rate;
mod rpc;
mod subscription;
#[cfg(all(feature = "libp2p", target_arch = "wasm32"))]
pub mod tab;
#[cfg(all(feature = "libp2p", test, not(target_arch = "wasm32")))]
mod tab;
#[cfg(test)]
mod tests;

#[cfg(feature = "libp2p")]
pub use crate::libp2p::Handle;
pub use error::NetError;
pub use limits::{LimitError, Limits};
pub use port::{
    ByteStream, Key, Link, NetEvent, Network, PeerInfo, Protocol, Reach, Reachability, Record,
    RecordCheck, RecordChoice, Role, SharedNetwork,
};
pub use prefix::Prefix;
pub use rpc::{Handler, Rpc};
pub use subscription::SubscriptionHandler;
