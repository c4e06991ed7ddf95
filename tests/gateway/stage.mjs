/** What the tests play on: a `craftec up` of its own with content in it. All on loopback. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const BINARY = process.env.CRAFTEC ?? resolve(import.meta.dirname, '../../target/release/craftec');
const run = promisify(execFile);

/** Bytes that differ by seed, the same on every run. */
export function pattern(seed, size) {
  const bytes = Buffer.alloc(size);
  const start = Math.imul(seed, 0x9e3779b1);
  for (let i = 0; i < size; i += 1) bytes[i] = (Math.imul(i, 2654435761) ^ start) >>> 24;
  return bytes;
}

export class Relay {
  /** Starts a daemon on free ports, with an empty folder. */
  static async start() {
    const home = await mkdtemp(join(tmpdir(), 'craftec-gateway-'));
    const relay = new Relay(home);
    const args = ['--data', join(home, 'data'), '--json', 'up', '--http', '127.0.0.1:0'];
    args.push('--listen', '/ip4/127.0.0.1/tcp/0/ws');
    relay.process = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(relay.process, 'exit').then(([code]) => {
      throw new Error(`craftec up ended with ${code}`);
    });
    ended.catch(() => {});
    const ready = once(createInterface({ input: relay.process.stdout }), 'line');
    const { url, peer_id: peer } = JSON.parse((await Promise.race([ready, ended]))[0]);
    relay.port = Number(new URL(url).port);
    relay.peer = peer;
    return relay;
  }

  constructor(home) {
    this.home = home;
  }

  /** Where the gateway answers. */
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The relay's WebSocket address, as a tab finds it. */
  async address() {
    const { addrs } = await (await fetch(`${this.url}/relay.json`)).json();
    return addrs[0];
  }

  /** Runs a command against the daemon's node; its JSON object. */
  async cli(...args) {
    const all = ['--data', join(this.home, 'data'), '--json', ...args];
    const { stdout } = await run(BINARY, all, { maxBuffer: 64 << 20 });
    return JSON.parse(stdout);
  }

  /** Writes files below the test's folder; the folder's path. */
  async folder(name, files) {
    const folder = join(this.home, name);
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    return folder;
  }

  /** Puts a folder as a site; its CID. */
  async publish(name, files) {
    return (await this.cli('site', 'publish', await this.folder(name, files))).cid;
  }

  /** Puts bytes as an object; its CID. */
  async put(name, bytes) {
    const file = join(await this.folder('.', { [name]: bytes }), name);
    return (await this.cli('put', file)).cid;
  }

  async end() {
    this.process.kill('SIGKILL');
    await rm(this.home, { recursive: true, force: true });
  }
}

/** The content of a file of the test's folder. */
export const read = (path) => readFile(path);

/** Runs a program; its output, whatever its exit code. */
export async function program(path, ...args) {
  try {
    const options = { maxBuffer: 64 << 20, encoding: 'buffer' };
    const { stdout, stderr } = await run(path, args, options);
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return { code: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}
