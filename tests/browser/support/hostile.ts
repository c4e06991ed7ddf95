// What a hostile site brings along: files of its own, and a client of the bridge written by hand.
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, type BrowserContext, type Page } from '@playwright/test';
import { openSite } from './app.ts';
import type { Tab } from './fixtures.ts';
import { put, reads, status } from './node.ts';
import type { Relay } from './relay.ts';

/** Runs on every page of the site: speaks to the app's bridge as its boot page does, and more. */
const CLIENT = `
const APP = location.origin.replace(/\\/\\/[^.]+\\./, '//app.');
const heads = (major, n) => n < 24 ? [major << 5 | n]
  : n < 256 ? [major << 5 | 24, n] : [major << 5 | 25, n >> 8, n & 255];
const text = (s) => {
  const b = [...new TextEncoder().encode(s)];
  return [...heads(3, b.length), ...b];
};
const cidBytes = (cid) => {
  const bytes = []; let bits = 0, held = 0;
  for (const c of cid.slice(1)) {
    held = held << 5 | 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c); bits += 5;
    if (bits >= 8) { bits -= 8; bytes.push(held >> bits & 255); held &= (1 << bits) - 1; }
  }
  return bytes;
};
const cbor = (v, name) => {
  if (v === null) return [0xf6];
  if (typeof v === 'boolean') return [v ? 0xf5 : 0xf4];
  if (typeof v === 'number') return heads(0, v);
  if (typeof v === 'string' && name === 'cid') {
    const b = cidBytes(v); return [0xd8, 42, ...heads(2, b.length + 1), 0, ...b];
  }
  if (typeof v === 'string') return text(v);
  if (v instanceof Uint8Array) return [...heads(2, v.length), ...v];
  if (Array.isArray(v)) return [...heads(4, v.length), ...v.flatMap((i) => cbor(i, ''))];
  const keys = Object.keys(v).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  return [...heads(5, keys.length), ...keys.flatMap((k) => [...text(k), ...cbor(v[k], k)])];
};
/** A frame of the app's bridge. */
globalThis.bridge = () => new Promise((resolve) => {
  const frame = document.createElement('iframe');
  frame.src = APP + '/bridge.html';
  frame.onload = () => resolve(frame);
  document.body.append(frame);
});
/** Says something to it; what it answers within a while. */
globalThis.say = (frame, message, transfer = []) => new Promise((resolve) => {
  const heard = ({ source, data, ports }) => {
    if (source !== frame.contentWindow) return;
    removeEventListener('message', heard);
    resolve(data);
  };
  addEventListener('message', heard);
  setTimeout(() => { removeEventListener('message', heard); resolve(undefined); }, 3000);
  frame.contentWindow.postMessage(message, APP, transfer);
});
/** Asks the node something over a port; the answer as text, which is enough to tell its kind. */
let id = 0;
globalThis.ask = (port, command) => new Promise((resolve) => {
  id += 1;
  port.onmessage = ({ data }) => resolve(
    typeof data === 'string' ? data : new TextDecoder('utf-8', { fatal: false }).decode(data));
  setTimeout(() => resolve('silence'), 10000);
  port.postMessage(new Uint8Array(cbor({ id, command }, '')));
});
globalThis.APP = APP;
/** What happened: 'done', or the name of the error. */
globalThis.tried = async (body) => {
  try { await body(); return 'done'; } catch (e) { return e.name; }
};
`;

// What CLIENT gives to code that the tests run on the site.
declare global {
  const APP: string;
  function bridge(): Promise<HTMLIFrameElement>;
  function say(
    frame: HTMLIFrameElement,
    message: unknown,
    transfer?: Transferable[],
  ): Promise<{ t: string; root: string; port: MessagePort } | undefined>;
  function ask(port: MessagePort, command: unknown): Promise<string>;
  function tried(body: () => unknown): Promise<string>;
}

/** What the site's own files say when they run where they should not. */
const OWNED = 'self.owned = true; onfetch = (e) => e.respondWith(new Response("owned"));';

export const FILES: Record<string, string> = {
  'index.html':
    '<!doctype html><title>hostile</title><h1>hostile</h1><script src="client.js"></script>',
  'client.js': CLIENT,
  'evil-sw.js': OWNED,
  'deep/evil-sw.js': OWNED,
  'evil.css': 'h1 { color: rgb(1, 2, 3) }',
  'evil.svg': '<svg xmlns="http://www.w3.org/2000/svg"><script>parent.owned = 1</script></svg>',
  // What the site would have served in place of ours.
  '.craftec/sw.js': OWNED,
  '.craftec/boot.js': 'document.title = "owned"',
};

export async function write(files: Record<string, string>): Promise<string> {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'hostile-')), 'site');
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), content);
  }
  return folder;
}

export interface Attack {
  app: Tab;
  context: BrowserContext;
  /** A tab with the hostile site, answered from the node of the app's tab. */
  site: Page;
  cid: string;
  /** Content of somebody else that the node has. */
  other: string;
}

/** A slow machine may have opened the site from the gateway: visits it until the node answers. */
async function fromTheNode(site: Page): Promise<void> {
  const source = async () => {
    await expect(site.locator('h1')).toHaveText('hostile');
    const from = await site.evaluate(async () => {
      const from = (await fetch('/evil.css')).headers.get('x-craftec-source');
      const [ours] = await navigator.serviceWorker.getRegistrations();
      if (from !== 'node') await ours?.unregister();
      return from;
    });
    if (from !== 'node') await site.reload();
    return from;
  };
  await expect.poll(source, { timeout: 60_000, intervals: [2_000] }).toBe('node');
}

/** The app in one tab, the hostile site in another of the same browser. */
export async function attack(relay: Relay, openTab: () => Promise<Tab>): Promise<Attack> {
  const { cid } = await relay.cli('site', 'publish', await write(FILES));
  const { cid: other } = await relay.cli('site', 'publish', await write({ 'index.html': 'other' }));
  const app = await openTab();
  await status(app.page);
  const site = await openSite(app.page, String(cid));
  await fromTheNode(site);
  return { app, context: app.context, site, cid: String(cid), other: String(other) };
}

/** The same node still answers, and stores and reads. */
export async function appGoesOn(page: Page, before?: { peerId: string }): Promise<void> {
  const after = await status(page);
  if (before) expect(after.peerId).toBe(before.peerId);
  const cid = await put(page, 100_000, 77);
  expect(await reads(page, cid, 100_000, 77)).toBe(true);
}
