// What people get wrong, in the page: a clear sentence each, nothing lost.
import { expect } from '@playwright/test';
import { mkdtemp, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { goTo, openSite, publishFolder } from '../support/app.ts';
import { test } from '../support/fixtures.ts';

test('an address that is none is said to be none, and what was typed stays', async ({
  openTab,
}) => {
  const { page } = await openTab();
  await goTo(page, 'Open');
  const field = page.getByLabel('Link, CID or name');
  const wrong = [
    '',
    'hello',
    'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG',
    '../etc/passwd',
    'bafk',
    'b'.repeat(5000),
  ];
  for (const text of wrong) {
    await field.fill(text);
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await expect(page.getByRole('alert').first()).toBeVisible();
    await expect(field).toHaveValue(text);
    await expect(field).toHaveAttribute('aria-invalid', 'true');
  }
});

test('content that nobody has is said to be missing, within bounded time', async ({ openTab }) => {
  const { page } = await openTab();
  const nobody = 'bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4';
  await goTo(page, 'Open');
  await page.getByLabel('Link, CID or name').fill(nobody);
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible({ timeout: 60_000 });
});

test('names in any script and hostile paths are told apart', async ({ relay, openTab }) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'names-'));
  const names = [
    'index.html',
    '日本語.txt',
    'مرحبا.txt',
    '🌿 leaf & co.txt',
    "it's 100%.txt",
    'a#b?c.txt',
    'ñ/ß.txt',
  ];
  for (const name of names) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), `content of ${name}`);
  }
  const { page } = await openTab();
  const { cid } = await publishFolder(page, folder);
  const site = await openSite(page, cid);
  for (const name of names) {
    const url = '/' + name.split('/').map(encodeURIComponent).join('/');
    expect(await site.evaluate(async (url) => (await fetch(url)).text(), url)).toBe(
      `content of ${name}`,
    );
  }
  const statuses = await site.evaluate(async () => {
    const of = async (url: string) => (await fetch(url)).status;
    return [
      await of('/nothing'),
      await of('/%2e%2e/%2e%2e/etc/passwd'),
      await of('/%00'),
      await of('/%ff'),
    ];
  });
  for (const status of statuses) expect([400, 404]).toContain(status);
  const script = await site.evaluate(async () => {
    const registered = navigator.serviceWorker.register('/a%23b%3Fc.txt');
    return registered.then(
      () => 'registered',
      (error: Error) => error.name,
    );
  });
  expect(script, 'a site can not bring a service worker of its own').not.toBe('registered');
  expect(new URL(site.url()).host).toBe(new URL(relay.site(cid)).host);
});
