/**
 * The network of a tab, in a real browser: tabs among themselves, and with js-libp2p as a foreign
 * client. `npm test`; `CHROME` names the browser.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { buildAll } from './build.mjs';
import { Page, servePages, startBrowser, startRelay, until } from './stage.mjs';

const MIB = 1 << 20;
/** js-libp2p's own WebRTC dial hangs now and then: so many attempts, of so many milliseconds. */
const DIALS = 5;
const DIAL_MS = 5_000;

const built = await buildAll();
let web;
let browser;

before(async () => {
  web = await servePages(built.pages);
  browser = await startBrowser();
});

after(async () => {
  await browser.close();
  web.close();
});

/** A test with a relay of its own and pages that are closed at its end. */
function play(name, timeout, body) {
  test(name, { timeout }, async (t) => {
    let relay = await startRelay(built.relay);
    const pages = [];
    t.after(async () => {
      await Promise.all(pages.map((page) => page.close()));
      await relay.kill();
    });
    const open = async (kind, query) => {
      const page = await Page.open(browser, web.url, kind, query);
      pages.push(page);
      return page;
    };
    await body({
      relay,
      restart: async () => {
        relay = await startRelay(built.relay, { port: relay.port });
      },
      tab: async (query = '') => {
        const page = await open('tab', query);
        await page.start(relay);
        return page;
      },
      foreign: async () => {
        const page = await open('foreign');
        page.id = await page.foreign('start', relay.address);
        return page;
      },
    });
  });
}

/** Waits until `a` is connected to `b` without a relay. */
function direct(a, b) {
  return until('a direct connection', async () => (await a.link(b.id)) === 'WebRtc');
}

play('a relayed connection becomes direct and outlives its relay', 40_000, async (on) => {
  const [a, b] = await Promise.all([on.tab(), on.tab()]);
  await a.tab('exchange', b.id, 1000);
  await Promise.all([direct(a, b), direct(b, a)]);
  const talking = Promise.all([
    a.tab('exchanges', b.id, 100_000, 3000),
    b.tab('exchanges', a.id, 1000, 3000),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await on.relay.kill();
  for (const { done, errors } of await talking) {
    assert.deepEqual(errors, []);
    assert.ok(done > 5, `${done} exchanges`);
  }
  await until('the loss of the relay', async () => !(await a.link(on.relay.peer)));
  await b.tab('exchange', a.id, MIB);
  assert.equal(await a.link(b.id), 'WebRtc');
  assert.equal(await b.link(a.id), 'WebRtc');
});

play('a relay that comes back brings new peers', 40_000, async (on) => {
  const a = await on.tab();
  await on.relay.kill();
  await until('the loss of the relay', async () => !(await a.link(on.relay.peer)));
  await on.restart();
  await until('a new reservation', async () => a.link(on.relay.peer));
  const b = await on.tab();
  await until('an answer', () => b.tab('exchange', a.id, 1000).catch(() => undefined));
  await direct(a, b);
});

play('two tabs that turn to each other at once end up direct', 30_000, async (on) => {
  const [a, b] = await Promise.all([on.tab(), on.tab()]);
  await Promise.all([a.tab('exchange', b.id, 1000), b.tab('exchange', a.id, 1000)]);
  await Promise.all([direct(a, b), direct(b, a)]);
  const talks = await Promise.all([
    a.tab('exchanges', b.id, 1000, 2000),
    b.tab('exchanges', a.id, 1000, 2000),
  ]);
  assert.deepEqual(talks.flatMap((talk) => talk.errors), []);
});

play('what cannot be direct stays relayed', 30_000, async (on) => {
  const [a, b] = await Promise.all([on.tab(), on.tab('?lend=0')]);
  const { errors } = await a.tab('exchanges', b.id, 10_000, 3000);
  assert.deepEqual(errors, []);
  assert.equal(await a.link(b.id), 'Relayed');
  await b.tab('exchange', a.id, MIB);
});

play('tabs that never asked each other for anything outlive their relay', 60_000, async (on) => {
  const tabs = await Promise.all([on.tab(), on.tab(), on.tab(), on.tab()]);
  await Promise.all(tabs.map((tab) => tab.tab('mesh')));
  const others = (tab) => tabs.filter((other) => other !== tab);
  const linked = async (tab) => {
    const links = await Promise.all(others(tab).map((other) => tab.link(other.id)));
    return links.every((link) => link === 'WebRtc');
  };
  const begun = Date.now();
  await Promise.all(tabs.map((tab) => until('links of its own', () => linked(tab), 40_000)));
  console.log(`4 tabs linked to each other after ${Date.now() - begun} ms`);
  await on.relay.kill();
  await until('the loss of the relay', async () => !(await tabs[0].link(on.relay.peer)));
  for (const tab of tabs) {
    for (const other of others(tab)) await tab.tab('exchange', other.id, 10_000);
  }
});

/** A reader that does not read holds the writer back, and nothing else. */
async function holdsBack(on, query, link) {
  const [a, b] = await Promise.all([on.tab(query), on.tab()]);
  await a.tab('exchange', b.id, 1000);
  await until('the link', async () => (await a.link(b.id)) === link);
  const filled = await a.tab('fill', b.id);
  console.log(`${link}: ${(filled / MIB).toFixed(2)} MiB under way to a tab that does not read`);
  assert.ok(filled < 4 * MIB, `${filled} bytes are somewhere in memory`);
  const { errors, done } = await a.tab('exchanges', b.id, 10_000, 3000);
  assert.deepEqual(errors, []);
  assert.ok(done > 5, `${done} exchanges beside it`);
  assert.equal(await a.link(b.id), link);
  const [read] = await Promise.all([b.tab('drain'), a.tab('finish')]);
  assert.equal(read, filled);
}

play('a tab that does not read over WebRTC holds the writer back', 40_000, (on) =>
  holdsBack(on, '', 'WebRtc'),
);

play('a tab that does not read over its relay holds the writer back', 40_000, (on) =>
  holdsBack(on, '?lend=0', 'Relayed'),
);

play('bytes go on while both pages are busy', 30_000, async (on) => {
  const [a, b] = await Promise.all([on.tab(), on.tab()]);
  await a.tab('exchange', b.id, 1000);
  await Promise.all([direct(a, b), direct(b, a)]);
  const talking = a.tab('exchanges', b.id, 1000, 3000);
  const block = () => {
    const end = performance.now() + 2500;
    while (performance.now() < end);
  };
  await Promise.all([a.page.evaluate(block), b.page.evaluate(block)]);
  const { done, errors, slowest } = await talking;
  assert.deepEqual(errors, []);
  assert.ok(done > 20 && slowest < 1500, `${done} exchanges, the slowest ${slowest} ms`);
});

play('the end of a page or of its worker is seen soon', 30_000, async (on) => {
  const [a, b, c] = await Promise.all([on.tab(), on.tab(), on.tab()]);
  await Promise.all([a.tab('exchange', b.id, 10), a.tab('exchange', c.id, 10)]);
  await Promise.all([direct(a, b), direct(a, c)]);
  await b.page.evaluate(() => globalThis.tab.kill());
  await c.page.close({ runBeforeUnload: false });
  await until('the end of both', async () => {
    return !(await a.link(b.id)) && !(await a.link(c.id));
  });
});

/** Dials from js-libp2p as often as it takes. */
async function dialFromForeign(page, address) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await page.foreign('dial', address, DIAL_MS);
    } catch (error) {
      if (attempt === DIALS) throw error;
    }
  }
}

