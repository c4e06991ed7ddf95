/**
 * js-libp2p as a foreign client of a relay, over WebSocket: ping, identify, our DHT, and 1 MiB of
 * blocks each way over our exchange protocol, which is written here once more from its description
 * (`crates/obj/src/exchange/wire.rs`).
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { CarBlockIterator } from '@ipld/car';
import * as dagCbor from '@ipld/dag-cbor';
import * as dagPb from '@ipld/dag-pb';
import { identify } from '@libp2p/identify';
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht';
import { peerIdFromString } from '@libp2p/peer-id';
import { ping } from '@libp2p/ping';
import { webSockets } from '@libp2p/websockets';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { base32 } from 'multiformats/bases/base32';
import { CID } from 'multiformats/cid';
import { blake3 } from './blake3.mjs';
import { pattern, program, read, Relay } from './stage.mjs';

const MIB = 1 << 20;
const EXCHANGE = '/craftec/obj/1';
const KAD = '/craftec/kad/1';
/** Longest frame of the exchange (`limits::FRAME_BYTES`). */
const FRAME_BYTES = 2 << 20;
let relay;
let node;
let peer;

before(async () => {
  relay = await Relay.start();
  node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0/ws'] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      // Of this machine's addresses too; what they hold is verified by whoever reads it.
      dht: kadDHT({ protocol: KAD, clientMode: false, peerInfoMapper: passthroughMapper }),
    },
  });
  await node.dial(multiaddr(await relay.address()));
  peer = peerIdFromString(relay.peer);
});

after(async () => {
  await node?.stop();
  await relay.end();
});

/** A key of our DHT in the shape of what js-libp2p takes for one: 32 bytes, no multihash. */
const keyOf = (bytes) => ({ multihash: { bytes, digest: bytes }, toString: () => 'a key' });

const varint = (value) => {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
};

/** Frames of a stream: a length and so many bytes. */
async function* frames(stream) {
  let held = Buffer.alloc(0);
  for await (const part of stream) {
    held = Buffer.concat([held, part.subarray()]);
    for (;;) {
      const at = held.findIndex((byte) => byte < 128);
      if (at < 0) break;
      const length = held.subarray(0, at + 1).reduceRight((sum, b) => sum * 128 + (b & 127), 0);
      assert.ok(length <= FRAME_BYTES, `a frame of ${length} bytes`);
      if (held.length < at + 1 + length) break;
      yield held.subarray(at + 1, at + 1 + length);
      held = held.subarray(at + 1 + length);
    }
  }
}

async function send(stream, message) {
  const body = dagCbor.encode(message);
  const bytes = Buffer.concat([varint(body.length), body]);
  for (let at = 0; at < bytes.length; at += 16_000) {
    if (!stream.send(bytes.subarray(at, at + 16_000))) await stream.onDrain();
  }
}

/** Asks for blocks until all are there, each checked. */
async function want(stream, answers, root, cids) {
  const found = new Map();
  for (;;) {
    const left = cids.filter((cid) => !found.has(String(cid))).slice(0, 256);
    if (left.length === 0) return cids.map((cid) => found.get(String(cid)));
    await send(stream, { want: { root, cids: left, budget: MIB } });
    const { blocks } = dagCbor.decode((await answers.next()).value);
    assert.deepEqual(blocks.missing, []);
    assert.ok(blocks.blocks.length > 0);
    for (const { at, bytes } of blocks.blocks) {
      const { digest } = await blake3.digest(bytes);
      assert.deepEqual(digest, left[at].multihash.digest, `${left[at]} does not match`);
      found.set(String(left[at]), bytes);
    }
  }
}

/**
 * A round trip in milliseconds. Now and then, on a busy machine, js-libp2p's first stream is closed
 * before it has written to it; why is not known, and one such stream is let pass.
 */
async function pinged() {
  try {
    return await node.services.ping.ping(peer);
  } catch (error) {
    if (error.name !== 'StreamStateError') throw error;
    console.log('js-libp2p lost its first stream:', error.message);
    return node.services.ping.ping(peer);
  }
}

