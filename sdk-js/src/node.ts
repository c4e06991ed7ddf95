/** The node as a page holds it: identity, status, events, and its parts. */

import { backup, restore } from './backup.js';
import { camel } from './client/camel.js';
import { Session, within } from './client/session.js';
import { webSocketTransport, type Transport } from './client/transport.js';
import { aborted, ConnectionLost, CraftecError, lacks } from './errors.js';
import { Objects } from './obj.js';
import { surroundings, type NodeOptions } from './options.js';
import { Sites } from './sites.js';
import { Sql } from './sql/sql.js';
import { BrowserStorage } from './storage.js';
import { support } from './support.js';
import { BROKER } from './tab/names.js';
import type { NodeBuild } from './tab/leader.js';
import { Tab, type TabOptions } from './tab/tab.js';
import type {
  BackupOptions,
  ClientRole,
  ClientStatus,
  Data,
  Events,
  Limit,
  Restored,
  RestoreOptions,
  ServeLimits,
  Status,
} from './types.js';
import type { Event, WireLimit } from './wire/types.js';

/** How long a remote node is tried again after its connection broke. */
const REDIAL_MS = 30_000;
/** How long a node may take to start again with another identity. */
const RESTART_MS = 30_000;

type Listener<K extends keyof Events> = (value: Events[K]) => void;

/** Where frames go, and who this client is there. */
interface Place {
  connect: (signal: AbortSignal) => Promise<Transport>;
  /** Takes the place of a node of an older app version; `false` when it is not older, or native. */
  outranks: () => boolean;
  /** Has a node with databases run in this one's place; `false` where there is no such build. */
  equip: () => Promise<boolean>;
  role: () => ClientRole;
  stop: () => void;
}

export class Node {
  readonly obj: Objects;
  readonly sites: Sites;
  readonly sql: Sql;
  /** What the browser promises about this origin's data. */
  readonly storage = new BrowserStorage();
  /** What the node calls itself, for instance `craftec/0.1.0`. */
  agent = '';
  did = '';
  peerId = '';
  private readonly listeners = new Map<keyof Events, Set<Listener<never>>>();
  private last: ClientStatus;

  private constructor(
    private readonly session: Session,
    private readonly place: Place,
    gateway: string,
  ) {
    this.last = { state: 'reconnecting', role: place.role() };
    this.obj = new Objects(session, (fn) => this.on('health', fn));
    this.sites = new Sites(session, gateway);
    this.sql = new Sql(session, place.equip);
    session.onevent = (event) => this.receive(event);
    session.onmissed(() => this.catchUp());
    session.onstate = (state, error) => {
      const status: ClientStatus = { state, role: place.role() };
      if (error) status.error = error;
      this.say(status);
    };
  }

  /** Use `createNode`. */
  static async create(options: NodeOptions): Promise<Node> {
    const { signal, remote } = options;
    if (signal?.aborted) throw aborted(signal);
    const { relays, gateway, stun } = await surroundings(options);
    let told: (role: ClientRole) => void = () => {};
    const rtc = options.rtc ?? (stun.length > 0 ? { iceServers: [{ urls: stun }] } : undefined);
    const chosen = rtc ? { ...options, rtc } : options;
    const place = remote ? far(remote) : near(chosen, relays, (role) => told(role));
    const node = new Node(new Session(place.connect, place.outranks), place, gateway);
    told = (role) => node.say({ ...node.last, role });
    try {
      const status = await within(node.status(), signal);
      node.did = status.did;
      node.peerId = status.peerId;
      node.agent = status.agent;
    } catch (error) {
      await node.stop();
      throw error;
    }
    signal?.addEventListener('abort', () => void node.stop(), { once: true });
    return node;
  }

  /** Whether this tab runs the node, another tab does, or a native one answers. */
  get role(): ClientRole {
    return this.place.role();
  }

  /** How this client stands with its node now; `on('status')` tells of changes. */
  get state(): ClientStatus {
    return this.last;
  }

  /** Who and how the node is. */
  async status(options: { signal?: AbortSignal } = {}): Promise<Status> {
    return camel(await this.session.ask('status', 'status', options.signal));
  }

