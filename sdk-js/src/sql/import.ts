/** An ordinary SQLite file into a database, as one commit of all its pages. */

import { within } from '../client/session.js';
import { sourceOf } from '../client/source.js';
import { pushChunks } from '../obj.js';
import type { Data, QueryOptions } from '../types.js';

import type { Place } from './place.js';

export async function importFile(
  { connection, handle: database }: Place,
  data: Data,
  { signal, onProgress }: QueryOptions & { onProgress?: (bytes: number) => void },
): Promise<void> {
  const source = sourceOf(data);
  const open = { sql_import: { handle: database } };
  const { handle } = await connection.ask(open, 'handle', signal);
  try {
    await pushChunks(connection, handle, source, ({ bytes }) => onProgress?.(bytes), signal);
    await within(connection.ask({ put_close: { handle } }, 'done', signal), signal);
  } catch (error) {
    connection.drop(handle);
    throw error;
  }
}
