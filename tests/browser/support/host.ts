// Several tabs of one origin, as a person has them: a Chromium in which a tab that is not in front
// is hidden (so that it can be frozen), and a host that serves the SDK as built, or as another
// version of the app would bring it.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from '@playwright/test';

const DIST = path.resolve(import.meta.dirname, '../../../sdk-js/dist');
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};
const APP = '<!doctype html><title>app</title><link rel="icon" href="data:,">';

/** Serves `app.craftec.localhost` and sites below it, without any content of its own. */
export class Host {
  /** What was asked for on a site's origin: nothing but our own files, where a node answers. */
  readonly asked: string[] = [];
  /** Other builds of the SDK: `/next/index.js` is `index.js` in the folder named `next`. */
  readonly builds = new Map<string, string>([['sdk', DIST]]);
  /** Scripts of a test, by path. */
  readonly scripts = new Map<string, string>();
  /** Files that are served late, with the milliseconds. */
  readonly delays = new Map<string, number>();
  #server: Server | undefined;

  private constructor(private readonly relays: string[]) {}

  static async start(relays: string[] = []): Promise<Host> {
    const host = new Host(relays);
    const server = createServer((request, response) => {
      host.#answer(request, response).catch((error: unknown) => {
        response.writeHead(404).end(String(error));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    host.#server = server;
    return host;
  }

  get port(): number {
    return (this.#server!.address() as AddressInfo).port;
  }

  get app(): string {
    return `http://app.craftec.localhost:${this.port}`;
  }

  async end(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
    for (const folder of this.builds.values()) {
      if (folder !== DIST) await rm(folder, { recursive: true, force: true });
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const host = request.headers.host ?? '';
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    const delay = this.delays.get(pathname);
    if (delay !== undefined) await new Promise((resolve) => setTimeout(resolve, delay));
    const send = (name: string, body: string | Buffer) => {
      const type = TYPES[path.extname(name)] ?? 'application/octet-stream';
      response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache' }).end(body);
    };
    const file = async (folder: string, name: string) =>
      send(name, await readFile(path.join(folder, name)));
    if (host.startsWith('app.')) {
      const gateway = `http://${host.slice('app.'.length)}`;
      const [, build = '', ...names] = pathname.split('/');
      const folder = this.builds.get(build);
      if (pathname === '/relay.json') {
        return send('relay.json', JSON.stringify({ relays: this.relays, gateway }));
      }
      const script = this.scripts.get(pathname);
      if (script !== undefined) return send('script.js', script);
      if (folder) return file(folder, names.join('/'));
      if (pathname === '/bridge.html') return file(DIST, 'bridge.html');
      return send('index.html', APP);
    }
    if (pathname === '/.craftec/sw.js') {
      response.setHeader('service-worker-allowed', '/');
      return file(DIST, 'site/sw.js');
    }
    if (pathname === '/.craftec/boot.js') return file(DIST, 'site/boot.js');
    const direct = request.headers['x-craftec-direct'] === '1';
    const visit = request.headers['sec-fetch-mode'] === 'navigate' && !direct;
    if (visit) return file(DIST, 'site/boot.html');
    this.asked.push(pathname);
    response.writeHead(503).end('the gateway has nothing here');
  }
}

interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  /** Time on a processor, in microseconds. */
  tdur?: number;
  args?: { name?: string };
}

/** A Chromium of its own, whose tabs are hidden when another is in front. */
export class Desktop {
  private constructor(
    private readonly process: ChildProcess,
    private readonly profile: string,
    readonly browser: Browser,
    readonly context: BrowserContext,
  ) {}

  static async start(executable: string, args: readonly string[]): Promise<Desktop> {
    const profile = await mkdtemp(path.join(tmpdir(), 'craftec-tabs-'));
    const all = ['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
    const child = spawn(executable, [...all, ...args, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const endpoint = await new Promise<string>((resolve, reject) => {
      let said = '';
      setTimeout(() => reject(new Error(`no browser within 30 s: ${said}`)), 30_000).unref();
      child.stderr!.on('data', (data: Buffer) => {
        said = (said + data.toString()).slice(-4_096);
        const found = /listening on (ws:\S+)/.exec(said)?.[1];
        if (found) resolve(found);
      });
    });
    // Without Playwright's defaults: those make every page believe that it is in front.
    const browser = await chromium.connectOverCDP(endpoint, { noDefaults: true });
    return new Desktop(child, profile, browser, browser.contexts()[0]!);
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    await this.browser.close().catch(() => {});
    this.process.kill();
    await ended;
    await rm(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  /** Opens a tab on the app's origin; nothing runs in it yet. */
  async tab(host: Host): Promise<Page> {
    const page = await this.context.newPage();
    page.on('console', (m) => {
      if (m.type() === 'warning' || m.type() === 'error') console.log(`    [page] ${m.text()}`);
    });
    page.on('pageerror', (e) => console.log(`    [page] threw: ${e.message}`));
    await page.goto(host.app);
    return page;
  }

  /** Freezes a tab that is not in front, or lets it go on. */
  async freeze(page: Page, state: 'frozen' | 'active'): Promise<void> {
    const cdp = await this.context.newCDPSession(page);
    await cdp.send('Page.setWebLifecycleState', { state });
    await cdp.detach();
  }

  /**
   * Runs `work` and answers what the page's thread spent on its longest task meanwhile: its own
   * time on a processor, in milliseconds, which other programs can't lengthen.
   */
  async longestTask(page: Page, work: () => Promise<unknown>): Promise<number> {
    const pid = await this.processOf(page);
    const cdp = await this.browser.newBrowserCDPSession();
    const events: TraceEvent[] = [];
    cdp.on('Tracing.dataCollected', ({ value }) => {
      for (const event of value as unknown as TraceEvent[])
        if (event.pid === pid) events.push(event);
    });
    const categories = ['disabled-by-default-devtools.timeline', 'toplevel'];
    await cdp.send('Tracing.start', {
      transferMode: 'ReportEvents',
      traceConfig: { includedCategories: categories, excludedCategories: ['*'] },
    });
    await work();
    const complete = new Promise((resolve) => cdp.once('Tracing.tracingComplete', resolve));
    await cdp.send('Tracing.end');
    await complete;
    await cdp.detach();
    const main = events.find(
      ({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain',
    );
    const tasks = events.filter(
      ({ name, tid, tdur }) => name === 'RunTask' && tid === main?.tid && tdur !== undefined,
    );
    if (tasks.length === 0) throw new Error('no task was traced');
    return Math.max(...tasks.map(({ tdur }) => tdur!)) / 1_000;
  }

  /** The process that draws `page`: the one that computes when the page does. */
  async processOf(page: Page): Promise<number> {
    const cdp = await this.browser.newBrowserCDPSession();
    const times = async () => {
      const { processInfo } = await cdp.send('SystemInfo.getProcessInfo');
      return new Map(
        processInfo.filter((p) => p.type === 'renderer').map((p) => [p.id, p.cpuTime]),
      );
    };
    const before = await times();
    await page.evaluate(() => {
      const until = performance.now() + 1_000;
      while (performance.now() < until);
    });
    const after = await times();
    await cdp.detach();
    const spent = [...after].map(([id, time]) => ({ id, time: time - (before.get(id) ?? 0) }));
    spent.sort((a, b) => b.time - a.time);
    return spent[0]!.id;
  }
}
