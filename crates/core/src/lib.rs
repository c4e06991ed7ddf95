//! The vocabulary of Craftec: content identifiers, identities, signed records, the wire format and
//! the limits that every node keeps.
//!
//! This crate decides and never acts: no I/O, no clock, no randomness. Time and random bytes are
//! arguments. Everything in it compiles to any target.

pub mod cbor;
pub mod cid;
pub mod limits;
pub mod peer;

pub use cid::{Cid, CidError, Codec};
pub use peer::{PeerId, PeerIdError, TransportKey};
