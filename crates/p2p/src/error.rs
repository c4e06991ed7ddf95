//! What can go wrong between two nodes, by cause.

use craftec_core::PeerId;

/// A network operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetError {
    /// No address of the peer is known, or none answered.
    #[error("peer {peer} cannot be reached: {reason}")]
    Unreachable {
        /// Whom we wanted.
        peer: PeerId,
        /// What was tried.
        reason: String,
    },
    /// The peer runs no version of the protocol that we speak.
    #[error("peer {peer} does not speak {protocol}")]
    Unsupported {
        /// Whom we asked.
        peer: PeerId,
        /// The protocol's name.
        protocol: &'static str,
    },
    /// The connection or stream ended before the answer was complete.
    #[error("the connection to {peer} was lost: {reason}")]
    Lost {
        /// The other side.
        peer: PeerId,
        /// What the transport said.
        reason: String,
    },
    /// No answer in time.
    #[error("peer {peer} did not answer within {ms} ms")]
    Timeout {
        /// Whom we asked.
        peer: PeerId,
        /// How long we waited.
        ms: u64,
    },
    /// The peer sent what the protocol does not allow.
    #[error("peer {peer} broke the protocol: {reason}")]
    Protocol {
        /// The offender.
        peer: PeerId,
        /// What it sent.
        reason: String,
    },
    /// A limit of ours was reached.
    #[error("limit reached: {0}")]
    Limit(
        /// Which one.
        &'static str,
    ),
    /// A record or provider could not be stored or found in the DHT.
    #[error("DHT: {0}")]
    Dht(
        /// What the DHT said.
        String,
    ),
    /// An address is not usable.
    #[error("address `{addr}` cannot be used: {reason}")]
    Address {
        /// The address as given.
        addr: String,
        /// Why.
        reason: String,
    },
    /// The network is shut down.
    #[error("the network is shut down")]
    Closed,
}

impl NetError {
    /// Whether the same call may succeed later or with another peer.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Lost { .. }
                | Self::Timeout { .. }
                | Self::Limit(_)
                | Self::Dht(_)
        )
    }
}
