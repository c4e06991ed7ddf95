/**
 * An open database. Goes on where the node moved to another tab: what only reads is asked again;
 * what writes is not, since it may have been done, and says so.
 */

import { camel } from '../client/camel.js';
import type { Connection } from '../client/connection.js';
import type { Session } from '../client/session.js';
import { ConnectionLost, CraftecError } from '../errors.js';
import { copies } from '../obj.js';
import type {
  Branch,
  Data,
  DatabaseChange,
  MergeStrategy,
  Merged,
  QueryOptions,
  Retention,
  Snapshot,
  SnapshotOptions,
  SqlChanges,
  SqlParam,
  SqlRow,
  SqlTable,
  SqlValue,
} from '../types.js';
import type { WireDatabase, WireRows } from '../wire/types.js';
import { importFile } from './import.js';
import { type Equipped, type Place, unsure } from './place.js';
import { Statement } from './statement.js';
import { Transaction } from './transaction.js';
import { named, onlyReads, statement } from './values.js';

/** How often the node may move below one call. */
const MOVES = 5;
/** Rows that one `query` gathers; `stream` has no limit. */
const ROWS = 1_000_000;
/** The pause before a change is waited for again, where that failed. */
const AGAIN_MS = 1_000;
const SCHEME = 'craftobj://';

/** One of several statements. */
export type BatchItem = string | readonly [sql: string, params: readonly SqlParam[]];

/** How a database is opened. */
export interface OpenOptions {
  /** Makes it encrypted; one that is there and is not is refused: see `encrypt()` of it. */
  encrypt?: boolean;
  signal?: AbortSignal;
}

/** A snapshot to which a name leads. */
export type Published = Snapshot & { uri: string };

export class Database {
  private place: Promise<Place> | undefined;
  private closed = false;
  private readonly listeners = new Set<(change: DatabaseChange) => void>();
  private following: Promise<void> | undefined;

  private constructor(
    private readonly session: Session,
    private readonly equipped: Equipped,
    private readonly name: string,
    private opened: WireDatabase,
    place: Place,
  ) {
    this.settle(place);
  }

  /** Use `node.sql.open`. */
  static open(
    session: Session,
    equipped: Equipped,
    name: string,
    { encrypt = false, signal }: OpenOptions = {},
  ): Promise<Database> {
    const open = async (connection: Connection) => {
      const command = { sql_open: { database: name, encrypt } };
      const opened = await connection.ask(command, 'database', signal);
      const place = { connection, handle: opened.handle };
      return new Database(session, equipped, name, opened, place);
    };
    return equipped(() => session.run(open, signal));
  }

  /** The root that is read; `null` for a database of this node. */
  get cid(): string | null {
    return this.opened.cid;
  }

  /** Whether it is one of this node's. */
  get writable(): boolean {
    return this.opened.writable;
  }

  /** Bytes of the SQLite file that it was when it was opened, or changed last for a listener. */
  get bytes(): number {
    return this.opened.bytes;
  }

  /** When the head that led here was signed; `null` where none did. */
  get timeMs(): number | null {
    return this.opened.time_ms;
  }

  /** The owner, or a thief, signed two different heads with one number. */
  get equivocation(): boolean {
    return this.opened.equivocation;
  }

  /** Whether it is encrypted. */
  get encrypted(): boolean {
    return this.opened.encrypted;
  }

  /** Rows by the names of their columns. */
  async query<T = SqlRow>(
    sql: string,
    params: readonly SqlParam[] = [],
    options: QueryOptions = {},
  ): Promise<T[]> {
    const { columns, rows } = await this.table(sql, params, options);
    return named<T>(columns, rows);
  }

  /** Rows as lists, beside the names of their columns. */
  async table(
    sql: string,
    params: readonly SqlParam[] = [],
    { signal }: QueryOptions = {},
  ): Promise<SqlTable> {
    const all: SqlTable = { columns: [], rows: [], changes: 0, lastRowid: 0 };
    for await (const { columns, rows, changes, last_rowid } of this.parts(sql, params, signal)) {
      if (columns.length > 0) all.columns = columns;
      all.changes += changes;
      if (last_rowid) all.lastRowid = last_rowid;
      for (const row of rows) all.rows.push(row);
      if (all.rows.length > ROWS) {
        throw new CraftecError('bad_input', `The result has more than ${ROWS} rows.`, {
          hint: 'Use stream(), or LIMIT.',
        });
      }
    }
    return all;
  }

