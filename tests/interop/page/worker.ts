/** The worker of {@link Tab}: a probe (`crates/p2p/examples/tab_probe.rs`) and its methods. */

// @ts-expect-error made by wasm-bindgen
import init, { Probe } from './pkg/tab_probe.js';

type Call = { port: MessagePort } | { id: number; name: string; args: unknown[] };

/** Largest exchange. */
const BYTES_PER_CALL = 64 << 20;

let port: MessagePort | undefined;
let probe: Probe | undefined;
const ready = init({ module_or_path: new URL('./pkg/tab_probe_bg.wasm', import.meta.url) });

/** Bytes that differ from call to call, so that an answer can't be another call's. */
function sample(bytes: number): Uint8Array {
  if (bytes > BYTES_PER_CALL) throw new Error('too large');
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
  return data;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

const methods: Record<string, (...args: never[]) => unknown> = {
  start(relays: string[], ice?: unknown) {
    probe = Probe.start(crypto.getRandomValues(new Uint8Array(32)), port, relays, ice);
    return probe.id();
  },
  mesh: () => probe.mesh(),
  fill: (peer: string) => probe.fill(peer),
  finish: () => probe.finish(),
  drain: () => probe.drain(),
  addresses: () => probe.addresses(),
  peers: () => probe.peers(),
  connect: (address: string) => probe.connect(address),
  /** Has `bytes` echoed by `peer`; the milliseconds it took. */
  async exchange(peer: string, bytes: number) {
    const data = sample(bytes);
    const started = performance.now();
    const back = await probe.exchange(peer, data);
    if (!same(data, back)) throw new Error(`${back.length} other bytes came back`);
    return performance.now() - started;
  },
  /** Exchanges one after the other for `ms`; how many, and the errors. */
  async exchanges(peer: string, bytes: number, ms: number) {
    const until = performance.now() + ms;
    const errors: string[] = [];
    let done = 0;
    let slowest = 0;
    while (performance.now() < until) {
      try {
        const took = (await methods.exchange(peer as never, bytes as never)) as number;
        slowest = Math.max(slowest, took);
        done += 1;
      } catch (error) {
        errors.push(String(error));
      }
    }
    return { done, errors, slowest };
  },
  stop: () => probe.stop(),
};

self.onmessage = async ({ data }: MessageEvent<Call>) => {
  if ('port' in data) {
    port = data.port;
    return;
  }
  const { id, name, args } = data;
  try {
    await ready;
    const method = methods[name];
    if (!method) throw new Error('no such method');
    self.postMessage({ id, value: await method(...(args as never[])) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
