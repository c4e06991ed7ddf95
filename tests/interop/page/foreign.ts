/**
 * A page with js-libp2p: a foreign client that knows the libp2p WebRTC specification and nothing of
 * ours but the echo protocol's name. Driven by the tests: `foreign.…`.
 */

import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { webRTC } from '@libp2p/webrtc';
import { webSockets } from '@libp2p/websockets';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

const ECHO = '/craftec/echo/1';

const create = (relay: string) =>
  createLibp2p({
    addresses: { listen: [`${relay}/p2p-circuit`, '/webrtc'] },
    transports: [
      webSockets(),
      webRTC({ rtcConfiguration: { iceServers: [] } }),
      circuitRelayTransport(),
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
    connectionGater: { denyDialMultiaddr: () => false },
  });

let node: Awaited<ReturnType<typeof create>>;

/** All bytes of a stream up to its end. */
async function read(stream: AsyncIterable<{ subarray(): Uint8Array }>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.subarray().slice());
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

/** Sends all of `data` with back-pressure. */
async function write(stream: any, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; at += 16_000) {
    if (!stream.send(data.subarray(at, at + 16_000))) await stream.onDrain();
  }
}

const foreign = {
  /** Starts with a circuit on `relay`; the peer's id. */
  async start(relay: string) {
    node = await create(relay);
    const echo = async (stream: any) => {
      await write(stream, await read(stream));
      await stream.close();
    };
    await node.handle(ECHO, echo, { runOnLimitedConnection: true });
    return node.peerId.toString();
  },
  addresses: () => node.getMultiaddrs().map(String),
  /** Connects; the address in use. */
  async dial(address: string, ms: number) {
    const signal = AbortSignal.timeout(ms);
    return (await node.dial(multiaddr(address), { signal })).remoteAddr.toString();
  },
  /** Drops all direct connections to a peer. */
  async hangUp(peer: string) {
    const all = node.getConnections().filter((c) => c.remotePeer.toString() === peer);
    await Promise.all(all.map((c) => c.close()));
  },
  /** Round trip over WebRTC in milliseconds. */
  async ping(peer: string) {
    const connection = direct(peer);
    return node.services.ping.ping(connection.remotePeer, { signal: AbortSignal.timeout(10_000) });
  },
  /** What the peer says of itself over WebRTC. */
  async identify(peer: string) {
    const told = await node.services.identify.identify(direct(peer));
    return { agent: told.agentVersion, protocols: told.protocols };
  },
  /** Has `bytes` echoed over WebRTC; milliseconds. */
  async exchange(peer: string, bytes: number) {
    const data = new Uint8Array(bytes).map((_, at) => (at * 31) >> 3);
    const started = performance.now();
    const stream: any = await direct(peer).newStream(ECHO, { signal: AbortSignal.timeout(20_000) });
    const reading = read(stream);
    await write(stream, data);
    await stream.close();
    const back = await reading;
    if (back.length !== bytes || back.some((byte, at) => byte !== data[at])) {
      throw new Error(`${back.length} other bytes came back`);
    }
    return performance.now() - started;
  },
  links: (peer: string) =>
    node
      .getConnections()
      .filter((c) => c.remotePeer.toString() === peer)
      .map((c) => c.remoteAddr.toString()),
};

function direct(peer: string) {
  const found = node
    .getConnections()
    .find((c) => c.remotePeer.toString() === peer && /\/webrtc/.test(c.remoteAddr.toString()));
  if (!found) throw new Error('not connected over WebRTC');
  return found;
}

Object.assign(globalThis, { foreign });
