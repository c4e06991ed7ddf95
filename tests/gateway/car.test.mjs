/** `ipfs-car`, a command line tool of others, lists, checks and unpacks our CAR files. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { join, resolve } from 'node:path';
import { pattern, program, read, Relay } from './stage.mjs';

const TOOL = resolve(import.meta.dirname, 'node_modules/ipfs-car/bin.js');
/** Without it the tool reads our files too, but only with `--no-verify`. */
const HASHER = new URL('blake3.mjs', import.meta.url).href;
const FILES = {
  'index.html': '<h1>hello</h1>',
  'empty.txt': '',
  'large.bin': pattern(3, 3_000_000),
  'sub/日本 語.txt': 'nihongo',
  // The same bytes twice are one block in the file and two files in the folder.
  'sub/again.bin': pattern(3, 3_000_000),
};
let relay;
let site;

before(async () => {
  relay = await Relay.start();
  site = await relay.publish('site', FILES);
});

after(() => relay.end());

/** Downloads a CAR as a client of the gateway does; the file's path. */
async function download(path, name) {
  const response = await fetch(`${relay.url}/ipfs/${path}`, {
    headers: { accept: 'application/vnd.ipld.car; version=1' },
  });
  assert.equal(response.status, 200);
  const file = join(relay.home, name);
  await writeFile(file, Buffer.from(await response.arrayBuffer()));
  return file;
}

const run = (...args) => program(process.execPath, '--import', HASHER, TOOL, ...args);

async function tool(...args) {
  const ran = await run(...args);
  assert.equal(ran.code, 0, `ipfs-car ${args[0]}: ${ran.stderr}`);
  return ran.stdout.toString().trim();
}

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Every file below a folder with its digest. */
async function filesOf(folder) {
  const found = {};
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) found[name] = digest(await read(path));
  }
  return found;
}

test('a folder is listed and unpacked', async () => {
  const car = await download(site, 'site.car');
  assert.equal(await tool('roots', car), site);
  const listed = (await tool('ls', car)).split('\n');
  for (const name of Object.keys(FILES)) {
    assert.ok(listed.includes(`./${name}`), `${name} in ${listed}`);
  }
  const out = join(relay.home, 'unpacked');
  await tool('unpack', car, '--output', out);
  const expected = Object.entries(FILES).map(([name, bytes]) => [name, digest(bytes)]);
  assert.deepEqual(await filesOf(out), Object.fromEntries(expected));
});

test('a file is unpacked by the path to it', async () => {
  const car = await download(`${site}/large.bin`, 'large.car');
  const out = join(relay.home, 'large.bin.out');
  await tool('unpack', car, '--output', out);
  assert.equal(digest(await read(out)), digest(FILES['large.bin']));
});

test('a CAR with one wrong byte is refused', async () => {
  const car = await download(`${site}/large.bin`, 'damaged.car');
  const bytes = await read(car);
  bytes[bytes.length - 1] ^= 1;
  await writeFile(car, bytes);
  const ran = await run('unpack', car, '--output', join(relay.home, 'never'));
  assert.notEqual(ran.code, 0);
  assert.match(ran.stderr.toString(), /hash does not match/);
});
