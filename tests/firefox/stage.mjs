/** A relay and Firefox, driven over WebDriver BiDi. All on loopback. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

const BINARY = process.env.CRAFTEC ?? resolve(import.meta.dirname, '../../target/release/craftec');

export class Relay {
  static async start() {
    const home = await mkdtemp(join(tmpdir(), 'craftec-firefox-'));
    const relay = new Relay(home);
    const args = ['--data', join(home, 'data'), '--json', 'up', '--http', '127.0.0.1:0'];
    args.push('--listen', '/ip4/127.0.0.1/tcp/0/ws');
    relay.process = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(relay.process, 'exit').then(([code]) => {
      throw new Error(`craftec up ended with ${code}`);
    });
    ended.catch(() => {});
    const ready = once(createInterface({ input: relay.process.stdout }), 'line');
    const { url } = JSON.parse((await Promise.race([ready, ended]))[0]);
    relay.port = Number(new URL(url).port);
    return relay;
  }

  constructor(home) {
    this.home = home;
  }

  get app() {
    return `http://app.craftec.localhost:${this.port}/`;
  }

  async end() {
    this.process.kill('SIGKILL');
    await rm(this.home, { recursive: true, force: true });
  }
}

const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

export function firefox() {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    extraPrefsFirefox: {
      // Connections on loopback, by address; no call to anybody else.
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
    },
  });
}

export function chromium() {
  return puppeteer.launch({
    executablePath: process.env.CHROME ?? '/usr/bin/chromium',
    headless: true,
    args: CHROMIUM_ARGS,
  });
}

/** Waits until `look` finds something. */
export async function until(what, look, ms = 30_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** The app in a storage of its own, as another person's browser. */
export class Tab {
  static async open(browser, relay, remove) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    if (remove) await page.evaluateOnNewDocument(remove);
    const tab = new Tab(context, page);
    page.on('pageerror', (error) => console.error('[page]', error.message));
    page.on('console', (m) => m.type().startsWith('warn') && tab.warnings.push(m.text()));
    await page.goto(relay.app);
    await tab.node(() => {});
    return tab;
  }

  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.warnings = [];
  }

  /** Calls `body(node, ...args)` with the node that the app runs. */
  node(body, ...args) {
    const call = `(async () => {
      globalThis.testNode ??= import('/sdk/index.js').then((sdk) => sdk.createNode());
      return (${body})(await globalThis.testNode, ...${JSON.stringify(args)});
    })()`;
    return this.page.evaluate(call);
  }

  status() {
    return this.node((node) => node.status());
  }

  /** Waits for a peer that fits, and says how it is connected. */
  peer(id, ...links) {
    return until(`${id} over ${links}`, async () => {
      const { peers } = await this.status();
      return peers.find(({ peerId, link }) => peerId === id && links.includes(link));
    });
  }

  /** Puts bytes made of `seed`; their CID. */
  put(bytes, seed) {
    const body = async (node, bytes, seed) => {
      const data = new Uint8Array(bytes).map((_, at) => Math.imul(at, 2654435761 ^ seed) >>> 24);
      return (await node.obj.put(data)).cid;
    };
    return this.node(body, bytes, seed);
  }

  /** Reads them back; whether they are what they were. */
  reads(cid, bytes, seed) {
    const body = async (node, cid, bytes, seed) => {
      const data = await node.obj.get(cid);
      const right = (byte, at) => byte === Math.imul(at, 2654435761 ^ seed) >>> 24;
      return data.length === bytes && data.every(right);
    };
    return this.node(body, cid, bytes, seed);
  }

  close() {
    return this.context.close();
  }
}
