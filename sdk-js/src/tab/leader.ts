/**
 * The tab that runs the node. Competes for the Web Lock, starts the worker when it has it, lends it
 * RTCPeerConnections, and starts it again after a panic, when it hangs and when it slept. Lets go
 * of lock and disk when the page is frozen or put aside, or when another tab took the lock from it.
 */

import { CraftecError } from '../errors.js';
import { serveRtc } from '../rtc.js';
import {
  freshLock,
  LEADER_LOCK,
  STANDBY_LOCK,
  type FromWorker,
  type ToBroker,
  type ToWorker,
  type WorkerConfig,
} from './names.js';
import { wantsDatabases } from './build.js';
import { HUNG_TICKS, LOADING_TICKS, Pulse } from './pulse.js';

/** Panics that are answered by a new worker, within the time below; then the node stays down. */
const RESTARTS = 3;
const RESTARTS_WITHIN_MS = 60_000;
/** What a worker is given to close its files before it is ended. */
const STOP_MS = 300;
/**
 * Starts that may find the disk held by a worker that was deposed and did not end yet, and the
 * pause between them. A start itself waits some seconds for each file.
 */
const BUSY_STARTS = 8;
const BUSY_MS = 500;
/** When a tab that does not lead gets a worker ready: not while its page is still loading. */
const WARM_AFTER_MS = 1_000;

/** One of the builds of the node. */
export interface NodeBuild {
  databases: boolean;
  makeWorker: () => Worker;
  wasmUrl?: string;
}

export interface LeaderOptions {
  config: WorkerConfig;
  build: (databases: boolean) => NodeBuild;
}

/** A worker, and the build that it runs. */
interface Made {
  worker: Worker;
  build: NodeBuild;
}

/** A worker whose node runs. */
export interface Leading {
  worker: Worker;
  life: string;
  epoch: number;
}

/** Why a worker ended. */
type End =
  /** This tab was asked to let go. */
  | { t: 'over' }
  /** Another worker reigns. */
  | { t: 'deposed' }
  /** A panic, or silence. */
  | { t: 'broken'; why: string }
  | { t: 'slept' }
  /** Another one is to take its place. */
  | { t: 'replaced' }
  | { t: 'failed'; error: CraftecError };

export class Leader {
  /** Told when this tab starts to lead, and with `undefined` when it no longer does. */
  onchange: (leading: Leading | undefined) => void = () => {};
  /** The node could not start, or failed too often. */
  onfailed: (error: CraftecError) => void = () => {};
  leading: Leading | undefined;
  /** Port to the SharedWorker; absent where there is none. */
  private hub: MessagePort | undefined;
  private readonly ended = new AbortController();
  private release: () => void = () => {};
  private race: AbortController | undefined;
  /** The reign before, which may still be closing its files. */
  private before: Promise<unknown> = Promise.resolve();
  /** The worker that runs or starts. */
  private current:
    | { life: string; pulse: Pulse; beats: boolean; databases: boolean; end: (why: End) => void }
    | undefined;
  private readonly standby: Standby;
  /** Loaded, to be the next worker of this tab. */
  private prepared: Made | undefined;
  /** The page is being frozen: no task of ours runs any more, so nothing may wait for one. */
  private hurried = false;

  constructor(private readonly options: LeaderOptions) {
    this.standby = new Standby(() => (this.reigns ? undefined : this.warm(wantsDatabases())));
  }

  /** Whether this tab has a worker, started or starting. */
  get reigns(): boolean {
    return this.current !== undefined;
  }

  /** Whether this tab's worker has databases. */
  get equipped(): boolean {
    return this.current?.databases === true;
  }

  /** There is a broker, or another one: the node is presented to it. */
  meet(hub: MessagePort | undefined): void {
    this.hub = hub;
    const { leading } = this;
    if (!hub || !leading) return;
    const { port1, port2 } = new MessageChannel();
    leading.worker.postMessage({ t: 'hub', hub: port2 } satisfies ToWorker, [port2]);
    present(hub, leading, port1);
  }

  /** Queues for the lock, once; with `steal`, takes it from whoever has it. */
  campaign(steal = false): void {
    if (this.ended.signal.aborted || this.hurried) return;
    if (this.race && (!steal || this.reigns)) return;
    this.race?.abort();
    const race = new AbortController();
    this.race = race;
    void this.compete(race.signal, steal).finally(() => {
      if (this.race === race) this.race = undefined;
    });
    this.standby.campaign(race.signal);
  }

