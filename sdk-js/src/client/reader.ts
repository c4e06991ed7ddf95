/** Reads content through a handle, chunk by chunk, and goes on where it was when the node moved. */

import { ConnectionLost, CraftecError } from '../errors.js';
import type { Address } from '../wire/text.js';
import type { WireOpened, WireRange } from '../wire/types.js';
import type { Range } from '../types.js';
import type { Connection } from './connection.js';
import type { Session } from './session.js';

/** How often the node may move below one read. */
const MOVES = 5;

/** What a reader needs of a session. */
export type Runner = Pick<Session, 'run'>;

export class Reader {
  /** Bytes that this reader will deliver in all. */
  readonly total: number;
  private offset = 0;
  private finished = false;

  private constructor(
    private readonly session: Runner,
    private readonly address: Address,
    private readonly range: WireRange | null,
    readonly opened: WireOpened,
    private connection: Connection,
    private handle: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.total = opened.kind === 'folder' ? 0 : lengthOf(range, opened.size);
  }

  static async open(
    session: Runner,
    address: Address,
    range?: Range,
    signal?: AbortSignal,
  ): Promise<Reader> {
    const wire = range ? wireRange(range) : null;
    return session.run(async (connection) => {
      const command = { get_open: { ...address, range: wire } };
      const opened = await connection.ask(command, 'opened', signal);
      return new Reader(session, address, wire, opened, connection, opened.handle, signal);
    }, signal);
  }

  /** The next bytes; `undefined` at the end. */
  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.finished) return undefined;
    const { bytes } = await this.read();
    this.offset += bytes.length;
    if (bytes.length > 0) return bytes;
    this.close();
    if (this.offset < this.total) {
      const message = `The node ended after ${this.offset} of ${this.total} bytes.`;
      throw new CraftecError('internal', message);
    }
    return undefined;
  }

  /** Lets go of the handle; nothing is read after it. */
  close(): void {
    if (this.finished) return;
    this.finished = true;
    this.connection.drop(this.handle);
  }

  /** As a stream that reads when its consumer does, and a little ahead. */
  stream(onchunk: (bytes: number) => void = () => {}): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const bytes = await this.next();
            if (!bytes) return controller.close();
            controller.enqueue(bytes);
            onchunk(this.offset);
          } catch (error) {
            this.close();
            throw error;
          }
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 2 },
    );
  }

  private async read(): Promise<{ bytes: Uint8Array<ArrayBuffer> }> {
    for (let moves = 0; ; moves++) {
      try {
        return await this.ask();
      } catch (error) {
        if (!(error instanceof ConnectionLost) || moves >= MOVES) throw error;
        // All is here: there is nothing to open after the last byte.
        if (this.offset >= this.total) return { bytes: new Uint8Array() };
        await this.reopen();
      }
    }
  }

  private ask() {
    return this.connection.ask({ get_read: { handle: this.handle } }, 'bytes', this.signal);
  }

  /** The same content, which its CID guarantees, from where we were. */
  private async reopen(): Promise<void> {
    const start = (this.range?.start ?? 0) + this.offset;
    const range = { start, end: this.range?.end ?? null };
    await this.session.run(async (connection) => {
      const command = { get_open: { ...this.address, range } };
      const opened = await connection.ask(command, 'opened', this.signal);
      this.connection = connection;
      this.handle = opened.handle;
    }, this.signal);
  }
}

function lengthOf(range: WireRange | null, size: number): number {
  if (!range) return size;
  return Math.max(0, Math.min(range.end ?? size, size) - range.start);
}

function wireRange({ start, end }: Range): WireRange {
  const whole = (n: number) => Number.isSafeInteger(n) && n >= 0;
  if (!whole(start) || (end !== undefined && (!whole(end) || end < start))) {
    throw new CraftecError('bad_input', `The range ${start}..${end ?? ''} is not one.`, {
      hint: 'Give whole numbers of bytes; `end` is one past the last byte.',
    });
  }
  return { start, end: end ?? null };
}
