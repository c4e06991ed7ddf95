// Several tabs of one origin: the tab that runs the node is closed, crashes, is frozen, hangs, is
// stopped in its tracks, or is of another app version, each with requests under way.
//
// The bounds asserted here are what a machine with other work on both cores keeps; the figures are
// printed beside what they are meant to be on one that is idle.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Page } from '@playwright/test';
import { buildSdk } from '../support/builds.ts';
import { expect } from '../support/fixtures.ts';
import { Relay } from '../support/relay.ts';
import {
  begin,
  connected,
  endsWell,
  join,
  keepAsking,
  leads,
  longest,
  relaysOf,
  role,
  test,
} from '../support/tabs.ts';

/** For a request that the node answers by itself; the aim on an idle machine is 200 ms. */
const LOCAL_MS = 2_000;
/** For one that needs the network; the aim is 2 s. */
const NETWORK_MS = 8_000;

const median = (all: number[]) => all.toSorted((a, b) => a - b)[all.length >> 1]!;

for (const way of ['closed', 'crashed'] as const) {
  test(`requests under way outlive a leader that is ${way}`, async ({ desktop, host }) => {
    const rounds = [];
    let leader = await desktop.tab(host);
    await join(leader);
    let follower = await desktop.tab(host);
    await join(follower);
    const { did } = await leader.evaluate(() => window.node.status());
    for (let round = 0; round < 3; round++) {
      expect([await role(leader), await role(follower)]).toEqual(['leader', 'follower']);
      // Tabs that stand side by side for a moment, as a person's do: the next worker is ready.
      await follower.waitForTimeout(4_000);
      if (round === 0) await begin(follower);
      await keepAsking(follower);
      await follower.waitForFunction(() => window.asked.ms.length > 3);
      if (way === 'closed') await leader.close();
      else {
        const cdp = await desktop.context.newCDPSession(leader);
        cdp.send('Page.crash').catch(() => {});
      }
      await leads(follower);
      rounds.push(await longest(follower));
      if (round === 0) await endsWell(follower);
      expect((await follower.evaluate(() => window.node.status())).did).toBe(did);
      if (way === 'crashed') await leader.close();
      leader = follower;
      follower = await desktop.tab(host);
      await join(follower);
    }
    console.log(
      `    ${way}: a local request under way took ${rounds.map(Math.round).join(', ')} ms ` +
        `(the first beside 76 MiB of uploads), median ${Math.round(median(rounds))}; aim 200`,
    );
    expect(median(rounds)).toBeLessThan(LOCAL_MS);
  });
}

test('a frozen leader lets go of lock and disk, and comes back by itself', async ({
  desktop,
  host,
}) => {
  const leader = await desktop.tab(host);
  await join(leader);
  const follower = await desktop.tab(host);
  await join(follower);
  await begin(follower);
  await leader.evaluate(async () => {
    window.work = { blob: window.node.obj.put(window.made(32 << 20, 5)).then(({ cid }) => cid) };
  });
  await keepAsking(follower);
  await desktop.freeze(leader, 'frozen');
  await leads(follower);
  const took = Math.round(await longest(follower));
  await endsWell(follower);
  console.log(`    frozen: a local request under way took ${took} ms; aim 200`);
  expect(took).toBeLessThan(LOCAL_MS);
  // What the frozen page had under way waits in it; the thaw alone ends the wait.
  await desktop.freeze(leader, 'active');
  const cid = await leader.evaluate(() => window.work.blob as Promise<string>);
  expect(await role(leader)).toBe('follower');
  const there = async (page: Page) =>
    page.evaluate(async (c) => window.same(await window.node.obj.get(c), 5), cid);
  expect([await there(leader), await there(follower)]).toEqual([true, true]);
  // And it is the next in line.
  await follower.close();
  await leads(leader);
  expect(await there(leader)).toBe(true);
});