  /** Loads the node that has databases, without starting it; says why where that fails. */
  async prepare(): Promise<void> {
    const made = this.warm(true);
    try {
      await warmed(made.worker);
    } catch (error) {
      made.worker.terminate();
      throw error;
    }
    this.prepared?.worker.terminate();
    this.prepared = made;
  }

  /**
   * Goes on with what was prepared: in the place of this tab's worker, or of the one of the tab
   * that has the lock.
   */
  succeed(): void {
    const { current } = this;
    if (!current) return this.campaign(true);
    if (this.leading) {
      this.leading = undefined;
      this.onchange(undefined);
    }
    current.end({ t: 'replaced' });
  }

  /** The page is frozen or put aside: another tab may have lock and disk, at once. */
  aside(): void {
    this.hurried = true;
    this.race?.abort();
    this.race = undefined;
    this.release();
  }

  /** The page is back. */
  back(): void {
    this.hurried = false;
    this.campaign();
  }

  /** Some tab's worker gave a beat. */
  beat(life: string): void {
    const { current } = this;
    if (current?.life !== life) return;
    if (!current.beats) current.pulse = new Pulse(HUNG_TICKS);
    current.beats = true;
    current.pulse.beat();
  }

  /** Once per beat that is due; the life of a worker that can't give it, since it is loading. */
  tick(): string | undefined {
    const { current } = this;
    if (current?.pulse.tick()) current.end({ t: 'broken', why: 'it no longer answered' });
    return current?.beats === false ? current.life : undefined;
  }

  stop(): void {
    this.ended.abort();
    this.race?.abort();
    this.prepared?.worker.terminate();
    this.prepared = undefined;
    this.release();
  }

  private async compete(signal: AbortSignal, steal: boolean): Promise<void> {
    for (let again = true; again && !signal.aborted; steal = false) {
      const options: LockOptions = steal ? { steal } : { signal };
      try {
        again = await navigator.locks.request(LEADER_LOCK, options, () => this.lead(signal));
      } catch (error) {
        if (signal.aborted) return;
        if ((error as { name?: unknown } | null)?.name !== 'AbortError') {
          return this.onfailed(CraftecError.from(error, 'unavailable'));
        }
        // Another tab took the lock, and waits for our files.
        this.release();
        await this.before;
      }
    }
  }

  /** Holds the lock until this resolves; `true` to queue for it again. */
  private lead(signal: AbortSignal): Promise<boolean> {
    const reign = this.before.then(() => this.reign(signal));
    this.before = reign.catch(() => {});
    return reign;
  }

  /** Runs workers as long as this tab holds the lock. */
  private async reign(signal: AbortSignal): Promise<boolean> {
    let over = false;
    const released = new Promise<void>((resolve) => {
      this.release = () => {
        over = true;
        resolve();
      };
    });
    const broken: number[] = [];
    for (let busy = 0; !over && !signal.aborted;) {
      const end = await this.runWorker(released);
      if (over || end.t === 'over') return false;
      if (end.t === 'deposed') return true;
      if (end.t === 'failed') {
        const waits = end.error.code === 'unavailable' && end.error.retryable;
        if (!waits || ++busy >= BUSY_STARTS) {
          this.onfailed(end.error);
          return false;
        }
        await Promise.race([released, new Promise((resolve) => setTimeout(resolve, BUSY_MS))]);
      } else if (end.t === 'broken') {
        broken.push(performance.now());
        const recent = broken.filter((at) => performance.now() - at < RESTARTS_WITHIN_MS);
        if (recent.length > RESTARTS) {
          this.onfailed(tooOften(recent.length, end.why));
          return false;
        }
      }
    }
    return false;
  }

  /** One worker, from start to end. */
  private async runWorker(released: Promise<void>): Promise<End> {
    const { config } = this.options;
    const { worker, build } = this.nextWorker();
    const { wasmUrl } = build;
    const rtc = new MessageChannel();
    const shim = serveRtc(rtc.port1);
    const life = freshLock('life');
    const message: ToWorker & { t: 'start' } = { t: 'start', config, rtc: rtc.port2, life };
    if (wasmUrl !== undefined) message.wasmUrl = wasmUrl;
    const ended = this.follow(worker, life, build.databases);
    worker.postMessage(message, [rtc.port2]);
    const over: End = { t: 'over' };
    const end = await Promise.race([ended, released.then(() => over)]);
    this.current = undefined;
    if (this.leading?.worker === worker) {
      this.leading = undefined;
      this.onchange(undefined);
    }
    const inOrder = end.t === 'over' || end.t === 'slept' || end.t === 'replaced';
    if (inOrder && !this.hurried) await finish(worker);
    worker.terminate();
    shim.closeAll();
    return end;
  }

