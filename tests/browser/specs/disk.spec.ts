// The browser's disk: full and freed again, kept or not, shared within limits, backed up and brought
// back, and data of past versions.
import {
  type BrowserContext,
  type CDPSession,
  type Page,
  chromium,
  expect,
} from '@playwright/test';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { goTo, publishFolder } from '../support/app.ts';
import { test } from '../support/fixtures.ts';
import { put, reads, status } from '../support/node.ts';

const MB = 1_000_000;
const PASSPHRASE = 'correct horse ☃';

async function storageOf(page: Page): Promise<{ used: number; quota: number }> {
  return page.evaluate(async () => {
    const { usage, quota } = await navigator.storage.estimate();
    return { used: usage!, quota: quota! };
  });
}

async function limitQuota(cdp: CDPSession, page: Page, quotaSize?: number): Promise<void> {
  const { origin } = new URL(page.url());
  const limit = quotaSize === undefined ? { origin } : { origin, quotaSize };
  await cdp.send('Storage.overrideQuotaForOrigin', limit);
}

/** Puts and answers the failure's fields, or nothing. */
async function tryPut(page: Page, bytes: number, seed: number) {
  return put(page, bytes, seed).then(
    (cid) => ({ cid, error: undefined }),
    (error: Error) => ({ cid: undefined, error: error.message }),
  );
}