  /** What others need to share something with this identity: one line, nothing of it secret. */
  async card(options: { signal?: AbortSignal } = {}): Promise<string> {
    return (await this.session.ask('identity_card', 'card', options.signal)).card;
  }

  /** Calls `fn` on each event until the returned function is called. */
  on<K extends keyof Events>(event: K, fn: Listener<K>): () => void {
    const set = this.listeners.get(event) ?? new Set<Listener<never>>();
    this.listeners.set(event, set);
    // One entry per call, so that a function given twice is called twice and removed once.
    const listener: Listener<K> = (value) => fn(value);
    set.add(listener);
    return () => void set.delete(listener);
  }

  /** Dials a multiaddr. */
  async connect(addr: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.session.ask({ connect: { addr } }, 'done', options.signal);
  }

  /** The 24 words behind this node's identity. */
  async backupWords(options: { signal?: AbortSignal } = {}): Promise<string[]> {
    return (await this.session.ask('backup_words', 'words', options.signal)).words;
  }

  /** The most bytes that this node keeps for others; `null` leaves it to the node. */
  async lendSpace(bytes: number | null, options: { signal?: AbortSignal } = {}): Promise<void> {
    if (bytes !== null && !(Number.isSafeInteger(bytes) && bytes >= 0)) {
      throw new CraftecError('bad_input', `${bytes} is not a number of bytes.`);
    }
    await this.session.ask({ lend_space: { bytes } }, 'done', options.signal);
  }

  /** What this node sends to others at most. Its own reading is never held back. */
  async serveLimits(limits: ServeLimits, options: { signal?: AbortSignal } = {}): Promise<void> {
    const [rate, monthly] = [wireLimit(limits.rate), wireLimit(limits.monthly)];
    await this.session.ask({ serve_limits: { rate, monthly } }, 'done', options.signal);
  }

  /**
   * Everything of one's own (identity, names, objects, settings) as one encrypted file, made while
   * it is read. A stream that fails was no backup.
   */
  backup(options: BackupOptions): ReadableStream<Uint8Array> {
    return backup(this.session, options);
  }

  /**
   * Takes a backup in: all of it, or nothing. Where it brings another identity, the node starts
   * again with it, and this resolves when it runs.
   */
  async restore(data: Data, options: RestoreOptions): Promise<Restored> {
    const restored = await restore(this.session, data, options);
    if (restored.restart) await this.becomes(restored.did, options.signal);
    return restored;
  }

  /** Ends this client, and the worker if this tab runs it. Calls under way are `aborted`. */
  async stop(): Promise<void> {
    this.session.stop();
    this.place.stop();
    await Promise.resolve();
  }

