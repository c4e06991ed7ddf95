/**
 * The page that a site's origin answers first: installs the service worker, asks the app's origin
 * for a port to the node of this browser, hands it over, and loads the address again. Without a
 * node the service worker asks the gateway. Knows nothing of the site's content.
 */

import {
  DIRECT_HEADER,
  OURS,
  siteHost,
  type FromBridge,
  type ToBridge,
  type ToSite,
} from './names.js';

/** How long a node may take to answer before the gateway is asked. */
const NODE_MS = 1_500;
/** When to say that something is going on. */
const SHOW_MS = 400;
/** Boots within the time below, after which loading again would only go in circles. */
const BOOTS = 4;
const BOOTS_WITHIN_MS = 10_000;
const BOOTS_KEY = 'craftec-boots';

function say(text: string) {
  const state = document.getElementById('state');
  if (state) state.textContent = text;
}

/** A constructed style sheet: allowed where a policy forbids inline styles. */
function dress() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(
    `body{font:1rem/1.5 system-ui,sans-serif;margin:0;display:grid;min-height:100vh;
     place-items:center;padding:1rem;box-sizing:border-box;text-align:center}`,
  );
  document.adoptedStyleSheets = [sheet];
}

/** Whether this origin booted too often just now. */
function circling(): boolean {
  const now = Date.now();
  try {
    const times = JSON.parse(sessionStorage.getItem(BOOTS_KEY) ?? '[]') as number[];
    const recent = [...times.filter((at) => now - at < BOOTS_WITHIN_MS), now].slice(-BOOTS - 1);
    sessionStorage.setItem(BOOTS_KEY, JSON.stringify(recent));
    return recent.length > BOOTS;
  } catch {
    return false;
  }
}

async function serviceWorker(): Promise<ServiceWorker> {
  const { serviceWorker } = navigator;
  if (serviceWorker.controller) return serviceWorker.controller;
  await serviceWorker.register(`${OURS}sw.js`, { scope: '/', updateViaCache: 'none' });
  const { active } = await serviceWorker.ready;
  if (!active) throw new Error('the service worker did not start');
  return active;
}

/** A port to the node of this browser, through a page of the app's origin. */
function askBridge(): Promise<FromBridge> {
  return new Promise((resolve) => {
    const host = siteHost(location.origin);
    if (!host) return resolve({ t: 'none' });
    const frame = document.createElement('iframe');
    const done = (answer: FromBridge) => {
      removeEventListener('message', onmessage);
      clearTimeout(timer);
      resolve(answer);
    };
    const onmessage = ({ origin, source, data }: MessageEvent<FromBridge>) => {
      if (origin === host.app && source === frame.contentWindow) done(data);
    };
    const timer = setTimeout(() => done({ t: 'none' }), NODE_MS);
    addEventListener('message', onmessage);
    frame.hidden = true;
    frame.title = 'Craftec';
    frame.onload = () => {
      frame.contentWindow?.postMessage({ t: 'want' } satisfies ToBridge, host.app);
    };
    frame.src = `${host.app}/bridge.html`;
    document.body.append(frame);
  });
}

function handOver(worker: ServiceWorker, message: ToSite): Promise<void> {
  return new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve();
    setTimeout(() => reject(new Error('the service worker did not answer')), NODE_MS);
    const transfer: Transferable[] = [port2];
    if (message.t === 'node') transfer.push(message.port);
    if (message.t === 'node' && message.again) transfer.push(message.again);
    worker.postMessage(message, transfer);
  });
}

/** Without a service worker (a private window, plain http): the gateway's answer in this page. */
async function withoutWorker(): Promise<void> {
  const response = await fetch(location.href, {
    headers: { [DIRECT_HEADER]: '1' },
    credentials: 'omit',
  });
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('text/html')) {
    location.replace(URL.createObjectURL(await response.blob()));
    return;
  }
  const html = await response.text();
  document.open();
  document.write(html);
  document.close();
}

async function boot(): Promise<void> {
  dress();
  const slow = setTimeout(() => say('Opening…'), SHOW_MS);
  try {
    if (!('serviceWorker' in navigator)) return await withoutWorker();
    const stuck = circling();
    const none: FromBridge = { t: 'none' };
    const [worker, answer] = await Promise.all([serviceWorker(), stuck ? none : askBridge()]);
    await handOver(worker, answer.t === 'node' ? answer : { t: 'direct' });
    if (stuck) return await withoutWorker();
    location.reload();
  } catch (error) {
    console.warn('craftec:', error);
    await withoutWorker();
  } finally {
    clearTimeout(slow);
  }
}

boot().catch(() => {
  say('This page can’t be opened now: no node runs in this browser, and the server is away.');
});