  /** A worker of the build that is wanted, loaded already where possible. */
  private nextWorker(): Made {
    const databases = wantsDatabases();
    for (const made of [this.prepared, this.standby.take()]) {
      if (made?.build.databases === databases) {
        if (made === this.prepared) this.prepared = undefined;
        return made;
      }
      made?.worker.terminate();
    }
    this.prepared = undefined;
    const build = this.options.build(databases);
    return { worker: build.makeWorker(), build };
  }

  private warm(databases: boolean): Made {
    const build = this.options.build(databases);
    const { wasmUrl } = build;
    const worker = build.makeWorker();
    worker.postMessage(
      (wasmUrl === undefined ? { t: 'warm' } : { t: 'warm', wasmUrl }) satisfies ToWorker,
    );
    return { worker, build };
  }

  /** Resolves when the worker ended, or should. */
  private follow(worker: Worker, life: string, databases: boolean): Promise<End> {
    return new Promise((resolve) => {
      const pulse = new Pulse(LOADING_TICKS);
      this.current = { life, pulse, beats: false, databases, end: resolve };
      worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
        if (data.t === 'ready') {
          this.leading = { worker, life, epoch: data.epoch };
          this.meet(this.hub);
          this.onchange(this.leading);
        } else if (data.t === 'panic') resolve({ t: 'broken', why: data.message });
        else if (data.t === 'slept') resolve({ t: 'slept' });
        else if (data.t === 'deposed') resolve({ t: 'deposed' });
        else if (data.t === 'failed') {
          resolve({ t: 'failed', error: CraftecError.fromApi(data.error) });
        }
      });
      worker.addEventListener('error', (event) => {
        // Without a message the script itself could not be loaded.
        if (!event.message) resolve({ t: 'failed', error: notLoaded() });
      });
    });
  }
}

/** Tells a broker who leads. Only once the worker holds `life`: a free one is of a dead node. */
function present(hub: MessagePort, { life, epoch }: Leading, port: MessagePort): void {
  hub.postMessage({ t: 'lead', life, port, epoch } satisfies ToBroker, [port]);
}

/**
 * Keeps one worker of the origin ready, its wasm compiled, in a tab that waits for the lock: most
 * of what a hand-over takes is done before. The locks are queued for in one order, so the tab that
 * has it is the next leader; if not, it merely starts slower.
 */
class Standby {
  private spare: Made | undefined;
  private taken: () => void = () => {};

  constructor(private readonly make: () => Made | undefined) {}

  /** Waits for its turn, until `signal` fires. */
  campaign(signal: AbortSignal): void {
    signal.addEventListener('abort', () => this.take()?.worker.terminate());
    navigator.locks
      .request(STANDBY_LOCK, { signal }, async () => {
        await new Promise((resolve) => {
          setTimeout(resolve, WARM_AFTER_MS);
          // A page that is being frozen has no timers, and may not keep the lock.
          signal.addEventListener('abort', resolve);
        });
        const made = signal.aborted ? undefined : this.make();
        if (!made) return;
        this.spare = made;
        const taken = new Promise<void>((resolve) => (this.taken = resolve));
        made.worker.addEventListener('error', () => {
          if (this.spare === made) this.take()?.worker.terminate();
        });
        await taken;
      })
      .catch(() => {
        // Only our own signal ends the wait.
      });
  }

  /** The worker, if there is one: the caller's from now on. */
  take(): Made | undefined {
    const { spare } = this;
    this.spare = undefined;
    this.taken();
    return spare;
  }
}

function tooOften(times: number, why: string): CraftecError {
  return new CraftecError('internal', `The node failed ${times} times: ${why}`, {
    hint: 'Reload the page. What is stored is kept.',
    retryable: true,
  });
}

function notLoaded(): CraftecError {
  const hint = 'Check workerUrl, and that the Content-Security-Policy allows workers.';
  return new CraftecError('internal', 'The worker could not be loaded.', { hint });
}

/** Waits until a worker has its wasm. */
function warmed(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      if (data.t === 'warm') resolve();
      else if (data.t === 'failed') reject(CraftecError.fromApi(data.error));
    });
    worker.addEventListener('error', () => reject(notLoaded()));
  });
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
