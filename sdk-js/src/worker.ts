/**
 * The dedicated worker that runs the node: loads the wasm, hands it the page's WebRTC, and attaches
 * one session per client. Holds a Web Lock as long as the node lives, by which everyone else learns
 * of its end; tells the page when the wasm panicked, and does nothing more after that.
 */

import init, { TabNode } from '../pkg/node.js';
import { BYE, watchLock } from './client/transport.js';
import { CraftecError, lacks } from './errors.js';
import {
  CHANNEL,
  holdLock,
  type Attach,
  type ChannelMessage,
  type FromWorker,
  type ToWorker,
} from './tab/names.js';

/** Sessions of this origin at one time; sites have a limit of their own in the node. */
const SESSIONS = 256;

let node: TabNode | undefined;
let broken = false;
let sessions = 0;
const early: Attach[] = [];
const running = new AbortController();

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

/** Answers clients that have no SharedWorker, or another version of it. */
function announce(life: string) {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<ChannelMessage>) => {
    if (data.t === 'who') channel.postMessage({ t: 'leader', life } satisfies ChannelMessage);
    if (data.t !== 'call' || data.life !== life) return;
    attach({ t: 'attach', port: overBroadcast(data.channel), client: data.client });
    channel.postMessage({ t: 'called', channel: data.channel } satisfies ChannelMessage);
  };
  channel.postMessage({ t: 'leader', life } satisfies ChannelMessage);
}

/** A port whose other end speaks over the BroadcastChannel `name`. */
function overBroadcast(name: string): MessagePort {
  const air = new BroadcastChannel(name);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }: MessageEvent) => air.postMessage(data);
  air.onmessage = ({ data }: MessageEvent) => {
    port1.postMessage(data);
    if (data === BYE) air.close();
  };
  return port2;
}

async function start(message: ToWorker & { t: 'start' }) {
  if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) {
    // Only a worker can see it.
    const what = ['synchronous files in the private file system (createSyncAccessHandle)'];
    const hint = 'Use a current browser.';
    tell({ t: 'failed', error: new CraftecError('unavailable', lacks(what), { hint }).toApi() });
    return;
  }
  if (message.hub) message.hub.onmessage = ({ data }: MessageEvent<Attach>) => attach(data);
  try {
    const wasm = message.wasmUrl ?? new URL('./node_bg.wasm', import.meta.url);
    await init({ module_or_path: wasm });
    node = await TabNode.start(message.config, message.rtc, panicked);
  } catch (error) {
    if (!broken) tell({ t: 'failed', error: CraftecError.from(error).toApi() });
    return;
  }
  await holdLock(message.life, running.signal);
  announce(message.life);
  for (const request of early.splice(0)) attach(request);
  tell({ t: 'ready' });
}

/** Ends the node in good order: connections closed, files let go of. */
async function stop() {
  if (!broken) await node?.stop();
  running.abort();
  tell({ t: 'stopped' });
  self.close();
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.t === 'start') void start(data);
  else if (data.t === 'attach') attach(data);
  else void stop();
};

// A trap without a Rust panic (stack, memory) ends the node as well.
self.addEventListener('error', (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) panicked(event.message);
});
self.addEventListener('unhandledrejection', (event) => {
  if (event.reason instanceof WebAssembly.RuntimeError) panicked(String(event.reason));
});
