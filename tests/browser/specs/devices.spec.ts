// Two browsers of one owner and one database: each writes while it does not know of the other, the second
// who publishes is refused, and its work is merged, on the screen.
import { expect, type Page } from '@playwright/test';
import { goTo } from '../support/app.ts';
import { test } from '../support/fixtures.ts';
import { hasPeer, status } from '../support/node.ts';

const PASSPHRASE = 'four rivers meet';

interface Backups {
  backup(options: { passphrase: string }): ReadableStream<Uint8Array>;
  restore(data: Blob, options: { passphrase: string; replaceIdentity: boolean }): Promise<unknown>;
}

/** Everything of one's own, as base64. */
const backup = async (page: Page): Promise<string> => {
  await status(page);
  return page.evaluate(async (passphrase) => {
    const node = (await window.testNode!) as unknown as Backups;
    const bytes = new Uint8Array(await new Response(node.backup({ passphrase })).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  }, PASSPHRASE);
};

const restore = async (page: Page, file: string): Promise<void> => {
  await status(page);
  await page.evaluate(
    async ([file, passphrase]) => {
      const node = (await window.testNode!) as unknown as Backups;
      const bytes = Uint8Array.from(atob(file!), (letter) => letter.charCodeAt(0));
      await node.restore(new Blob([bytes]), { passphrase: passphrase!, replaceIdentity: true });
    },
    [file, PASSPHRASE],
  );
};

const run = async (page: Page, sql: string) => {
  await page.getByRole('textbox', { name: 'SQL' }).fill(sql);
  await page.getByRole('textbox', { name: 'SQL' }).press('Control+Enter');
};
const changed = async (page: Page, sql: string) => {
  await run(page, sql);
  await expect(page.getByText(/1 row changed in/)).toBeVisible();
};
const open = async (page: Page, name: string) => {
  await goTo(page, 'Databases');
  await page.getByLabel('Open or make').fill(name);
  await page.getByRole('button', { name: 'Open', exact: true }).click();
};
const publish = async (page: Page) => {
  await page.getByLabel('Publish as').fill('garden');
  await page.getByRole('button', { name: 'Take a snapshot' }).click();
};
const published = (page: Page) =>
  expect(page.getByText('The snapshot is durable here.')).toBeVisible({ timeout: 30_000 });

test('two browsers of one owner write one database and lose nothing', async ({ openTab }) => {
  test.setTimeout(180_000);
  const { page: a } = await openTab();
  await hasPeer(a, (peer) => peer.role === 'relay');
  await open(a, 'garden');
  await run(
    a,
    `CREATE TABLE bed (id INTEGER PRIMARY KEY, plant TEXT, water INT);
     INSERT INTO bed VALUES (1, 'rose', 3), (2, 'yew', 1);`,
  );
  await expect(a.getByText(/^Done in/)).toBeVisible();
  await publish(a);
  await published(a);

  const { page: b } = await openTab();
  await hasPeer(b, (peer) => peer.role === 'relay');
  await restore(b, await backup(a));
  await expect.poll(async () => (await status(b)).did).toBe((await status(a)).did);
  await b.reload();
  await hasPeer(b, (peer) => peer.role === 'relay');
  await open(b, 'craftobj://me/garden');
  await b.getByRole('button', { name: 'Work on it here' }).click({ timeout: 60_000 });
  await expect(b.getByRole('heading', { level: 1, name: 'garden', exact: true })).toBeVisible({
    timeout: 60_000,
  });
  await expect(b.getByText('Yours, in this browser')).toBeVisible();

  // Each on its own: one row that only one of them changes, and one that both do.
  await changed(a, 'UPDATE bed SET water = 4 WHERE id = 1');
  await changed(b, 'UPDATE bed SET water = 5 WHERE id = 1');
  await changed(b, "INSERT INTO bed VALUES (3, 'ivy', 2)");
  await publish(a);
  await published(a);
  await publish(b);
  await expect(b.getByRole('alert')).toContainText(/kept as .work-1./, { timeout: 30_000 });
  const other = b.locator('.note', { hasText: 'Another device has published this database' });
  await other.getByRole('button', { name: 'Merge' }).click();
  await expect(b.getByText('Not merged: 1 conflict.')).toBeVisible({ timeout: 30_000 });
  await expect(b.getByText('bed 1: both changed it')).toBeVisible();
  await b.getByRole('button', { name: 'Keep what is here' }).click();
  await expect(b.getByText('Merged.')).toBeVisible();
  await publish(b);
  await published(b);

  // The first goes over to it.
  await a.reload();
  const theirs = a.locator('.note', { hasText: 'Another device has published this database' });
  await theirs.getByRole('button', { name: 'Merge' }).click({ timeout: 60_000 });
  await expect(a.getByText('Merged.')).toBeVisible({ timeout: 30_000 });
  for (const page of [a, b]) {
    await run(page, "SELECT group_concat(plant || water, ' ') AS all_of_it FROM bed");
    await expect(page.getByRole('cell', { name: 'rose5 yew1 ivy2' })).toBeVisible();
  }
});
