/**
 * An ordinary SQLite file into a database, as one commit of all its pages. Format of the header:
 * https://sqlite.org/fileformat2.html, 1.3.
 */

import { sourceOf } from '../client/source.js';
import { CraftecError } from '../errors.js';
import type { Data, QueryOptions } from '../types.js';
import type { Place } from './place.js';

/** Length of every page of a database. */
const PAGE_BYTES = 4096;
/** Pages that one frame carries. */
const FRAME_PAGES = 255;
const MAGIC = 'SQLite format 3\0';
/**
 * Where the first page has its page size, its marks of a WAL, its two counts of changes, and the
 * count of changes to the schema.
 */
const AT = { pageSize: 16, wal: 18, changes: 24, schema: 40, validFor: 92 } as const;
/** How often the turn to write is asked for, and the pause between. */
const ASKED = 100;
const PAUSE_MS = 50;

export async function importFile(
  { connection, handle }: Place,
  data: Data,
  { signal, onProgress }: QueryOptions & { onProgress?: (bytes: number) => void },
): Promise<void> {
  const { number: state, length } = await connection.ask(
    { sql_begin: { handle } },
    'state',
    signal,
  );
  try {
    await reserve({ connection, handle }, state, signal);
    const old = { handle, state, first: 1, count: length > 0 ? 1 : 0 };
    const { bytes: first } = await connection.ask({ sql_pages: old }, 'bytes', signal);
    let pages = 0;
    for await (const part of wholePages(data)) {
      if (pages === 0) adopt(part, first);
      const numbers = Array.from({ length: part.length / PAGE_BYTES }, (_, at) => pages + at + 1);
      const stage = { handle, pages: numbers, bytes: part };
      await connection.ask({ sql_stage: stage }, 'done', signal);
      pages += numbers.length;
      onProgress?.(pages * PAGE_BYTES);
    }
    if (pages === 0) throw new CraftecError('bad_input', 'The file is empty.');
    const last = { handle, state, length: pages, pages: [], bytes: new Uint8Array() };
    const reply = await connection.request({ sql_commit: last }, signal);
    // The turn ends by itself after half a minute, and others may have written since.
    if (reply === 'done' || !reply.state) throw busy();
  } finally {
    await connection.ask({ sql_end: { handle, state } }, 'done').catch(() => {});
  }
}

/** Waits for the turn to write. */
async function reserve(place: Place, state: number, signal?: AbortSignal): Promise<void> {
  const { connection, handle } = place;
  for (let asked = 0; asked < ASKED; asked++) {
    const { turn } = await connection.ask({ sql_reserve: { handle, state } }, 'turn', signal);
    if (turn === 'granted') return;
    if (turn === 'stale') break;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw busy();
}

function busy(): CraftecError {
  return new CraftecError('unavailable', 'Somebody else is writing this database.', {
    hint: 'Nothing was changed. Try again.',
  });
}

/** Checks the first page of a file, and makes it one of this database. */
function adopt(page: Uint8Array, old: Uint8Array): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  if (String.fromCharCode(...page.subarray(0, MAGIC.length)) !== MAGIC) {
    throw new CraftecError('bad_input', 'This is not an SQLite file.', {
      hint: 'It may be encrypted, or the text of a dump: run that with exec().',
    });
  }
  const size = view.getUint16(AT.pageSize);
  if (size !== PAGE_BYTES) {
    const shown = size === 1 ? 65_536 : size;
    throw new CraftecError('bad_input', `Its pages have ${shown} bytes, not ${PAGE_BYTES}.`, {
      hint: 'In sqlite3: PRAGMA journal_mode = DELETE; PRAGMA page_size = 4096; VACUUM;',
    });
  }
  page.fill(1, AT.wal, AT.wal + 2);
  // By counts higher than before, every connection knows that what it remembers is out of date.
  const before = old.length > 0 ? new DataView(old.buffer, old.byteOffset) : undefined;
  const next = (at: number) => (Math.max(before?.getUint32(at) ?? 0, view.getUint32(at)) + 1) >>> 0;
  const changes = next(AT.changes);
  view.setUint32(AT.changes, changes);
  view.setUint32(AT.validFor, changes);
  view.setUint32(AT.schema, next(AT.schema));
}

/** The file in parts of whole pages, at most as many as one frame carries. */
async function* wholePages(data: Data): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(FRAME_PAGES * PAGE_BYTES);
  let filled = 0;
  for await (const chunk of sourceOf(data).chunks()) {
    for (let at = 0; at < chunk.length;) {
      const taken = chunk.subarray(at, at + held.length - filled);
      held.set(taken, filled);
      filled += taken.length;
      at += taken.length;
      if (filled < held.length) continue;
      yield held;
      held = new Uint8Array(FRAME_PAGES * PAGE_BYTES);
      filled = 0;
    }
  }
  if (filled % PAGE_BYTES !== 0) {
    throw new CraftecError('bad_input', `The file ends within a page of ${PAGE_BYTES} bytes.`, {
      hint: 'It is no SQLite file of such pages, or was cut off.',
    });
  }
  if (filled > 0) yield held.subarray(0, filled);
}
