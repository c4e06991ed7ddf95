/**
 * The tab that runs the node. Competes for the Web Lock, starts the worker when it has it, lends it
 * RTCPeerConnections, starts it again after a panic, and lets go of lock and disk when the page is
 * frozen or put aside, so that another tab takes over.
 */

import { CraftecError } from '../errors.js';
import { serveRtc } from '../rtc.js';
import {
  freshLock,
  LEADER_LOCK,
  type FromWorker,
  type ToBroker,
  type ToWorker,
  type WorkerConfig,
} from './names.js';

/** Panics that are answered by a new worker, within the time below; then the node stays down. */
const RESTARTS = 3;
const RESTARTS_WITHIN_MS = 60_000;
/** What a worker is given to close its files before it is ended. */
const STOP_MS = 300;

export interface LeaderOptions {
  config: WorkerConfig;
  makeWorker: () => Worker;
  /** Port to the SharedWorker; absent where there is none. */
  hub?: MessagePort;
  wasmUrl?: string;
}

/** A worker whose node runs. */
export interface Leading {
  worker: Worker;
  life: string;
}

export class Leader {
  /** Told when this tab starts to lead, and with `undefined` when it no longer does. */
  onchange: (leading: Leading | undefined) => void = () => {};
  /** The node could not start, or panicked too often. */
  onfailed: (error: CraftecError) => void = () => {};
  leading: Leading | undefined;
  private readonly ended = new AbortController();
  private release: () => void = () => {};
  private race: AbortController | undefined;
  /** The page is being frozen: no task of ours runs any more, so nothing may wait for one. */
  private hurried = false;

  constructor(private readonly options: LeaderOptions) {
    const { signal } = this.ended;
    const aside = () => {
      this.hurried = true;
      this.race?.abort();
      this.release();
    };
    const back = () => {
      this.hurried = false;
      this.campaign();
    };
    document.addEventListener('freeze', aside, { signal });
    document.addEventListener('resume', back, { signal });
    addEventListener('pagehide', aside, { signal });
    addEventListener('pageshow', (event) => event.persisted && back(), { signal });
  }

  /** Queues for the lock, once. */
  campaign(): void {
    if (this.race || this.ended.signal.aborted) return;
    const race = new AbortController();
    this.race = race;
    navigator.locks
      .request(LEADER_LOCK, { signal: race.signal }, () => this.lead())
      .catch((error: unknown) => {
        if (!race.signal.aborted) this.onfailed(CraftecError.from(error, 'unavailable'));
      })
      .finally(() => {
        if (this.race === race) this.race = undefined;
      });
  }

  stop(): void {
    this.ended.abort();
    this.race?.abort();
    this.release();
  }

  /** Runs workers as long as this tab holds the lock; the lock goes when this returns. */
  private async lead(): Promise<void> {
    let released = false;
    const release = new Promise<void>((resolve) => {
      this.release = () => {
        released = true;
        resolve();
      };
    });
    if (this.race?.signal.aborted) return;
    const panics: number[] = [];
    while (!released) {
      const panic = await this.runWorker(release);
      if (released || panic === undefined) return;
      panics.push(performance.now());
      const recent = panics.filter((at) => performance.now() - at < RESTARTS_WITHIN_MS);
      if (recent.length > RESTARTS) {
        this.onfailed(
          new CraftecError('internal', `The node failed ${recent.length} times: ${panic}`, {
            hint: 'Reload the page. What is stored is kept.',
            retryable: true,
          }),
        );
        return;
      }
    }
  }

  /** One worker, from start to end; a panic's message if that ended it. */
  private async runWorker(release: Promise<void>): Promise<string | undefined> {
    const { config, hub, wasmUrl, makeWorker } = this.options;
    const worker = makeWorker();
    const rtc = new MessageChannel();
    const shim = serveRtc(rtc.port1);
    const life = freshLock('life');
    const message: ToWorker & { t: 'start' } = { t: 'start', config, rtc: rtc.port2, life };
    if (wasmUrl !== undefined) message.wasmUrl = wasmUrl;
    const transfer: Transferable[] = [rtc.port2];
    let present = () => {};
    if (hub) {
      const { port1, port2 } = new MessageChannel();
      message.hub = port2;
      transfer.push(port2);
      // Only when the worker holds `life`: the broker takes a free lock for a dead node.
      present = () => hub.postMessage({ t: 'lead', life, port: port1 } satisfies ToBroker, [port1]);
    }
    const ended = this.follow(worker, life, present);
    worker.postMessage(message, transfer);
    const panic = await Promise.race([ended, release.then(() => undefined)]);
    if (this.leading?.worker === worker) {
      this.leading = undefined;
      this.onchange(undefined);
    }
    if (panic === undefined && !this.hurried) await finish(worker);
    worker.terminate();
    shim.closeAll();
    return panic;
  }

  /** Resolves with a message when the worker panicked, with nothing when it failed to start. */
  private follow(worker: Worker, life: string, present: () => void): Promise<string | undefined> {
    return new Promise((resolve) => {
      worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
        if (data.t === 'ready') {
          present();
          this.leading = { worker, life };
          this.onchange(this.leading);
        } else if (data.t === 'panic') resolve(data.message);
        else if (data.t === 'failed') {
          this.onfailed(CraftecError.fromApi(data.error));
          resolve(undefined);
        }
      });
      worker.addEventListener('error', (event) => {
        // Without a message the script itself could not be loaded.
        if (event.message) return;
        const hint = 'Check workerUrl, and that the Content-Security-Policy allows workers.';
        this.onfailed(new CraftecError('internal', 'The worker could not be loaded.', { hint }));
        resolve(undefined);
      });
    });
  }
}

/** Lets the worker close its files, within limits. */
function finish(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, STOP_MS);
    worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      if (data.t !== 'stopped') return;
      clearTimeout(timer);
      resolve();
    });
    worker.postMessage({ t: 'stop' } satisfies ToWorker);
  });
}
