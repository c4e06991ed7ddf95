//! The SDK's values as the app holds them. Mirrors `index.d.ts` of `@craftec/sdk`; only the fields
//! that a screen shows.
//!
//! Plain data: nothing here calls the SDK.

mod databases;

use wasm_bindgen::JsValue;

use super::js::{records, words};

pub(crate) use databases::*;

words! {
    /// How a peer is reached.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Link {
        /// A WebRTC data channel, tab to tab.
        Webrtc,
        /// QUIC.
        Quic,
        /// TCP.
        Tcp,
        /// A WebSocket, to a relay.
        Websocket,
        /// Through a relay.
        Relayed,
    }

    /// What a peer says it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Role {
        /// A node in a browser.
        Tab,
        /// A native node.
        Relay,
        /// Another program.
        Foreign,
    }

    /// File or folder.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Kind {
        /// Bytes.
        File,
        /// Named entries.
        Folder,
    }

    /// Direction of a transfer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum Way {
        /// We fetch.
        Receive,
        /// A holder takes a copy from us.
        Replicate,
    }

    /// What a publication is busy with.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum PublishPhase {
        /// Lists the files.
        Reading,
        /// Reads them and hands them to the node, which hashes and stores each.
        Hashing,
        /// The node writes folders and the root.
        Storing,
    }

    /// Whether this tab's way to the node works.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum LinkState {
        /// It does.
        Running,
        /// The tab that ran the node went away; another takes over.
        Reconnecting,
        /// Ended on purpose.
        Stopped,
        /// It broke.
        Failed,
    }

    /// Which tab runs the node.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum TabRole {
        /// This one.
        Leader,
        /// Another tab of this browser.
        Follower,
        /// No tab: a native node.
        Remote,
    }
}

