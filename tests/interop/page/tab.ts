/**
 * A page with a node's network in its worker, driven by the tests: `tab.call(name, …)`.
 */

import { serveRtc, type RtcServer } from '../../../sdk-js/src/rtc.js';

type Answer = { id: number; value?: unknown; error?: string };

/** Milliseconds that a call may take before the test learns that it hangs. */
const CALL_MS = 30_000;

class Tab {
  readonly rtc: RtcServer;
  private readonly worker = new Worker('/worker.js', { type: 'module' });
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private next = 0;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    // `?lend=0`: a page that lends no connections.
    const lend = new URLSearchParams(location.search).get('lend');
    this.rtc = serveRtc(port1, lend === null ? {} : { maxConnections: Number(lend) });
    this.worker.onmessage = ({ data }: MessageEvent<Answer>) => this.waiting.get(data.id)?.(data);
    this.worker.postMessage({ port: port2 }, [port2]);
  }

  /** Calls a method of the worker. */
  call(name: string, ...args: unknown[]): Promise<unknown> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name}: no answer`)), CALL_MS);
      this.waiting.set(id, ({ value, error }) => {
        clearTimeout(timer);
        this.waiting.delete(id);
        if (error === undefined) resolve(value);
        else reject(new Error(`${name}: ${error}`));
      });
      this.worker.postMessage({ id, name, args });
    });
  }

  /** Ends the worker as a crash would. */
  kill() {
    this.worker.terminate();
  }
}

Object.assign(globalThis, { tab: new Tab() });
