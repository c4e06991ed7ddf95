// Strangers' browsers without a native node: each a context of its own, all linked to each other
// directly, by a relay that is killed before anything is put. A tab that comes later could be
// introduced by nobody, so those that are to come are there from the start; they lend no space, and
// so hold nothing, until they are called.
import { type Browser, type BrowserContext, expect, type Page } from '@playwright/test';
import { Host } from './host.ts';
import { Relay } from './relay.ts';
import { join, relaysOf } from './tabs.ts';

/** What a tab of this crowd keeps for others. */
const LEND_BYTES = 256 << 20;
/** Tabs that a new one is being linked to at one time: a tab takes 16 handshakes. */
const AT_ONCE = 8;

/** One browser with a node. */
export class Stranger {
  private constructor(
    private readonly context: BrowserContext,
    readonly page: Page,
    readonly peerId: string,
  ) {}

  static async open(browser: Browser, host: Host, options: object): Promise<Stranger> {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on('pageerror', (e) => console.log(`    [page] threw: ${e.message}`));
    await page.goto(host.app);
    await join(page, 'sdk', options);
    const peerId = await page.evaluate(async () => (await window.node.status()).peerId);
    return new Stranger(context, page, peerId);
  }

  /** Closes the browser, with all that it kept. */
  close(): Promise<void> {
    return this.context.close();
  }

  /** To whom it is connected, and how. */
  async links(): Promise<Map<string, string>> {
    const { peers } = await this.page.evaluate(() => window.node.status());
    return new Map(peers.map(({ peerId, link }) => [peerId, link]));
  }

  /** Puts an object made of `seed`; done when it is kept as wanted. */
  async put(bytes: number, seed: number, options: object): Promise<string> {
    return this.page.evaluate(
      async ([bytes, seed, options]) => {
        const all = { ...options, ack: 'replicated' };
        return (await window.node.obj.put(window.made(bytes, seed), all)).cid;
      },
      [bytes, seed, options] as const,
    );
  }

  /** Reads all of it; whether it is what was put, or why it could not be had. */
  async read(cid: string, bytes: number, seed: number): Promise<string> {
    const read = this.page.evaluate(
      async ([cid, bytes, seed]) => {
        const got = await window.node.obj.get(cid);
        return got.length === bytes && window.same(got, seed) ? 'exact' : 'WRONG BYTES';
      },
      [cid, bytes, seed] as const,
    );
    return read.catch((error: Error) => `FAILED: ${error.message}`);
  }

  /** From now on it keeps what it is asked to keep. */
  lend(): Promise<void> {
    return this.page.evaluate((bytes) => window.node.lendSpace(bytes), LEND_BYTES);
  }
}

/** How many there are of each kind, and what they do. */
export interface Numbers {
  /** They hold what is put. */
  holders: number;
  /** They come when a holder goes. */
  spares: number;
  /** Each reads once and is closed: what it fetched helps nobody. */
  readers: number;
  /** How often holders look after an object. */
  mendSeconds: number;
}

export class Crowd {
  private constructor(
    private readonly host: Host,
    private readonly relay: Relay,
    readonly holders: Stranger[],
    readonly spares: Stranger[],
    readonly readers: Stranger[],
  ) {}

  /** Opens all, links each to each, and kills the relay. */
  static async gather(browser: Browser, numbers: Numbers): Promise<Crowd> {
    const { holders, spares, readers, mendSeconds } = numbers;
    const relay = await Relay.start('--lend', '0');
    const relays = await relaysOf(relay);
    const host = await Host.start(relays);
    const all: Stranger[] = [];
    for (let i = 0; i < holders + spares + readers; i++) {
      const lendBytes = i < holders ? LEND_BYTES : 0;
      const storage = { lendBytes, mendSeconds };
      const stranger = await Stranger.open(browser, host, { relays, storage });
      await introduce(stranger, all, relays[0]!);
      all.push(stranger);
    }
    await relay.kill();
    const later = all.splice(holders);
    return new Crowd(host, relay, all, later.splice(0, spares), later);
  }

  async end(): Promise<void> {
    const all = [...this.holders, ...this.spares, ...this.readers];
    await Promise.all(all.map((stranger) => stranger.close()));
    await this.host.end();
    await this.relay.end();
  }
}

/** Has a tab linked to all of `others`, directly. */
async function introduce(tab: Stranger, others: Stranger[], relay: string): Promise<void> {
  await expect(async () => {
    const links = await tab.links();
    const direct = others.filter(({ peerId }) => links.get(peerId) === 'webrtc');
    const met = others.filter(({ peerId }) => links.has(peerId));
    const next = others.filter(({ peerId }) => !links.has(peerId));
    const few = next.slice(0, Math.max(0, AT_ONCE - (met.length - direct.length)));
    // Over the relay, which becomes a direct link by itself. What fails is dialed again.
    await tab.page.evaluate(
      (addrs) => Promise.allSettled(addrs.map((addr) => window.node.connect(addr))).then(() => {}),
      few.map(({ peerId }) => `${relay}/p2p-circuit/p2p/${peerId}`),
    );
    expect(direct.length).toBe(others.length);
  }).toPass({ timeout: 120_000, intervals: [200] });
}