records! {
    /// A connected peer.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Peer {
        /// Who.
        pub(crate) peer_id: String,
        /// How it is reached.
        pub(crate) link: Link,
        /// What it says it is.
        pub(crate) role: Role,
        /// Round trip in milliseconds.
        pub(crate) rtt_ms: Option<u32>,
        /// The address in use.
        pub(crate) addr: String,
        /// The relay that carries a relayed link.
        pub(crate) via: Option<String>,
        /// Bytes received from it, since it connected.
        pub(crate) received: u64,
        /// Bytes sent to it.
        pub(crate) sent: u64,
    }

    /// The node's disk, in bytes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Storage {
        /// Kept, all together.
        pub(crate) used: u64,
        /// Of these, because others asked.
        pub(crate) for_others: u64,
        /// The most that may be kept for others.
        pub(crate) lend_limit: u64,
        /// What the browser still allows, where known.
        pub(crate) free: Option<u64>,
        /// The last write found no room.
        pub(crate) full: bool,
    }

    /// What the node sends to others, in bytes; `None` is no limit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Serving {
        /// Per second.
        pub(crate) rate: Option<u64>,
        /// Per calendar month.
        pub(crate) monthly: Option<u64>,
        /// Sent this month.
        pub(crate) sent: u64,
        /// When the month ends (ms since 1970).
        pub(crate) month_ends_ms: u64,
    }

    /// What a backup brought.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Restored {
        /// Objects that were not here.
        pub(crate) objects: u64,
        /// Objects that were here already.
        pub(crate) known: u64,
        /// Bytes of blocks in the file.
        pub(crate) bytes: u64,
        /// Names that the file had newer.
        pub(crate) names: u64,
        /// Names that are newer here.
        pub(crate) names_kept: u64,
        /// The node took another identity and started again.
        pub(crate) restart: bool,
    }

    /// The node.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Status {
        /// `did:craftec:…`
        pub(crate) did: String,
        /// The transport identity.
        pub(crate) peer_id: String,
        /// For instance `craftec/0.1.0`.
        pub(crate) agent: String,
        /// Milliseconds since it started.
        pub(crate) uptime_ms: u64,
        /// Addresses that others can dial.
        pub(crate) addresses: Vec<String>,
        /// Connected peers.
        pub(crate) peers: Vec<Peer>,
        /// Disk.
        pub(crate) storage: Storage,
        /// Objects put or pinned here.
        pub(crate) objects: u64,
        /// Of these, with fewer copies than wanted.
        pub(crate) objects_short: u64,
        /// What it sends to others.
        pub(crate) serving: Option<Serving>,
    }

    /// Copies of a root on other nodes, or shards of a coded one.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Copies {
        /// Copies or shards wanted.
        pub(crate) wanted: u16,
        /// Of these, that a holder signed for.
        pub(crate) signed: u16,
        /// Of these, with a holder that is connected now.
        pub(crate) reachable: u16,
        /// So many give the content back: 1 copy, or some of the shards.
        pub(crate) needed: u16,
    }

    /// One holder of a root.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Holder {
        /// Who.
        pub(crate) peer: String,
        /// It signed that it keeps a whole copy.
        pub(crate) signed: bool,
        /// Connected now.
        pub(crate) connected: bool,
        /// Bytes it took so far.
        pub(crate) bytes: u64,
        /// Why it refused or failed last time.
        pub(crate) error: Option<String>,
    }

    /// The event `health`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Health {
        /// The root.
        pub(crate) cid: String,
        /// Its copies.
        pub(crate) health: Copies,
        /// Each holder.
        pub(crate) holders: Vec<Holder>,
    }

    /// The event `transfer`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Transfer {
        /// The root.
        pub(crate) cid: String,
        /// Which way.
        pub(crate) kind: Way,
        /// The other side.
        pub(crate) peer: String,
        /// Bytes moved so far.
        pub(crate) bytes: u64,
        /// Bytes in all, where known.
        pub(crate) total: Option<u64>,
        /// It ended (well, if `bytes` reached `total`).
        pub(crate) done: bool,
    }

    /// About one root.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Stat {
        /// The root.
        pub(crate) cid: String,
        /// Bytes of content.
        pub(crate) size: u64,
        /// File or folder.
        pub(crate) kind: Kind,
        /// Files below it (1 for a file).
        pub(crate) files: u64,
        /// Distinct blocks below it.
        pub(crate) blocks: u64,
        /// How many of these are on this node.
        pub(crate) local_blocks: u64,
        /// Kept here by a pin.
        pub(crate) pinned: bool,
        /// Copies on other nodes.
        pub(crate) health: Copies,
        /// Each holder.
        pub(crate) holders: Vec<Holder>,
    }

    /// An object put or pinned here.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct ObjectRow {
        /// Its address.
        pub(crate) cid: String,
        /// The name it was put under.
        pub(crate) name: Option<String>,
        /// Bytes of content.
        pub(crate) size: u64,
        /// File or folder.
        pub(crate) kind: Kind,
        /// When (ms since 1970).
        pub(crate) time_ms: u64,
        /// Copies on other nodes.
        pub(crate) health: Copies,
    }

    /// A site published here.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct SiteRow {
        /// Its address.
        pub(crate) cid: String,
        /// Its name, where it has one.
        pub(crate) name: Option<String>,
        /// The name's host label.
        pub(crate) label: Option<String>,
        /// Files in it.
        pub(crate) files: u64,
        /// Their bytes together.
        pub(crate) bytes: u64,
        /// When (ms since 1970).
        pub(crate) time_ms: u64,
        /// Copies on other nodes.
        pub(crate) health: Copies,
    }

    /// One entry of a folder.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Entry {
        /// Its name.
        pub(crate) name: String,
        /// Its address.
        pub(crate) cid: String,
        /// Bytes of a file, or of all files below a folder.
        pub(crate) size: u64,
        /// File or folder.
        pub(crate) kind: Kind,
    }

    /// What a name points to.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Resolved {
        /// The root.
        pub(crate) cid: String,
        /// When the name was last pointed somewhere (ms since 1970).
        pub(crate) time_ms: u64,
        /// When that stops being fresh (ms since 1970).
        pub(crate) expires_ms: u64,
        /// Two different heads with one number were seen.
        pub(crate) equivocation: bool,
    }


    /// What `put` answers.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Stored {
        /// Its address.
        pub(crate) cid: String,
        /// Its length in bytes.
        pub(crate) size: u64,
    }

    /// A file that was not published, and why.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct LeftOut {
        /// Its path in the folder.
        pub(crate) path: String,
        /// Why.
        pub(crate) reason: String,
    }

    /// What `sites.publish` answers.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Published {
        /// Its address.
        pub(crate) cid: String,
        /// The host label of its name, where it has one.
        pub(crate) label: Option<String>,
        /// Files in it.
        pub(crate) files: u64,
        /// Their bytes together.
        pub(crate) bytes: u64,
        /// What was not taken.
        pub(crate) left_out: Vec<LeftOut>,
    }

    /// Progress of `sites.publish`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct PublishProgress {
        /// What it is busy with.
        pub(crate) phase: PublishPhase,
        /// Files that the node has taken (while listing: found).
        pub(crate) files: u64,
        /// Their bytes, and those of files under way.
        pub(crate) bytes: u64,
    }

    /// Progress of `put`, `get` and `stream`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ByteProgress {
        /// Bytes moved.
        pub(crate) bytes: u64,
        /// Bytes in all, where known.
        pub(crate) total: Option<u64>,
    }

    /// Why a call failed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Failure {
        /// The cause, for instance `not_found`.
        pub(crate) code: String,
        /// What happened, with the figure.
        pub(crate) message: String,
        /// What can be done, where there is something.
        pub(crate) hint: Option<String>,
        /// Whether the same call may succeed later.
        pub(crate) retryable: bool,
    }

    /// The event `status`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct StateChange {
        /// Whether the node can be reached.
        pub(crate) state: LinkState,
        /// Which tab runs it.
        pub(crate) role: TabRole,
        /// Why it can't.
        pub(crate) error: Option<Failure>,
    }
}

impl Failure {
    /// A failure of the app itself.
    pub(crate) fn here(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None, retryable: false }
    }

    /// Whether the reader ended the call.
    pub(crate) fn is_abort(&self) -> bool {
        self.code == "aborted"
    }
}
