/** Objects: put, get, list, keep. */

import { camel } from './client/camel.js';
import type { Connection } from './client/connection.js';
import { Reader } from './client/reader.js';
import { within, type Session } from './client/session.js';
import { sourceOf, type Source } from './client/source.js';
import { aborted, ConnectionLost, CraftecError } from './errors.js';
import type {
  Data,
  Entry,
  GetOptions,
  Health,
  ObjectHealth,
  ObjectRow,
  Opened,
  PutOptions,
  Stat,
} from './types.js';
import { cidBytes, parseAddress } from './wire/text.js';

/** Largest content that `get` returns in one piece; `stream` has no limit. */
const GET_BYTES = 1 << 30;

export interface PutResult {
  cid: string;
  size: number;
}

export class Objects {
  constructor(
    private readonly session: Session,
    private readonly onHealth: (fn: (health: Health) => void) => () => void,
  ) {}

  /** Stores `data`; resolves when it is durable here, or with `ack` on as many nodes as wanted. */
  async put(data: Data, options: PutOptions = {}): Promise<PutResult> {
    const source = sourceOf(data);
    const wanted = { replicas: copies(options.replicas), redundancy: percent(options) };
    const { signal } = options;
    let started = false;
    const stored = await this.session
      .run(async (connection) => {
        if (started && !source.repeatable) {
          throw new CraftecError('unavailable', 'The node moved while a stream was being put.', {
            hint: 'Put it again; a short stream or a Blob would have gone on by itself.',
          });
        }
        started = true;
        return this.upload(connection, source, wanted, options);
      }, signal)
      .catch(async (error: unknown) => {
        await source.cancel?.();
        throw error;
      });
    if (options.ack === 'replicated') await this.replicated(stored.cid, signal);
    return stored;
  }

  /** The whole content, or a range of it. */
  async get(address: string, options: GetOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const reader = await this.reader(address, options);
    if (reader.total > GET_BYTES) {
      reader.close();
      throw new CraftecError('bad_input', `${reader.total} bytes are too many for get().`, {
        hint: 'Use stream(), or a range.',
      });
    }
    const out = new Uint8Array(reader.total);
    let at = 0;
    try {
      for (let bytes; (bytes = await reader.next());) {
        if (at + bytes.length > out.length) {
          throw new CraftecError('internal', 'The node sent more bytes than it had announced.');
        }
        out.set(bytes, at);
        at += bytes.length;
        options.onProgress?.({ bytes: at, total: out.length });
      }
    } finally {
      reader.close();
    }
    return out;
  }