test('ping and identify', async () => {
  assert.ok((await pinged()) >= 0);
  const connection = node.getConnections(peer)[0];
  assert.match(String(connection.remoteAddr), /\/ws\/p2p\//);
  const told = await node.services.identify.identify(connection);
  assert.match(told.agentVersion, /^craftec\/.* \(relay\)$/);
  assert.equal(told.protocolVersion, '/craftec/1');
  for (const name of [EXCHANGE, KAD, '/libp2p/circuit/relay/0.2.0/hop']) {
    assert.ok(told.protocols.includes(name), `${name} in ${told.protocols}`);
  }
});

test('1 MiB from the relay', async () => {
  const data = pattern(1, MIB);
  const root = CID.parse(await relay.put('down.bin', data));
  const stream = await node.getConnections(peer)[0].newStream(EXCHANGE);
  const answers = frames(stream);
  const [top] = await want(stream, answers, root, [root]);
  const leaves = dagPb.decode(top).Links.map(({ Hash }) => Hash);
  assert.ok(leaves.length > 1);
  const blocks = await want(stream, answers, root, leaves);
  assert.ok(Buffer.concat(blocks).equals(data));

  await send(stream, { have: { cids: [root, CID.createV1(0x55, await blake3.digest(data))] } });
  assert.deepEqual(dagCbor.decode((await answers.next()).value), { held: Uint8Array.of(1) });
  // What is no question is refused in words, and the stream lives on.
  await send(stream, { want: { root, cids: [], budget: 1 } });
  assert.match(dagCbor.decode((await answers.next()).value).refused, /0 CIDs asked for/);
  await send(stream, { have: { cids: [root] } });
  assert.deepEqual(dagCbor.decode((await answers.next()).value), { held: Uint8Array.of(1) });
  await stream.close();
});

test('1 MiB to the relay, which finds its holder in the DHT', { timeout: 60_000 }, async (t) => {
  // Another node makes the blocks; only js-libp2p brings them here.
  const author = await Relay.start();
  t.after(() => author.end());
  const data = pattern(2, MIB);
  const root = CID.parse(await author.put('up.bin', data));
  const car = await fetch(`${author.url}/ipfs/${root}?format=car`);
  const blocks = new Map();
  for await (const { cid, bytes } of await CarBlockIterator.fromIterable(car.body)) {
    blocks.set(String(cid), bytes);
  }
  let served = 0;
  const serve = async (stream) => {
    for await (const frame of frames(stream)) {
      const { want, have } = dagCbor.decode(frame);
      if (have) {
        const held = new Uint8Array(Math.ceil(have.cids.length / 8));
        have.cids.forEach((cid, at) => (held[at >> 3] |= blocks.has(String(cid)) << (at & 7)));
        await send(stream, { held });
        continue;
      }
      const answer = { blocks: [], missing: [] };
      let budget = Math.min(want.budget, MIB);
      for (const [at, cid] of want.cids.entries()) {
        const bytes = blocks.get(String(cid));
        if (!bytes) answer.missing.push(at);
        else if (answer.blocks.length > 0 && bytes.length > budget) break;
        else {
          answer.blocks.push({ at, bytes });
          budget -= bytes.length;
          served += bytes.length;
        }
      }
      await send(stream, { blocks: answer });
    }
  };
  await node.handle(EXCHANGE, serve);
  const key = keyOf(root.multihash.digest);
  for await (const _ of node.services.dht.provide(key)) void _;
  const out = join(relay.home, 'up.out');
  await relay.cli('get', String(root), '-o', out);
  assert.ok((await read(out)).equals(data));
  assert.ok(served > MIB, `${served} bytes came from js-libp2p`);
});

/** Asks again for a while: announcements take their time. */
async function eventually(look) {
  const end = Date.now() + 25_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error('the DHT has nothing');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const field = (number, bytes) => [Uint8Array.of((number << 3) | 2), varint(bytes.length), bytes];

/** The fields of a protobuf message that are bytes. */
function fields(bytes) {
  const found = {};
  for (let at = 0; at < bytes.length;) {
    const next = () => {
      let value = 0;
      for (let shift = 1; ; shift *= 128) {
        value += (bytes[at] & 127) * shift;
        if (bytes[(at += 1) - 1] < 128) return value;
      }
    };
    const tag = next();
    const value = next();
    if ((tag & 7) === 2) {
      found[tag >> 3] = bytes.subarray(at, at + value);
      at += value;
    }
  }
  return found;
}

/**
 * One message of our DHT as the libp2p specification has it, and the record of its answer:
 * js-libp2p's own `get` and `put` want keys with a namespace, which ours have not.
 */
async function kad(type, key, record) {
  const stream = await node.getConnections(peer)[0].newStream(KAD);
  const parts = [Uint8Array.of(8, type), ...field(2, key)];
  if (record) parts.push(...field(3, Buffer.concat([...field(1, key), ...field(2, record)])));
  const body = Buffer.concat(parts);
  stream.send(Buffer.concat([varint(body.length), body]));
  for await (const frame of frames(stream)) {
    await stream.close();
    const { 3: found } = fields(frame);
    return found && fields(found)[2];
  }
  return undefined;
}

test('records and providers of the DHT', { timeout: 60_000 }, async () => {
  const { dht } = node.services;
  const folder = await relay.folder('named', { 'index.html': 'named' });
  const { cid, label } = await relay.cli('site', 'publish', folder, '--name', 'blog');
  const root = keyOf(CID.parse(cid).multihash.digest);
  await eventually(async () => {
    for await (const { name, providers } of dht.findProviders(root)) {
      if (name === 'PROVIDER' && providers.some(({ id }) => String(id) === relay.peer)) return true;
    }
    return false;
  });

  // A name's label is its key in the DHT; the record is signed and carries the root.
  const key = base32.decode(`b${label.slice(1)}`);
  const [PUT, GET] = [0, 1];
  const value = await eventually(() => kad(GET, key));
  const record = dagCbor.decode(value);
  const head = record.head.head.head;
  assert.deepEqual([String(head.root), head.name], [cid, 'blog']);

  // A record that nobody signed is not kept: the name still leads to what its owner said.
  head.root = CID.parse(await relay.put('other.txt', 'another'));
  head.seq += 1;
  await kad(PUT, key, dagCbor.encode(record)).catch(() => {});
  assert.deepEqual(await kad(GET, key), value);
  const { code, stdout } = await program(
    'curl',
    ...['-sS', '-H', `Host: ${label}.craftec.localhost:${relay.port}`, `${relay.url}/`],
  );
  assert.deepEqual([code, stdout.toString()], [0, 'named']);
});
