// The node of a tab, through the SDK that the app itself uses.
import { expect, type Page } from '@playwright/test';

export interface Peer {
  peerId: string;
  link: 'webrtc' | 'quic' | 'tcp' | 'websocket' | 'relayed';
  role: 'tab' | 'relay' | 'foreign';
  rttMs?: number;
}

export interface Status {
  did: string;
  peerId: string;
  peers: Peer[];
  storage: { used: number; forOthers: number; full?: boolean };
  serving?: { rate: number | null; monthly: number | null; sent: number };
}

interface Sdk {
  createNode(options?: object): Promise<{
    status(): Promise<Status>;
    obj: {
      put(data: Uint8Array | string, options?: object): Promise<{ cid: string; size: number }>;
      get(address: string, options?: object): Promise<Uint8Array>;
      stat(cid: string): Promise<{ holders: { peer: string; signed: boolean }[] }>;
      mine(): Promise<{ cid: string; kind: string; size: number }[]>;
      unpin(cid: string): Promise<void>;
      list(address: string): Promise<{ name: string; kind: string; cid: string }[]>;
    };
  }>;
}

declare global {
  interface Window {
    testNode?: ReturnType<Sdk['createNode']>;
  }
}

/** Attaches to the node that this tab's app runs. */
async function attach(page: Page): Promise<void> {
  await page.evaluate(async () => {
    // The app runs the node; what is made here joins it.
    const runs = async () =>
      (await navigator.locks.query()).held?.some((l) => l.name === 'craftec-node');
    for (let i = 0; i < 100 && !(await runs()); i++) await new Promise((f) => setTimeout(f, 100));
    const url = '/sdk/index.js';
    window.testNode ??= import(url).then((sdk: Sdk) => sdk.createNode());
    return window.testNode.then(() => undefined);
  });
}

export async function status(page: Page): Promise<Status> {
  await attach(page);
  return page.evaluate(async () => (await window.testNode!).status());
}

/** Puts `bytes` bytes made from `seed`, so that every tab can make the same. */
export async function put(page: Page, bytes: number, seed: number): Promise<string> {
  await attach(page);
  return page.evaluate(
    async ([bytes, seed]) => {
      const data = new Uint8Array(bytes!);
      let x = seed!;
      for (let i = 0; i < data.length; i++) data[i] = (x = (x * 1103515245 + 12345) >>> 0) >>> 16;
      return (await (await window.testNode!).obj.put(data)).cid;
    },
    [bytes, seed],
  );
}

/** Reads an object and answers whether it is what `put` made of `seed`. */
export async function reads(
  page: Page,
  cid: string,
  bytes: number,
  seed: number,
): Promise<boolean> {
  await attach(page);
  return page.evaluate(
    async ([cid, bytes, seed]) => {
      const data = await (await window.testNode!).obj.get(cid as string);
      let x = seed as number;
      if (data.length !== bytes) return false;
      return data.every((b) => b === (((x = (x * 1103515245 + 12345) >>> 0) >>> 16) & 0xff));
    },
    [cid, bytes, seed] as const,
  );
}

/** Waits until `page` has a peer that fits. */
export async function hasPeer(
  page: Page,
  fits: (peer: Peer) => boolean,
  timeout = 30_000,
): Promise<void> {
  await expect
    .poll(async () => (await status(page)).peers.some(fits), { timeout, message: 'no such peer' })
    .toBe(true);
}

/** Waits until `count` holders signed for `cid`. */
export async function signed(page: Page, cid: string, count: number): Promise<void> {
  await attach(page);
  const holders = () =>
    page.evaluate(async (cid) => {
      const { holders } = await (await window.testNode!).obj.stat(cid);
      return holders.filter((h) => h.signed).length;
    }, cid);
  await expect
    .poll(holders, { timeout: 60_000, message: 'too few holders' })
    .toBeGreaterThanOrEqual(count);
}
