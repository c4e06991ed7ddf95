/**
 * Kysely on a database of a node: `new Kysely<Schema>({ dialect: new CraftecDialect(db) })`, where
 * `db` is what `node.sql.open` gave.
 */

import type { Database, SqlParam, Transaction } from '@craftec/sdk';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';

export class CraftecDialect implements Dialect {
  constructor(private readonly database: Database) {}

  createAdapter() {
    return new SqliteAdapter();
  }

  createDriver() {
    return new CraftecDriver(this.database);
  }

  createIntrospector(db: Kysely<unknown>) {
    return new SqliteIntrospector(db);
  }

  createQueryCompiler() {
    return new SqliteQueryCompiler();
  }
}

class CraftecDriver implements Driver {
  constructor(private readonly database: Database) {}

  async init(): Promise<void> {}

  async acquireConnection() {
    return new Connection(this.database);
  }

  async beginTransaction(connection: Connection): Promise<void> {
    await connection.begin();
  }

  async commitTransaction(connection: Connection): Promise<void> {
    await connection.end(true);
  }

  async rollbackTransaction(connection: Connection): Promise<void> {
    await connection.end(false);
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {
    this.database.close();
  }
}

/** What ends the work of a transaction that is rolled back. */
const ROLLED_BACK = Symbol('rolled back');

class Connection implements DatabaseConnection {
  private open: { transaction: Transaction; end: (commit: boolean) => Promise<void> } | undefined;

  constructor(private readonly database: Database) {}

  /** Kysely begins and ends in two calls; the SDK has one for the whole. */
  begin(): Promise<void> {
    return new Promise((begun, failed) => {
      let finish: (commit: boolean) => void = () => {};
      const decided = new Promise<boolean>((resolve) => (finish = resolve));
      const done = this.database.transaction(async (transaction) => {
        const end = async (commit: boolean) => {
          finish(commit);
          await done.catch((error: unknown) => {
            if (error !== ROLLED_BACK) throw error;
          });
        };
        this.open = { transaction, end };
        begun();
        if (!(await decided)) throw ROLLED_BACK;
      });
      done.catch(failed);
    });
  }

  async end(commit: boolean): Promise<void> {
    const open = this.open;
    this.open = undefined;
    await open?.end(commit);
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const target = this.open?.transaction ?? this.database;
    const { columns, rows, changes, lastRowid } = await target.table(sql, parameters as SqlParam[]);
    const named = rows.map((row) =>
      Object.fromEntries(columns.map((column, at) => [column, row[at]])),
    );
    return {
      rows: named as R[],
      numAffectedRows: BigInt(changes),
      insertId: BigInt(lastRowid),
    };
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    if (this.open) return void (yield await this.executeQuery<R>(query));
    const rows = this.database.stream<R>(query.sql, query.parameters as SqlParam[]);
    for await (const row of rows) yield { rows: [row] };
  }
}
