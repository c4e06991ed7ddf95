// A real site of thousands of files, published from the command line and from the page, read back
// whole in another browser.
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { expect, type Page } from '@playwright/test';
import { openSite, publishFolder } from '../support/app.ts';
import { test } from '../support/fixtures.ts';

const SITE = process.env['SITE'] ?? '';

async function filesOf(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of await readdir(folder, { recursive: true })) {
    const full = path.join(folder, name);
    if ((await stat(full)).isDirectory()) continue;
    files.set(
      name,
      createHash('sha256')
        .update(await readFile(full))
        .digest('hex'),
    );
  }
  return files;
}

/** Fetches every path on the site's own origin; answers those whose bytes differ. */
async function differing(site: Page, files: Map<string, string>): Promise<string[]> {
  return site.evaluate(
    async (files) => {
      const wrong: string[] = [];
      const queue = [...files];
      const digestOf = async (url: string) => {
        const bytes = await (await fetch(url)).arrayBuffer();
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
        return [...digest].map((b) => b.toString(16).padStart(2, '0')).join('');
      };
      const worker = async () => {
        for (let next = queue.pop(); next; next = queue.pop()) {
          const [name, expected] = next;
          const url = '/' + name.split('/').map(encodeURIComponent).join('/');
          const found = await digestOf(url).catch((error: Error) => error.message);
          if (found !== expected) wrong.push(`${name}: ${found}`);
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      return wrong;
    },
    [...files],
  );
}

test('the documentation of this project, from the command line and from the page', async ({
  relay,
  openTab,
}) => {
  test.setTimeout(600_000);
  expect(SITE, 'SITE names the folder to publish').not.toBe('');
  const files = await filesOf(SITE);
  expect(files.size).toBeGreaterThan(1000);

  const published = await relay.cli('site', 'publish', SITE);
  expect(published['files']).toBe(files.size);

  const a = await openTab();
  const fromPage = await publishFolder(a.page, SITE, 300_000);
  expect(fromPage.cid, 'one folder, one address, whoever publishes').toBe(published['cid']);

  const b = await openTab();
  // The documentation has no page of its own at the top; a reader begins at a crate.
  const site = await openSite(b.page, `${fromPage.url}craftec_core/index.html`);
  expect(await differing(site, files)).toEqual([]);
});
