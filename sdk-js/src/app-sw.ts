/**
 * The service worker of the app's own origin: keeps the app's files, so that the page opens again
 * while its server is away. Always asks the server first; never keeps content, only what the page
 * is made of.
 */

export {};
declare const self: ServiceWorkerGlobalScope;

const CACHE = `craftec-app-${__VERSION__}`;
/** What the page needs beside the files that its own HTML names. */
const SHELL = [
  '/',
  '/bridge.html',
  '/relay.json',
  '/sdk/index.js',
  '/sdk/support.js',
  '/sdk/worker.js',
  '/sdk/broker.js',
  '/sdk/bridge.js',
  '/sdk/node_bg.wasm',
];
/** Paths of the server's own that are not part of the page. */
const NEVER = /^\/(api|ipfs|healthz|readyz|metrics)(\/|$)/;
/** How long the server may take before what is kept is used. */
const SERVER_MS = 4_000;
/** Files kept; the app has a few dozen. */
const KEPT = 300;

self.addEventListener('install', (event) => {
  event.waitUntil(install().then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(activate());
});

self.addEventListener('message', (event) => {
  const message = event.data as { t?: unknown; urls?: unknown } | null;
  if (message?.t !== 'keep' || !Array.isArray(message.urls)) return;
  const urls = message.urls.filter((url): url is string => typeof url === 'string');
  event.waitUntil(keepMissing(urls.filter(ofPage).slice(0, KEPT)));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || request.headers.has('range') || !ofPage(request.url)) return;
  event.respondWith(answer(request));
});

function ofPage(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { origin, pathname } = new URL(url);
  return origin === self.location.origin && !NEVER.test(pathname);
}

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  const page = await fetch('/', { cache: 'no-cache' });
  const html = await page.clone().text();
  // The bundler's names carry hashes; the page itself says them.
  const named = [...html.matchAll(/["'](\/[\w./-]+\.(?:js|css|wasm|svg|woff2|json))["']/g)];
  const urls = new Set([...SHELL, ...named.map(([, url]) => url ?? '/')]);
  urls.delete('/');
  await cache.put('/', page);
  // A file that is missing is none of the page's: the install must not fail over it.
  await Promise.allSettled([...urls].map((url) => cache.add(url)));
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith('craftec-app-') && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

async function keepMissing(urls: string[]): Promise<void> {
  const cache = await caches.open(CACHE);
  const room = KEPT - (await cache.keys()).length;
  const missing = [];
  for (const url of urls) if (!(await cache.match(url))) missing.push(url);
  await Promise.allSettled(missing.slice(0, Math.max(0, room)).map((url) => cache.add(url)));
}

async function answer(request: Request): Promise<Response> {
  const limit = AbortSignal.any([request.signal, AbortSignal.timeout(SERVER_MS)]);
  try {
    const response = await fetch(request, { signal: limit });
    if (response.ok && response.type === 'basic') {
      const kept = response.clone();
      void caches.open(CACHE).then((cache) => cache.put(keyOf(request), kept));
    }
    if (response.status < 500) return response;
    return (await held(request)) ?? response;
  } catch (error) {
    const response = await held(request);
    if (response) return response;
    throw error;
  }
}

async function held(request: Request): Promise<Response | undefined> {
  return (await caches.open(CACHE)).match(keyOf(request));
}

/** Routes of the app are one page, kept once. */
function keyOf(request: Request): string {
  const { origin, pathname } = new URL(request.url);
  const route = request.mode === 'navigate' && !/\.\w+$/.test(pathname);
  return route ? `${origin}/` : origin + pathname;
}
