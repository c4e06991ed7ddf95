//! What a client can ask.

use craftec_core::Cid;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::sql::{MergeStrategy, Retention, SqlStatement, SqlValue};

/// A half-open range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte; `None` is the end of the content.
    pub end: Option<u64>,
}

/// A request to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// First on every session: versions that the client speaks, newest first. Answered by
    /// [`Reply::Hello`](crate::Reply::Hello), or by the error `version`.
    Hello {
        /// Versions of the language.
        versions: Vec<u32>,
    },
    /// Who and how the node is: [`Reply::Status`](crate::Reply::Status).
    Status,
    /// What others need to share something with this identity: `Card`.
    IdentityCard,
    /// Events from now on, on this session: `Done`.
    Subscribe,
    /// Connects to a multiaddr: `Done`.
    Connect {
        /// For instance `/ip4/127.0.0.1/tcp/4081/ws/p2p/12D3KooW…`.
        addr: String,
    },
    /// Starts an object: `Handle`, then `put_chunk`…, `put_close`.
    PutOpen {
        /// Whole copies wanted on other nodes. By default 3, and of 1 MiB and more coded pieces in
        /// their place once there are enough other nodes.
        replicas: Option<u16>,
        /// How much is stored of a coded object, in hundredths of its size: 110 to 400, by default
        /// 250. Not together with `replicas`.
        redundancy: Option<u16>,
        /// A name to list it under; no effect on the CID.
        name: Option<String>,
    },
    /// The next bytes of an object or of a folder's file (at most 1 MiB): `Done`.
    PutChunk {
        /// From `put_open` or `folder_file`.
        handle: u64,
        /// The bytes.
        bytes: ByteBuf,
    },
    /// Ends the object: `Stored`, once it is durable on this node. For a folder's file too.
    PutClose {
        /// From `put_open` or `folder_file`.
        handle: u64,
    },
    /// Starts a folder: `Handle`.
    FolderOpen,
    /// Starts a file of a folder: `Handle`, then as `put_open`.
    FolderFile {
        /// From `folder_open`.
        folder: u64,
        /// Relative path, `/` between names, no `.`, `..` or empty names.
        path: String,
    },
    /// A whole small file of a folder in one frame (below 1 MiB): `Done`.
    FolderAdd {
        /// From `folder_open`.
        folder: u64,
        /// As in `folder_file`.
        path: String,
        /// The file.
        bytes: ByteBuf,
    },
    /// Ends the folder: `Published`, once it is durable on this node.
    FolderClose {
        /// From `folder_open`.
        folder: u64,
        /// Copies wanted on other nodes; the default is 3.
        replicas: Option<u16>,
        /// Publish it as a site: listed under `sites`.
        site: bool,
        /// With `site`: a name of this identity whose head then points here.
        name: Option<String>,
    },
    /// Opens content for reading: `Opened`. A folder opens as its `index.html` where it has one,
    /// else with the kind `folder` and no bytes.
    GetOpen {
        /// The root.
        cid: Cid,
        /// Path below the root, `/` between names; empty for the root itself.
        path: String,
        /// Part of a file; `None` is all of it.
        range: Option<Range>,
    },
    /// A handle that streams the whole graph below a root as a CAR (version 1): `Opened`.
    CarOpen {
        /// The root.
        cid: Cid,
        /// Path below the root.
        path: String,
    },
    /// One block as it is: `Bytes`.
    Block {
        /// The block.
        cid: Cid,
    },
    /// The next bytes of an opened handle (at most 256 KiB): `Bytes`; empty at the end.
    GetRead {
        /// From `get_open` or `car_open`.
        handle: u64,
    },
    /// Ends any handle early; what it started is dropped: `Done`.
    Close {
        /// Any handle.
        handle: u64,
    },
    /// What a folder holds: `Entries`.
    List {
        /// The root.
        cid: Cid,
        /// Path below the root.
        path: String,
    },
    /// Size, kind, holders: `Stat`.
    Stat {
        /// The root.
        cid: Cid,
    },
    /// Keeps the whole graph below a root here (fetching what is missing): `Done`.
    Pin {
        /// The root.
        cid: Cid,
    },
    /// Lets go of a pin; the space is freed when nothing else reaches it: `Done`.
    Unpin {
        /// The root.
        cid: Cid,
    },
    /// What was put or pinned here: `Objects`.
    Objects,
    /// The sites published here: `Sites`.
    Sites,
    /// The current root of a name: `Resolved`.
    Resolve {
        /// A site label (`n` and the head's key in base32), or `did:craftec:…/name`.
        name: String,
    },
    /// The 24 words behind this node's identity: `Words`. Only over a local session.
    BackupWords,
    /// Bytes this node may keep for others; `None` leaves it to the node: `Done`.
    LendSpace {
        /// The limit.
        bytes: Option<u64>,
    },
    /// What this node sends to others at most; kept over restarts: `Done`. What this node reads for
    /// itself, and copies that it asked others to take, are never held back.
    ServeLimits {
        /// Bytes per second, over some half a minute.
        rate: Limit,
        /// Bytes per calendar month (UTC).
        monthly: Limit,
    },
    /// Opens a database: `Database`. Only over a local session, as everything that begins with `sql_`.
    SqlOpen {
        /// The name of one of this node's, which is created if there is none; or one of anybody's, which
        /// can be read only: `craftobj://<did>/<name>`, `craftobj://me/<name>`, `craftobj://<root CID>`.
        database: String,
        /// Creates it encrypted; one that is there and is not is refused. What is opened by an address is
        /// read with its key in any case, if it was shared with this identity.
        encrypt: bool,
    },
    /// Encrypts a database of this node, or encrypts it with another key, so that readers are shut out of
    /// what is published from then on: `Readers`, once every page is durable under the new key. What they
    /// could read before, they may have kept; snapshots that were taken before stay as they are.
    SqlEncrypt {
        /// From `sql_open`.
        handle: u64,
        /// Identities that go on sharing it, of those that do.
        readers: Vec<String>,
    },
    /// Shares an encrypted database with another identity, from the next publication on: `Readers`.
    SqlShare {
        /// From `sql_open`.
        handle: u64,
        /// Whom: the card of an identity, or the address of something that it has published.
        with: String,
    },
    /// With whom a database of this node is shared: `Readers`.
    SqlReaders {
        /// From `sql_open`.
        handle: u64,
    },
    /// Runs one statement: `Rows`. What is longer than one answer is fetched with `sql_rows`.
    SqlQuery {
        /// From `sql_open`.
        handle: u64,
        /// The statement.
        sql: String,
        /// Values of its parameters, by number.
        params: Vec<SqlValue>,
    },
    /// The next rows of a result: `Rows`, the last of which names no handle.
    SqlRows {
        /// `more` of the answer before.
        handle: u64,
    },
    /// Runs several statements, separated by semicolons: `Executed`. Those before one that fails stay
    /// done, unless they are in a transaction of theirs, which must end with them.
    SqlScript {
        /// From `sql_open`.
        handle: u64,
        /// The statements.
        sql: String,
    },
    /// Runs statements as one transaction, all or none: `Executed`.
    SqlBatch {
        /// From `sql_open`.
        handle: u64,
        /// One after the other.
        statements: Vec<SqlStatement>,
    },
    /// Begins a transaction on a database of this node: `Handle`, for `sql_query` and `sql_script`, until
    /// `sql_finish`. Nobody else reads or writes the database meanwhile; so it is rolled back when 5 s pass
    /// without a command, or 30 s in all, and when the handle or the session is closed.
    SqlTransaction {
        /// From `sql_open`.
        handle: u64,
    },
    /// Ends a transaction: `Done`, where it commits once that is durable.
    SqlFinish {
        /// From `sql_transaction`.
        handle: u64,
        /// Whether it counts; else nothing of it happened.
        commit: bool,
    },
    /// Takes a snapshot of a database of this node and keeps it as an object: `Snapshot`, once it is
    /// durable here. Copies on other nodes are asked for. Where a name is given and its head is not the one
    /// that the database stands on, the answer is an error, `conflict`, and the snapshot is kept as a branch.
    SqlSnapshot {
        /// From `sql_open`.
        handle: u64,
        /// A name of this identity whose head then points to the snapshot.
        name: Option<String>,
        /// Copies wanted on other nodes; the default is 3.
        replicas: Option<u16>,
    },
    /// The snapshots of a database that are kept on this node as objects, newest first: `Snapshots`.
    SqlSnapshots {
        /// Its name.
        name: String,
    },
    /// What can be merged into a database of this node: `Branches`. The head of the name under which it was
    /// published last, if that has moved on, as `published`; then work that is kept, the oldest first.
    SqlBranches {
        /// From `sql_open`.
        handle: u64,
    },
    /// Merges another state into a database of this node, row by row and as one commit: `Merged`.
    SqlMerge {
        /// From `sql_open`.
        handle: u64,
        /// `published`; the name of a branch; an address of one of this identity's names,
        /// `craftobj://me/<name>`, which is what a second device begins with; or a snapshot,
        /// `craftobj://<root CID>`.
        branch: String,
        /// Who wins where both sides changed the same.
        strategy: MergeStrategy,
    },
    /// Keeps a branch no longer: `Done`. Its snapshot is an object of its own, and stays.
    SqlDropBranch {
        /// From `sql_open`.
        handle: u64,
        /// Its name.
        branch: String,
    },
    /// Sets which snapshots of a database stay, and lets the others go at once and after each later one:
    /// `Retained`. What a name says, a publication waits for or a branch stands on stays in any case.
    SqlRetain {
        /// From `sql_open`.
        handle: u64,
        /// The rule; none keeps all of them.
        rule: Option<Retention>,
    },
    /// The rule that there is: `Retained`.
    SqlRetention {
        /// From `sql_open`.
        handle: u64,
    },
    /// Commits the content of an earlier snapshot, which is fetched where it is not here: `Done`.
    SqlRestore {
        /// From `sql_open`.
        handle: u64,
        /// The snapshot.
        cid: Cid,
    },
    /// Waits until a database of this node was written, or the name by which another was opened has a
    /// newer head, whose root the handle reads from then on: `Changed`. After some 25 s without that it
    /// names none; ask again.
    SqlChanged {
        /// From `sql_open`.
        handle: u64,
    },
    /// A handle that streams the database as an ordinary SQLite file: `Opened`, then `get_read`….
    SqlExport {
        /// From `sql_open`, of a database of this node.
        handle: u64,
    },
    /// Starts taking an ordinary SQLite file in, which takes the place of all that is in a database:
    /// `Handle`, then `put_chunk`…, `put_close`, which answers `Done` once it is durable, as one commit.
    /// Nobody else uses the database meanwhile, so what pauses for half a minute is dropped.
    SqlImport {
        /// From `sql_open`, of a database of this node.
        handle: u64,
    },
    /// Begins to read a database by its pages: `State`, which stays as it is until the next `sql_begin` or
    /// `sql_end` of this handle. For programs with an SQLite of their own.
    SqlBegin {
        /// From `sql_open`.
        handle: u64,
    },
    /// Pages of the state that was begun with, one after the other: `Bytes`, fewer at its end.
    SqlPages {
        /// From `sql_open`.
        handle: u64,
        /// The state's number.
        state: u64,
        /// The first page, from 1.
        first: u32,
        /// How many, at most 128.
        count: u32,
    },
    /// Asks to be the one who writes a database of this node, for half a minute or until the commit:
    /// `Turn`.
    SqlReserve {
        /// From `sql_open`.
        handle: u64,
        /// The state's number.
        state: u64,
    },
    /// Changed pages of a transaction that does not fit one frame: `Done`. They wait for `sql_commit`.
    SqlStage {
        /// From `sql_open`.
        handle: u64,
        /// Their numbers, at most 255.
        pages: Vec<u32>,
        /// The pages, one after the other.
        bytes: ByteBuf,
    },
    /// Commits changed pages, those that wait among them, if `state` still is the current one: the new
    /// `State`, once it is durable, else the `Turn` `stale`. Either way nothing waits any more.
    SqlCommit {
        /// From `sql_open`.
        handle: u64,
        /// The number of the state on which they were made.
        state: u64,
        /// How many pages the database has then.
        length: u32,
        /// As in `sql_stage`.
        pages: Vec<u32>,
        /// As in `sql_stage`.
        bytes: ByteBuf,
    },
    /// Ends reading and writing what was begun with this state; what waits is dropped: `Done`.
    SqlEnd {
        /// From `sql_open`.
        handle: u64,
        /// The state's number.
        state: u64,
    },
    /// The databases of this node: `Databases`.
    SqlDatabases,
    /// Removes a database of this node with all its content: `Done`. Snapshots that were taken of it
    /// are objects of their own, and stay.
    SqlDrop {
        /// Its name.
        name: String,
    },
    /// Starts a backup of everything of one's own: `Backup`, then `get_read`…. Only over a local
    /// session.
    BackupOpen {
        /// Encrypts the file; at least 8 characters.
        passphrase: Secret,
    },
    /// Starts taking a backup in: `Handle`, then `put_chunk`…, `put_close`, which answers `Restored`.
    /// Nothing changes before that. Only over a local session.
    RestoreOpen {
        /// What the file was encrypted with.
        passphrase: Secret,
        /// Give up the identity of this node for the file's, though something is published under it.
        replace: bool,
    },
}

/// A limit that a person may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The configuration's, else the node's own.
    #[default]
    Default,
    /// None.
    Unlimited,
    /// So many.
    Bytes(u64),
}

/// A secret on its way to the node. Never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
