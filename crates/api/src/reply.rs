//! What a node answers.

use bytes::Bytes;
use craftec_core::{Cid, PeerId};
use serde::{Deserialize, Serialize};

use crate::{
    event::{HolderState, ObjectHealth},
    sql::{
        BranchRow, DatabaseRow, OpenedDatabase, Retention, Snapshot, SnapshotRow, SqlMerged,
        SqlRows, SqlState, SqlTurn,
    },
};

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The version agreed on and the node's software.
    Hello {
        /// Version of the language for this session.
        version: u32,
        /// For instance `craftec/0.1.0`.
        agent: String,
    },
    /// Done; nothing to say.
    Done,
    /// A handle for what was started.
    Handle {
        /// The handle.
        handle: u64,
    },
    /// An object is durable on this node.
    Stored {
        /// Its address.
        cid: Cid,
        /// Its length in bytes.
        size: u64,
    },
    /// A folder is durable on this node.
    Published {
        /// Its address.
        cid: Cid,
        /// Files in it.
        files: u64,
        /// Their bytes together.
        bytes: u64,
        /// The label of its name, where one was given.
        label: Option<String>,
    },
    /// Content is open for reading.
    Opened(Opened),
    /// Bytes.
    Bytes {
        /// The bytes; empty at the end of a handle.
        bytes: Bytes,
    },
    /// What a folder holds, sorted by name.
    Entries {
        /// The entries.
        entries: Vec<Entry>,
    },
    /// About one root.
    Stat(Stat),
    /// Objects, newest first.
    Objects {
        /// The rows.
        objects: Vec<ObjectRow>,
    },
    /// Sites, newest first.
    Sites {
        /// The rows.
        sites: Vec<SiteRow>,
    },
    /// What a name points to.
    Resolved {
        /// The root.
        cid: Cid,
        /// The head's sequence number.
        seq: u64,
        /// When the head was written (ms since 1970).
        time_ms: u64,
        /// When the head stops being fresh (ms since 1970).
        expires_ms: u64,
        /// Two different heads with one number were seen: the owner, or a thief, wrote twice.
        equivocation: bool,
    },
    /// The backup phrase.
    Words {
        /// 24 words.
        words: Vec<String>,
    },
    /// The node.
    Status(Status),
    /// A backup is ready to be read.
    Backup {
        /// For `get_read`.
        handle: u64,
        /// About how long it will be.
        bytes: u64,
        /// Objects in it.
        objects: u64,
    },
    /// A backup was taken in.
    Restored(Restored),
    /// A database is open.
    Database(OpenedDatabase),
    /// A database that was waited for.
    Changed {
        /// What it is now; absent if it did not change in time.
        database: Option<OpenedDatabase>,
    },
    /// Rows of a database.
    Rows(SqlRows),
    /// Statements were carried out, durably.
    Executed {
        /// Rows that each statement of a batch changed; of a script, all together.
        changes: Vec<u64>,
        /// The number of the row that was inserted last; 0 if none was.
        last_rowid: i64,
    },
    /// A snapshot is durable on this node.
    Snapshot(Snapshot),
    /// A state of a database.
    State(SqlState),
    /// Which snapshots of a database stay.
    Retained {
        /// The rule; none keeps all of them.
        rule: Option<Retention>,
        /// How many went now.
        dropped: u64,
    },
    /// Who reads a database besides its owner.
    Readers {
        /// Whether it is encrypted at all; else everybody may.
        encrypted: bool,
        /// Identities that it is shared with.
        readers: Vec<String>,
    },
    /// The card of this identity, which others need to share something with it.
    Card {
        /// One line of text.
        card: String,
    },
    /// Whether a program may write a database, or has written it.
    Turn {
        /// That.
        turn: SqlTurn,
    },
    /// Snapshots of a database, newest first.
    Snapshots {
        /// The rows.
        snapshots: Vec<SnapshotRow>,
    },
    /// What can be merged into a database.
    Branches {
        /// The rows.
        branches: Vec<BranchRow>,
    },
    /// What came of a merge.
    Merged(SqlMerged),
    /// Databases, by name.
    Databases {
        /// The rows.
        databases: Vec<DatabaseRow>,
    },
}

/// What a backup brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Whose it is.
    pub did: String,
    /// Objects that were not here.
    pub objects: u64,
    /// Objects that were here already, and stay as they are.
    pub known: u64,
    /// Bytes of blocks in the file.
    pub bytes: u64,
    /// Names whose head in the file was newer than the one here, or unknown.
    pub names: u64,
    /// Names whose head here was newer, or contradicts the file's: the one here stays.
    pub names_kept: u64,
    /// The file's identity took the place of this node's, which has ended and must start again.
    pub restart: bool,
}

/// Content open for reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// For `get_read`.
    pub handle: u64,
    /// The CID of what was found at the path.
    pub cid: Cid,
    /// Length of the whole content in bytes (not of the range).
    pub size: u64,
    /// File or folder.
    pub kind: EntryKind,
    /// The path that was opened, `index.html` included where one was added.
    pub path: String,
    /// Media type by the name's ending.
    pub mime: String,
}

