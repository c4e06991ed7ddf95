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
    const [http, ws, tcp] = (await freePorts(3)) as [number, number, number];
    const relay = new Relay(data, http, ws, tcp, flags);
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

/**
 * Ports that nobody listens on, below those that systems give to connections: one of these could
 * take one before the daemon does, or while a test has the daemon down.
 */
async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; tries < 100 && found.size < count; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) found.add(port);
  }
  if (found.size < count) throw new Error('too few free ports in 100 tries');
  return [...found];
}
