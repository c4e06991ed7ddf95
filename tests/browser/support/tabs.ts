// What tests of several tabs do in them: start or join the node, keep it busy, look at the outcome.
import { type Page, test as base } from '@playwright/test';
import { expect } from './fixtures.ts';
import { Desktop, Host } from './host.ts';
import type { Relay } from './relay.ts';

export const test = base.extend<{ host: Host; desktop: Desktop }>({
  host: async ({}, use) => {
    const host = await Host.start();
    await use(host);
    await host.end();
  },
  desktop: async ({ launchOptions }, use) => {
    const desktop = await Desktop.start(launchOptions.executablePath!, launchOptions.args!);
    await use(desktop);
    await desktop.end();
  },
});

export interface Node {
  role: 'leader' | 'follower';
  state: { state: string; error?: { code: string; message: string; hint?: string } };
  status(): Promise<{
    did: string;
    peerId: string;
    uptimeMs: number;
    peers: { peerId: string; role: string; link: string }[];
  }>;
  connect(addr: string): Promise<void>;
  lendSpace(bytes: number | null): Promise<void>;
  stop(): Promise<void>;
  obj: {
    put(data: Blob | Uint8Array | ReadableStream, options?: object): Promise<{ cid: string }>;
    get(cid: string, options?: object): Promise<Uint8Array>;
    stream(cid: string): ReadableStream<Uint8Array>;
    pin(cid: string): Promise<void>;
    unpin(cid: string): Promise<void>;
    mine(): Promise<{ cid: string; name?: string }[]>;
  };
  sites: {
    publish(
      files: Map<string, Blob | string>,
      options?: object,
    ): Promise<{ cid: string; url: string }>;
    resolve(name: string): Promise<{ cid: string; seq: number }>;
    list(): Promise<{ label?: string }[]>;
  };
}

declare global {
  interface Window {
    node: Node;
    /** How long each of a row of requests took, one always being under way. */
    asked: { ms: number[]; stop: () => Promise<number[]> };
    work: { [name in 'blob' | 'stream' | 'read' | 'unpin']?: Promise<unknown> };
    made(bytes: number, seed: number): Uint8Array<ArrayBuffer>;
    same(bytes: Uint8Array, seed: number): boolean;
    began: Promise<void>;
    go?: () => void;
    bytes?: Uint8Array;
  }
}

/** Starts or joins the node, with an SDK of `build`. */
export async function join(page: Page, build = 'sdk', options: object = {}): Promise<void> {
  await page.evaluate(
    async ([build, options]) => {
      const { createNode } = (await import(`${location.origin}/${build}/index.js`)) as {
        createNode(options: object): Promise<Node>;
      };
      window.node = await createNode(options);
      window.work = {};
      window.made = (bytes, seed) => {
        const words = new Uint32Array(bytes / 4);
        let x = seed;
        for (let i = 0; i < words.length; i++) words[i] = x = (x * 1664525 + 1013904223) >>> 0;
        return new Uint8Array(words.buffer);
      };
      window.same = (bytes, seed) => {
        const made = window.made(bytes.length, seed);
        return bytes.every((b, i) => b === made[i]);
      };
    },
    [build, options] as const,
  );
}

/** What tabs dial to reach `relay`. */
export async function relaysOf(relay: Relay): Promise<string[]> {
  const answer = await fetch(`http://127.0.0.1:${relay.http}/relay.json`);
  return ((await answer.json()) as { relays: string[] }).relays;
}

/** Whether the node has a connection to a relay. */
export const connected = (page: Page) =>
  page.evaluate(async () => {
    const { peers } = await window.node.status();
    return peers.some(({ role }) => role === 'relay');
  });

export const role = (page: Page) => page.evaluate(() => window.node.role);
/** Waits until `page` leads. By a timer: a page that is not in front draws no frames. */
export const leads = (page: Page) =>
  page.waitForFunction(() => window.node.role === 'leader', undefined, {
    polling: 50,
    timeout: 60_000,
  });

/** Asks the node for its status, again and again, so that one request is always under way. */
export async function keepAsking(page: Page): Promise<void> {
  await page.evaluate(() => {
    const ms: number[] = [];
    let over = false;
    const row = (async () => {
      while (!over) {
        const started = performance.now();
        await window.node.status();
        ms.push(performance.now() - started);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    window.asked = { ms, stop: () => ((over = true), row.then(() => ms)) };
  });
}

/** The longest that one of them took: the one that was under way when the node moved. */
export const longest = (page: Page) =>
  page.evaluate(async () => Math.max(...(await window.asked.stop())));

/** Everything that may be under way at once; `check` says whether all of it ended well. */
export async function begin(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const { node, made } = window;
    const { cid } = await node.obj.put(made(8 << 20, 1), { name: 'read' });
    const { cid: kept } = await node.obj.put(made(4096, 2), { name: 'to be let go' });
    const stream = node.obj.stream(cid).getReader();
    const first = (await stream.read()).value!;
    let reached = () => {};
    window.began = new Promise((resolve) => (reached = resolve));
    let sent = 0;
    const put = (data: Blob | ReadableStream, name: string, from: number) =>
      node.obj.put(data, {
        name,
        onProgress: ({ bytes }: { bytes: number }) => bytes > from && ++sent >= 2 && reached(),
      });
    // Made before, all of it: making it would keep the page's thread from hearing answers.
    const [long, parts] = [new Blob([made(64 << 20, 3)]), made(12 << 20, 4)];
    let at = 0;
    const short = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at < parts.length) controller.enqueue(parts.slice(at, (at += 64 << 10)));
        else controller.close();
      },
    });
    window.work = {
      blob: put(long, 'blob', 4 << 20).then(({ cid }) => cid),
      stream: put(short, 'stream', 1 << 20).then(({ cid }) => cid),
      read: (async () => {
        const parts = [first];
        await window.began;
        for (let part; (part = (await stream.read()).value);) parts.push(part);
        return window.same(new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()), 1);
      })(),
      unpin: window.began.then(() => node.obj.unpin(kept)).then(() => kept),
    };
    for (const work of Object.values(window.work)) work.catch(() => {});
    await window.began;
  });
}

export async function endsWell(page: Page): Promise<void> {
  const found = await page.evaluate(async () => {
    const { node, work } = window;
    const [blob, stream, kept] = (await Promise.all([
      work.blob,
      work.stream,
      work.unpin,
    ])) as string[];
    const mine = (await node.obj.mine()).map(({ cid, name }) => `${name}: ${cid}`);
    return {
      read: await work.read,
      blob: window.same(await node.obj.get(blob!), 3),
      stream: window.same(await node.obj.get(stream!), 4),
      once: ['blob', 'stream'].map((n) => mine.filter((m) => m.startsWith(`${n}: `)).length),
      gone: !mine.some((m) => m.endsWith(kept!)),
    };
  });
  expect(found).toEqual({ read: true, blob: true, stream: true, once: [1, 1], gone: true });
}
