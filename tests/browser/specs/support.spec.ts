// Browsers that lack something: one clear sentence where no node can run, and the less good way
// where one can.
import { expect, type Browser, type Page } from '@playwright/test';
import { test } from '../support/fixtures.ts';
import { request } from '../support/http.ts';
import { hasPeer, put, reads, status } from '../support/node.ts';
import type { Relay } from '../support/relay.ts';

/** The app in a browser of its own from which `remove` took something before anything ran. */
async function without(
  browser: Browser,
  relay: Relay,
  remove: () => void,
): Promise<{ page: Page; warnings: string[] }> {
  const context = await browser.newContext();
  await context.addInitScript(remove);
  const page = await context.newPage();
  const warnings: string[] = [];
  page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()));
  await page.goto(relay.app);
  return { page, warnings };
}

const MISSING: [string, () => void, RegExp][] = [
  [
    'Web Locks',
    () => delete (Navigator.prototype as { locks?: unknown }).locks,
    /it lacks Web Locks\. /,
  ],
  [
    'OPFS',
    () => delete (StorageManager.prototype as Partial<StorageManager>).getDirectory,
    /it lacks the private file system \(OPFS\)\. /,
  ],
  [
    'WebAssembly',
    () => delete (globalThis as { WebAssembly?: unknown }).WebAssembly,
    /it lacks WebAssembly with SIMD\. /,
  ],
  [
    'three things at once',
    () => {
      delete (Navigator.prototype as { locks?: unknown }).locks;
      delete (AbortSignal as Partial<typeof AbortSignal>).any;
      delete (globalThis as { BroadcastChannel?: unknown }).BroadcastChannel;
    },
    /it lacks Web Locks, BroadcastChannel and AbortSignal\.any\. /,
  ],
];

for (const [what, remove, text] of MISSING) {
  test(`a browser without ${what} is told so, once`, async ({ relay, browser }) => {
    const { page } = await without(browser, relay, remove);
    const alert = page.getByRole('alert');
    await expect(alert).toHaveText(text);
    await expect(alert).toContainText('current Chromium or Firefox');
    await expect(alert).toHaveCount(1);
    await page.context().close();
  });
}

test('what only the worker can miss is said by the app', async ({ relay, browser }) => {
  const context = await browser.newContext({ serviceWorkers: 'block' });
  const page = await context.newPage();
  await page.route('**/sdk/worker.js', async (route) => {
    const { text } = await request(relay, new URL(relay.app).host, '/sdk/worker.js');
    const removed = 'delete FileSystemFileHandle.prototype.createSyncAccessHandle;\n';
    await route.fulfill({ contentType: 'text/javascript', body: removed + text });
  });
  await page.goto(relay.app);
  const said = page.getByText(/lacks synchronous files in the private file system/);
  await expect(said.first()).toBeVisible();
  await context.close();
});

test('without WebRTC a tab stays relayed, and says why', async ({ relay, browser, openTab }) => {
  const a = await openTab();
  const id = (await status(a.page)).peerId;
  const { page, warnings } = await without(browser, relay, () => {
    delete (globalThis as { RTCPeerConnection?: unknown }).RTCPeerConnection;
  });
  const cid = await put(a.page, 2_000_000, 1);
  expect(await reads(page, cid, 2_000_000, 1)).toBe(true);
  const back = await put(page, 2_000_000, 2);
  expect(await reads(a.page, back, 2_000_000, 2)).toBe(true);
  await hasPeer(page, (peer) => peer.peerId === id && peer.link === 'relayed');
  expect(warnings.join()).toContain('this browser has no WebRTC: connections to other tabs stay');
  await page.context().close();
});

test('a browser that keeps data channels in windows stays relayed, and says why', async ({
  relay,
  browser,
  openTab,
}) => {
  const a = await openTab();
  const id = (await status(a.page)).peerId;
  const { page, warnings } = await without(browser, relay, () => {
    const post = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (message: unknown, transfer?: unknown) {
      const list = Array.isArray(transfer) ? transfer : [];
      if (list.some((item) => item instanceof RTCDataChannel)) {
        throw new DOMException('RTCDataChannel could not be cloned', 'DataCloneError');
      }
      return post.call(this, message, { transfer: list as Transferable[] });
    };
  });
  const cid = await put(page, 2_000_000, 3);
  expect(await reads(a.page, cid, 2_000_000, 3)).toBe(true);
  const back = await put(a.page, 2_000_000, 4);
  expect(await reads(page, back, 2_000_000, 4)).toBe(true);
  await hasPeer(page, (peer) => peer.peerId === id && peer.link === 'relayed');
  await expect.poll(() => warnings.join()).toContain('connections stay relayed');
  await page.context().close();
});

test('tabs without SharedWorker share one node all the same', async ({ relay, browser }) => {
  const { page, warnings } = await without(browser, relay, () => {
    delete (globalThis as { SharedWorker?: unknown }).SharedWorker;
  });
  const cid = await put(page, 500_000, 5);
  const second = await page.context().newPage();
  await second.goto(relay.app);
  expect(await reads(second, cid, 500_000, 5)).toBe(true);
  expect((await status(second)).peerId).toBe((await status(page)).peerId);
  expect(warnings.join()).toContain('this browser has no SharedWorker');
  await page.context().close();
});
