//! What each fuzz target does with its bytes. Every body panics when a decoder breaks a promise,
//! and never otherwise.

pub mod api;
pub mod objects;
