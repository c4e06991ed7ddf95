/** The gateway and sites as curl sees them: what RFC 9110 and 9112 and the gateway specs say. */

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { pattern, program, read, Relay } from './stage.mjs';

const SIZE = 2_500_000;
const BYTES = pattern(5, SIZE);
const IMMUTABLE = 'public, max-age=31536000, immutable';
let relay;
let site;
let block;
let file;
let heads = 0;

before(async () => {
  relay = await Relay.start();
  site = await relay.publish('site', {
    'index.html': '<h1>hello</h1>',
    'big.bin': BYTES,
    'empty.txt': '',
    'sub/b c.txt': 'spaces',
    '404.html': 'nothing here',
  });
  block = await relay.put('small.txt', 'small');
  file = await relay.put('big.bin', BYTES);
});

after(() => relay.end());

/** One request by curl: status, headers (lower case, last value), body. */
async function curl(url, ...options) {
  const out = join(relay.home, `head-${(heads += 1)}.txt`);
  const common = ['-sS', '--noproxy', '*', '--max-time', '60', '-D', out];
  const ran = await program('curl', ...common, ...options, url);
  assert.equal(ran.code, 0, `curl ${url}: ${ran.stderr}`);
  const blocks = (await read(out)).toString().trim().split('\r\n\r\n');
  const [line, ...fields] = blocks.at(-1).split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => {
      const at = field.indexOf(':');
      return [field.slice(0, at).toLowerCase(), field.slice(at + 1).trim()];
    }),
  );
  return { line, status: Number(line.split(' ')[1]), headers, body: ran.stdout };
}

const ofSite = (path, ...options) => {
  const host = `${site}.craftec.localhost:${relay.port}`;
  return curl(`${relay.url}${path}`, '--path-as-is', '-H', `Host: ${host}`, ...options);
};
const ofGateway = (path, ...options) => curl(`${relay.url}/ipfs/${path}`, ...options);

/** What goes over the connection as it is, until the server closes it. */
function raw(text) {
  return new Promise((resolve, reject) => {
    const socket = connect(relay.port, '127.0.0.1', () => socket.write(text));
    const parts = [];
    socket.on('data', (part) => parts.push(part));
    socket.on('end', () => resolve(Buffer.concat(parts).toString('latin1')));
    socket.on('error', reject);
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
  });
}

for (const [name, get] of [
  ['a site', (...options) => ofSite('/big.bin', ...options)],
  ['a path of the gateway', (...options) => ofGateway(`${block}?format=raw`, ...options)],
]) {
  const whole = name === 'a site' ? BYTES : Buffer.from('small');
  const size = whole.length;

  test(`ranges of ${name}`, async () => {
    for (const [range, from, to] of [
      ['0-0', 0, 1],
      ['1-3', 1, 4],
      ['2-', 2, size],
      ['-2', size - 2, size],
      [`-${size * 2}`, 0, size],
      [`1-${size * 2}`, 1, size],
    ]) {
      const { status, headers, body } = await get('-r', range);
      assert.equal(status, 206, range);
      assert.equal(headers['content-range'], `bytes ${from}-${to - 1}/${size}`);
      assert.equal(headers['content-length'], String(to - from));
      assert.ok(body.equals(whole.subarray(from, to)), range);
    }
    for (const range of [`${size}-`, `${size * 3}-${size * 4}`, '-0']) {
      const { status, headers } = await get('-r', range);
      assert.equal(status, 416, range);
      assert.equal(headers['content-range'], `bytes */${size}`);
      assert.equal(headers['cache-control'], 'no-store');
    }
    // Several ranges, another unit and nonsense may be answered by the whole.
    for (const range of ['bytes=0-0,2-3', 'bytes=3-1', 'lines=0-1', 'bytes=x']) {
      const { status, headers, body } = await get('-H', `Range: ${range}`);
      assert.equal(status, 200, range);
      assert.equal(headers['content-range'], undefined);
      assert.ok(body.equals(whole), range);
    }
  });

  test(`conditions and HEAD of ${name}`, async () => {
    const { status, headers, body } = await get();
    assert.equal(status, 200);
    assert.ok(body.equals(whole));
    assert.equal(headers['content-length'], String(size));
    assert.equal(headers['cache-control'], IMMUTABLE);
    assert.equal(headers['accept-ranges'], 'bytes');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['set-cookie'], undefined);
    const { etag } = headers;
    assert.match(etag, /^"baf[a-z2-7]{56}(\.raw)?"$/);

    const head = await get('-I');
    assert.equal(head.status, 200);
    assert.equal(head.body.toString().split('\r\n\r\n')[1], '');
    for (const name of ['content-length', 'content-type', 'etag', 'cache-control']) {
      assert.equal(head.headers[name], headers[name], name);
    }
    for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const held = await get('-H', `If-None-Match: ${tags}`);
      assert.equal(held.status, 304, tags);
      assert.equal(held.body.length, 0);
      assert.equal(held.headers.etag, etag);
      assert.equal(held.headers['cache-control'], IMMUTABLE);
    }
    assert.equal((await get('-H', 'If-None-Match: "other"')).status, 200);
    assert.equal((await get('-r', '0-0', '-H', `If-Range: ${etag}`)).status, 206);
    for (const condition of ['"other"', `W/${etag}`, 'Thu, 01 Jan 2026 00:00:00 GMT']) {
      assert.equal((await get('-r', '0-0', '-H', `If-Range: ${condition}`)).status, 200);
    }
    // A range of what the client has already is still nothing new.
    assert.equal((await get('-r', '0-0', '-H', `If-None-Match: ${etag}`)).status, 304);
  });
}

