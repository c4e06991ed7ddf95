/** Databases: open, list, remove. */

import { camel } from '../client/camel.js';
import type { Session } from '../client/session.js';
import { CraftecError } from '../errors.js';
import type { DatabaseRow, SnapshotRow } from '../types.js';
import { Database, type OpenOptions } from './database.js';

interface Options {
  signal?: AbortSignal;
}

export class Sql {
  /** `equip` has a node with databases run, where this browser has such a build. */
  constructor(
    private readonly session: Session,
    private readonly equip: () => Promise<boolean>,
  ) {}

  /**
   * Opens a database of this node by its name, made if there is none; or one of anybody's, to be
   * read: `craftobj://<did>/<name>`, `craftobj://me/<name>`, `craftobj://<root CID>`. With
   * `encrypt` it is made encrypted: what is published of it is read by you, and by those whom you
   * share it with.
   */
  open(database: string, options: OpenOptions = {}): Promise<Database> {
    return Database.open(this.session, (work) => this.equipped(work), database, options);
  }

  /** The databases of this node, by name. */
  async list({ signal }: Options = {}): Promise<DatabaseRow[]> {
    const ask = () => this.session.ask('sql_databases', 'databases', signal);
    return camel((await this.equipped(ask)).databases);
  }

  /** Snapshots of a database of this node, newest first. `open` reads any of them by its CID. */
  async history(name: string, { signal }: Options = {}): Promise<SnapshotRow[]> {
    const ask = () => this.session.ask({ sql_snapshots: { name } }, 'snapshots', signal);
    return camel((await this.equipped(ask)).snapshots);
  }

  /** Removes a database that nobody has open, with all its content. Its snapshots stay objects. */
  async remove(name: string, { signal }: Options = {}): Promise<void> {
    const drop = () =>
      this.session.run(async (connection, again) => {
        await connection.ask({ sql_drop: { name } }, 'done', signal).catch((error: unknown) => {
          // Asked again because the answer was lost: it is gone, as was wanted.
          const gone = error instanceof CraftecError && error.code === 'not_found';
          if (!again || !gone) throw error;
        });
      }, signal);
    await this.equipped(drop);
  }

  /** The node that runs may be the build without databases. */
  private async equipped<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const lacks = error instanceof CraftecError && error.code === 'version';
      if (!lacks || !(await this.equip())) throw error;
      return work();
    }
  }
}