  /** Rows as they come, by the names of their columns. */
  async *stream<T = SqlRow>(
    sql: string,
    params: readonly SqlParam[] = [],
    { signal }: QueryOptions = {},
  ): AsyncGenerator<T, void, undefined> {
    let columns: string[] = [];
    for await (const part of this.parts(sql, params, signal)) {
      if (part.columns.length > 0) columns = part.columns;
      yield* named<T>(columns, part.rows as SqlValue[][]);
    }
  }

  /** Runs a statement for what it changes; durable when this resolves. */
  async run(
    sql: string,
    params: readonly SqlParam[] = [],
    options: QueryOptions = {},
  ): Promise<SqlChanges> {
    const { changes, lastRowid } = await this.table(sql, params, options);
    return { changes, lastRowid };
  }

  /** Runs several statements, separated by semicolons; rows that they give are dropped. */
  async exec(sql: string, { signal }: QueryOptions = {}): Promise<void> {
    await this.once(({ connection, handle }) =>
      connection.ask({ sql_script: { handle, sql } }, 'executed', signal),
    );
  }

  /** Runs statements as one transaction, all or none; how many rows each changed. */
  async batch(items: readonly BatchItem[], { signal }: QueryOptions = {}): Promise<number[]> {
    const statements = items.map((item) =>
      typeof item === 'string' ? statement(item) : statement(item[0], item[1]),
    );
    const { changes } = await this.once(({ connection, handle }) =>
      connection.ask({ sql_batch: { handle, statements } }, 'executed', signal),
    );
    return changes;
  }

  /**
   * Runs `work` in a transaction: committed, durably, once it resolves; nothing of it happened
   * where it rejects. Nobody else reads or writes the database meanwhile, so it is rolled back
   * after 5 s without a statement, and after 30 s in all. Where no result decides what follows,
   * `batch` is one round trip.
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    { signal }: QueryOptions = {},
  ): Promise<T> {
    return this.once((place) => Transaction.run(place, work, signal));
  }

  /** A statement to run with other values each time. The node keeps it compiled. */
  prepare<T = SqlRow>(sql: string): Statement<T> {
    return new Statement<T>(this, sql);
  }

  /**
   * Names this state for ever by its root, and asks other nodes for copies. With `name`, anybody
   * finds it as `craftobj://<did>/<name>`. Resolves when it is durable here. Where another device
   * has moved the name on, it is kept as a branch, and this rejects with `conflict`: see `merge`.
   */
  async snapshot(options: SnapshotOptions & { name: string }): Promise<Published>;
  async snapshot(options?: SnapshotOptions): Promise<Snapshot>;
  async snapshot({ name, replicas, signal }: SnapshotOptions = {}): Promise<Snapshot> {
    const wanted = { name: name ?? null, replicas: copies(replicas) };
    const command = (handle: number) => ({ sql_snapshot: { handle, ...wanted } });
    // Taken twice, the same state has the same root.
    const taken = await this.at(true, ({ connection, handle }) =>
      connection.ask(command(handle), 'snapshot', signal),
    );
    return camel(taken);
  }

  /**
   * What can be merged: `published`, where another device moved the name on, and work that was kept
   * when it could not be published.
   */
  async branches({ signal }: QueryOptions = {}): Promise<Branch[]> {
    const { branches } = await this.at(true, ({ connection, handle }) =>
      connection.ask({ sql_branches: { handle } }, 'branches', signal),
    );
    return camel(branches);
  }

  /**
   * Merges a branch row by row, as one commit: `published`, one of `branches()`, or
   * `craftobj://me/<name>`, with which a second device begins. Where both sides changed the same it
   * is not made, and says so; unless `strategy` names who wins.
   */
  async merge(
    branch = 'published',
    strategy: MergeStrategy = 'stop',
    { signal }: QueryOptions = {},
  ): Promise<Merged> {
    // Merged twice, the second finds nothing to do.
    return this.at(true, ({ connection, handle }) =>
      connection.ask({ sql_merge: { handle, branch, strategy } }, 'merged', signal),
    );
  }