test('a frozen follower lets go of its session, and comes back', async ({ desktop, host }) => {
  const follower = await desktop.tab(host);
  const leader = await desktop.tab(host);
  await join(leader);
  await join(follower);
  const cid = await leader.evaluate(async () => {
    return (await window.node.obj.put(window.made(1 << 20, 6))).cid;
  });
  const states = () => follower.evaluate(() => window.node.state.state);
  await desktop.freeze(follower, 'frozen');
  expect(await states()).toBe('reconnecting');
  await desktop.freeze(follower, 'active');
  expect(
    await follower.evaluate(async (c) => window.same(await window.node.obj.get(c), 6), cid),
  ).toBe(true);
  expect(await states()).toBe('running');
});

/** A worker like ours that does something bad when it is told to. */
const badWorker = (deed: string) => `import '/sdk/worker.js';
  new BroadcastChannel('test').onmessage = () => { ${deed} };`;

test('a worker that hangs is replaced by its own page', async ({ desktop, host }) => {
  host.scripts.set('/hangs.js', badWorker('for (;;);'));
  const leader = await desktop.tab(host);
  await join(leader, 'sdk', { workerUrl: '/hangs.js' });
  const follower = await desktop.tab(host);
  await join(follower);
  await begin(follower);
  await keepAsking(follower);
  // In front: browsers let the timers of the others go slower, and then the follower is first.
  await leader.bringToFront();
  await leader.evaluate(() => new BroadcastChannel('test').postMessage(0));
  const answered = () => Math.max(...window.asked.ms) > 4_000;
  await follower.waitForFunction(answered, undefined, { polling: 200, timeout: 60_000 });
  const took = Math.round(await longest(follower));
  await endsWell(follower);
  console.log(`    hung: a local request under way took ${took} ms; the limit is 8 beats`);
  expect(took).toBeLessThan(30_000);
  expect([await role(leader), await role(follower)]).toEqual(['leader', 'follower']);
});

test('a process that is stopped is deposed, and gives way when it goes on', async ({
  desktop,
  host,
}) => {
  const leader = await desktop.tab(host);
  await join(leader);
  const follower = await desktop.tab(host);
  await join(follower);
  const [stopped, other] = [await desktop.processOf(leader), await desktop.processOf(follower)];
  test.skip(stopped === other, 'the browser put both tabs into one process');
  await begin(follower);
  const epoch = () =>
    follower.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const file = await (await root.getFileHandle('craftec-epoch')).getFile();
      return Number(new DataView(await file.arrayBuffer()).getBigUint64(4));
    });
  const before = await epoch();
  const silent = follower.waitForEvent('console', { predicate: (m) => /is silent/.test(m.text()) });
  process.kill(stopped, 'SIGSTOP');
  try {
    await silent;
    // It has the lock, and a later epoch on disk; the disk itself is the other's as long as it is.
    await expect.poll(epoch, { timeout: 30_000 }).toBeGreaterThan(before);
    expect(await role(follower)).toBe('follower');
  } finally {
    process.kill(stopped, 'SIGCONT');
  }
  await leads(follower);
  await endsWell(follower);
  expect(await role(leader)).toBe('follower');
  const { did } = await leader.evaluate(() => window.node.status());
  expect((await follower.evaluate(() => window.node.status())).did).toBe(did);
});

test('tabs of two app versions agree on the older language', async ({ desktop, host }) => {
  host.builds.set('next', await buildSdk([2, 1]));
  for (const [first, second] of [
    ['sdk', 'next'],
    ['next', 'sdk'],
  ] as const) {
    const leader = await desktop.tab(host);
    await join(leader, first);
    const follower = await desktop.tab(host);
    await join(follower, second);
    expect([await role(leader), await role(follower)]).toEqual(['leader', 'follower']);
    await begin(follower);
    await leader.close();
    await leads(follower);
    await endsWell(follower);
    await follower.close();
  }
});