play('js-libp2p dials a tab over WebRTC', 40_000, async (on) => {
  const [tab, foreign] = await Promise.all([on.tab(), on.foreign()]);
  const addresses = await tab.tab('addresses');
  const address = addresses.find((a) => a.includes('/p2p-circuit/webrtc/p2p/'));
  assert.match(await dialFromForeign(foreign, address), /\/webrtc\/p2p\//);
  const started = Date.now();
  assert.ok((await foreign.foreign('ping', tab.id)) >= 0);
  // js-libp2p's ping ends when its stream's end is confirmed, after 10 s at most.
  assert.ok(Date.now() - started < 3000, `the stream ended after ${Date.now() - started} ms`);
  const { agent, protocols } = await foreign.foreign('identify', tab.id);
  assert.match(agent, /^craftec\/.* \(tab\)$/);
  assert.ok(protocols.includes('/craftec/echo/1'), String(protocols));
  await foreign.foreign('exchange', tab.id, MIB);
  await direct(tab, foreign);
  await tab.tab('exchange', foreign.id, MIB);
});

play('a tab upgrades a connection to js-libp2p by itself', 40_000, async (on) => {
  const [tab, foreign] = await Promise.all([on.tab(), on.foreign()]);
  await tab.tab('exchange', foreign.id, 1000);
  await direct(tab, foreign);
  await tab.tab('exchange', foreign.id, MIB);
  await until('js-libp2p to know', async () =>
    (await foreign.foreign('links', tab.id)).some((link) => link.includes('/webrtc')),
  );
  await foreign.foreign('exchange', tab.id, MIB);
  await on.relay.kill();
  const { errors, done } = await tab.tab('exchanges', foreign.id, 10_000, 2000);
  assert.deepEqual(errors, []);
  assert.ok(done > 2, `${done} exchanges`);
});
