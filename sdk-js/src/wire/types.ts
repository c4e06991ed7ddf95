/** The node's language as it is on the wire (snake case), as `craftec-api` in Rust has it. */

export interface WireRange {
  start: number;
  end: number | null;
}

export type WireLimit = 'default' | 'unlimited' | { bytes: number };

/** A variant without fields is its bare name; others are an object with one key. */
export type Command =
  | { hello: { versions: number[] } }
  | 'status'
  | 'subscribe'
  | { connect: { addr: string } }
  | { put_open: { replicas: number | null; redundancy: number | null; name: string | null } }
  | { put_chunk: { handle: number; bytes: Uint8Array } }
  | { put_close: { handle: number } }
  | 'folder_open'
  | { folder_file: { folder: number; path: string } }
  | { folder_add: { folder: number; path: string; bytes: Uint8Array } }
  | {
      folder_close: {
        folder: number;
        replicas: number | null;
        site: boolean;
        name: string | null;
      };
    }
  | { get_open: { cid: string; path: string; range: WireRange | null } }
  | { car_open: { cid: string; path: string } }
  | { block: { cid: string } }
  | { get_read: { handle: number } }
  | { close: { handle: number } }
  | { list: { cid: string; path: string } }
  | { stat: { cid: string } }
  | { pin: { cid: string } }
  | { unpin: { cid: string } }
  | 'objects'
  | 'sites'
  | { resolve: { name: string } }
  | 'backup_words'
  | { lend_space: { bytes: number | null } }
  | { serve_limits: { rate: WireLimit; monthly: WireLimit } }
  | 'identity_card'
  | { sql_open: { database: string; encrypt: boolean } }
  | { sql_encrypt: { handle: number; readers: string[] } }
  | { sql_share: { handle: number; with: string } }
  | { sql_readers: { handle: number } }
  | { sql_retain: { handle: number; rule: WireRetention | null } }
  | { sql_retention: { handle: number } }
  | { sql_query: { handle: number } & WireStatement }
  | { sql_rows: { handle: number } }
  | { sql_script: { handle: number; sql: string } }
  | { sql_batch: { handle: number; statements: WireStatement[] } }
  | { sql_transaction: { handle: number } }
  | { sql_finish: { handle: number; commit: boolean } }
  | { sql_snapshot: { handle: number; name: string | null; replicas: number | null } }
  | { sql_snapshots: { name: string } }
  | { sql_restore: { handle: number; cid: string } }
  | { sql_branches: { handle: number } }
  | { sql_merge: { handle: number; branch: string; strategy: WireStrategy } }
  | { sql_drop_branch: { handle: number; branch: string } }
  | { sql_changed: { handle: number } }
  | { sql_export: { handle: number } }
  | { sql_import: { handle: number } }
  | { sql_begin: { handle: number } }
  | { sql_pages: { handle: number; state: number; first: number; count: number } }
  | { sql_reserve: { handle: number; state: number } }
  | { sql_stage: { handle: number; pages: number[]; bytes: Uint8Array } }
  | {
      sql_commit: {
        handle: number;
        state: number;
        length: number;
        pages: number[];
        bytes: Uint8Array;
      };
    }
  | { sql_end: { handle: number; state: number } }
  | 'sql_databases'
  | { sql_drop: { name: string } }
  | { backup_open: { passphrase: string } }
  | { restore_open: { passphrase: string; replace: boolean } };

export type WireKind = 'file' | 'folder';

export interface WireHealth {
  wanted: number;
  signed: number;
  reachable: number;
  needed: number;
}

export interface WireHolder {
  peer: string;
  signed: boolean;
  connected: boolean;
  bytes: number;
  error: string | null;
}

export interface WirePeer {
  peer_id: string;
  link: 'webrtc' | 'quic' | 'tcp' | 'websocket' | 'relayed';
  role: 'tab' | 'relay' | 'foreign';
  rtt_ms: number | null;
  addr: string;
  via: string | null;
  received: number;
  sent: number;
}

export interface WireOpened {
  handle: number;
  cid: string;
  size: number;
  kind: WireKind;
  path: string;
  mime: string;
}

export interface WireEntry {
  name: string;
  cid: string;
  size: number;
  kind: WireKind;
}

export interface WireStat {
  cid: string;
  size: number;
  kind: WireKind;
  files: number;
  blocks: number;
  local_blocks: number;
  pinned: boolean;
  health: WireHealth;
  holders: WireHolder[];
  outlook?: WireOutlook;
}

export interface WireOutlook {
  at_ms: number;
  needed: number;
  reachable: number;
  counted: number;
  wholes: number;
  loss_ppb: number;
}

