/**
 * The service worker of one site's origin: answers every request from the node of this browser over
 * a MessagePort, or from the gateway when there is none. It trusts neither the site nor the
 * gateway with the port, and never serves another root than the one it was given.
 */

import { ConnectionLost } from '../errors.js';
import bootScript from './boot.js?text';
import bootPage from './boot.html?text';
import { DIRECT_HEADER, isNameLabel, OURS, siteHost, type ToSite } from './names.js';
import { gonePage, SECURITY_HEADERS } from './pages.js';
import { Link } from './link.js';
import { serve } from './serve.js';

declare const self: ServiceWorkerGlobalScope;

/** How long "no node" holds before a navigation asks again. */
const DIRECT_MS = 60_000;
/** How long the root of a name holds before a navigation asks again; a CID's holds for ever. */
const NAME_MS = 60_000;
/**
 * How long a request keeps this worker, and with it the port, alive. Browsers end an idle one after
 * half a minute and allow an event five minutes.
 */
const STAY_MS = 4 * 60_000;
/** Requests within this share one wait. */
const STAY_STEP_MS = 15_000;

/** Static routing, where the browser has it. */
interface RoutedInstall {
  addRoutes(routes: { condition: { requestMethod: string }; source: string }[]): Promise<void>;
}

const named = isNameLabel(siteHost(self.location.origin)?.label ?? '');
let linked: Link | undefined;
let directUntil = 0;
let staying = { since: -Infinity, over: Promise.resolve() };

self.addEventListener('install', (event) => {
  event.waitUntil(self.skipWaiting());
  // Browsers that start the network beside a sleeping worker are told that it is not needed.
  const { addRoutes } = event as Partial<RoutedInstall>;
  const routes = [{ condition: { requestMethod: 'GET' }, source: 'fetch-event' }];
  if (addRoutes) event.waitUntil(addRoutes.call(event, routes).catch(() => {}));
});
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('message', (event) => {
  const message = event.data as ToSite;
  // Pages of this origin are the site's own: they may not make us say anything about another.
  if (message?.t === 'direct') {
    directUntil = Date.now() + DIRECT_MS;
    // A node that did not answer about a name in time still has what it had.
    if (linked) linked.until = directUntil;
    event.ports[0]?.postMessage(true);
  } else if (message?.t === 'node') {
    event.waitUntil(
      link(message).then((ok) => {
        if (!ok) directUntil = Date.now() + DIRECT_MS;
        const asker = event.ports.find((p) => p !== message.port && p !== message.again);
        asker?.postMessage(ok);
      }),
    );
  }
});

async function link({ root, port, again }: ToSite & { t: 'node' }): Promise<boolean> {
  try {
    const next = await Link.open(root, port, again);
    if (named) next.until = Date.now() + NAME_MS;
    linked?.close();
    linked = next;
    directUntil = 0;
    return true;
  } catch {
    return false;
  }
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (request.method !== 'GET' && request.method !== 'HEAD') return;
  if (url.pathname === `${OURS}boot.js`) event.respondWith(script(bootScript));
  else if (!url.pathname.startsWith(OURS)) {
    event.respondWith(answer(request, url));
    event.waitUntil(stay());
  }
});

function stay(): Promise<void> {
  const now = Date.now();
  if (now - staying.since > STAY_STEP_MS) {
    const over = new Promise<void>((resolve) => setTimeout(resolve, STAY_MS));
    staying = { since: now, over };
  }
  return staying.over;
}

async function answer(request: Request, url: URL): Promise<Response> {
  const navigates = request.mode === 'navigate';
  if (linked && navigates && Date.now() > linked.until) return boot();
  if (linked) {
    const used = linked;
    try {
      return await fromNode(used, request, url);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      if (linked === used) linked = undefined;
      // A tab may have opened meanwhile: a navigation finds out.
      if (navigates) return boot();
    }
  }
  if (navigates && Date.now() > directUntil) return boot();
  return direct(request, url, navigates);
}

function fromNode(link: Link, request: Request, url: URL): Promise<Response> {
  link.check();
  const method = request.method === 'HEAD' ? 'HEAD' : 'GET';
  const asking = setInterval(() => link.check(), 1_000);
  const asked = { url, method, range: request.headers.get('range') } as const;
  const site = { root: link.root, session: link };
  return serve(site, asked, request.signal).finally(() => clearInterval(asking));
}

/** The gateway's answer; it is not verified here. */
async function direct(request: Request, url: URL, navigates: boolean): Promise<Response> {
  const headers = new Headers({ [DIRECT_HEADER]: '1' });
  for (const name of ['accept', 'accept-language', 'range']) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  try {
    return await fetch(url, {
      method: request.method,
      headers,
      credentials: 'omit',
      // The browser follows a navigation's redirects itself.
      redirect: navigates ? 'manual' : 'follow',
      signal: request.signal,
    });
  } catch (error) {
    if (request.signal.aborted) throw error;
    return gonePage();
  }
}

function boot(): Response {
  const app = siteHost(self.location.origin)?.app ?? "'none'";
  const framedBy = SECURITY_HEADERS['content-security-policy'] ?? '';
  const policy =
    `default-src 'none'; script-src 'self'; connect-src 'self'; frame-src ${app}; ` + framedBy;
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': policy,
  };
  return new Response(bootPage, { headers });
}

function script(text: string): Response {
  const headers = { ...SECURITY_HEADERS, 'content-type': 'text/javascript; charset=utf-8' };
  return new Response(text, { headers });
}
