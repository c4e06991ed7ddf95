/** Where a database is open, and what is said when that is somewhere else. */

import type { Connection } from '../client/connection.js';
import { CraftecError } from '../errors.js';

/** Where the database is open. */
export interface Place {
  connection: Connection;
  handle: number;
}

/** Runs `work` on a node that has databases. */
export type Equipped = <T>(work: () => Promise<T>) => Promise<T>;

/** The node moved in the middle of what may have been done. */
export function unsure(reads: boolean): CraftecError {
  const hint = reads
    ? 'Ask again: other rows may be there now.'
    : 'It may have been done: look before you run it again.';
  return new CraftecError('unavailable', 'The node moved while it did this.', {
    hint,
    retryable: reads,
  });
}
