/** One session with a node over one transport: request ids, answers, events. Never reconnects. */

import { aborted, ConnectionLost, CraftecError } from '../errors.js';
import { decodeFrame, encodeRequest, FRAME_BYTES, VERSIONS } from '../wire/frames.js';
import type { Command, Event, Replies, Reply } from '../wire/types.js';
import type { Transport } from './transport.js';

/** How long a node may take to say hello; it does nothing else before. */
const HELLO_MS = 10_000;

interface Waiter {
  answer: (reply: Reply) => void;
  fail: (error: CraftecError) => void;
}

export class Connection {
  /** What the node calls itself. */
  agent = '';
  onevent: (event: Event) => void = () => {};
  /** Resolves when the transport is gone; never rejects. */
  readonly lost: Promise<CraftecError>;
  private readonly waiting = new Map<number, Waiter>();
  private end: CraftecError | undefined;
  private next = 0;

  private constructor(private readonly transport: Transport) {
    this.lost = new Promise((resolve) => {
      transport.onlost = (error) => {
        this.fail(error);
        resolve(error);
      };
    });
    transport.onframe = (frame) => this.receive(frame);
  }

  /** Agrees on a version; the connection is usable when this resolves. */
  static async open(transport: Transport, signal?: AbortSignal): Promise<Connection> {
    const connection = new Connection(transport);
    const timer = setTimeout(() => {
      connection.fail(new ConnectionLost('The node did not answer.'));
    }, HELLO_MS);
    try {
      const hello = await connection.ask({ hello: { versions: VERSIONS } }, 'hello', signal);
      connection.agent = hello.agent;
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends `command`; resolves with the reply named `want`. */
  async ask<K extends keyof Replies>(
    command: Command,
    want: K,
    signal?: AbortSignal,
  ): Promise<Replies[K]> {
    const reply = await this.request(command, signal);
    const found = reply === 'done' ? (want === 'done' ? true : undefined) : pick(reply, want);
    if (found !== undefined) return found as Replies[K];
    const name = reply === 'done' ? reply : Object.keys(reply).join();
    throw new CraftecError('internal', `The node answered “${name}” where “${want}” was due.`);
  }

  /** Ends a handle without waiting; a handle of a lost connection is gone already. */
  drop(handle: number): void {
    if (!this.end) this.request({ close: { handle } }).catch(() => {});
  }

  close(): void {
    this.fail(new ConnectionLost('The connection to the node was closed.'));
    this.transport.close();
  }

  /** Sends `command`; resolves with whatever is replied. */
  request(command: Command, signal?: AbortSignal): Promise<Reply> {
    if (signal?.aborted) return Promise.reject(aborted(signal));
    if (this.end) return Promise.reject(this.end);
    const id = ++this.next;
    const frame = encodeRequest(id, command);
    if (frame.length > FRAME_BYTES) {
      const message = `A request of ${frame.length} bytes is more than the ${FRAME_BYTES} allowed.`;
      return Promise.reject(new CraftecError('bad_input', message));
    }
    return new Promise((resolve, reject) => {
      const cancel = () => {
        // The answer comes all the same; a handle in it must not stay open.
        this.waiting.set(id, { answer: (reply) => this.dropHandleOf(reply), fail: () => {} });
        reject(aborted(signal));
      };
      const settled = () => signal?.removeEventListener('abort', cancel);
      this.waiting.set(id, {
        answer: (reply) => (settled(), resolve(reply)),
        fail: (error) => (settled(), reject(error)),
      });
      signal?.addEventListener('abort', cancel, { once: true });
      this.transport.send(frame);
    });
  }

  private receive(bytes: Uint8Array): void {
    let frame;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      // Nothing that follows could be trusted to be what was asked for.
      this.fail(CraftecError.from(error));
      this.transport.close();
      return;
    }
    if ('event' in frame) return this.onevent(frame.event.event);
    const { id } = 'ok' in frame ? frame.ok : frame.err;
    const waiter = this.waiting.get(id);
    this.waiting.delete(id);
    if ('ok' in frame) waiter?.answer(frame.ok.reply);
    else waiter?.fail(CraftecError.fromApi(frame.err.error));
  }

  private dropHandleOf(reply: Reply): void {
    if (reply === 'done') return;
    const { handle, opened, database, rows } = reply;
    const open = handle?.handle ?? opened?.handle ?? database?.handle ?? rows?.more;
    if (typeof open === 'number') this.drop(open);
  }

  private fail(error: CraftecError): void {
    if (this.end) return;
    this.end = error;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const waiter of waiting) waiter.fail(error);
  }
}

function pick(reply: Exclude<Reply, 'done'>, want: keyof Replies): unknown {
  return Object.hasOwn(reply, want) ? (reply as Record<string, unknown>)[want] : undefined;
}