test('what the gateway is asked for by name or by Accept', async () => {
  const car = 'application/vnd.ipld.car';
  const byAccept = (accept) => ofGateway(site, '-H', `Accept: ${accept}`);
  assert.equal((await byAccept('application/vnd.ipld.raw')).headers.etag, `"${site}.raw"`);
  const whole = await byAccept(`${car}; version=1`);
  assert.equal(whole.headers['content-type'], `${car}; version=1; order=unk; dups=n`);
  assert.equal(whole.headers.etag, `W/"${site}.car"`);
  assert.match(whole.headers['content-disposition'], /^attachment; filename="baf[a-z2-7]+\.car"$/);
  assert.equal(whole.headers['x-ipfs-path'], `/ipfs/${site}`);
  assert.equal((await ofGateway(site)).status, 406);
  assert.equal((await byAccept('text/html')).status, 406);
  assert.equal((await byAccept(`${car}; version=2`)).status, 406);
  const again = await ofGateway(`${site}?format=car`, '-H', `If-None-Match: W/"${site}.car"`);
  assert.equal(again.status, 304);
  const head = await ofGateway(`${site}?format=car`, '-I');
  assert.equal(head.headers['content-type'], `${car}; version=1; order=unk; dups=n`);
  const inner = await ofGateway(`${site}/sub/b%20c.txt?format=raw`);
  assert.equal(inner.body.toString(), 'spaces');
  assert.equal(inner.headers['x-ipfs-path'], `/ipfs/${site}/sub/b%20c.txt`);
  const node = await ofGateway(`${file}?format=raw`);
  assert.ok(node.body.length < 10_000, 'a large file is a node of its leaves');
  const probe = await ofGateway('bafkqaaa?format=raw');
  assert.deepEqual([probe.status, probe.body.length], [200, 0]);
});

test('what is not served says so', async () => {
  const said = async (answer) => [(await answer).status, (await answer).body.toString()];
  const cases = [
    [ofGateway(`${site}?format=tar`), 400, /only raw and car/],
    [ofGateway(`${site}?format=car&dag-scope=entity`), 400, /ag-scope=entity is not served/],
    [ofGateway(`${site}?format=car&entity-bytes=0:9`), 400, /ntity-bytes=0:9 is not served/],
    [ofGateway('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG?format=raw'), 400, /CID/],
    [ofGateway('hello?format=raw'), 400, /ot a CID/],
    [ofGateway(`${site.toUpperCase()}?format=raw`), 400, new RegExp(site)],
    [ofGateway(`${site}/nothing?format=raw`), 404, /no entry `nothing`/],
    [ofSite('/nothing.txt'), 404, /^nothing here$/],
    [ofSite('/%2e%2e/x'), 400, /`\.\.`/],
    [ofSite('/..%2fx'), 400, /escaped `\/`/],
    [ofSite('/%00'), 400, /NUL/],
    [ofSite('//evil.example'), 400, /empty name/],
    [ofSite('/', '-X', 'POST', '-H', 'Content-Length: 0'), 405, /only get and head/i],
    [ofSite('/', '-X', 'PUT', '-H', 'Content-Length: 0'), 405, /PUT is not answered/],
    [curl(`${relay.url}/healthz`, '-H', 'Host: evil.example'), 421, /not a host of this node/],
    [curl(`${relay.url}/healthz`, '-H', 'Host: x.evil.localhost'), 421, /not a host/],
    [curl(`${relay.url}/api/v1`), 401, /token is missing or wrong/],
  ];
  for (const [answer, status, text] of cases) {
    const [found, body] = await said(answer);
    assert.equal(found, status, body);
    assert.match(body, text);
    assert.equal((await answer).headers['cache-control'] === IMMUTABLE, false);
  }
  const empty = await ofSite('/empty.txt');
  assert.deepEqual([empty.status, empty.headers['content-length']], [200, '0']);
});

test('older and unusual ways to ask over HTTP/1', async () => {
  const old = await ofSite('/', '--http1.0');
  assert.deepEqual([old.status, old.body.toString()], [200, '<h1>hello</h1>']);
  assert.equal(old.headers['transfer-encoding'], undefined, 'chunks are unknown to HTTP/1.0');
  const car = await ofGateway(`${site}?format=car`, '--http1.0');
  assert.equal(car.headers['transfer-encoding'], undefined);
  assert.ok(car.body.length > SIZE, 'its end is the end of the connection');

  const host = `${site}.craftec.localhost:${relay.port}`;
  const absolute = `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  assert.match(await raw(absolute), /^HTTP\/1\.1 200 [^]*<h1>hello<\/h1>$/);
  // The target counts, whatever Host says.
  const two = `GET http://${host}/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`;
  assert.match(await raw(two), /^HTTP\/1\.1 200 /);
  const evil = `GET http://evil.example/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  assert.match(await raw(evil), /^HTTP\/1\.1 421 /);
  assert.match(await raw('GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.0 400 /);
  assert.match(await raw('GET / HTTP/1.1\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  // Two framings of one body are how requests are smuggled past a proxy.
  const both =
    `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n` +
    'Connection: close\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const answers = (await raw(both)).match(/HTTP\/1\.1 \d+/g);
  assert.ok(answers.length === 1 && /(400|405)$/.test(answers[0]), String(answers));

  const one = `GET /empty.txt HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const last = `HEAD / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const pipelined = await raw(one + one + last);
  assert.equal(pipelined.match(/HTTP\/1\.1 200 OK/g).length, 3, 'one connection, three answers');
});
