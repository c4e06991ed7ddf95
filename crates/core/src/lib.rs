//! The vocabulary of Craftec: content identifiers, identities, signed records, their encoding and
//! the limits that every node keeps.
//!
//! This crate decides and never acts: no I/O, no clock, no randomness. Time and random bytes are
//! arguments. Everything in it compiles to any target.

pub mod amount;
pub mod cbor;
pub mod certificate;
pub mod cid;
pub mod contract;
pub mod database;
pub mod head;
pub mod identity;
pub mod limits;
pub mod peer;
pub mod placement;
pub mod receipt;
pub mod record;
pub mod settlement;
pub mod sign;
pub mod wallet;

pub use cid::{Cid, CidError, Codec};
pub use identity::Did;
pub use peer::{PeerId, PeerIdError, TransportKey};