  /**
   * Sets which snapshots stay, and lets the others go: at once, and after each later one. `null`
   * keeps all. What a name says, or a branch stands on, stays in any case. How many went now.
   */
  async retain(rule: Retention | null, { signal }: QueryOptions = {}): Promise<number> {
    const wanted = rule && { last: rule.last, days: rule.days ?? 0 };
    // Let go twice is let go.
    const { dropped } = await this.at(true, ({ connection, handle }) =>
      connection.ask({ sql_retain: { handle, rule: wanted } }, 'retained', signal),
    );
    return dropped;
  }

  /** Which snapshots stay; `null`: all. */
  async retention({ signal }: QueryOptions = {}): Promise<Retention | null> {
    const { rule } = await this.at(true, ({ connection, handle }) =>
      connection.ask({ sql_retention: { handle } }, 'retained', signal),
    );
    return rule;
  }

  /**
   * Encrypts it; or anew, with another key. Of those that it is shared with only `readers` (their
   * DIDs) go on reading what is published; what the others could read before, they may have kept.
   */
  async encrypt(readers: readonly string[] = [], { signal }: QueryOptions = {}): Promise<string[]> {
    const kept = [...readers];
    const now = await this.once(({ connection, handle }) =>
      connection.ask({ sql_encrypt: { handle, readers: kept } }, 'readers', signal),
    );
    this.opened = { ...this.opened, encrypted: now.encrypted };
    return now.readers;
  }

  /**
   * Shares it, once it is encrypted: the next publication can be read by `reader`: their
   * card (`node.card()` there) or the address of something that they published, `<did>/<name>`.
   */
  async share(reader: string, { signal }: QueryOptions = {}): Promise<string[]> {
    // Shared twice is shared.
    const now = await this.at(true, ({ connection, handle }) =>
      connection.ask({ sql_share: { handle, with: reader } }, 'readers', signal),
    );
    return now.readers;
  }

  /** DIDs of those whom it is shared with. */
  async readers({ signal }: QueryOptions = {}): Promise<string[]> {
    const now = await this.at(true, ({ connection, handle }) =>
      connection.ask({ sql_readers: { handle } }, 'readers', signal),
    );
    return now.readers;
  }

  /** Keeps a branch no longer; its snapshot stays an object. */
  async dropBranch(branch: string, { signal }: QueryOptions = {}): Promise<void> {
    await this.once(({ connection, handle }) =>
      connection.ask({ sql_drop_branch: { handle, branch } }, 'done', signal),
    );
  }

  /** Commits the content of any snapshot; nothing that was committed since is rewound. */
  async restore(cid: string, { signal }: QueryOptions = {}): Promise<void> {
    await this.once(({ connection, handle }) =>
      connection.ask({ sql_restore: { handle, cid } }, 'done', signal),
    );
  }

