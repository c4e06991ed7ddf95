// An encrypted database between two tabs: its owner's, and one that it is shared with.
import { expect, type Page } from '@playwright/test';
import { goTo } from '../support/app.ts';
import { test } from '../support/fixtures.ts';
import { hasPeer, status } from '../support/node.ts';

interface Database {
  readonly encrypted: boolean;
  exec(sql: string): Promise<void>;
  run(sql: string, params?: unknown[]): Promise<unknown>;
  query(sql: string): Promise<Record<string, unknown>[]>;
  snapshot(options: object): Promise<{ cid: string; uri: string }>;
  encrypt(readers?: string[]): Promise<string[]>;
  share(reader: string): Promise<string[]>;
  readers(): Promise<string[]>;
  close(): void;
}
type WithSql = Window & { db: Database };
interface Node {
  did: string;
  card(): Promise<string>;
  sql: { open(name: string, options?: { encrypt: boolean }): Promise<Database> };
}

const on = <T, A>(page: Page, work: (node: Node, arg: A) => Promise<T>, arg: A) =>
  page.evaluate(
    async ([work, arg]) => {
      const node = (await window.testNode!) as unknown as Node;
      return (await (0, eval)(`(${work})`)(node, arg)) as T;
    },
    [work.toString(), arg] as const,
  );

const count = (page: Page, uri: string) =>
  on(
    page,
    async (node, uri) => {
      try {
        const db = await node.sql.open(uri);
        const rows = await db.query("SELECT count(*) AS n FROM t WHERE body LIKE 'secret%'");
        db.close();
        return rows[0]!['n'] as number;
      } catch (error) {
        return (error as { code: string }).code;
      }
    },
    uri,
  );

