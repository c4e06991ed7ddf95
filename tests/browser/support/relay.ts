// A `craftec up` of its own for a test: started, killed and brought back on the same ports.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const BINARY =
  process.env['CRAFTEC'] ?? path.resolve(import.meta.dirname, '../../../target/release/craftec');

export class Relay {
  #process: ChildProcess | undefined;

  private constructor(
    readonly data: string,
    readonly http: number,
    readonly ws: number,
    readonly tcp: number,
    private readonly flags: readonly string[],
  ) {}

  /** Starts one, with flags of `craftec up` besides. */
  static async start(...flags: string[]): Promise<Relay> {
    const data = await mkdtemp(path.join(tmpdir(), 'craftec-relay-'));
    const relay = new Relay(data, await freePort(), await freePort(), await freePort(), flags);
    await relay.up();
    return relay;
  }

  /** Starts the daemon (again) and waits for its ready line. */
  async up(): Promise<void> {
    const listen = [`/ip4/127.0.0.1/tcp/${this.ws}/ws`, `/ip4/127.0.0.1/tcp/${this.tcp}`];
    const args = ['--data', this.data, '--json', 'up', '--http', `127.0.0.1:${this.http}`];
    for (const addr of listen) args.push('--listen', addr);
    args.push(...this.flags);
    const child = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process = child;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no ready line within 20 s')), 20_000);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`craftec up ended with ${code}`)));
      createInterface({ input: child.stdout! }).once('line', (line) => {
        clearTimeout(timer);
        child.removeAllListeners('exit');
        JSON.parse(line);
        resolve();
      });
    });
  }

  /** Kills the daemon as a crash would. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async end(): Promise<void> {
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  get app(): string {
    return `http://app.craftec.localhost:${this.http}`;
  }

  site(cid: string): string {
    return `http://${cid}.craftec.localhost:${this.http}`;
  }

  /** Runs a command of the binary against this relay's node; answers its JSON object. */
  async cli(...args: string[]): Promise<Record<string, unknown>> {
    const all = ['--data', this.data, '--json', ...args];
    const { stdout } = await promisify(execFile)(BINARY, all, { maxBuffer: 64 << 20 });
    return JSON.parse(stdout) as Record<string, unknown>;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
