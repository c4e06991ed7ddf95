//! The trace: a running BLAKE3 over everything that the network delivered, in order. Two runs are
//! the same run exactly if their traces are equal.

use std::{cell::RefCell, time::Duration};

use craftec_core::PeerId;

/// A running hash of deliveries.
#[derive(Debug, Default)]
pub struct Trace(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    hasher: blake3::Hasher,
    messages: u64,
    bytes: u64,
}

impl Trace {
    /// Adds a delivery: what kind it is, when, between whom, and its bytes.
    pub(crate) fn record(
        &self,
        kind: &str,
        at: Duration,
        from: &PeerId,
        to: &PeerId,
        bytes: &[u8],
    ) {
        let mut state = self.0.borrow_mut();
        state.messages += 1;
        state.bytes += bytes.len() as u64;
        // Lengths first, so that no two lists of deliveries feed the same bytes.
        state.hasher.update(&(kind.len() as u64).to_le_bytes());
        state.hasher.update(&(bytes.len() as u64).to_le_bytes());
        state.hasher.update(kind.as_bytes());
        state.hasher.update(&at.as_nanos().to_le_bytes());
        state.hasher.update(from.public_key());
        state.hasher.update(to.public_key());
        state.hasher.update(bytes);
    }

    /// The hash so far, as 16 hexadecimal digits.
    pub fn hash(&self) -> String {
        self.0.borrow().hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Deliveries so far.
    pub fn messages(&self) -> u64 {
        self.0.borrow().messages
    }

    /// Bytes delivered so far.
    pub fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }
}
