// A host for browser tests: serves dist/ as a relay would (app origin, site origins, boot page),
// and starts Chromium. Counts what is asked of it, so that a test can tell who answered.

import { readFile } from 'node:fs/promises';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};
const APP = `<!doctype html><title>app</title><script type="module" src="/page.js"></script>`;
const PAGE = `import { createNode, registerApp } from '/sdk/index.js';
Object.assign(window, { createNode, registerApp });
window.dispatchEvent(new Event('sdk'));`;

/** Starts the host on a free port of the loopback. */
export async function startHost({ relays = [] } = {}) {
  const asked = [];
  const server = http.createServer((request, response) => {
    answer(request, response, relays, asked).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  });
  let port = 0;
  const up = async () => {
    server.listen(port, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    port = server.address().port;
  };
  const down = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  await up();
  return {
    app: `http://app.craftec.localhost:${port}`,
    site: (label) => `http://${label}.craftec.localhost:${port}`,
    asked,
    up,
    down,
  };
}

async function answer(request, response, relays, asked) {
  const [host = ''] = (request.headers.host ?? '').split(':');
  const { pathname } = new URL(request.url, 'http://x');
  const direct = request.headers['x-craftec-direct'] === '1';
  asked.push({ host, path: pathname, direct });
  const send = (type, body, headers = {}) => {
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache', ...headers });
    response.end(body);
  };
  const file = async (name, headers) => {
    try {
      send(TYPES[extname(name)] ?? 'text/plain', await readFile(join(dist, name)), headers);
    } catch {
      response.writeHead(404).end('none');
    }
  };
  if (host.startsWith('app.')) {
    const gateway = `http://${(request.headers.host ?? '').slice('app.'.length)}`;
    if (pathname === '/relay.json')
      return send(TYPES['.json'], JSON.stringify({ relays, gateway }));
    if (pathname === '/page.js') return send(TYPES['.js'], PAGE);
    if (pathname.startsWith('/sdk/')) return file(pathname.slice('/sdk/'.length));
    if (pathname === '/bridge.html' || pathname === '/app-sw.js') return file(pathname.slice(1));
    return send(TYPES['.html'], APP);
  }
  if (pathname === '/.craftec/sw.js') return file('site/sw.js', { 'service-worker-allowed': '/' });
  if (pathname === '/.craftec/boot.js') return file('site/boot.js');
  const visit = request.headers['sec-fetch-mode'] === 'navigate' && !direct;
  if (visit) return file('site/boot.html', { 'cache-control': 'no-store' });
  return send(TYPES['.html'], `<!doctype html><title>gateway</title>${pathname}`);
}

/** A fresh Chromium with a profile of its own. */
export async function startBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'craftec-sdk-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROME ?? '/usr/bin/chromium',
    headless: true,
    timeout: 60_000,
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
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A page of the app with `node` running, or joined. */
export async function openApp(context, host, options = {}) {
  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning')
      console.log('  [page]', message.text());
  });
  page.on('pageerror', (error) => console.log('  [page error]', error.message));
  await page.goto(`${host.app}/`);
  await startNode(page, options);
  return page;
}

export async function startNode(page, options = {}) {
  await page.waitForFunction(() => 'createNode' in window);
  return page.evaluate(async (more) => {
    const started = performance.now();
    window.node = await window.createNode({ sharedWorkerUrl: '/sdk/broker.js', ...more });
    return { did: node.did, peerId: node.peerId, role: node.role, ms: performance.now() - started };
  }, options);
}
