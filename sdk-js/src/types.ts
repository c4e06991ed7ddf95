/** What callers see: the wire's structures in camel case. */

export type { ErrorCode } from './errors.js';

export type Kind = 'file' | 'folder';
export type PeerRole = 'tab' | 'relay' | 'foreign';
export type Link = 'webrtc' | 'quic' | 'tcp' | 'websocket' | 'relayed';

/** A connected peer. */
export interface Peer {
  peerId: string;
  /** How it is reached. */
  link: Link;
  /** What it says it is. */
  role: PeerRole;
  rttMs: number | null;
  addr: string;
  /** The relay that carries a relayed link. */
  via: string | null;
  received: number;
  sent: number;
}

/** The node's disk, in bytes. */
export interface Storage {
  used: number;
  forOthers: number;
  lendLimit: number;
  /** What the disk or the browser's quota still allows, where known. */
  free: number | null;
  /** The last write found no room. Nothing is lost, but new content waits. */
  full?: boolean;
}

/** What the node sends to others, in bytes; `null` is no limit. */
export interface Serving {
  /** Per second. */
  rate: number | null;
  /** Per calendar month (UTC). */
  monthly: number | null;
  /** Sent this month. */
  sent: number;
  monthEndsMs: number;
}

/** A limit in bytes; `'default'` leaves it to the node. */
export type Limit = number | 'unlimited' | 'default';

export interface ServeLimits {
  /** Bytes per second that are sent to others at most. */
  rate: Limit;
  /** The same per calendar month. */
  monthly: Limit;
}

export interface Status {
  did: string;
  peerId: string;
  role: PeerRole;
  agent: string;
  uptimeMs: number;
  addresses: string[];
  peers: Peer[];
  storage: Storage;
  objects: number;
  /** Objects with fewer copies than wanted. */
  objectsShort: number;
  serving?: Serving;
}

/** Copies of a root on other nodes, or shards of a coded one. */
export interface ObjectHealth {
  wanted: number;
  /** Of these, that a holder signed for. */
  signed: number;
  /** Of these, with a holder that is connected now. */
  reachable: number;
  /** So many give the object back: 1 copy, or some of the shards. */
  needed: number;
}

export interface Holder {
  peer: string;
  signed: boolean;
  connected: boolean;
  bytes: number;
  error: string | null;
}

export interface Stat {
  cid: string;
  size: number;
  kind: Kind;
  files: number;
  blocks: number;
  localBlocks: number;
  pinned: boolean;
  health: ObjectHealth;
  holders: Holder[];
  /** How a coded object stands; absent for others, and until its holders were asked. */
  outlook?: Outlook;
}

/** How a coded object stands, in shards. */
export interface Outlook {
  /** When its holders were asked (ms since 1970). */
  atMs: number;
  /** So many shards give it back. */
  needed: number;
  /** Different shards with holders that answered. */
  reachable: number;
  /** Different shards with holders that are expected back. */
  counted: number;
  /** Whole copies with holders that are expected back. */
  wholes: number;
  /** The probability that it is lost within a year at this level, in parts per billion. */
  lossPpb: number;
}

export interface Entry {
  name: string;
  cid: string;
  size: number;
  kind: Kind;
}

export interface ObjectRow {
  cid: string;
  name: string | null;
  size: number;
  kind: Kind;
  timeMs: number;
  health: ObjectHealth;
}

export interface SiteRow {
  cid: string;
  name: string | null;
  label: string | null;
  files: number;
  bytes: number;
  timeMs: number;
  health: ObjectHealth;
  /** Where it opens. */
  url: string;
}

export interface Resolved {
  cid: string;
  seq: number;
  timeMs: number;
  expiresMs: number;
  /** The owner, or a thief, wrote two different heads with one number. */
  equivocation: boolean;
}

/** Progress of one transfer with one peer. */
export interface Transfer {
  cid: string;
  kind: 'receive' | 'replicate';
  peer: string;
  bytes: number;
  total: number | null;
  done: boolean;
}

/** A root's copies changed. */
export interface Health {
  cid: string;
  health: ObjectHealth;
  holders: Holder[];
}

/** How this client stands with its node. */
export interface ClientStatus {
  state: 'running' | 'reconnecting' | 'stopped' | 'failed';
  role: ClientRole;
  error?: Error;
}

/** Whether this tab runs the node, another tab of this origin does, or a native node. */
export type ClientRole = 'leader' | 'follower' | 'remote';

export interface Events {
  peers: Peer[];
  transfer: Transfer;
  health: Health;
  status: ClientStatus;
}

/** A half-open range of bytes. */
export interface Range {
  start: number;
  end?: number;
}

export interface Progress {
  bytes: number;
  total?: number;
}

export type Data = Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array> | string;

export interface PutOptions {
  /**
   * Whole copies wanted on other nodes. By default 3, and of 1 MiB and more coded pieces in their
   * place once there are enough other nodes.
   */
  replicas?: number;
  /** How much of a coded object is stored, in multiples of its size: 1.1 to 4, by default 2.5. */
  redundancy?: number;
  /** A name to list it under; no effect on the CID. */
  name?: string;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** `durable` (default): stored here. `replicated`: signed for by as many nodes as wanted. */
  ack?: 'durable' | 'replicated';
}

