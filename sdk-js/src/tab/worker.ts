/**
 * The dedicated worker that runs the node: loads the wasm, hands it the page's WebRTC, and attaches
 * one session per client. Holds a Web Lock as long as the node lives, by which everyone else learns
 * of its end, and gives a beat every second, by which they learn that it still turns; tells the
 * page when the wasm panicked, and does nothing more after that. Ends itself when it hears of a
 * later epoch than its own.
 */

import { BYE, watchLock } from '../client/transport.js';
import { CraftecError, lacks } from '../errors.js';
import { VERSIONS } from '../wire/frames.js';
import { beginEpoch, presentEpoch } from './epoch.js';
import {
  BEAT_MS,
  CHANNEL,
  holdLock,
  type Attach,
  type ChannelMessage,
  type FromWorker,
  type ToWorker,
} from './names.js';

/** A node of this page's browser. */
interface TabNode {
  attach(port: MessagePort): number;
  attach_site(port: MessagePort, root: string): number;
  detach(session: number): void;
  stop(): Promise<void>;
}

/** The wasm that is run. */
export interface Build {
  init(options: { module_or_path: string | URL }): Promise<unknown>;
  start(config: unknown, page: MessagePort, panicked: (message: string) => void): Promise<TabNode>;
  /** Where it is, unless the page says otherwise. */
  url: URL;
}

/** A pause between two beats after which another may have taken over: it is looked up. */
const LATE_MS = 3 * BEAT_MS;
/** One after which no connection can have lived: the other sides have given up. */
const SLEPT_MS = 30_000;
/** Sessions of this origin at one time; sites have a limit of their own in the node. */
const SESSIONS = 256;

let build: Build;
let node: TabNode | undefined;
let broken = false;
/** The node closes its files: who asks for a session now is sent on to the next node. */
let stopping = false;
let sessions = 0;
const early: Attach[] = [];
const running = new AbortController();
/** Of this worker; 0 until it is known. */
let epoch = 0;

function tell(message: FromWorker) {
  self.postMessage(message);
}

/** After a panic the wasm's memory can't be trusted: the page ends this worker. */
function panicked(message: string) {
  if (broken) return;
  broken = true;
  tell({ t: 'panic', message });
}

function attach(request: Attach) {
  if (broken) return;
  if (!node) {
    early.push(request);
    return;
  }
  const { site, port, client } = request;
  if (stopping) return port.postMessage(BYE);
  try {
    if (site !== undefined) {
      node.attach_site(port, site);
      return;
    }
    if (client === undefined || sessions >= SESSIONS) throw new Error('too many sessions');
    const id = node.attach(port);
    sessions += 1;
    watchLock(client, running.signal, () => {
      sessions -= 1;
      if (!broken) node?.detach(id);
    });
  } catch (error) {
    console.warn('craftec: a session was refused:', error);
    port.postMessage(BYE);
  }
}

/** Takes sessions from a broker. */
function hear(hub: MessagePort) {
  hub.onmessage = ({ data }: MessageEvent<Attach>) => attach(data);
}

/** Answers clients that have no SharedWorker, or another version of it. */
function announce(channel: BroadcastChannel, life: string) {
  const say = (message: ChannelMessage) => channel.postMessage(message);
  channel.addEventListener('message', ({ data }: MessageEvent<ChannelMessage>) => {
    if (data.t === 'who') say({ t: 'leader', life, epoch, versions: VERSIONS });
    if (data.t !== 'call' || data.life !== life) return;
    attach({ t: 'attach', port: overBroadcast(data.channel), client: data.client });
    say({ t: 'called', channel: data.channel });
  });
  say({ t: 'leader', life, epoch, versions: VERSIONS });
}