/** A browser with a profile on the disk: contexts without one keep files in memory, unlimited. */
async function onDisk(app: string, use: (page: Page, context: BrowserContext) => Promise<void>) {
  const profile = await mkdtemp(path.join(tmpdir(), 'profile-'));
  const { launchOptions, viewport } = test.info().project.use;
  const context = await chromium.launchPersistentContext(profile, {
    ...launchOptions,
    viewport: viewport ?? null,
  });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    await page.goto(app);
    await use(page, context);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

/** Puts file after file until one is refused: browsers hand out room in steps of their own. */
async function fill(page: Page): Promise<string> {
  for (let seed = 100; seed < 116; seed++) {
    const { error } = await tryPut(page, 8 * MB, seed);
    if (error !== undefined) return error;
  }
  throw new Error('the quota never ended');
}

test('a full disk refuses new files, loses none, and takes them again once there is room', async ({
  relay,
}) => {
  await onDisk(relay.app, async (page, context) => {
    const kept = await put(page, 3 * MB, 1);
    const cdp = await context.newCDPSession(page);
    const { used } = await storageOf(page);
    await limitQuota(cdp, page, used + 2 * MB);

    expect(await fill(page)).toMatch(/Your disk is full: [\d.]+ .B of [\d.]+ .B used, .* free/);
    const failure = await page.evaluate(async () => {
      const data = new Uint8Array(40_000_000);
      for (let at = 0; at < data.length; at += 50_000) {
        crypto.getRandomValues(data.subarray(at, at + 50_000));
      }
      const node = await window.testNode!;
      return node.obj.put(data).then(
        () => undefined,
        (error: { code: string; hint: string; retryable: boolean }) => ({
          code: error.code,
          hint: error.hint,
          retryable: error.retryable,
        }),
      );
    });
    expect(failure).toMatchObject({ code: 'full', retryable: true });
    expect(failure!.hint).toContain('Nothing is lost');

    // It goes on serving and telling.
    expect(await reads(page, kept, 3 * MB, 1)).toBe(true);
    const strip = page.getByRole('region', { name: 'This node' });
    await goTo(page, 'Settings');
    await expect(strip.getByText(/Disk full: /)).toBeVisible();
    await expect(page.getByText(/Your disk is full: .* of .*\./)).toBeVisible();
    await expect(page.getByText(/Nothing is lost, but new files wait/)).toBeVisible();

    await limitQuota(cdp, page, used + 900 * MB);
    const taken = await tryPut(page, 12 * MB, 3);
    expect(taken.error).toBeUndefined();
    expect(await reads(page, taken.cid!, 12 * MB, 3)).toBe(true);
    expect(await reads(page, kept, 3 * MB, 1)).toBe(true);
    await expect(strip.getByText(/Disk full/)).toBeHidden();
    await limitQuota(cdp, page);
  });
});

test('letting go of a file makes room for another', async ({ relay }) => {
  await onDisk(relay.app, async (page, context) => {
    const first = await put(page, 40 * MB, 1);
    const cdp = await context.newCDPSession(page);
    await limitQuota(cdp, page, (await storageOf(page)).used + 2 * MB);
    expect(await fill(page)).toContain('disk is full');
    await page.evaluate(async (cid) => (await window.testNode!).obj.unpin(cid), first);
    await expect
      .poll(async () => (await tryPut(page, 14 * MB, 2)).error, { timeout: 30_000 })
      .toBeUndefined();
  });
});

test('whether the browser keeps the data is said, asked for and answered', async ({ openTab }) => {
  const { page, context } = await openTab();
  await goTo(page, 'Settings');
  await expect(page.getByText('The browser may clear this when the disk runs low.')).toBeVisible();
  await expect(page.getByText(/your identity too: only your 24 words or a backup/)).toBeVisible();
  await page.getByRole('button', { name: 'Keep my data' }).click();
  await expect(page.getByText(/The browser said no\./)).toBeVisible();

  const cdp = await context.newCDPSession(page);
  const { targetInfo } = await cdp.send('Target.getTargetInfo');
  await cdp.send('Browser.grantPermissions', {
    origin: new URL(page.url()).origin,
    permissions: ['durableStorage'],
    ...(targetInfo.browserContextId && { browserContextId: targetInfo.browserContextId }),
  });
  await page.getByRole('button', { name: 'Keep my data' }).click();
  await expect(page.getByText(/The browser keeps this data until you clear it/)).toBeVisible();
});

test('what others may take is set in the settings and stays over a reload', async ({ openTab }) => {
  const { page } = await openTab();
  await goTo(page, 'Settings');
  const rate = page.getByLabel('Send to others, MB a second');
  const monthly = page.getByLabel('Send to others, GB a month');
  await expect(rate).toHaveValue('2');
  await expect(monthly).toHaveValue('20');
  await rate.fill('0.5');
  await rate.blur();
  await monthly.fill('');
  await monthly.blur();
  const serving = async () => (await status(page)).serving;
  await expect.poll(serving).toMatchObject({ rate: 500_000, monthly: null });
  await rate.fill('fast');
  await rate.blur();
  await expect(page.getByRole('alert')).toContainText('not a number');
  await expect.poll(serving).toMatchObject({ rate: 500_000, monthly: null });

  await page.reload();
  await expect(rate).toHaveValue('0.5');
  await expect(monthly).toHaveValue('');
  await page.getByRole('button', { name: 'Use the usual limits' }).click();
  await expect(rate).toHaveValue('2');
  await expect.poll(serving).toMatchObject({ rate: 2_000_000, monthly: 20_000_000_000 });
});

test('a backup brings identity, names and files to another browser', async ({ openTab }) => {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'disk-')), 'notes');
  await mkdir(folder);
  await writeFile(path.join(folder, 'index.html'), '<h1>notes</h1>');
  const a = await openTab();
  const { cid } = await publishFolder(a.page, folder);
  const object = await put(a.page, 3 * MB, 7);
  const { did } = await status(a.page);

  await goTo(a.page, 'Settings');
  const write = a.page.getByRole('form', { name: 'Download a backup' });
  await write.getByLabel('Passphrase for the backup').fill(PASSPHRASE);
  await write.getByLabel('The same passphrase again').fill('something else');
  await write.getByRole('button', { name: 'Download a backup' }).click();
  await expect(write.getByRole('alert')).toContainText('differ');
  await write.getByLabel('The same passphrase again').fill(PASSPHRASE);
  const coming = a.page.waitForEvent('download');
  await write.getByRole('button', { name: 'Download a backup' }).click();
  const download = await coming;
  expect(download.suggestedFilename()).toMatch(/^craftec-\d{4}-\d\d-\d\d\.backup$/);
  const file = path.join(folder, '..', 'b.backup');
  await download.saveAs(file);
  await expect(write.getByRole('status')).toContainText('Backed up: 3.');
  const bytes = await readFile(file);
  expect(bytes.subarray(0, 8).toString()).toBe('CRAFTBAK');
  await a.close();

  const b = await openTab();
  expect((await status(b.page)).did).not.toBe(did);
  await goTo(b.page, 'Settings');
  const take = b.page.getByRole('form', { name: 'Restore from a backup' });
  const restore = async (chosen: string, passphrase: string) => {
    await take.getByLabel('Backup file').setInputFiles(chosen);
    await take.getByLabel('Passphrase of the file').fill(passphrase);
    await take.getByRole('button', { name: 'Restore from a backup' }).click();
  };
  await restore(file, 'not this horse');
  await expect(take.getByRole('alert')).toContainText('The passphrase is wrong.');
  const damaged = path.join(folder, '..', 'damaged.backup');
  const bad = Buffer.from(bytes);
  bad[1_500_000]! ^= 1;
  await writeFile(damaged, bad);
  await restore(damaged, PASSPHRASE);
  await expect(take.getByRole('alert')).toContainText(/damaged between byte \d+ and byte \d+/);
  expect((await status(b.page)).did, 'nothing was changed').not.toBe(did);

  await restore(file, PASSPHRASE);
  await expect(take.getByRole('status')).toContainText('2 objects', { timeout: 60_000 });
  expect((await status(b.page)).did).toBe(did);
  expect(await reads(b.page, object, 3 * MB, 7)).toBe(true);
  await goTo(b.page, 'Sites');
  await expect(b.page.getByText('notes').first()).toBeVisible();
  await b.page.reload();
  expect((await status(b.page)).did).toBe(did);
  expect(await b.page.evaluate(async (cid) => (await window.testNode!).obj.list(cid), cid)).toEqual(
    [expect.objectContaining({ name: 'index.html' })],
  );
});

