//! The simulated network: a [`Fabric`] that carries bytes between peers in virtual time, and
//! [`SimNetwork`], one peer's view of it behind the port of `craftec-p2p`.
//!
//! Modelled: delay and jitter per link, bandwidth, lost segments (which a reliable stream turns into
//! delay), lost connections, one-way partitions, nodes that die and return, nodes that stand still,
//! peers whose answers are wrong, bounded buffers, and a DHT in which records live on the nodes
//! nearest to their key.
//!
//! # Duplication and reorder
//!
//! happen where real transports let them happen. Within a stream bytes arrive once and in order, as
//! with QUIC, yamux and SCTP. What does repeat and change places is everything above: streams of one
//! connection overtake each other; a request whose connection breaks before the answer is sent again,
//! so that its handler runs twice; and messages of the DHT, each of which is a stream of its own, are
//! delivered again up to a minute later, after newer ones ([`Weather::replay_per_million`]). A
//! connection may also end for one side only ([`Weather::half_open_per_million`]).

mod carrier;
mod dht;
mod events;
mod fabric;
mod links;
mod pipe;
mod port;
#[cfg(test)]
mod tests;
mod weather;

pub use fabric::{Fabric, Joined};
pub use port::SimNetwork;
pub use weather::Weather;