  /** An ordinary SQLite file of the present state. */
  export({ signal }: QueryOptions = {}): ReadableStream<Uint8Array> {
    let at: Promise<Place> | undefined;
    const open = () =>
      this.at(true, async ({ connection, handle }) => {
        const opened = await connection.ask({ sql_export: { handle } }, 'opened', signal);
        return { connection, handle: opened.handle };
      });
    const end = () => void at?.then(({ connection, handle }) => connection.drop(handle));
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          at ??= open();
          const { connection, handle } = await at;
          const { bytes } = await connection.ask({ get_read: { handle } }, 'bytes', signal);
          if (bytes.length > 0) return controller.enqueue(bytes);
          end();
          controller.close();
        },
        cancel: end,
      },
      { highWaterMark: 0 },
    );
  }

  /** Takes the content of an ordinary SQLite file, in the place of what is here, as one commit. */
  async import(
    data: Data,
    options: QueryOptions & { onProgress?: (bytes: number) => void } = {},
  ): Promise<void> {
    await this.once((place) => importFile(place, data, options));
  }

  /**
   * Calls `fn` on each change until the returned function is called: of a database of this node
   * after a commit, whoever made it; of another's when its name has a newer head, which is read
   * from then on. Several changes may be told as one. While nothing is heard of its owner, what was
   * read last goes on.
   */
  on(_event: 'change', fn: (change: DatabaseChange) => void): () => void {
    // One entry per call, so that a function given twice is called twice and removed once.
    const listener = (change: DatabaseChange) => fn(change);
    this.listeners.add(listener);
    this.following ??= this.follow().finally(() => (this.following = undefined));
    return () => void this.listeners.delete(listener);
  }

  /** Lets go of it; what was acknowledged is kept. */
  close(): void {
    this.closed = true;
    this.listeners.clear();
    this.place?.then(({ connection, handle }) => connection.drop(handle)).catch(() => {});
  }

  /** The parts of a result; a snapshot's is gone on with after a move. */
  private async *parts(
    sql: string,
    params: readonly SqlParam[],
    signal?: AbortSignal,
  ): AsyncGenerator<WireRows, void, undefined> {
    const query = statement(sql, params);
    const reads = onlyReads(sql);
    let given = 0;
    for (let moves = 0; ; moves++) {
      const place = await this.here();
      let more: number | null = null;
      try {
        let skip = given;
        const { connection, handle } = place;
        let part = await connection.ask({ sql_query: { handle, ...query } }, 'rows', signal);
        for (;;) {
          more = part.more;
          const rows = part.rows.slice(Math.min(skip, part.rows.length));
          skip -= part.rows.length - rows.length;
          given += rows.length;
          yield { ...part, rows };
          if (more === null) return;
          part = await connection.ask({ sql_rows: { handle: more } }, 'rows', signal);
        }
      } catch (error) {
        if (!(error instanceof ConnectionLost) || moves >= MOVES) throw error;
        // Others may have written meanwhile: the rows that follow would be of another state.
        if (!reads || (given > 0 && this.writable)) throw unsure(reads);
      } finally {
        if (more !== null) place.connection.drop(more);
      }
    }
  }

  private async follow(): Promise<void> {
    // Whoever listens from now on hears of what follows.
    while (this.listeners.size > 0) {
      try {
        const { database } = await this.at(true, ({ connection, handle }) =>
          connection.ask({ sql_changed: { handle } }, 'changed'),
        );
        if (database) this.changed(database);
      } catch (error) {
        // A root that never changes; anything else may pass.
        if (error instanceof CraftecError && error.code === 'bad_input') return;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  private changed(opened: WireDatabase): void {
    this.opened = opened;
    const { cid, bytes, timeMs, equivocation } = this;
    for (const listener of this.listeners) {
      try {
        listener({ cid, bytes, timeMs, equivocation });
      } catch (error) {
        // A listener's bug is its own; the others are still to be told.
        reportError(error);
      }
    }
  }

  private once<T>(work: (place: Place) => Promise<T>): Promise<T> {
    return this.at(false, work);
  }

  /** Runs `work` where the database is open; again after a move, where it `repeats`. */
  private async at<T>(repeats: boolean, work: (place: Place) => Promise<T>): Promise<T> {
    for (let moves = 0; ; moves++) {
      const place = await this.here();
      try {
        return await work(place);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        if (!repeats || moves >= MOVES) throw unsure(repeats);
      }
    }
  }

  /** Where it is open; opens it again when the node moved. */
  private here(): Promise<Place> {
    if (this.closed) {
      const message = 'This database was closed.';
      return Promise.reject(new CraftecError('aborted', message, { hint: 'Open it again.' }));
    }
    this.place ??= this.reopen();
    return this.place;
  }

  private async reopen(): Promise<Place> {
    const open = async (connection: Connection) => {
      // A name may lead elsewhere by now. Who does not follow it goes on with the root that was opened.
      const { cid } = this.opened;
      const follows = cid === null || this.listeners.size > 0;
      const database = follows ? this.name : SCHEME + cid;
      const command = { sql_open: { database, encrypt: false } };
      const opened = await connection.ask(command, 'database');
      const place = { connection, handle: opened.handle };
      this.settle(place);
      // What others committed while the node moved was told to nobody: better once too often.
      if (opened.cid !== cid || cid === null) this.changed(opened);
      return place;
    };
    try {
      return await this.equipped(() => this.session.run(open));
    } catch (error) {
      this.place = undefined;
      throw error;
    }
  }

  private settle(place: Place): void {
    const settled = Promise.resolve(place);
    this.place = settled;
    void place.connection.lost.then(() => {
      if (this.place === settled) this.place = undefined;
    });
  }
}