test('an encrypted database is read by whom its owner says', async ({ openTab }) => {
  test.setTimeout(180_000);
  const [{ page: a }, { page: b }] = [await openTab(), await openTab()];
  for (const page of [a, b]) {
    await hasPeer(page, (peer) => peer.role === 'relay');
    await status(page);
  }
  const uri = await on(
    a,
    async (node) => {
      const db = await node.sql.open('diary', { encrypt: true });
      (window as unknown as WithSql).db = db;
      await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
      await db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO t SELECT i, 'secret ' || hex(randomblob(40)) FROM n`);
      return (await db.snapshot({ name: 'diary', replicas: 1 })).uri;
    },
    null,
  );
  await expect.poll(() => count(b, uri)).toBe('refused');
  const card = await on(b, (node) => node.card(), null);
  const did = await on(b, async (node) => node.did, null);
  const readers = await on(
    a,
    async (_, card) => {
      const { db } = window as unknown as WithSql;
      const now = await db.share(card);
      await db.snapshot({ name: 'diary', replicas: 1 });
      return now;
    },
    card,
  );
  expect(readers).toEqual([did]);
  await expect.poll(() => count(b, uri), { timeout: 30_000 }).toBe(2000);

  // Nothing of it lies open in the private file system of either.
  const shows = (page: Page) =>
    page.evaluate(async () => {
      let found = 0;
      const walk = async (folder: FileSystemDirectoryHandle): Promise<void> => {
        for await (const entry of (
          folder as unknown as { values(): AsyncIterable<FileSystemHandle> }
        ).values()) {
          if (entry.kind === 'directory') await walk(entry as FileSystemDirectoryHandle);
          else {
            const file = await (entry as FileSystemFileHandle).getFile();
            const text = new TextDecoder('latin1').decode(await file.arrayBuffer());
            found += text.includes('CREATE TABLE t') || text.includes('secret ') ? 1 : 0;
          }
        }
      };
      await walk(await navigator.storage.getDirectory());
      return found;
    });
  expect([await shows(a), await shows(b)]).toEqual([0, 0]);

  await on(
    a,
    async () => {
      const { db } = window as unknown as WithSql;
      await db.encrypt();
      await db.run("INSERT INTO t (body) VALUES ('secret and new')");
      await db.snapshot({ name: 'diary', replicas: 1 });
    },
    null,
  );
  await expect.poll(() => count(b, uri), { timeout: 30_000 }).toBe('refused');
  expect(await count(a, 'diary')).toBe(2001);
});

test('from its screen it is encrypted, shared and shut again', async ({ openTab }) => {
  test.setTimeout(180_000);
  const [{ page: a }, { page: b }] = [await openTab(), await openTab()];
  for (const page of [a, b]) await hasPeer(page, (peer) => peer.role === 'relay');
  const run = async (page: Page, sql: string) => {
    await page.getByRole('textbox', { name: 'SQL' }).fill(sql);
    await page.getByRole('textbox', { name: 'SQL' }).press('Control+Enter');
  };
  const publish = async () => {
    await a.getByLabel('Publish as').fill('letters');
    await a.getByRole('button', { name: 'Take a snapshot' }).click();
    await expect(a.getByText('The snapshot is durable here.')).toBeVisible();
    return a.locator('#dbaddress').innerText();
  };
  await goTo(a, 'Databases');
  await a.getByLabel('Open or make').fill('letters');
  await a.getByLabel('Encrypted: only you').check();
  await a.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(a.getByRole('heading', { level: 1, name: 'letters' })).toBeVisible();
  await expect(a.getByRole('link', { name: /letters.*Encrypted/ })).toBeVisible();
  await run(a, "CREATE TABLE letter (body TEXT); INSERT INTO letter VALUES ('Dear Ida');");
  await expect(a.getByText(/^Done in/)).toBeVisible();

  await goTo(b, 'Settings');
  const card = await b.getByRole('textbox', { name: 'Your card' }).inputValue();
  expect(card).toMatch(/^craftec-card:[a-z2-7]+$/);
  const who = a.getByRole('region', { name: 'Who can read it' });
  await expect(who.getByText('Only you, so far')).toBeVisible();
  await who.getByLabel('Card of the person').fill('not a card');
  await who.getByRole('button', { name: 'Share' }).click();
  await expect(who.getByRole('alert')).toBeVisible();
  await who.getByLabel('Card of the person').fill(card);
  await who.getByRole('button', { name: 'Share' }).click();
  const readers = who.getByRole('list', { name: 'Readers' });
  await expect(readers.getByRole('listitem')).toHaveCount(1);
  const address = await publish();

  await goTo(b, 'Databases');
  await b.getByLabel('Open or make').fill(address);
  await b.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(b.getByText('Somebody’s, read-only')).toBeVisible({ timeout: 30_000 });
  await run(b, 'SELECT body FROM letter');
  await expect(b.getByRole('cell', { name: 'Dear Ida' })).toBeVisible({ timeout: 30_000 });

  await readers.getByRole('button', { name: /^Remove did:craftec:/ }).click();
  await expect(who.getByText('Only you, so far')).toBeVisible();
  await run(a, "INSERT INTO letter VALUES ('Not for Ida')");
  await expect(a.getByText(/^1 row changed in/)).toBeVisible();
  await publish();
  const shut = async () => (await count(b, address)) === 'refused';
  await expect.poll(shut, { timeout: 30_000 }).toBe(true);
});

test('what encryption costs a tab', async ({ openTab }) => {
  const { page } = await openTab();
  await status(page);
  const took = await on(
    page,
    async (node) => {
      const took: Record<string, number[]> = {};
      for (const encrypt of [false, true]) {
        const db = await node.sql.open(`cost ${String(encrypt)}`, { encrypt });
        await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
        const times = [];
        let at = performance.now();
        for (let i = 0; i < 200; i++) await db.run('INSERT INTO t (body) VALUES (?)', ['x']);
        times.push((performance.now() - at) / 200);
        at = performance.now();
        const numbers = 'SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000';
        await db.exec(`WITH RECURSIVE n(i) AS (${numbers})
          INSERT INTO t (body) SELECT hex(randomblob(90)) FROM n`);
        times.push(performance.now() - at);
        took[encrypt ? 'encrypted' : 'open'] = times;
        db.close();
      }
      return took;
    },
    null,
  );
  const shown = (times: number[]) => times.map((time) => `${time.toFixed(2)} ms`).join(', ');
  console.log(`an insert each, 40,000 rows at once: open ${shown(took['open']!)}`);
  console.log(`an insert each, 40,000 rows at once: encrypted ${shown(took['encrypted']!)}`);
  expect(took['encrypted']).toHaveLength(2);
});