test('a tab of a later version takes the node over from one it can’t talk to', async ({
  desktop,
  host,
}) => {
  host.builds.set('next', await buildSdk([3, 2]));
  const old = await desktop.tab(host);
  await join(old);
  const follower = await desktop.tab(host);
  await join(follower);
  await begin(follower);
  const next = await desktop.tab(host);
  await join(next, 'next');
  expect(await role(next)).toBe('leader');
  // What is stored was handed over; the tabs of the old version say what to do.
  const cid = await next.evaluate(async () => (await window.node.obj.mine())[0]!.cid);
  const lengthIn = (page: Page) =>
    page.evaluate((c) => window.node.obj.get(c).then((bytes) => bytes.length), cid);
  expect(await lengthIn(next)).toBeGreaterThan(0);
  for (const page of [old, follower]) {
    const failed = () =>
      page.evaluate(() => {
        const { state, error } = window.node.state;
        return [state, error?.code, error?.hint?.split(',')[0]];
      });
    await expect
      .poll(failed, { timeout: 30_000 })
      .toEqual(['failed', 'version', 'Load the app again']);
    expect(await role(page)).toBe('follower');
  }
  // One that opens now is told at once, and does not take the node back.
  const late = await desktop.tab(host);
  await expect(join(late)).rejects.toThrow(/speaks version/);
  expect(await role(next)).toBe('leader');
  // With the later version gone, the older tabs go on.
  await next.close();
  await expect.poll(() => lengthIn(follower).catch(() => 0)).toBeGreaterThan(0);
});

test('requests that need the network go on when the leader goes', async ({ desktop, host }) => {
  const relay = await Relay.start();
  try {
    const relays = await relaysOf(relay);
    const file = path.join(relay.data, 'big.bin');
    const content = Buffer.alloc(48 << 20, 'a network of tabs ');
    await writeFile(file, content);
    const { cid } = (await relay.cli('put', file)) as { cid: string };
    const took = [];
    for (const way of ['closed', 'crashed']) {
      const leader = await desktop.tab(host);
      await join(leader, 'sdk', { relays, storage: { folder: way } });
      const follower = await desktop.tab(host);
      await join(follower, 'sdk', { relays, storage: { folder: way } });
      await follower.evaluate((cid) => {
        let reached = () => {};
        window.began = new Promise((resolve) => (reached = resolve));
        const gaps = { last: performance.now(), longest: 0 };
        const onProgress = ({ bytes }: { bytes: number }) => {
          const now = performance.now();
          if (bytes > 4 << 20) gaps.longest = Math.max(gaps.longest, now - gaps.last);
          gaps.last = now;
          if (bytes > 8 << 20) reached();
        };
        const read = window.node.obj.get(cid, { onProgress }).then(async (bytes) => {
          const hash = await crypto.subtle.digest('SHA-256', bytes as BufferSource);
          return { hash: [...new Uint8Array(hash)], ms: gaps.longest };
        });
        window.work = { read };
        return window.began;
      }, cid);
      if (way === 'closed') await leader.close();
      else {
        const cdp = await desktop.context.newCDPSession(leader);
        cdp.send('Page.crash').catch(() => {});
      }
      const { hash, ms } = await follower.evaluate(
        () => window.work.read as Promise<{ hash: number[]; ms: number }>,
      );
      expect(Buffer.from(hash)).toEqual(createHash('sha256').update(content).digest());
      expect(await role(follower)).toBe('leader');
      took.push(Math.round(ms));
      await follower.close();
      if (way === 'crashed') await leader.close();
    }
    console.log(`    a read from the network stood still for ${took.join(', ')} ms; aim 2000`);
    expect(Math.max(...took)).toBeLessThan(NETWORK_MS);
  } finally {
    await relay.end();
  }
});