/** Writes files into this origin's private folder, before any node runs there. */
async function inject(page: Page, app: string, files: Record<string, Buffer>): Promise<void> {
  await page.route('**/empty.html', (route) =>
    route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }),
  );
  await page.goto(`${app}/empty.html`);
  for (const [name, bytes] of Object.entries(files)) {
    await page.evaluate(
      async ([name, base64]) => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('craftec', { create: true });
        const file = await folder.getFileHandle(name!, { create: true });
        const writable = await file.createWritable();
        const data = await fetch(`data:application/octet-stream;base64,${base64}`);
        await writable.write(await data.arrayBuffer());
        await writable.close();
      },
      [name, bytes.toString('base64')],
    );
  }
}

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures');
const unpacked = async (name: string) => gunzipSync(await readFile(path.join(FIXTURES, name)));

test('data of version 1 is opened in a tab, all of it', async ({ browser, relay }) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await inject(page, relay.app, {
    'blocks.redb': await unpacked('data-v1/blocks.redb.gz'),
    'blocks.pack': await unpacked('data-v1/blocks.pack.gz'),
  });
  await page.goto(relay.app);
  const expected = JSON.parse(
    await readFile(path.join(FIXTURES, 'data-v1/expected.json'), 'utf8'),
  ) as { did: string; peer_id: string; objects: [string | null, string][]; site: string };
  const now = await status(page);
  expect([now.did, now.peerId]).toEqual([expected.did, expected.peer_id]);
  const mine = await page.evaluate(async () => {
    const node = await window.testNode!;
    const rows = await node.obj.mine();
    const sizes = await Promise.all(
      rows.map(async (row) =>
        row.kind === 'file' ? (await node.obj.get(row.cid)).length === row.size : true,
      ),
    );
    return { cids: rows.map((row) => row.cid), whole: sizes.every(Boolean) };
  });
  expect(mine.whole).toBe(true);
  expect(mine.cids.sort()).toEqual(expected.objects.map(([, cid]) => cid).sort());
  await context.close();
});

test('data of a newer version is refused in a tab, with what to do', async ({ browser, relay }) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await inject(page, relay.app, {
    'blocks.redb': await unpacked('data-newer/blocks.redb.gz'),
    'blocks.pack': await unpacked('data-v1/blocks.pack.gz'),
  });
  await page.goto(relay.app);
  await expect(page.getByText(/has format 1000.*update Craftec/).first()).toBeVisible();
  const pack = await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('craftec');
    return (await (await folder.getFileHandle('blocks.pack')).getFile()).size;
  });
  expect(pack, 'and it is left alone').toBe((await unpacked('data-v1/blocks.pack.gz')).length);
  await context.close();
});
