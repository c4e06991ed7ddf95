/** The node as a page holds it: identity, status, events, and its parts. */

import { camel } from './client/camel.js';
import { Session, within } from './client/session.js';
import { webSocketTransport, type Transport } from './client/transport.js';
import { aborted, ConnectionLost, CraftecError } from './errors.js';
import { Objects } from './obj.js';
import { surroundings, type NodeOptions } from './options.js';
import { Sites } from './sites.js';
import { BROKER } from './tab/names.js';
import { Tab, type TabOptions } from './tab/tab.js';
import type { ClientRole, ClientStatus, Events, Status } from './types.js';
import type { Event } from './wire/types.js';

/** How long a remote node is tried again after its connection broke. */
const REDIAL_MS = 30_000;

type Listener<K extends keyof Events> = (value: Events[K]) => void;

/** Where frames go, and who this client is there. */
interface Place {
  connect: (signal: AbortSignal) => Promise<Transport>;
  /** Takes the place of a node of an older app version; `false` when it is not older, or native. */
  outranks: () => boolean;
  role: () => ClientRole;
  stop: () => void;
}

export class Node {
  readonly obj: Objects;
  readonly sites: Sites;
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
    session.onevent = (event) => this.receive(event);
    session.onmoved(() => this.catchUp());
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
    const { relays, gateway } = await surroundings(options);
    let told: (role: ClientRole) => void = () => {};
    const place = remote ? far(remote) : near(options, relays, (role) => told(role));
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

  /** Ends this client, and the worker if this tab runs it. Calls under way are `aborted`. */
  async stop(): Promise<void> {
    this.session.stop();
    this.place.stop();
    await Promise.resolve();
  }

  private receive(event: Event): void {
    if (event.peers) this.emit('peers', camel(event.peers.peers));
    if (event.transfer) this.emit('transfer', camel(event.transfer));
    if (event.health) this.emit('health', camel(event.health));
    if (event.lagged) this.catchUp();
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

/** A node of this browser. */
function near(options: NodeOptions, relays: string[], onrole: (role: ClientRole) => void): Place {
  const missing = missingFeature();
  if (missing !== undefined) {
    throw new CraftecError('unavailable', `This browser can't run a node: no ${missing}.`, {
      hint: 'Open the page over https or on localhost, in a current browser.',
      retryable: false,
    });
  }
  const config: TabOptions['config'] = { relays };
  if (options.storage?.folder !== undefined) config.folder = options.storage.folder;
  if (options.storage?.lendBytes !== undefined) config.lendBytes = options.storage.lendBytes;
  if (options.agent !== undefined) config.agent = options.agent;
  if (options.rtc !== undefined) config.rtc = { ...options.rtc };
  const setting: TabOptions = {
    config,
    makeWorker: () => makeWorker(options.workerUrl),
    makeHub: () => makeBroker(options.sharedWorkerUrl),
  };
  if (options.wasmUrl !== undefined) setting.wasmUrl = new URL(options.wasmUrl, location.href).href;
  const tab = new Tab(setting);
  tab.onrole = onrole;
  return {
    connect: (signal) => tab.connect(signal),
    outranks: () => tab.outranks(),
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
  return { connect, outranks: () => false, role: () => 'remote', stop: () => {} };
}

// The literal form below is what bundlers look for; it must not be moved into variables.
function makeWorker(url: string | URL | undefined): Worker {
  if (url !== undefined) return new Worker(url, { type: 'module', name: 'craftec-node' });
  return new Worker(new URL('./worker.js', import.meta.url), {
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

function missingFeature(): string | undefined {
  if (typeof Worker === 'undefined' || typeof document === 'undefined') return 'web workers';
  if (!('locks' in navigator)) return 'Web Locks';
  if (!navigator.storage?.getDirectory) return 'private file system (OPFS)';
  return undefined;
}