  /** The content as it arrives; nothing is read before it is asked for. */
  stream(address: string, options: GetOptions = {}): ReadableStream<Uint8Array> {
    let body: ReadableStreamDefaultReader<Uint8Array> | undefined;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          body ??= (await this.body(address, options)).getReader();
          const { done, value } = await body.read();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => body?.cancel(reason),
      },
      { highWaterMark: 0 },
    );
  }

  /** What is at an address, and its content as a stream. */
  async open(address: string, options: GetOptions = {}): Promise<Opened> {
    const { range, signal, onProgress } = options;
    const reader = await Reader.open(this.session, parseAddress(address), range, signal);
    const { cid, size, kind, path, mime } = reader.opened;
    const body = reader.stream((bytes) => onProgress?.({ bytes, total: reader.total }));
    return { cid, size, kind, path, mime, body };
  }

  async stat(cid: string, options: { signal?: AbortSignal } = {}): Promise<Stat> {
    cidBytes(cid);
    return camel(await this.session.ask({ stat: { cid } }, 'stat', options.signal));
  }

  /** What a folder holds, sorted by name. */
  async list(address: string, options: { signal?: AbortSignal } = {}): Promise<Entry[]> {
    const command = { list: parseAddress(address) };
    return (await this.session.ask(command, 'entries', options.signal)).entries;
  }

  /** Keeps everything below `cid` here, fetching what is missing. */
  async pin(cid: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    cidBytes(cid);
    await this.session.ask({ pin: { cid } }, 'done', options.signal);
  }

  /** Lets go of it; the space is freed when nothing else needs it. */
  async unpin(cid: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    cidBytes(cid);
    await this.session.run(async (connection, again) => {
      await connection.ask({ unpin: { cid } }, 'done', options.signal).catch((error: unknown) => {
        // Asked again because the answer was lost: it is gone, as was wanted.
        const gone = error instanceof CraftecError && error.code === 'not_found';
        if (!again || !gone) throw error;
      });
    }, options.signal);
  }

  /** What was put or pinned here, newest first. */
  async mine(options: { signal?: AbortSignal } = {}): Promise<ObjectRow[]> {
    return camel((await this.session.ask('objects', 'objects', options.signal)).objects);
  }

  private async reader(address: string, { range, signal }: GetOptions): Promise<Reader> {
    const reader = await Reader.open(this.session, parseAddress(address), range, signal);
    if (reader.opened.kind === 'file') return reader;
    reader.close();
    throw new CraftecError('bad_input', `${address} is a folder.`, {
      hint: 'list() says what it holds; get() takes `cid/path`.',
    });
  }

  private async body(address: string, options: GetOptions): Promise<ReadableStream<Uint8Array>> {
    const reader = await this.reader(address, options);
    return reader.stream((bytes) => options.onProgress?.({ bytes, total: reader.total }));
  }

  private async upload(
    connection: Connection,
    source: Source,
    wanted: { replicas: number | null; redundancy: number | null },
    { name, onProgress, signal }: PutOptions,
  ): Promise<PutResult> {
    const open = { put_open: { ...wanted, name: name ?? null } };
    const { handle } = await connection.ask(open, 'handle', signal);
    try {
      await pushChunks(connection, handle, source, onProgress, signal);
      return await connection.ask({ put_close: { handle } }, 'stored', signal);
    } catch (error) {
      connection.drop(handle);
      throw error;
    }
  }

  /** Resolves when as many nodes as wanted have signed for `cid`. */
  private async replicated(cid: string, signal?: AbortSignal): Promise<void> {
    const enough = (health: ObjectHealth) => health.signed >= health.wanted;
    const offs: (() => void)[] = [];
    const done = new Promise<void>((resolve) => {
      offs.push(
        this.onHealth((event) => {
          if (event.cid === cid && enough(event.health)) resolve();
        }),
      );
      // The event may have come before we listened, or have been lost.
      const look = () =>
        void this.stat(cid, signal ? { signal } : {}).then(
          ({ health }) => enough(health) && resolve(),
          () => {
            // Events go on; a failed look changes nothing.
          },
        );
      offs.push(this.session.onmissed(look));
      look();
    });
    await within(done, signal).finally(() => offs.forEach((off) => off()));
  }
}

/** Copies as the wire wants them; throws a `bad_input`. */
export function copies(replicas: number | undefined): number | null {
  if (replicas === undefined) return null;
  if (Number.isInteger(replicas) && replicas >= 0 && replicas <= 256) return replicas;
  throw new CraftecError('bad_input', `${replicas} copies can't be kept; 0 to 256 can.`);
}

/** Hundredths as the wire wants them; throws a `bad_input`. */
function percent({ replicas, redundancy }: PutOptions): number | null {
  if (redundancy === undefined) return null;
  if (replicas !== undefined) {
    throw new CraftecError('bad_input', 'An object is kept in copies or coded, not both.', {
      hint: 'Give either replicas or redundancy.',
    });
  }
  if (redundancy >= 1.1 && redundancy <= 4) return Math.round(redundancy * 100);
  throw new CraftecError('bad_input', `${redundancy} × can't be kept; 1.1 to 4 can.`);
}

/** Sends all chunks of `source` under `handle`, reading one ahead. */
export async function pushChunks(
  connection: Connection,
  handle: number,
  source: Source,
  onProgress?: (progress: { bytes: number; total?: number }) => void,
  signal?: AbortSignal,
): Promise<void> {
  const chunks = source.chunks()[Symbol.asyncIterator]();
  let sent = 0;
  try {
    let next = chunks.next();
    for (;;) {
      const { done, value } = await within(next, signal);
      if (done) return;
      const pushed = connection.ask({ put_chunk: { handle, bytes: value } }, 'done', signal);
      next = chunks.next();
      // Its failure is seen in the next round; here it must not count as unhandled.
      next.catch(() => {});
      await pushed;
      sent += value.length;
      onProgress?.(
        source.total === undefined ? { bytes: sent } : { bytes: sent, total: source.total },
      );
    }
  } catch (error) {
    void Promise.resolve(chunks.return?.()).catch(() => {});
    if (signal?.aborted) throw aborted(signal);
    throw error instanceof ConnectionLost ? error : CraftecError.from(error, 'bad_input');
  }
}