test('a site that is being read goes on when the leader goes', async ({ desktop, host }) => {
  const leader = await desktop.tab(host);
  await join(leader);
  const follower = await desktop.tab(host);
  await join(follower);
  const files = { big: 24 << 20, count: 8 };
  const { url } = await leader.evaluate(async ({ big, count }) => {
    const list = new Map<string, Blob | string>([['index.html', '<title>a site</title>']]);
    list.set('big.bin', new Blob([window.made(big, 7)]));
    for (let i = 0; i < count; i++) list.set(`${i}.txt`, `file ${i}`);
    return window.node.sites.publish(list, { name: 'site' });
  }, files);
  const site = await desktop.context.newPage();
  await site.goto(url);
  await site.waitForFunction(() => document.title === 'a site');
  await site.evaluate(async () => {
    const response = await fetch('/big.bin');
    const reader = response.body!.getReader();
    const first = (await reader.read()).value!;
    const rest = async () => {
      const parts = [first];
      for (let part; (part = (await reader.read()).value);) parts.push(part);
      return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
    };
    window.work = { read: new Promise((resolve) => (window.go = () => resolve(rest()))) };
  });
  await leader.close();
  const { same, texts, ms } = await site.evaluate(async (count) => {
    const started = performance.now();
    const text = await (await fetch('/0.txt')).text();
    const ms = performance.now() - started;
    window.go!();
    const bytes = (await window.work.read) as Uint8Array;
    const words = new Uint32Array(bytes.buffer);
    let x = 7;
    const same = words.every((word) => word === (x = (x * 1664525 + 1013904223) >>> 0));
    const texts = [text];
    for (let i = 1; i < count; i++) texts.push(await (await fetch(`/${i}.txt`)).text());
    return { same: same && bytes.length, texts, ms };
  }, files.count);
  expect(same).toBe(files.big);
  expect(texts).toEqual(Array.from({ length: files.count }, (_, i) => `file ${i}`));
  // An icon is the browser's own wish, now and then past every service worker.
  const asked = host.asked.filter((name) => name !== '/favicon.ico');
  expect(asked, 'the gateway was asked for content').toEqual([]);
  console.log(`    a site's request under way took ${Math.round(ms)} ms; aim 200`);
  expect(ms).toBeLessThan(LOCAL_MS);
  // The name has the one head that it got: nothing was published twice.
  const label = await follower.evaluate(async () => (await window.node.sites.list())[0]!.label!);
  expect((await follower.evaluate((l) => window.node.sites.resolve(l), label)).seq).toBe(0);
});

test('the page’s thread is never blocked by the node', async ({ desktop, host }) => {
  const page = await desktop.tab(host);
  await join(page);
  const bytes = 64 << 20;
  await page.evaluate((bytes) => {
    window.bytes = window.made(bytes, 8);
  }, bytes);
  let cid = '';
  // The least of three: what else a slow machine does must not count, though a block that the node
  // makes only now and then is missed by that.
  const least = async (work: () => Promise<void>) => {
    let least = Infinity;
    for (let tries = 0; tries < 3 && least > 16; tries++) {
      least = Math.min(least, await desktop.longestTask(page, work));
    }
    return least;
  };
  const put = await least(async () => {
    cid = await page.evaluate(async () => (await window.node.obj.put(window.bytes!)).cid);
  });
  let read = 0;
  const get = await least(async () => {
    read = await page.evaluate(async (cid) => (await window.node.obj.get(cid)).length, cid);
  });
  const streamed = await least(() =>
    page.evaluate(async (cid) => {
      const reader = window.node.obj.stream(cid).getReader();
      while (!(await reader.read()).done);
    }, cid),
  );
  expect(read).toBe(bytes);
  // That one which is blocked would be found.
  const blocked = await desktop.longestTask(page, () =>
    page.evaluate(() => {
      const until = performance.now() + 100;
      while (performance.now() < until);
    }),
  );
  expect(blocked).toBeGreaterThan(16);
  const all = [put, get, streamed].map((ms) => Number(ms.toFixed(1)));
  console.log(`    longest task of the page: put ${all[0]}, get ${all[1]}, stream ${all[2]} ms`);
  expect(Math.max(...all)).toBeLessThanOrEqual(16);
});

