// The node in a real Chromium: put, get, reload, two tabs, a leader that goes, sites through their
// service worker, the app without its server. `node test/browser.mjs [name]`; needs dist/.

import assert from 'node:assert/strict';
import { openApp, startBrowser, startHost, startNode } from './host.mjs';

const STEP_MS = 60_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const tests = {
  async 'put, get, ranges, streams and errors'({ context, host }) {
    const page = await openApp(context, host);
    const result = await page.evaluate(async () => {
      const { node } = window;
      const bytes = new Uint8Array(3_000_000).map((_, i) => (i * 7919) >> 3);
      const seen = [];
      const { cid, size } = await node.obj.put(bytes, {
        name: 'big',
        onProgress: (p) => seen.push(p),
      });
      const back = await node.obj.get(cid);
      const part = await node.obj.get(cid, { range: { start: 999_999, end: 1_000_010 } });
      const streamed = await new Response(node.obj.stream(cid)).arrayBuffer();
      const code = (promise) =>
        promise.then(
          () => 'ok',
          (e) => `${e.name} ${e.code}`,
        );
      const stop = new AbortController();
      const aborted = code(node.obj.put(new Blob([bytes, bytes]), { signal: stop.signal }));
      stop.abort();
      return {
        size,
        same: back.every((b, i) => b === bytes[i]) && back.length === size,
        part: part.every((b, i) => b === bytes[999_999 + i]) && part.length,
        streamed: streamed.byteLength,
        last: seen.at(-1),
        mine: (await node.obj.mine()).map(({ name, size }) => [name, size]),
        stat: (await node.obj.stat(cid)).kind,
        aborted: await aborted,
        bad: await code(node.obj.get('nonsense')),
        missing: await code(node.obj.get(cid + '/no')),
        words: (await node.backupWords()).length,
      };
    });
    assert.deepEqual(result, {
      size: 3_000_000,
      same: true,
      part: 11,
      streamed: 3_000_000,
      last: { bytes: 3_000_000, total: 3_000_000 },
      mine: [['big', 3_000_000]],
      stat: 'file',
      aborted: 'AbortError aborted',
      bad: 'CraftecError bad_input',
      missing: 'CraftecError not_found',
      words: 24,
    });
  },

  async 'a reload finds identity and objects'({ context, host }) {
    const page = await openApp(context, host);
    const before = await page.evaluate(async () => {
      const { cid } = await window.node.obj.put('kept');
      return { cid, did: window.node.did, peerId: window.node.peerId };
    });
    await page.reload();
    await startNode(page);
    const after = await page.evaluate(async (cid) => {
      const text = new TextDecoder().decode(await window.node.obj.get(cid));
      return { text, did: window.node.did, peerId: window.node.peerId };
    }, before.cid);
    assert.deepEqual(after, { text: 'kept', did: before.did, peerId: before.peerId });
  },

  async 'two tabs share one node, and a closed leader hands over'({ context, host }) {
    const leader = await openApp(context, host);
    const follower = await openApp(context, host);
    assert.equal(await leader.evaluate(() => window.node.role), 'leader');
    assert.equal(await follower.evaluate(() => window.node.role), 'follower');
    const did = await leader.evaluate(() => window.node.did);
    assert.equal(await follower.evaluate(() => window.node.did), did);
    const cid = await follower.evaluate(async () => {
      window.states = [];
      window.node.on('status', ({ state, role }) => window.states.push(`${state} ${role}`));
      const bytes = new Uint8Array(8 << 20).map((_, i) => i >> 5);
      window.sent = bytes;
      return (await window.node.obj.put(bytes)).cid;
    });
    assert.equal(
      await leader.evaluate(async (c) => (await window.node.obj.get(c)).length, cid),
      8 << 20,
    );
    // A read that is under way when the leader goes ends well.
    await follower.evaluate(async (c) => {
      window.reader = window.node.obj.stream(c).getReader();
      window.first = (await window.reader.read()).value;
    }, cid);
    await leader.close();
    const took = await follower.evaluate(async () => {
      const started = performance.now();
      let at = window.first.length;
      let same = window.first.every((b, i) => b === window.sent[i]);
      for (;;) {
        const { done, value } = await window.reader.read();
        if (done) break;
        same &&= value.every((b, i) => b === window.sent[at + i]);
        at += value.length;
      }
      return { at, same, ms: performance.now() - started };
    });
    assert.deepEqual([took.at, took.same], [8 << 20, true]);
    await follower.waitForFunction(() => window.node.role === 'leader');
    assert.equal(await follower.evaluate(async () => (await window.node.status()).did), did);
    const states = await follower.evaluate(() => window.states);
    assert.ok(states.includes('reconnecting follower'), states.join());
    console.log(`    hand-over with a read under way: ${Math.round(took.ms)} ms`);
  },

  async 'a crashed leader hands over, and puts start again'({ context, host }) {
    const leader = await openApp(context, host);
    const follower = await openApp(context, host);
    const cdp = await context.newCDPSession(leader);
    const put = follower.evaluate(async () => {
      const bytes = new Uint8Array(48 << 20).map((_, i) => i >> 9);
      window.half = new Promise((resolve) => (window.reached = resolve));
      const onProgress = ({ bytes: sent }) => sent > 10 << 20 && window.reached();
      const { cid, size } = await window.node.obj.put(bytes, { onProgress });
      return { cid, size };
    });
    await follower.waitForFunction(() => window.half);
    await follower.evaluate(() => window.half);
    cdp.send('Page.crash').catch(() => {});
    assert.equal((await put).size, 48 << 20);
    assert.equal(await follower.evaluate(() => window.node.role), 'leader');
  },

  async 'a frozen leader lets go, and comes back as a follower'({ context, host }) {
    const leader = await openApp(context, host);
    const follower = await openApp(context, host);
    const cid = await leader.evaluate(async () => (await window.node.obj.put('cold')).cid);
    // Chromium freezes hidden pages only, and a headless one is never hidden: the events alone.
    await leader.evaluate(() => void document.dispatchEvent(new Event('freeze')));
    await follower.waitForFunction(() => window.node.role === 'leader');
    const read = (page) =>
      page.evaluate(async (c) => new TextDecoder().decode(await window.node.obj.get(c)), cid);
    assert.equal(await read(follower), 'cold');
    await leader.evaluate(() => void document.dispatchEvent(new Event('resume')));
    assert.equal(await read(leader), 'cold');
    assert.equal(await leader.evaluate(() => window.node.role), 'follower');
    await follower.close();
    await leader.waitForFunction(() => window.node.role === 'leader');
    assert.equal(await read(leader), 'cold');
  },

  async 'a worker that panics is started again, but not for ever'({ context, host }) {
    // A worker like ours that says that it panicked when told to.
    await context.route('**/panicky.js', (route) =>
      route.fulfill({
        contentType: 'text/javascript',
        body: `import '/sdk/worker.js';
          const told = new BroadcastChannel('panic');
          told.onmessage = () => postMessage({ t: 'panic', message: 'test' });`,
      }),
    );
    const page = await openApp(context, host, { workerUrl: '/panicky.js' });
    const follower = await openApp(context, host);
    const cid = await page.evaluate(async () => {
      window.panic = new BroadcastChannel('panic');
      return (await window.node.obj.put('still here')).cid;
    });
    const read = (tab) =>
      tab.evaluate(async (c) => new TextDecoder().decode(await window.node.obj.get(c)), cid);
    for (let i = 0; i < 3; i++) {
      const again = page.evaluate(
        () =>
          new Promise((resolve) =>
            window.node.on('status', ({ state }) => state === 'running' && resolve()),
          ),
      );
      await page.evaluate(() => window.panic.postMessage(0));
      await again;
      assert.equal(await read(page), 'still here');
      assert.equal(await read(follower), 'still here');
    }
    await page.evaluate(() => window.panic.postMessage(0));
    await follower.waitForFunction(() => window.node.role === 'leader');
    assert.equal(await read(follower), 'still here');
  },

  async 'a node that can’t start says why'({ context, host }) {
    const page = await context.newPage();
    await page.goto(`${host.app}/`);
    await page.waitForFunction(() => 'createNode' in window);
    const failure = (options) =>
      page.evaluate(
        (o) =>
          window.createNode(o).then(
            () => 'started',
            ({ code, message }) => `${code}: ${message}`,
          ),
        options,
      );
    assert.match(await failure({ relays: ['nonsense'] }), /^bad_input: .*nonsense/);
    assert.match(await failure({ storage: { folder: '../up' } }), /^bad_input: /);
    assert.match(await failure({ gateway: 'x y' }), /^bad_input: /);
    assert.match(
      await failure({ workerUrl: '/sdk/none.js' }),
      /^internal: The worker could not be/,
    );
    assert.match(await failure({ wasmUrl: '/sdk/none.wasm' }), /^internal: /);
    assert.match(
      await failure({ remote: { url: 'ws://127.0.0.1:9/', token: 'x' } }),
      /^unavailable: /,
    );
    await startNode(page);
  },

  async 'tabs without a common broker still share the node'({ context, host }) {
    const leader = await openApp(context, host);
    const follower = await openApp(context, host, { sharedWorkerUrl: '/sdk/broker.js?other' });
    assert.equal(await follower.evaluate(() => window.node.role), 'follower');
    const cid = await follower.evaluate(
      async () => (await window.node.obj.put('over the air')).cid,
    );
    const text = await leader.evaluate(
      async (c) => new TextDecoder().decode(await window.node.obj.get(c)),
      cid,
    );
    assert.equal(text, 'over the air');
  },

  async 'stop ends the node and another createNode starts it again'({ context, host }) {
    const page = await openApp(context, host);
    const result = await page.evaluate(async () => {
      const { cid } = await window.node.obj.put('again');
      const old = window.node;
      await old.stop();
      const ended = await old.status().then(
        () => 'alive',
        (e) => e.code,
      );
      window.node = await window.createNode({ sharedWorkerUrl: '/sdk/broker.js' });
      return [ended, new TextDecoder().decode(await window.node.obj.get(cid))];
    });
    assert.deepEqual(result, ['aborted', 'again']);
  },

  async 'a site opens from the node, through its own service worker'({ context, host }) {
    const page = await openApp(context, host);
    const { url, cid, files, leftOut } = await publish(page);
    assert.equal(files, 7);
    assert.deepEqual(leftOut, [{ path: '.DS_Store', reason: 'left by macOS' }]);
    assert.equal(url, `${host.site(cid)}/`);
    host.asked.length = 0;
    const site = await context.newPage();
    await site.goto(url);
    await site.waitForFunction(() => document.title === 'site of scripts');
    const seen = await site.evaluate(async () => {
      const get = async (path, headers = {}) => {
        const response = await fetch(path, { headers });
        return [response.status, await response.text()];
      };
      const big = await (await fetch('/big.bin')).arrayBuffer();
      const ranged = await fetch('/big.bin', { headers: { range: 'bytes=2000000-2000003' } });
      return {
        color: getComputedStyle(document.querySelector('h1')).color,
        data: await window.data,
        big: new Uint8Array(big).every((b, i) => b === (i & 255)) && big.byteLength,
        range: [ranged.status, [...new Uint8Array(await ranged.arrayBuffer())]],
        named: await get('/gr%C3%BC%C3%9Fe/%E2%98%83.txt'),
        missing: (await get('/nope'))[0],
        source: (await fetch('/data.json')).headers.get('x-craftec-source'),
      };
    });
    assert.deepEqual(seen, {
      color: 'rgb(1, 2, 3)',
      data: { ok: 42 },
      big: 3_000_000,
      range: [206, [128, 129, 130, 131]],
      named: [200, 'snow'],
      missing: 404,
      source: 'node',
    });
    await site.goto(`${url}docs`);
    assert.equal(new URL(site.url()).pathname, '/docs/');
    assert.equal(await site.textContent('body'), 'docs');
    const content = host.asked.filter(
      // An icon is the browser's own wish, now and then past every service worker.
      ({ host: h, path }) => h.startsWith(cid) && !/^\/(\.craftec\/|favicon)/.test(path),
    );
    assert.deepEqual(
      content.map(({ path }) => path),
      ['/'],
      'the server saw one boot page, no content',
    );
  },

  async 'a killed service worker finds the node again'({ context, host }) {
    const page = await openApp(context, host);
    const { url } = await publish(page);
    const site = await context.newPage();
    await site.goto(url);
    await site.waitForFunction(() => document.title === 'site of scripts');
    const cdp = await context.newCDPSession(site);
    await cdp.send('ServiceWorker.enable');
    await cdp.send('ServiceWorker.stopAllWorkers');
    await sleep(300);
    host.asked.length = 0;
    await site.goto(`${url}docs/`);
    await site.waitForFunction(() => document.body.textContent === 'docs');
    const asked = host.asked.map(({ host: h, path }) => `${h.split('.')[0]}${path}`);
    assert.ok(!asked.some((a) => a.endsWith('/docs/')), asked.join(' '));
  },

  async 'without a node the gateway answers, at once'({ context, host }) {
    const page = await openApp(context, host);
    const { url } = await publish(page);
    await page.close();
    const site = await context.newPage();
    const started = performance.now();
    await site.goto(`${url}some/where`);
    await site.waitForFunction(() => document.title === 'gateway');
    console.log(`    first visit without a node: ${Math.round(performance.now() - started)} ms`);
    assert.ok(host.asked.some(({ path, direct }) => path === '/some/where' && direct));
  },

  async 'a node that goes while its site is open leaves it to the gateway'({ context, host }) {
    const page = await openApp(context, host);
    const { url } = await publish(page);
    const site = await context.newPage();
    await site.goto(url);
    await site.waitForFunction(() => document.title === 'site of scripts');
    await page.close();
    await sleep(200);
    const started = performance.now();
    await site.goto(`${url}docs/`);
    await site.waitForFunction(() => document.title === 'gateway');
    console.log(`    a site whose node went: ${Math.round(performance.now() - started)} ms`);
  },

  async 'a site gets no other root, and a stranger no port'({ context, host }) {
    const page = await openApp(context, host);
    const { url } = await publish(page);
    const other = await page.evaluate(async () => (await window.node.obj.put('secret')).cid);
    const site = await context.newPage();
    await site.goto(url);
    await site.waitForFunction(() => document.title === 'site of scripts');
    // What a hostile site can do itself: embed the bridge and speak over the port it gets.
    const answers = await site.evaluate(askBridge, { app: host.app, other });
    assert.deepEqual(answers, { kind: 'node', codes: ['refused', 'refused', 'refused'] });
    // A page of the same domain whose label is no CID.
    const stranger = await context.newPage();
    await stranger.goto(`${host.site('evil')}/`);
    await stranger.waitForFunction(() => document.title === 'gateway');
    assert.equal((await stranger.evaluate(askBridge, { app: host.app, other })).kind, 'none');
  },

  async 'the app opens again while its server is away'({ context, host }) {
    const page = await openApp(context, host);
    const cid = await page.evaluate(async () => {
      await window.registerApp();
      return (await window.node.obj.put('offline')).cid;
    });
    await appIsCached(page);
    await host.down();
    try {
      await page.reload();
      await startNode(page);
      const text = await page.evaluate(
        async (c) => new TextDecoder().decode(await window.node.obj.get(c)),
        cid,
      );
      assert.equal(text, 'offline');
    } finally {
      await host.up();
    }
  },

  async 'a site opens again while the server is away'({ context, host }) {
    const page = await openApp(context, host);
    await page.evaluate(() => window.registerApp());
    await appIsCached(page);
    const { url } = await publish(page);
    const site = await context.newPage();
    await site.goto(url);
    await site.waitForFunction(() => document.title === 'site of scripts');
    const cdp = await context.newCDPSession(site);
    await cdp.send('ServiceWorker.enable');
    await cdp.send('ServiceWorker.stopAllWorkers');
    await sleep(300);
    await host.down();
    try {
      await site.goto(`${url}docs/`);
      await site.waitForFunction(() => document.body.textContent === 'docs');
    } finally {
      await host.up();
    }
  },

  async '10,000 files'({ context, host }) {
    const page = await openApp(context, host);
    const result = await page.evaluate(async () => {
      const files = Array.from({ length: 10_000 }, (_, i) => {
        const file = new File([`file ${i}`], `${i}.txt`);
        Object.defineProperty(file, 'webkitRelativePath', { value: `top/d${i % 100}/${i}.txt` });
        return file;
      });
      const started = performance.now();
      const site = await window.node.sites.publish(files);
      const text = await window.node.obj.get(`${site.cid}/d17/4217.txt`);
      return {
        files: site.files,
        text: new TextDecoder().decode(text),
        entries: (await window.node.obj.list(site.cid)).length,
        ms: Math.round(performance.now() - started),
      };
    });
    console.log(`    10,000 files: ${result.ms} ms`);
    assert.deepEqual([result.files, result.text, result.entries], [10_000, 'file 4217', 100]);
  },
};