/// File or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Bytes.
    File,
    /// Named entries.
    Folder,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its address.
    pub cid: Cid,
    /// Bytes of a file, or of all files below a folder (as its links claim).
    pub size: u64,
    /// File or folder, where the CID's codec or the node itself says so.
    pub kind: EntryKind,
}

/// About one root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// The root.
    pub cid: Cid,
    /// Bytes of content.
    pub size: u64,
    /// File or folder.
    pub kind: EntryKind,
    /// Files below it (1 for a file).
    pub files: u64,
    /// Distinct blocks below it.
    pub blocks: u64,
    /// How many of these are on this node.
    pub local_blocks: u64,
    /// Kept here by a pin.
    pub pinned: bool,
    /// Copies on other nodes.
    pub health: ObjectHealth,
    /// Each holder.
    pub holders: Vec<HolderState>,
    /// How a coded object stands; absent for others, and until its holders were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Outlook>,
}

/// How a coded object stands, in shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// When its holders were asked (ms since 1970).
    pub at_ms: u64,
    /// So many shards give it back.
    pub needed: u16,
    /// Different shards with holders that answered.
    pub reachable: u16,
    /// Different shards with holders that are expected back, those that answered included.
    pub counted: u16,
    /// Whole copies with holders that are expected back.
    pub wholes: u16,
    /// The probability that it is lost within a year if it is kept at this level, in parts per
    /// billion.
    pub loss_ppb: u32,
}

/// What was done for others' objects since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// Objects looked after.
    pub looks: u64,
    /// Shards made again and placed.
    pub shards: u64,
    /// Whole copies placed.
    #[serde(default)]
    pub copies: u64,
    /// Bytes read from others for it.
    pub read: u64,
    /// Bytes written to new holders.
    pub written: u64,
}

/// An object put or pinned here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// Its address.
    pub cid: Cid,
    /// The name it was put under.
    pub name: Option<String>,
    /// Bytes of content.
    pub size: u64,
    /// File or folder.
    pub kind: EntryKind,
    /// When (ms since 1970).
    pub time_ms: u64,
    /// Copies on other nodes.
    pub health: ObjectHealth,
}

/// A site published here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its address.
    pub cid: Cid,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The name's host label.
    pub label: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// When (ms since 1970).
    pub time_ms: u64,
    /// Copies on other nodes.
    pub health: ObjectHealth,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A WebRTC data channel, tab to tab.
    Webrtc,
    /// QUIC.
    Quic,
    /// TCP.
    Tcp,
    /// A WebSocket.
    Websocket,
    /// Through a relay.
    Relayed,
}

/// What a peer says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A node in a browser.
    Tab,
    /// A native node.
    Relay,
    /// Another program.
    Foreign,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    pub peer_id: PeerId,
    /// How it is reached.
    pub link: Link,
    /// What it says it is.
    pub role: Role,
    /// Round trip in milliseconds.
    pub rtt_ms: Option<u32>,
    /// The address in use.
    pub addr: String,
    /// The relay that carries a relayed link.
    pub via: Option<PeerId>,
    /// Bytes received from it by the object store, since it connected.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}

/// The node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Bytes of blocks kept, all together.
    pub used: u64,
    /// Of these, kept because others asked.
    pub for_others: u64,
    /// The most that may be kept for others.
    pub lend_limit: u64,
    /// Bytes that the disk or the browser's quota still allows, where known.
    pub free: Option<u64>,
    /// The last write found no room. Nothing is lost, but new content waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub full: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What this node sends to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Bytes per second at most; `None` is no limit.
    pub rate: Option<u64>,
    /// Bytes per calendar month (UTC) at most; `None` is no limit.
    pub monthly: Option<u64>,
    /// Bytes sent this month.
    pub sent: u64,
    /// When the month ends (ms since 1970).
    pub month_ends_ms: u64,
}

/// The node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `did:craftec:…`
    pub did: String,
    /// The transport identity.
    pub peer_id: PeerId,
    /// What this node is itself.
    pub role: Role,
    /// For instance `craftec/0.1.0`.
    pub agent: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Addresses that others can dial.
    pub addresses: Vec<String>,
    /// Connected peers.
    pub peers: Vec<Peer>,
    /// Disk.
    pub storage: Storage,
    /// Objects put or pinned here.
    pub objects: u64,
    /// Of these, with fewer copies than wanted.
    pub objects_short: u64,
    /// Whether others can dial this node; absent where that means nothing (a tab), and from nodes
    /// that don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// What it sends to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// What it did to keep others' coded objects alive; absent where it did nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended: Option<Mended>,
}

/// Whether others can dial a node without help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reachability {
    /// Nobody has tried yet, or nobody can be asked.
    Unknown,
    /// Another node dialed it from outside.
    Public,
    /// Others tried and failed: a router or a firewall is between.
    Nat,
}

/// What a node knows of its own reachability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The verdict.
    pub state: Reachability,
    /// Addresses at which others have reached it.
    pub confirmed: Vec<String>,
}
