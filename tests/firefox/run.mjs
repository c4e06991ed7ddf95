/** The app in Firefox: it loads, stores, publishes, shows a site, and exchanges with others. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium, firefox, Relay, Tab, until } from './stage.mjs';

const MIB = 1 << 20;
const SITE = {
  'index.html': '<!doctype html><title>Notes</title><h1>Notes</h1><script src="a.js"></script>',
  'a.js': 'fetch("data/one.json").then((r) => r.json()).then((j) => (document.title = j.title))',
  'data/one.json': '{"title":"larch, 3 m"}',
};
let relay;
let browser;

before(async () => {
  relay = await Relay.start();
  browser = await firefox();
  console.log(`Firefox ${await browser.version()}`);
});

after(async () => {
  await browser?.close();
  await relay?.end();
});

/** Chooses a folder as a person does; WebDriver has no way to choose one in Firefox. */
async function chooseFolder(page, name, files) {
  await page.evaluate(
    (name, files) => {
      const input = document.querySelector('input[type=file][webkitdirectory]');
      const transfer = new DataTransfer();
      const paths = new Map();
      for (const [path, content] of Object.entries(files)) {
        const base = path.split('/').at(-1);
        paths.set(base, `${name}/${path}`);
        transfer.items.add(new File([content], base));
      }
      Object.defineProperty(File.prototype, 'webkitRelativePath', {
        get() {
          return paths.get(this.name);
        },
      });
      input.files = transfer.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
    },
    name,
    files,
  );
}

/** Publishes through the page; the link it shows. */
async function publish(tab) {
  await chooseFolder(tab.page, 'notes', SITE);
  await tab.page.locator('::-p-aria([name="Publish"][role="button"])').click();
  const link = await tab.page.waitForSelector('::-p-aria([name="Link"][role="textbox"])');
  return link.evaluate((input) => input.value);
}

test('first load, put, get, and a reload that finds what was stored', async () => {
  const tab = await Tab.open(browser, relay);
  const first = await tab.status();
  assert.equal(first.role, 'tab');
  const cid = await tab.put(3 * MIB, 1);
  assert.ok(await tab.reads(cid, 3 * MIB, 1));
  await tab.page.reload();
  const again = await tab.status();
  assert.deepEqual([again.peerId, again.did], [first.peerId, first.did]);
  assert.ok(await tab.reads(cid, 3 * MIB, 1));
  await tab.close();
});

test('two tabs share a node, and the second takes over when the first is closed', async () => {
  const first = await Tab.open(browser, relay);
  const { peerId } = await first.status();
  const cid = await first.put(100_000, 2);
  const page = await first.context.newPage();
  await page.goto(relay.app);
  const second = new Tab(first.context, page);
  assert.equal((await second.status()).peerId, peerId);
  await first.page.close();
  assert.ok(await second.reads(cid, 100_000, 2));
  assert.equal((await second.status()).peerId, peerId);
  await second.close();
});

test('a folder is published from the page, and another Firefox reads the site', async () => {
  const [author, reader] = [await Tab.open(browser, relay), await Tab.open(browser, relay)];
  const url = await publish(author);
  assert.match(url, /^http:\/\/baf[a-z2-7]{56}\.craftec\.localhost:\d+\/$/);
  const site = await reader.context.newPage();
  await site.goto(url);
  await until('the site', async () => (await site.title().catch(() => '')) === 'larch, 3 m');
  const told = await site.evaluate(async () => {
    const source = (await fetch('/data/one.json')).headers.get('x-craftec-source');
    const evil = navigator.serviceWorker.register('/a.js').then(
      () => 'registered',
      (error) => error.name,
    );
    const app = location.origin.replace(/\/\/[^.]+\./, '//app.');
    const read = fetch(`${app}/relay.json`).then(
      () => 'read',
      (error) => error.name,
    );
    return {
      source,
      worker: navigator.serviceWorker.controller?.scriptURL,
      evil: await evil,
      read: await read,
    };
  });
  assert.equal(told.source, 'node', 'the node of this browser answers, not the gateway');
  assert.match(told.worker, /\/\.craftec\/sw\.js$/);
  assert.deepEqual([told.evil, told.read], ['TypeError', 'TypeError'], 'both refused');
  await author.close();
  await reader.close();
});

test('two Firefoxes exchange bytes, first relayed and then directly', async () => {
  const [a, b] = [await Tab.open(browser, relay), await Tab.open(browser, relay)];
  const [idA, idB] = [(await a.status()).peerId, (await b.status()).peerId];
  const cid = await a.put(4 * MIB, 3);
  assert.ok(await b.reads(cid, 4 * MIB, 3));
  await Promise.all([a.peer(idB, 'webrtc'), b.peer(idA, 'webrtc')]);
  const back = await b.put(4 * MIB, 4);
  assert.ok(await a.reads(back, 4 * MIB, 4));
  await a.close();
  await b.close();
});

test('without WebRTC the bytes stay on the relay', async () => {
  const a = await Tab.open(browser, relay);
  const b = await Tab.open(browser, relay, () => delete globalThis.RTCPeerConnection);
  const idA = (await a.status()).peerId;
  const cid = await a.put(4 * MIB, 5);
  assert.ok(await b.reads(cid, 4 * MIB, 5));
  await b.peer(idA, 'relayed');
  assert.match(b.warnings.join(), /no WebRTC: connections to other tabs stay relayed/);
  await a.close();
  await b.close();
});

test('Firefox and Chromium exchange bytes directly', async (t) => {
  const other = await chromium();
  t.after(() => other.close());
  const [a, b] = [await Tab.open(browser, relay), await Tab.open(other, relay)];
  const [idA, idB] = [(await a.status()).peerId, (await b.status()).peerId];
  const cid = await a.put(4 * MIB, 6);
  assert.ok(await b.reads(cid, 4 * MIB, 6));
  await Promise.all([a.peer(idB, 'webrtc'), b.peer(idA, 'webrtc')]);
  const back = await b.put(4 * MIB, 7);
  assert.ok(await a.reads(back, 4 * MIB, 7));
  await a.close();
});

test('a Firefox that lacks something is told so', async () => {
  const remove = () => {
    delete Navigator.prototype.locks;
    delete StorageManager.prototype.getDirectory;
  };
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.evaluateOnNewDocument(remove);
  await page.goto(relay.app);
  const alert = await page.waitForSelector('[role=alert]');
  const text = await alert.evaluate((element) => element.textContent);
  assert.match(text, /lacks Web Locks and the private file system \(OPFS\)\./);
  await context.close();
});
