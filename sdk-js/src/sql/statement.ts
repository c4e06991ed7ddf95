/** A prepared statement. */

import type { QueryOptions, SqlChanges, SqlParam, SqlRow } from '../types.js';
import type { Database } from './database.js';

/** A statement of a database, to run with other values each time. */
export class Statement<T = SqlRow> {
  constructor(
    private readonly database: Database,
    readonly sql: string,
  ) {}

  all(params: readonly SqlParam[] = [], options?: QueryOptions): Promise<T[]> {
    return this.database.query<T>(this.sql, params, options);
  }

  /** The first row, if there is one. */
  async get(params: readonly SqlParam[] = [], options?: QueryOptions): Promise<T | undefined> {
    for await (const row of this.database.stream<T>(this.sql, params, options)) return row;
    return undefined;
  }

  run(params: readonly SqlParam[] = [], options?: QueryOptions): Promise<SqlChanges> {
    return this.database.run(this.sql, params, options);
  }

  stream(params: readonly SqlParam[] = [], options?: QueryOptions): AsyncGenerator<T> {
    return this.database.stream<T>(this.sql, params, options);
  }
}
