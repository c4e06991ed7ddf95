/**
 * A lasting relation to a node: connects, subscribes, and connects again when the node moved to
 * another tab or its server restarted. What was lost on its way is asked again where that does
 * nothing twice (see `replay.ts`), and its caller notices nothing.
 */

import { aborted, ConnectionLost, CraftecError } from '../errors.js';
import type { Event, Replies } from '../wire/types.js';
import { Connection } from './connection.js';
import { repeats, type Single } from './replay.js';
import type { Transport } from './transport.js';

export type SessionState = 'running' | 'reconnecting' | 'stopped' | 'failed';

/** Makes a transport, however long that takes; rejects only when there is no hope. */
export type Connect = (signal: AbortSignal) => Promise<Transport>;

/**
 * How often one piece of work may start over because the node moved: more tabs than anybody closes
 * one after the other while it runs.
 */
const REPEATS = 5;
/**
 * Connections that may break before they were of any use, and the pause after the first, doubled
 * each time. The second follows at once: a page that is not in front has timers of a second only.
 */
const DIALS = 6;
const PAUSE_MS = 50;

export class Session {
  onevent: (event: Event) => void = () => {};
  onstate: (state: SessionState, error?: CraftecError) => void = () => {};
  private readonly stopped = new AbortController();
  private readonly behind = new Set<() => void>();
  private current: Promise<Connection> | undefined;

  /**
   * `outranks` is asked when the node speaks no version of ours; `true` when it gives way to a
   * node that does.
   */
  constructor(
    private readonly connect: Connect,
    private readonly outranks: () => boolean = () => false,
  ) {}

  /** The live connection; waits for one where needed. */
  connection(signal?: AbortSignal): Promise<Connection> {
    if (this.stopped.signal.aborted) return Promise.reject(gone());
    this.current ??= this.dial();
    return within(this.current, signal);
  }

  /**
   * Runs `work` on a connection, again on the next one when that is lost below it. `work` begins
   * with what opens a handle, and is told whether it ran before.
   */
  async run<T>(
    work: (connection: Connection, again: boolean) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    for (let times = 0; ; times++) {
      const connection = await this.connection(signal);
      try {
        return await work(connection, times > 0);
      } catch (error) {
        const again = error instanceof ConnectionLost && times < REPEATS;
        if (!again || this.stopped.signal.aborted) throw error;
      }
    }
  }

  /** A request that stands alone. */
  async ask<K extends keyof Replies>(
    command: Single,
    want: K,
    signal?: AbortSignal,
  ): Promise<Replies[K]> {
    if (repeats(command)) {
      return this.run((connection) => connection.ask(command, want, signal), signal);
    }
    const connection = await this.connection(signal);
    try {
      return await connection.ask(command, want, signal);
    } catch (error) {
      throw error instanceof ConnectionLost ? unsure() : error;
    }
  }

  /**
   * Calls `fn` whenever events were lost: there is another connection than before, or they came
   * faster than they were heard. Until the returned function is called.
   */
  onmissed(fn: () => void): () => void {
    this.behind.add(fn);
    return () => void this.behind.delete(fn);
  }

  stop(): void {
    if (this.stopped.signal.aborted) return;
    this.stopped.abort(gone());
    this.current?.then((connection) => connection.close()).catch(() => {});
    this.onstate('stopped');
  }

  private missed(): void {
    this.behind.forEach((fn) => fn());
  }

  private async dial(failures = 0): Promise<Connection> {
    try {
      if (failures > 1) await pause(PAUSE_MS * 2 ** failures);
      const { signal } = this.stopped;
      const transport = await this.connect(signal);
      const connection = await Connection.open(transport, signal);
      connection.onevent = (event) => {
        if (event.lagged) this.missed();
        this.onevent(event);
      };
      await connection.ask('subscribe', 'done', signal);
      void connection.lost.then(() => this.redial());
      this.onstate('running');
      return connection;
    } catch (error) {
      const lost = error instanceof ConnectionLost;
      const foreign = error instanceof CraftecError && error.code === 'version';
      if (!this.stopped.signal.aborted && failures + 1 < DIALS) {
        if (lost || (foreign && this.outranks())) return this.dial(failures + 1);
      }
      this.current = undefined;
      const known = CraftecError.from(error, 'unavailable');
      if (!this.stopped.signal.aborted) this.onstate('failed', known);
      throw known;
    }
  }

  private redial(): void {
    if (this.stopped.signal.aborted) return;
    this.onstate('reconnecting');
    this.current = this.dial();
    this.current.then(
      () => this.missed(),
      // Whoever asks next gets the error; nobody may be asking now.
      () => {},
    );
  }
}

function gone(): CraftecError {
  return new CraftecError('aborted', 'This node was stopped.', {
    hint: 'Call createNode() for a new one.',
  });
}

function unsure(): CraftecError {
  return new CraftecError('unavailable', 'The node moved while it did this.', {
    hint: 'It may have been done: look before you ask again.',
    retryable: false,
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** `promise`, unless `signal` fires first. */
export function within<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  if (signal.aborted) return Promise.reject(aborted(signal));
  return new Promise((resolve, reject) => {
    const cancel = () => reject(aborted(signal));
    signal.addEventListener('abort', cancel, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel));
  });
}
