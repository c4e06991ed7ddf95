/** What a test plays on: a relay, a web server with the pages, a browser. All on loopback. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };

/** A relay process; `kill` ends it as a crash would. */
export async function startRelay(binary, { seed = 1, port = 0 } = {}) {
  const child = spawn(binary, [String(seed), String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the relay ended with ${code}`);
  });
  failed.catch(() => {});
  const [line] = await Promise.race([once(lines, 'line'), failed]);
  const { peer, addrs } = JSON.parse(line);
  const address = addrs.find((a) => a.includes('/ws/'));
  if (!address) throw new Error(`the relay listens on ${addrs}`);
  return {
    peer,
    address,
    port: Number(/\/tcp\/(\d+)\//.exec(address)[1]),
    kill: async () => {
      child.kill('SIGKILL');
      await failed.catch(() => {});
    },
  };
}

/** Serves `folder`, and for `/<name>.html` a page that loads `<name>.js`. */
export async function servePages(folder) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname);
    const type = TYPES[extname(path)];
    if (type === 'text/html') {
      const script = path.replace('.html', '.js');
      response.setHeader('content-type', type);
      const head = '<!doctype html><link rel="icon" href="data:,"><title>test</title>';
      response.end(`${head}<script type="module" src="${script}"></script>`);
      return;
    }
    try {
      if (!type) throw new Error('no such type');
      const body = await readFile(join(folder, path));
      response.setHeader('content-type', type);
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** A browser in which WebRTC works on loopback. */
export function startBrowser(executablePath = process.env.CHROME ?? '/usr/bin/chromium') {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
    ],
  });
}

/** Waits until `look` finds something, looking every 50 ms. */
export async function until(what, look, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A page in a context of its own (as another person's browser would be). */
export class Page {
  static async open(browser, url, name, query = '') {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on('pageerror', (error) => console.error(`[${name}]`, error.message));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) console.error(`[${name}]`, message.text());
    });
    await page.goto(`${url}/${name}.html${query}`);
    await page.waitForFunction(() => globalThis.tab ?? globalThis.foreign);
    return new Page(context, page);
  }

  constructor(context, page) {
    this.context = context;
    this.page = page;
  }

  /** Calls a method of the node in the page's worker. */
  tab(name, ...args) {
    return this.page.evaluate(([n, a]) => globalThis.tab.call(n, ...a), [name, args]);
  }

  /** Calls a method of js-libp2p in the page. */
  foreign(name, ...args) {
    return this.page.evaluate(([n, a]) => globalThis.foreign[n](...a), [name, args]);
  }

  /** Starts the node in the page's worker, and waits for its circuit on the relay. */
  async start(relay) {
    this.id = await this.tab('start', [relay.address]);
    await until('a reservation', async () =>
      (await this.tab('addresses')).some((a) => a.includes('/p2p-circuit')),
    );
    return this.id;
  }

  /** How the node is connected to `peer`. */
  async link(peer) {
    const lines = await this.tab('peers');
    return lines.find((line) => line.startsWith(peer))?.split(' ')[1];
  }

  close() {
    return this.context.close();
  }
}