export interface BackupOptions {
  /** At least 8 characters. Without it nobody can open the file. */
  passphrase: string;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface RestoreOptions extends BackupOptions {
  /** Give up the identity of this node for the file's, though something is published under it. */
  replaceIdentity?: boolean;
}

/** What a backup brought. */
export interface Restored {
  did: string;
  /** Objects that were not here. */
  objects: number;
  /** Objects that were here already, and stay as they are. */
  known: number;
  bytes: number;
  /** Names that the file had newer. */
  names: number;
  /** Names that are newer here, and stay. */
  namesKept: number;
  /** The node took another identity and started again. */
  restart: boolean;
}

export interface GetOptions {
  range?: Range;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

/** Content open for reading. */
export interface Opened {
  /** Of what was found at the path. */
  cid: string;
  /** Of the whole content, not of the range. */
  size: number;
  kind: Kind;
  /** `index.html` included, where a folder was opened by it. */
  path: string;
  mime: string;
  body: ReadableStream<Uint8Array>;
}

export interface PublishProgress {
  /** Finding files; handing their bytes to the node, which hashes them; making them durable. */
  phase: 'reading' | 'hashing' | 'storing';
  files: number;
  /** Known once all were found. */
  totalFiles?: number;
  bytes: number;
  totalBytes?: number;
}

export interface PublishOptions {
  /** A name of this identity that then points to the site. */
  name?: string;
  replicas?: number;
  onProgress?: (progress: PublishProgress) => void;
  signal?: AbortSignal;
}

export interface LeftOut {
  path: string;
  reason: string;
}

export interface Published {
  cid: string;
  url: string;
  /** The host label of its name, where one was given. */
  label: string | null;
  files: number;
  bytes: number;
  leftOut: LeftOut[];
}

/** A value of SQLite: NULL, INTEGER (a `bigint` beyond 2⁵³), REAL, TEXT, BLOB. */
export type SqlValue = null | number | bigint | string | Uint8Array;

/**
 * The value of a parameter. `undefined` is NULL, `true` is 1. Whole numbers are INTEGER, others
 * REAL; a column's affinity converts them as always.
 */
export type SqlParam = SqlValue | undefined | boolean | ArrayBuffer;

export type SqlRow = Record<string, SqlValue>;

/** A result as lists. */
export interface SqlTable extends SqlChanges {
  columns: string[];
  rows: SqlValue[][];
}

export interface SqlChanges {
  /** Rows that were changed. */
  changes: number;
  /** The number of the row that was inserted last; 0 if none was. */
  lastRowid: number | bigint;
}

export interface QueryOptions {
  /**
   * Stops waiting. A statement that runs already goes on to its end, or to the node's limit of
   * time: it is the node's own thread that runs it.
   */
  signal?: AbortSignal;
}

export interface SnapshotOptions {
  /** A name of this identity that then points to the snapshot. */
  name?: string;
  /** Copies wanted on other nodes; 3 by default. */
  replicas?: number;
  signal?: AbortSignal;
}

/** What a database is after a change. */
export interface DatabaseChange {
  /** The root that is read; `null` for a database of this node. */
  cid: string | null;
  /** Bytes of the SQLite file that it is. */
  bytes: number;
  /** When the head that led here was signed. */
  timeMs: number | null;
  /** The owner, or a thief, signed two different heads with one number. */
  equivocation: boolean;
}

/** A snapshot that was taken. */
export interface Snapshot {
  /** Its root. */
  cid: string;
  /** Bytes of the SQLite file that it is. */
  bytes: number;
  blocks: number;
  /** Of these, such as were not here from an earlier one. */
  newBlocks: number;
  /** With a name: what others open, `craftobj://<did>/<name>`. */
  uri: string | null;
  /**
   * The name does not say so yet: no other node is there that could be asked whether another device
   * has moved it on. That happens by itself when there is one.
   */
  waits: boolean;
}

/** A snapshot that is kept. */
export interface SnapshotRow {
  cid: string;
  timeMs: number;
  bytes: number;
}

/** A state that can be merged into a database. */
export interface Branch {
  /** `published` for what the name says; else work that was kept when it could not be published. */
  name: string;
  /** Its root. */
  cid: string;
  /** The state before both it and the database, where they have one. */
  base: string | null;
  /** When it was kept, or published. */
  timeMs: number;
  /** The database holds it already. */
  merged: boolean;
}

/** Who wins where both sides of a merge changed the same; `stop`: nobody, and it is not made. */
export type MergeStrategy = 'stop' | 'ours' | 'theirs';

/** What contradicts in a merge. */
export interface Conflict {
  table: string;
  /**
   * `added`: both added a row with this key. `changed`: both changed the same columns. `deleted`:
   * one changed the row, the other deleted it. `constraint`: it does not fit beside a row of the
   * other side. `reference`: it refers to a row that the other side deleted; no strategy decides
   * that. `table`: both changed a table that can only be taken whole.
   */
  kind: 'added' | 'changed' | 'deleted' | 'constraint' | 'reference' | 'table';
  /** Values of the row's primary key, or its rowid; empty for a whole table. */
  key: SqlValue[];
}

/** What came of a merge. */
export interface Merged {
  /** Whether it was made. Else nothing happened. */
  made: boolean;
  /** The root that was merged, or was to be. */
  cid: string | null;
  /** The first of the conflicts. */
  conflicts: Conflict[];
  /** How many there were. */
  conflicting: number;
}

/** Which snapshots of a database stay. */
export interface Retention {
  /** How many of the newest; at least 1. */
  last: number;
  /** Besides, all that are at most so many days old. */
  days?: number;
}

/** A database of this node. */
export interface DatabaseRow {
  name: string;
  /** When it was made. */
  timeMs: number;
  /** The snapshot that was taken last. */
  cid: string | null;
  /** The name under which it was published last. */
  published: string | null;
  /** A publication waits until there are other nodes. */
  waits: boolean;
  /** Branches that are not merged yet. */
  branches: number;
  /** Whether it is encrypted. */
  encrypted: boolean;
}