/** Waits until the app's worker has all that opens it, and sites, without a server. */
async function appIsCached(page) {
  await page.waitForFunction(async () => {
    const needed = ['/', '/page.js', '/bridge.html', '/sdk/node_bg.wasm', '/sdk/broker.js'];
    for (const name of await caches.keys()) {
      const requests = await (await caches.open(name)).keys();
      const urls = requests.map(({ url }) => new URL(url).pathname);
      if ([...needed, '/sdk/bridge.js'].every((url) => urls.includes(url))) return true;
    }
    return false;
  });
}

function publish(page) {
  return page.evaluate(() =>
    window.node.sites.publish(
      new Map([
        [
          'index.html',
          '<!doctype html><title>x</title><link rel=stylesheet href=a.css>' +
            '<script src=a.js></script><h1>hi</h1>',
        ],
        ['a.css', 'h1{color:rgb(1,2,3)}'],
        [
          'a.js',
          'document.title="site of scripts";window.data=fetch("data.json").then(r=>r.json())',
        ],
        ['data.json', '{"ok":42}'],
        ['big.bin', new Uint8Array(3_000_000).map((_, i) => i & 255)],
        ['docs/index.html', '<!doctype html><title>docs</title><body>docs</body>'],
        ['grüße/☃.txt', 'snow'],
        ['.DS_Store', 'x'],
      ]),
    ),
  );
}

