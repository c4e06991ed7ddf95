//! The messages of the receipt protocol (`/craftec/receipt/1`), one each way, both the same. Canonical
//! DAG-CBOR. It never touches a network.
//!
//! | message | largest | fields |
//! |---|---|---|
//! | swap | [`SWAP_BYTES`] | `given`, `known` |
//!
//! `given` is the sender's receipt for the receiver, `known` the newest one that the receiver gave the
//! sender. Either may be none: there is nothing to thank for, or nothing to remind of. Who asks again too
//! soon gets an answer of two nones.

use craftec_core::{
    cbor::{self, CborError},
    receipt::{RECEIPT_BYTES, SignedReceipt},
};
use craftec_p2p::Protocol;
use serde::{Deserialize, Serialize};

/// The receipt protocol.
pub const PROTOCOL: Protocol = Protocol { name: "receipt", versions: &[1] };
/// Largest message: two receipts and the names of the fields.
pub const SWAP_BYTES: usize = 2 * RECEIPT_BYTES + 64;

/// Receipts that two peers exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// For the receiver, signed now.
    pub given: Option<SignedReceipt>,
    /// By the receiver, which it may have forgotten.
    pub known: Option<SignedReceipt>,
}

impl Swap {
    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, SWAP_BYTES)
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }
}
