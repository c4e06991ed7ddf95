//! The network of a browser tab: the whole swarm in a dedicated worker, WebSockets to relays,
//! data channels to other tabs. Never listens on a socket, and never touches the page but through
//! the port that lends peer connections.

mod webrtc;

#[cfg(target_arch = "wasm32")]
mod start;

#[cfg(target_arch = "wasm32")]
pub use start::{TabConfig, TabNetwork, start};
