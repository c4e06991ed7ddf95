//! Native nodes on loopback: every transport, the relay, the DHT, and what can go wrong between
//! them.

mod dht;
mod relay;
mod setup;
mod streams;
