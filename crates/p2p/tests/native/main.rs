//! Native nodes on loopback: every transport, the relay, the DHT, and what can go wrong between
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bans;
mod dht;
mod pex;
mod pressure;
mod reach;
mod relay;
mod resume;
mod setup;
mod strangers;
mod streams;