  /** Waits until the node that answers is the one of `did`. */
  private async becomes(did: string, signal?: AbortSignal): Promise<void> {
    const until = performance.now() + RESTART_MS;
    for (;;) {
      try {
        const status = await within(this.status(), signal);
        if (status.did === did) {
          this.did = did;
          this.peerId = status.peerId;
          return;
        }
      } catch (error) {
        // The old node has ended, and the new one is not there yet.
        if (signal?.aborted || performance.now() > until) throw error;
      }
      if (performance.now() > until) {
        throw new CraftecError('unavailable', 'The backup is restored; the node did not restart.', {
          hint: 'Reload every tab of this app.',
          retryable: false,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  private receive(event: Event): void {
    if (event.peers) this.emit('peers', camel(event.peers.peers));
    if (event.transfer) this.emit('transfer', camel(event.transfer));
    if (event.health) this.emit('health', camel(event.health));
  }

  /** What was lost is in the present state, which a listener of peers can be told at once. */
  private catchUp(): void {
    this.status().then(
      ({ peers }) => this.emit('peers', peers),
      () => {},
    );
  }

  private say(status: ClientStatus): void {
    this.last = status;
    this.emit('status', status);
  }

  private emit<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const listener of this.listeners.get(event) ?? []) {
      try {
        (listener as Listener<K>)(value);
      } catch (error) {
        // A listener's bug is its own; the others are still to be told.
        reportError(error);
      }
    }
  }
}

function wireLimit(limit: Limit): WireLimit {
  if (limit === 'default' || limit === 'unlimited') return limit;
  if (Number.isSafeInteger(limit) && limit >= 0) return { bytes: limit };
  throw new CraftecError('bad_input', `${String(limit)} is not a number of bytes.`);
}

/** A node of this browser. */
function near(options: NodeOptions, relays: string[], onrole: (role: ClientRole) => void): Place {
  const { missing, reduced } = support();
  if (missing.length > 0) {
    throw new CraftecError('unavailable', lacks(missing), {
      hint: 'Open the page over https or on localhost, in a current browser.',
      retryable: false,
    });
  }
  for (const { feature, effect } of reduced) {
    console.warn(`craftec: this browser has no ${feature}: ${effect}`);
  }
  const config: TabOptions['config'] = { relays };
  if (options.storage?.folder !== undefined) config.folder = options.storage.folder;
  if (options.storage?.lendBytes !== undefined) config.lendBytes = options.storage.lendBytes;
  if (options.storage?.mendSeconds !== undefined) config.mendSeconds = options.storage.mendSeconds;
  if (options.agent !== undefined) config.agent = options.agent;
  if (options.rtc !== undefined) config.rtc = { ...options.rtc };
  const tab = new Tab({
    config,
    build: (databases) => buildOf(options, databases),
    makeHub: () => makeBroker(options.sharedWorkerUrl),
  });
  tab.onrole = onrole;
  return {
    connect: (signal) => tab.connect(signal),
    outranks: () => tab.outranks(),
    equip: () => tab.equip(),
    role: () => tab.role,
    stop: () => tab.stop(),
  };
}

/** A native node. */
function far({ url, token }: { url: string; token: string }): Place {
  let reached = false;
  const connect = async (signal: AbortSignal): Promise<Transport> => {
    const until = performance.now() + REDIAL_MS;
    for (let pause = 200; ; pause = Math.min(pause * 2, 3_000)) {
      try {
        const transport = await webSocketTransport(url, token, signal);
        reached = true;
        return transport;
      } catch (error) {
        // A first dial that fails is an answer; a lost node may come back.
        if (!reached || signal.aborted || performance.now() > until) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (signal.aborted) throw new ConnectionLost();
    }
  };
  const equip = () => Promise.resolve(false);
  return { connect, outranks: () => false, equip, role: () => 'remote', stop: () => {} };
}

/** The node's build that is wanted. */
function buildOf(options: NodeOptions, databases: boolean): NodeBuild {
  const { workerUrl, wasmUrl } = databases ? (options.databases ?? {}) : options;
  const make = databases ? makeSqlWorker : makeWorker;
  const build: NodeBuild = { databases, makeWorker: () => make(workerUrl) };
  if (wasmUrl !== undefined) build.wasmUrl = new URL(wasmUrl, location.href).href;
  return build;
}

// The literal forms below are what bundlers look for; they must not be moved into variables.
function makeWorker(url: string | URL | undefined): Worker {
  if (url !== undefined) return new Worker(url, { type: 'module', name: 'craftec-node' });
  return new Worker(new URL('./worker.js', import.meta.url), {
    type: 'module',
    name: 'craftec-node',
  });
}

function makeSqlWorker(url: string | URL | undefined): Worker {
  if (url !== undefined) return new Worker(url, { type: 'module', name: 'craftec-node' });
  return new Worker(new URL('./worker-sql.js', import.meta.url), {
    type: 'module',
    name: 'craftec-node',
  });
}

function makeBroker(url: string | URL | undefined): MessagePort | undefined {
  if (typeof SharedWorker === 'undefined') return undefined;
  try {
    if (url !== undefined) return new SharedWorker(url, { type: 'module', name: BROKER }).port;
    return new SharedWorker(new URL('./broker.js', import.meta.url), {
      type: 'module',
      name: 'craftec-broker',
    }).port;
  } catch {
    // Refused (a partitioned frame, a policy): a BroadcastChannel does the same more slowly.
    return undefined;
  }
}
