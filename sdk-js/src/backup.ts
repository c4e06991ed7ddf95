/** Backups: everything of one's own as one encrypted stream, out and in. */

import { camel } from './client/camel.js';
import type { Connection } from './client/connection.js';
import { within, type Session } from './client/session.js';
import { sourceOf } from './client/source.js';
import { ConnectionLost, CraftecError } from './errors.js';
import { pushChunks } from './obj.js';
import type { BackupOptions, Data, Restored, RestoreOptions } from './types.js';

/** A file is read once, in the order it is made: a node that moved would make another one. */
const MOVED = 'The node moved to another tab while the backup was under way.';

/** What people type is one text, however their keyboard composes it. */
function passphrase(text: string): string {
  return text.normalize('NFC');
}

/** Bytes of a backup as they are made; nothing is made before they are asked for. */
export function backup(session: Session, options: BackupOptions): ReadableStream<Uint8Array> {
  const { signal, onProgress } = options;
  let open: { connection: Connection; handle: number; total: number } | undefined;
  let sent = 0;
  const begin = async () => {
    const connection = await session.connection(signal);
    const command = { backup_open: { passphrase: passphrase(options.passphrase) } };
    const { handle, bytes } = await connection.ask(command, 'backup', signal);
    return { connection, handle, total: bytes };
  };
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          open ??= await begin();
          const { connection, handle, total } = open;
          const { bytes } = await connection.ask({ get_read: { handle } }, 'bytes', signal);
          if (bytes.length === 0) {
            connection.drop(handle);
            controller.close();
            return;
          }
          controller.enqueue(bytes);
          sent += bytes.length;
          onProgress?.({ bytes: sent, total: Math.max(total, sent) });
        } catch (error) {
          open?.connection.drop(open.handle);
          throw moved(error, 'Start it again: what was written so far is no backup.');
        }
      },
      cancel: () => open?.connection.drop(open.handle),
    },
    { highWaterMark: 1 },
  );
}

/** Takes a backup in: all of it, or nothing. */
export async function restore(
  session: Session,
  data: Data,
  options: RestoreOptions,
): Promise<Restored> {
  const { signal, onProgress } = options;
  const source = sourceOf(data);
  const connection = await session.connection(signal);
  const open = {
    restore_open: {
      passphrase: passphrase(options.passphrase),
      replace: options.replaceIdentity ?? false,
    },
  };
  let handle: number | undefined;
  try {
    ({ handle } = await connection.ask(open, 'handle', signal));
    await pushChunks(connection, handle, source, onProgress, signal);
    const restored = connection.ask({ put_close: { handle } }, 'restored', signal);
    return camel(await within(restored, signal));
  } catch (error) {
    if (handle !== undefined) connection.drop(handle);
    throw moved(error, 'Nothing was changed. Choose the file again.');
  }
}

function moved(error: unknown, hint: string): unknown {
  if (!(error instanceof ConnectionLost)) return error;
  return new CraftecError('unavailable', MOVED, { hint, retryable: true, cause: error });
}