/** Gives beats from now on, and finds out after each pause whether another reigns. */
function beat(channel: BroadcastChannel, life: string) {
  let last = performance.now();
  const give = async () => {
    const now = performance.now();
    const late = now - last;
    last = now;
    if (late > LATE_MS && epoch > 0) {
      const present = await presentEpoch();
      if (present !== undefined && present > epoch) return deposed(present);
    }
    if (late > SLEPT_MS && node) tell({ t: 'slept' });
    channel.postMessage({ t: 'beat', life, epoch, versions: VERSIONS } satisfies ChannelMessage);
  };
  setInterval(() => void give(), BEAT_MS);
  channel.addEventListener('message', ({ data }: MessageEvent<ChannelMessage>) => {
    if (data.t !== 'beat' && data.t !== 'leader') return;
    if (epoch > 0 && data.epoch !== undefined && data.epoch > epoch) deposed(data.epoch);
  });
  void give();
}

/** Another worker reigns. Whatever this one was about to do is dropped, and its files let go of. */
function deposed(by: number) {
  if (broken) return;
  broken = true;
  console.warn(`craftec: a node of epoch ${by} runs; this one of epoch ${epoch} ends`);
  tell({ t: 'deposed', epoch: by });
  self.close();
}

/** A port whose other end speaks over the BroadcastChannel `name`. */
function overBroadcast(name: string): MessagePort {
  const air = new BroadcastChannel(name);
  const { port1, port2 } = new MessageChannel();
  const end = () => {
    port1.close();
    air.close();
  };
  port1.onmessage = ({ data }: MessageEvent) => {
    air.postMessage(data);
    if (data === BYE) end();
  };
  air.onmessage = ({ data }: MessageEvent) => {
    port1.postMessage(data);
    if (data === BYE) end();
  };
  return port2;
}

let loaded: Promise<unknown> | undefined;

/** Loads the wasm, once; after a failure again when asked again. */
function load(wasmUrl?: string): Promise<unknown> {
  loaded ??= build.init({ module_or_path: wasmUrl ?? build.url }).catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function warm(wasmUrl?: string) {
  try {
    await load(wasmUrl);
    tell({ t: 'warm' });
  } catch (error) {
    tell({ t: 'failed', error: CraftecError.from(error).toApi() });
  }
}

async function start(message: ToWorker & { t: 'start' }) {
  if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) {
    // Only a worker can see it.
    const what = ['synchronous files in the private file system (createSyncAccessHandle)'];
    const hint = 'Use a current browser.';
    tell({ t: 'failed', error: new CraftecError('unavailable', lacks(what), { hint }).toApi() });
    return;
  }
  const channel = new BroadcastChannel(CHANNEL);
  beat(channel, message.life);
  try {
    [epoch] = await Promise.all([beginEpoch(), load(message.wasmUrl)]);
    node = await build.start(message.config, message.rtc, panicked);
  } catch (error) {
    if (!broken) tell({ t: 'failed', error: CraftecError.from(error).toApi() });
    return;
  }
  await holdLock(message.life, running.signal);
  announce(channel, message.life);
  for (const request of early.splice(0)) attach(request);
  tell({ t: 'ready', epoch });
}

/** Ends the node in good order: connections closed, files let go of. */
async function stop() {
  stopping = true;
  // First: from now on clients look for the next node.
  running.abort();
  if (!broken) await node?.stop();
  tell({ t: 'stopped' });
  self.close();
}

/** Runs the node of `which` for the page that made this worker. */
export function serve(which: Build): void {
  build = which;
  self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
    if (data.t === 'start') void start(data);
    else if (data.t === 'attach') attach(data);
    else if (data.t === 'hub') hear(data.hub);
    else if (data.t === 'warm') void warm(data.wasmUrl);
    else void stop();
  };

  // A trap without a Rust panic (stack, memory) ends the node as well.
  self.addEventListener('error', (event) => {
    if (event.error instanceof WebAssembly.RuntimeError) panicked(event.message);
  });
  self.addEventListener('unhandledrejection', (event) => {
    if (event.reason instanceof WebAssembly.RuntimeError) panicked(String(event.reason));
  });
}
