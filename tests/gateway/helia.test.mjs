/**
 * Helia's verified fetch reads our files and folders through the local gateway, checking every
 * block itself: UnixFS, HAMT, paths and BLAKE3 are all other people's code.
 */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { withHTTP } from '@helia/http';
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch';
import { createHeliaLight } from 'helia';
import { blake3 } from './blake3.mjs';
import { pattern, Relay } from './stage.mjs';

/** Enough names that a folder is a HAMT of several blocks. */
const MANY = 12_000;
const LARGE = pattern(9, 5_000_000);
const nameOf = (n) => `entry number ${String(n).padStart(6, '0')} of many with a long name.txt`;
let relay;
let verifiedFetch;
let folder;
let large;
let small;
let many;

/** Helia with one gateway and no other network. */
async function fetchThrough(gateway) {
  const helia = withHTTP(createHeliaLight({ hashers: [blake3] }), {
    delegatedRouters: [],
    recursiveGateways: [gateway],
    allowLocal: true,
    allowInsecure: true,
  });
  // Helia turns to its gateways only when another router found nobody.
  helia.addRouter({ name: 'nobody', async *findProviders() {} });
  await helia.start();
  return createVerifiedFetchWithHelia(helia);
}

before(async () => {
  relay = await Relay.start();
  small = await relay.put('small.txt', 'a small file');
  large = await relay.put('large.bin', LARGE);
  folder = await relay.publish('site', {
    'index.html': '<h1>home</h1>',
    'docs/index.html': '<h1>docs</h1>',
    'docs/日本 語.txt': 'nihongo',
    'docs/large.bin': LARGE,
  });
  const names = Array.from({ length: MANY }, (_, n) => [nameOf(n), `content ${n}`]);
  many = await relay.publish('many', Object.fromEntries(names));
  verifiedFetch = await fetchThrough(relay.url);
});

after(async () => {
  await verifiedFetch?.stop();
  await relay.end();
});

const get = (path, options = {}) =>
  verifiedFetch(`ipfs://${path}`, { signal: AbortSignal.timeout(60_000), ...options });
const bytesOf = async (response) => Buffer.from(await response.arrayBuffer());

test('a small file and a large one', async () => {
  const response = await get(small);
  assert.equal(response.status, 200);
  assert.equal(await response.text(), 'a small file');
  assert.ok((await bytesOf(await get(large))).equals(LARGE));
});

test('a part of a large file', async () => {
  const response = await get(large, { headers: { range: 'bytes=1000000-1999999' } });
  assert.equal(response.status, 206);
  assert.equal(response.headers.get('content-range'), `bytes 1000000-1999999/${LARGE.length}`);
  assert.ok((await bytesOf(response)).equals(LARGE.subarray(1_000_000, 2_000_000)));
});

test('a folder by its index, its paths, and what it has not', async () => {
  assert.equal(await (await get(`${folder}/`)).text(), '<h1>home</h1>');
  assert.equal(await (await get(`${folder}/docs/`)).text(), '<h1>docs</h1>');
  const name = encodeURIComponent('日本 語.txt');
  assert.equal(await (await get(`${folder}/docs/${name}`)).text(), 'nihongo');
  assert.ok((await bytesOf(await get(`${folder}/docs/large.bin`))).equals(LARGE));
  assert.equal((await get(`${folder}/nothing.txt`)).status, 404);
});

test('a file in a folder of twelve thousand', async () => {
  for (const n of [0, 4711, MANY - 1]) {
    const response = await get(`${many}/${encodeURIComponent(nameOf(n))}`);
    assert.equal(await response.text(), `content ${n}`);
  }
  assert.equal((await get(`${many}/${encodeURIComponent(nameOf(MANY))}`)).status, 404);
});

test('a gateway that lies is found out', async () => {
  // The same question through a proxy that changes one byte.
  const liar = createServer(async (request, response) => {
    const answer = await fetch(relay.url + request.url);
    const body = Buffer.from(await answer.arrayBuffer());
    if (body.length > 0) body[0] ^= 1;
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') });
    response.end(body);
  });
  await new Promise((resolve) => liar.listen(0, '127.0.0.1', resolve));
  const cheated = await fetchThrough(`http://127.0.0.1:${liar.address().port}`);
  try {
    const signal = AbortSignal.timeout(10_000);
    const text = await cheated(`ipfs://${small}`, { signal }).then(
      (response) => (response.ok ? response.text() : 'refused'),
      () => 'refused',
    );
    assert.equal(text, 'refused');
  } finally {
    await cheated.stop();
    liar.close();
  }
});
