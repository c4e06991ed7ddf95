//! Every size that a peer, a file or a person can feed us, each with its reason.

/// Largest block: a UnixFS leaf is at most 256 KiB, a directory node or a small object 1 MiB.
pub const BLOCK_BYTES: usize = 1 << 20;
/// Objects below this are one raw block; from here on they are UnixFS files.
pub const SMALL_OBJECT_BYTES: u64 = 1 << 20;
/// Largest frame on a stream: one block and its envelope.
pub const FRAME_BYTES: usize = BLOCK_BYTES + (16 << 10);
/// Largest signed record in the DHT (an identity log and a head fit; libp2p-kad allows 64 KiB).
pub const RECORD_BYTES: usize = 32 << 10;
/// Block CIDs asked for in one exchange message.
pub const WANT_CIDS: usize = 256;
/// Unread bytes that a peer may have on its way to us over a WebSocket. The browser's WebSocket
/// stream drops a connection with more than 1 MiB unread.
pub const IN_FLIGHT_BYTES_TAB: usize = 512 << 10;
/// The same over a WebRTC data channel, which has room for 16 MiB: what its slow turns need so that
/// the sender never waits for the next request.
pub const IN_FLIGHT_BYTES_WEBRTC: usize = 2 << 20;
/// The same over QUIC and TCP, where the kernel holds the sender back.
pub const IN_FLIGHT_BYTES_NATIVE: usize = 8 << 20;
/// Deepest chain of links that a reader follows below one root (a 256-way tree of this depth
/// holds more than any disk).
pub const DAG_DEPTH: usize = 64;
/// Longest name of a folder entry in bytes (what common filesystems allow).
pub const NAME_BYTES: usize = 255;
/// Longest path in bytes.
pub const PATH_BYTES: usize = 4096;
/// Most holders that one placement record names.
pub const HOLDERS: usize = 256;
/// Events of one identity log that a verifier walks.
pub const IDENTITY_EVENTS: usize = 64;
/// Largest command or reply of the local API: one upload chunk and its envelope.
pub const API_FRAME_BYTES: usize = (1 << 20) + (16 << 10);
