//! What each fuzz target does with its bytes. Every body panics when a decoder or an endpoint breaks a
//! promise, and never otherwise.

pub mod api;
pub mod coding;
pub mod endpoint;
pub mod objects;
pub mod relay;
pub mod signed;
pub mod sql;
pub mod webrtc;