/** Runs in a site: asks the bridge for a port and tries to read what is not the site's. */
async function askBridge({ app, other }) {
  const frame = document.createElement('iframe');
  frame.src = `${app}/bridge.html`;
  const loaded = new Promise((resolve) => (frame.onload = resolve));
  document.body.append(frame);
  await loaded;
  const answer = new Promise((resolve) => addEventListener('message', (e) => resolve(e.data)));
  frame.contentWindow.postMessage({ t: 'want' }, app);
  const { t, port } = await answer;
  if (!port) return { kind: t };
  // Frames by hand, in canonical DAG-CBOR.
  const text = (s) => [0x60 + s.length, ...new TextEncoder().encode(s)];
  const letters = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = '';
  for (const letter of other.slice(1)) bits += letters.indexOf(letter).toString(2).padStart(5, '0');
  const bytes = [0];
  for (let i = 0; i + 8 <= bits.length; i += 8) bytes.push(parseInt(bits.slice(i, i + 8), 2));
  const link = [0xd8, 42, 0x58, bytes.length, ...bytes];
  const ask = (id, command) =>
    new Uint8Array([0xa2, ...text('id'), id, ...text('command'), ...command]);
  const commands = [
    ask(1, [0xa1, ...text('stat'), 0xa1, ...text('cid'), ...link]),
    ask(2, text('backup_words')),
    ask(3, text('objects')),
  ];
  const codes = [];
  for (const command of commands) {
    const reply = new Promise((resolve) => (port.onmessage = ({ data }) => resolve(data)));
    port.postMessage(command);
    codes.push(/refused|ok/.exec(new TextDecoder('latin1').decode(await reply))?.[0]);
  }
  return { kind: t, codes };
}

const only = process.argv[2];
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  if (only && !name.includes(only)) continue;
  const started = performance.now();
  const host = await startHost();
  const browser = await startBrowser();
  try {
    const limit = sleep(STEP_MS).then(() => Promise.reject(new Error(`not done in ${STEP_MS} ms`)));
    limit.catch(() => {});
    await Promise.race([test({ context: browser.context, host }), limit]);
    console.log(`ok      ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  } finally {
    await browser.close().catch(() => {});
    await host.down().catch(() => {});
  }
}
console.log(failed === 0 ? 'all passed' : `${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
