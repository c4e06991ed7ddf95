//! Every bound of the WebRTC transport, each with its reason. What it never does: decide anything.

use std::time::Duration;

/// Largest signaling message. An offer for data channels alone is about 600 bytes; with every
/// candidate inside it stays below a quarter of this.
pub(crate) const SIGNAL_BYTES: usize = 16 << 10;
/// Candidates taken from one peer in one handshake: eight interfaces, two address families, and
/// host, reflexive and two relayed candidates each.
pub(crate) const CANDIDATES: usize = 64;
/// Largest data-channel message we send, and largest frame of the one-channel-per-stream wire
/// (RFC 8831 §6.6; go-libp2p and rust-libp2p refuse more).
pub(crate) const MESSAGE_BYTES: usize = 16 << 10;
/// Unsent bytes (`bufferedAmount`) summed over one connection. Chromium passes at most 64 KiB of
/// packets at a time to its network process and drops the rest of a larger burst; SCTP then sits
/// out several doubling timeouts, seconds of silence at the start of a bulk transfer.
#[cfg(target_arch = "wasm32")]
pub(crate) const UNSENT_BYTES: usize = 64 << 10;
/// Mux mode: writers are woken when the one channel's buffer falls to this.
#[cfg(target_arch = "wasm32")]
pub(crate) const LOW_BYTES: u32 = 16 << 10;
/// Unread bytes summed over one connection. Data channels have no receive window, so a peer that
/// sends faster than we read is cut off here. (Under yamux its windows keep this small.)
#[cfg(target_arch = "wasm32")]
pub(crate) const UNREAD_BYTES: usize = 16 << 20;
/// Channels that one peer may hold open towards us on one connection (as many as yamux allows
/// streams by default in other implementations).
#[cfg(target_arch = "wasm32")]
pub(crate) const CHANNELS: usize = 256;
/// Handshakes in each direction at one time: each holds a peer connection and its ICE sockets.
#[cfg(target_arch = "wasm32")]
pub(crate) const HANDSHAKES: usize = 16;
/// Handshakes that one peer may have open towards us: one, and the one that replaces it.
#[cfg(target_arch = "wasm32")]
pub(crate) const HANDSHAKES_PER_PEER: usize = 2;
/// Signaling, ICE and DTLS together; what takes longer is given up.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(20);
/// Opening the signaling stream over a circuit that may have to be dialed first.
#[cfg(target_arch = "wasm32")]
pub(crate) const SIGNALING_OPEN: Duration = Duration::from_secs(10);
/// A peer connection that stays `disconnected` for this long is closed; a network change is over
/// sooner, and `failed` would come only after some ten seconds more.
#[cfg(target_arch = "wasm32")]
pub(crate) const DISCONNECTED: Duration = Duration::from_secs(5);
#[cfg(target_arch = "wasm32")]
/// How long a closed stream waits for the other side to confirm that it read the end.
pub(crate) const FIN_ACK: Duration = Duration::from_secs(10);

/// How long the second of two direct connections is kept, for streams opened on it before.
pub(crate) const DUPLICATE_GRACE: Duration = Duration::from_secs(10);
/// How long the side that accepted the relayed connection waits for the other to upgrade it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// First pause after a failed upgrade; doubles with each further one.
pub(crate) const BACK_OFF: Duration = Duration::from_secs(2);
/// Longest pause between attempts.
pub(crate) const BACK_OFF_MAX: Duration = Duration::from_secs(300);
