/** A transaction that stays open between statements, so that a result can decide what follows. */

import type { QueryOptions, SqlChanges, SqlParam, SqlRow, SqlTable } from '../types.js';
import type { WireRows } from '../wire/types.js';
import type { Place } from './place.js';
import { named, statement } from './values.js';

export class Transaction {
  private constructor(private readonly place: Place) {}

  /** Use `Database.transaction`. */
  static async run<T>(
    { connection, handle }: Place,
    work: (transaction: Transaction) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const open = await connection.ask({ sql_transaction: { handle } }, 'handle', signal);
    const finish = (commit: boolean) =>
      connection.ask({ sql_finish: { handle: open.handle, commit } }, 'done');
    let done: T;
    try {
      done = await work(new Transaction({ connection, handle: open.handle }));
      signal?.throwIfAborted();
    } catch (error) {
      // What went wrong first is what the caller must hear; without an answer the node ends it too.
      await finish(false).catch(() => {});
      throw error;
    }
    await finish(true);
    return done;
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
    const { connection, handle } = this.place;
    const query = { sql_query: { handle, ...statement(sql, params) } };
    let part: WireRows = await connection.ask(query, 'rows', signal);
    const { columns, changes, last_rowid: lastRowid } = part;
    const rows = [...part.rows];
    while (part.more !== null) {
      part = await connection.ask({ sql_rows: { handle: part.more } }, 'rows', signal);
      rows.push(...part.rows);
    }
    return { columns, rows, changes, lastRowid };
  }

  /** Runs a statement for what it changes. */
  async run(
    sql: string,
    params: readonly SqlParam[] = [],
    options: QueryOptions = {},
  ): Promise<SqlChanges> {
    const { changes, lastRowid } = await this.table(sql, params, options);
    return { changes, lastRowid };
  }

  /** Runs several statements, separated by semicolons. */
  async exec(sql: string, { signal }: QueryOptions = {}): Promise<void> {
    const { connection, handle } = this.place;
    await connection.ask({ sql_script: { handle, sql } }, 'executed', signal);
  }
}