test('a tab that slept alone comes back, to its relay as well', async ({ desktop, host }) => {
  const relay = await Relay.start();
  try {
    const relays = await relaysOf(relay);
    const page = await desktop.tab(host);
    await join(page, 'sdk', { relays });
    await expect.poll(() => connected(page)).toBe(true);
    await desktop.tab(host); // In front, so that the other is hidden.
    await desktop.freeze(page, 'frozen');
    // While it sleeps its relay is replaced: nothing that it had is of use.
    await relay.kill();
    await relay.up();
    await desktop.freeze(page, 'active');
    const woke = performance.now();
    await expect.poll(() => connected(page), { intervals: [50] }).toBe(true);
    expect(await role(page)).toBe('leader');
    const took = Math.round(performance.now() - woke);
    console.log(`    awake to connected with the relay: ${took} ms`);
    expect(took).toBeLessThan(NETWORK_MS);
  } finally {
    await relay.end();
  }
});

test('a machine that slept comes back with new connections', async ({ desktop, host }) => {
  const relay = await Relay.start();
  try {
    const relays = await relaysOf(relay);
    const page = await desktop.tab(host);
    await join(page, 'sdk', { relays });
    const uptime = () => page.evaluate(async () => (await window.node.status()).uptimeMs);
    await expect.poll(() => connected(page)).toBe(true);
    const pid = await desktop.processOf(page);
    // Nothing is told to a process that stands still, as nothing is to a machine that sleeps.
    process.kill(pid, 'SIGSTOP');
    try {
      await new Promise((resolve) => setTimeout(resolve, 32_000));
      await relay.kill();
      await relay.up();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    // Its connections would have been found dead one after the other; it starts with new ones.
    await expect.poll(uptime, { timeout: NETWORK_MS }).toBeLessThan(20_000);
    await expect.poll(() => connected(page), { timeout: NETWORK_MS }).toBe(true);
  } finally {
    await relay.end();
  }
});

test('a worker that loads slowly is waited for', async ({ desktop, host }) => {
  host.scripts.set('/slow.js', `import '/sdk/worker.js?slow';`);
  host.delays.set('/sdk/worker.js', 20_000);
  const page = await desktop.tab(host);
  const joined = join(page, 'sdk', { workerUrl: '/slow.js' });
  const other = await desktop.tab(host);
  const waiting = join(other);
  const silent = { heard: false };
  other.on('console', (m) => (silent.heard ||= m.text().includes('is silent')));
  await Promise.all([joined, waiting]);
  expect([await role(page), silent.heard]).toEqual(['leader', false]);
});

test('tab after tab leads, and none of their requests is lost', async ({ desktop, host }) => {
  const pages: Page[] = [];
  for (let i = 0; i < 6; i++) {
    const page = await desktop.tab(host);
    await join(page);
    pages.push(page);
  }
  const cid = await pages[0]!.evaluate(async () => {
    return (await window.node.obj.put(window.made(4 << 20, 9))).cid;
  });
  for (const page of pages) await keepAsking(page);
  const took = [];
  while (pages.length > 1) {
    const leader = pages.shift()!;
    expect(await role(leader)).toBe('leader');
    if (pages.length % 2 === 0) await leader.close();
    else {
      const cdp = await desktop.context.newCDPSession(leader);
      cdp.send('Page.crash').catch(() => {});
    }
    // Locks are queued for in the order in which the tabs came.
    await leads(pages[0]!);
    const read = (page: Page) =>
      page.evaluate(async (c) => window.same(await window.node.obj.get(c), 9), cid);
    expect(await Promise.all(pages.map(read))).toEqual(pages.map(() => true));
    took.push(Math.round(await longest(pages[0]!)));
  }
  console.log(`    tab after tab: requests under way took ${took.join(', ')} ms`);
  expect(median(took)).toBeLessThan(LOCAL_MS);
});
