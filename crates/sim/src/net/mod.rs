//! The simulated network: a [`Fabric`] that carries bytes between peers in virtual time, and
//! [`SimNetwork`], one peer's view of it behind the port of `craftec-p2p`.
//!
//! Modelled: delay and jitter per link, bandwidth, lost segments (which a reliable stream turns into
//! delay), lost connections, one-way partitions, nodes that die and return, peers whose answers are
//! wrong, bounded buffers, and a DHT in which records live on the nodes nearest to their key.

mod carrier;
mod dht;
mod events;
mod fabric;
mod pipe;
mod port;
#[cfg(test)]
mod tests;
mod weather;

pub use fabric::{Fabric, Joined};
pub use port::SimNetwork;
pub use weather::Weather;