export interface WireObject {
  cid: string;
  name: string | null;
  size: number;
  kind: WireKind;
  time_ms: number;
  health: WireHealth;
}

export interface WireSite {
  cid: string;
  name: string | null;
  label: string | null;
  files: number;
  bytes: number;
  time_ms: number;
  health: WireHealth;
}

export interface WireStatus {
  did: string;
  peer_id: string;
  role: 'tab' | 'relay' | 'foreign';
  agent: string;
  uptime_ms: number;
  addresses: string[];
  peers: WirePeer[];
  storage: {
    used: number;
    for_others: number;
    lend_limit: number;
    free: number | null;
    full?: boolean;
  };
  objects: number;
  objects_short: number;
  /** Absent in a tab, which nobody dials. */
  reach?: { state: 'unknown' | 'public' | 'nat'; confirmed: string[] };
  serving?: WireServing;
}

export interface WireServing {
  rate: number | null;
  monthly: number | null;
  sent: number;
  month_ends_ms: number;
}

export interface WireRestored {
  did: string;
  objects: number;
  known: number;
  bytes: number;
  names: number;
  names_kept: number;
  restart: boolean;
}

export interface WireResolved {
  cid: string;
  seq: number;
  time_ms: number;
  expires_ms: number;
  equivocation: boolean;
}

/** NULL, INTEGER (a `bigint` beyond 2⁵³) or REAL, TEXT, BLOB. */
export type WireValue = null | number | bigint | string | Uint8Array;

export interface WireStatement {
  sql: string;
  params: WireValue[];
}

export interface WireDatabase {
  handle: number;
  cid: string | null;
  writable: boolean;
  bytes: number;
  time_ms: number | null;
  equivocation: boolean;
  encrypted: boolean;
}

export interface WireRows {
  columns: string[];
  rows: WireValue[][];
  changes: number;
  last_rowid: number | bigint;
  /** Leads to the next rows. */
  more: number | null;
}

export interface WireSnapshot {
  cid: string;
  bytes: number;
  blocks: number;
  new_blocks: number;
  uri: string | null;
  waits: boolean;
}

export interface WireSnapshotRow {
  cid: string;
  time_ms: number;
  bytes: number;
}

export type WireStrategy = 'stop' | 'ours' | 'theirs';

export interface WireBranchRow {
  name: string;
  cid: string;
  base: string | null;
  time_ms: number;
  merged: boolean;
}

export interface WireMerged {
  made: boolean;
  cid: string | null;
  conflicts: {
    table: string;
    kind: 'added' | 'changed' | 'deleted' | 'constraint' | 'reference' | 'table';
    key: WireValue[];
  }[];
  conflicting: number;
}

export interface WireDatabaseRow {
  name: string;
  time_ms: number;
  cid: string | null;
  published: string | null;
  waits: boolean;
  branches: number;
  encrypted: boolean;
}

export interface WireRetention {
  last: number;
  days: number;
}

export type WireTurn = 'granted' | 'taken' | 'stale';

/** Answers by their name; `done` is the bare string. */
export interface Replies {
  hello: { version: number; agent: string };
  done: true;
  handle: { handle: number };
  stored: { cid: string; size: number };
  published: { cid: string; files: number; bytes: number; label: string | null };
  opened: WireOpened;
  bytes: { bytes: Uint8Array<ArrayBuffer> };
  entries: { entries: WireEntry[] };
  stat: WireStat;
  objects: { objects: WireObject[] };
  sites: { sites: WireSite[] };
  resolved: WireResolved;
  words: { words: string[] };
  status: WireStatus;
  database: WireDatabase;
  changed: { database: WireDatabase | null };
  rows: WireRows;
  executed: { changes: number[]; last_rowid: number | bigint };
  snapshot: WireSnapshot;
  snapshots: { snapshots: WireSnapshotRow[] };
  branches: { branches: WireBranchRow[] };
  merged: WireMerged;
  databases: { databases: WireDatabaseRow[] };
  readers: { encrypted: boolean; readers: string[] };
  retained: { rule: WireRetention | null; dropped: number };
  card: { card: string };
  state: { number: number; length: number; made_ms: number };
  turn: { turn: WireTurn };
  backup: { handle: number; bytes: number; objects: number };
  restored: WireRestored;
}

export type Reply = 'done' | { [K in Exclude<keyof Replies, 'done'>]?: Replies[K] };

export interface WireTransfer {
  cid: string;
  kind: 'receive' | 'replicate';
  peer: string;
  bytes: number;
  total: number | null;
  done: boolean;
}

export interface Event {
  peers?: { peers: WirePeer[] };
  transfer?: WireTransfer;
  health?: { cid: string; health: WireHealth; holders: WireHolder[] };
  lagged?: { lost: number };
}
