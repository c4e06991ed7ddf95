// Databases in tabs: loaded when one is wanted, shared by tabs, durable when they say so, exchanged with
// sqlite3 as ordinary files, read from another browser page by page, and used from the screen.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, type Page } from '@playwright/test';
import { goTo } from '../support/app.ts';
import { test as appTest } from '../support/fixtures.ts';
import { hasPeer } from '../support/node.ts';
import { join, leads, role, test } from '../support/tabs.ts';

/** How often a tab is killed between its commits; `KILLS=100` for long. */
const KILLS = Number(process.env['KILLS'] ?? 8);

interface Database {
  query(sql: string, params?: unknown[]): Promise<Record<string, unknown>[]>;
  run(sql: string, params?: unknown[]): Promise<{ changes: number; lastRowid: number }>;
  exec(sql: string): Promise<void>;
  batch(items: unknown[]): Promise<number[]>;
  stream(sql: string): AsyncIterable<Record<string, unknown>>;
  snapshot(options?: object): Promise<{ cid: string; uri: string | null }>;
  restore(cid: string): Promise<void>;
  export(): ReadableStream<Uint8Array>;
  import(data: Blob): Promise<void>;
  close(): void;
}
interface Sql {
  open(name: string): Promise<Database>;
  list(): Promise<{ name: string }[]>;
  history(name: string): Promise<{ cid: string }[]>;
}
type WithSql = Window & {
  node: { sql: Sql };
  db: Database;
  committed(id: number): Promise<void>;
};

/** Opens a database as `db` of the page. */
const open = (page: Page, name: string) =>
  page.evaluate(async (name) => {
    const here = window as unknown as WithSql;
    here.db = await here.node.sql.open(name);
  }, name);
const query = (page: Page, sql: string) =>
  page.evaluate((sql) => (window as unknown as WithSql).db.query(sql), sql);
const exec = (page: Page, sql: string) =>
  page.evaluate((sql) => (window as unknown as WithSql).db.exec(sql), sql);
const count = async (page: Page) => (await query(page, 'SELECT count(*) AS n FROM t'))[0]!['n'];

/** Runs the `sqlite3` program. */
function sqlite3(file: string, sql: string): string {
  const done = spawnSync('sqlite3', ['-batch', file, sql], {
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(`sqlite3 ${file}: ${done.error ?? done.stderr}`);
  return done.stdout.trim();
}

test('a database is there when it is wanted, with every kind of value', async ({
  desktop,
  host,
}) => {
  const page = await desktop.tab(host);
  await join(page);
  const { did } = await page.evaluate(() => window.node.status());
  const asked: string[] = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const found = await page.evaluate(async () => {
    const { sql } = (window as unknown as WithSql).node;
    const db = ((window as unknown as WithSql).db = await sql.open('kinds'));
    await db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (x UNIQUE)');
    const values = [null, -7, 2n ** 62n, 0.1, 'größe ☃', new Uint8Array([0, 255]), true];
    for (const value of values) await db.run('INSERT INTO t (v) VALUES (?)', [value]);
    const rows = await db.query('SELECT v, typeof(v) AS type FROM t ORDER BY id');
    const failed = await db
      .batch([['INSERT INTO u VALUES (?)', [1]], 'INSERT INTO u VALUES (1)'])
      .catch((error: { code: string; message: string }) => `${error.code}: ${error.message}`);
    const long = [];
    const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
      SELECT i FROM n`;
    for await (const row of db.stream(numbers)) long.push(row['i']);
    return {
      values: rows.map(({ v }) =>
        v instanceof Uint8Array ? [...v] : typeof v === 'bigint' ? `${v}n` : v,
      ),
      types: rows.map(({ type }) => type),
      failed,
      left: await db.query('SELECT count(*) AS n FROM u'),
      long: [long.length, long.at(-1)],
      names: (await sql.list()).map(({ name }) => name),
    };
  });
  expect(found).toEqual({
    values: [null, -7, `${2n ** 62n}n`, 0.1, 'größe ☃', [0, 255], 1],
    types: ['null', 'integer', 'integer', 'real', 'text', 'blob', 'integer'],
    failed: expect.stringMatching(/UNIQUE constraint failed/) as unknown,
    left: [{ n: 0 }],
    long: [20_000, 20_000],
    names: ['kinds'],
  });
  expect(asked.filter((name) => name.endsWith('.wasm'))).toEqual(['/sdk/node_sql_bg.wasm']);
  expect((await page.evaluate(() => window.node.status())).did, 'it is the same node').toBe(did);

  await page.reload();
  asked.length = 0;
  await join(page);
  await open(page, 'kinds');
  expect(await count(page)).toBe(7);
  const loaded = asked.filter((name) => name.endsWith('.wasm'));
  expect(loaded, 'the right build is loaded at once').toEqual(['/sdk/node_sql_bg.wasm']);
});

test('tabs share a database, whoever runs the node', async ({ desktop, host }) => {
  const first = await desktop.tab(host);
  await join(first);
  const second = await desktop.tab(host);
  await join(second);
  expect([await role(first), await role(second)]).toEqual(['leader', 'follower']);
  // The second wants databases, of which the first has none.
  await open(second, 'shared');
  expect([await role(first), await role(second)]).toEqual(['follower', 'leader']);
  await exec(second, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  await open(first, 'shared');
  await exec(first, 'INSERT INTO t VALUES (2)');
  expect(await count(second)).toBe(2);
  await second.close();
  await leads(first);
  expect(await count(first), 'it goes on in the tab that is left').toBe(2);
  await exec(first, 'INSERT INTO t VALUES (3)');
  expect(await count(first)).toBe(3);
});

test('a node without its databases to load goes on as it was', async ({ desktop, host }) => {
  const page = await desktop.tab(host);
  await join(page);
  await page.route('**/node_sql_bg.wasm', (route) => route.abort());
  const failed = await page.evaluate(() =>
    (window as unknown as WithSql).node.sql.open('shop').then(
      () => 'opened',
      (error: { code: string }) => error.code,
    ),
  );
  expect(failed).not.toBe('opened');
  expect(await role(page)).toBe('leader');
  expect((await page.evaluate(() => window.node.status())).did).toMatch(/^did:craftec:/);
});

test('what was acknowledged outlives its tab, killed between commits', async ({
  desktop,
  host,
}) => {
  test.setTimeout(120_000 + KILLS * 20_000);
  let acknowledged = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const page = await desktop.tab(host);
    await join(page);
    await open(page, 'durable');
    if (kill === 0) await exec(page, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)');
    // What was in flight may be there too: one commit, whole.
    const there = (await count(page)) as number;
    expect(there).toBeGreaterThanOrEqual(acknowledged);
    expect(there).toBeLessThanOrEqual(acknowledged + 1);
    expect(await query(page, 'PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    expect(await query(page, 'SELECT max(id) AS m, sum(length(body)) AS b FROM t')).toEqual([
      { m: there || null, b: there ? there * 6_000 : null },
    ]);
    acknowledged = there;
    let enough = () => {};
    const told = new Promise<void>((resolve) => (enough = resolve));
    const last = there + 5 + Math.floor(Math.random() * 40);
    await page.exposeFunction('committed', (id: number) => {
      acknowledged = id;
      if (id === last) enough();
    });
    await page.evaluate(() => {
      const here = window as unknown as WithSql;
      const write = async () => {
        for (;;) {
          const insert = 'INSERT INTO t (body) VALUES (randomblob(6000))';
          const { lastRowid } = await here.db.run(insert);
          // Heard here before the next one begins.
          await here.committed(lastRowid);
        }
      };
      write().catch(() => {});
    });
    await told;
    const cdp = await desktop.context.newCDPSession(page);
    cdp.send('Page.crash').catch(() => {});
    // A word that is on its way counts.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await page.close();
  }
});

test('files go to sqlite3 and come from it', async ({ desktop, host }) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'craftec-sqlite-'));
  const page = await desktop.tab(host);
  await join(page);
  await open(page, 'out');
  await exec(
    page,
    `CREATE TABLE t (a, b); CREATE INDEX i ON t (b);
     CREATE VIRTUAL TABLE f USING fts5 (words); INSERT INTO f VALUES ('larch and pine');
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
     INSERT INTO t SELECT i, 'w' || i FROM n`,
  );
  const exported = await page.evaluate(async () => {
    const file = await new Response((window as unknown as WithSql).db.export()).blob();
    const reader = new FileReader();
    const read = new Promise((resolve) => (reader.onload = resolve));
    reader.readAsDataURL(file);
    await read;
    return (reader.result as string).split(',')[1]!;
  });
  const out = path.join(folder, 'out.sqlite');
  await writeFile(out, Buffer.from(exported, 'base64'));
  expect(sqlite3(out, 'PRAGMA integrity_check')).toBe('ok');
  expect(sqlite3(out, "SELECT count(*), (SELECT a FROM t WHERE b = 'w77') FROM t")).toBe('5000|77');

  const there = path.join(folder, 'in.sqlite');
  sqlite3(there, 'PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; CREATE TABLE t (a, b);');
  sqlite3(there, 'INSERT INTO t SELECT value, hex(randomblob(900)) FROM generate_series(1, 3000)');
  sqlite3(there, 'PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM t WHERE a % 3 = 0; VACUUM;');
  sqlite3(there, 'PRAGMA journal_mode = DELETE');
  const sum = sqlite3(there, 'SELECT count(*), sum(a), max(b) FROM t');
  const taken = (await readFile(there)).toString('base64');
  const found = await page.evaluate(async (taken) => {
    const { db } = window as unknown as WithSql;
    const file = await fetch(`data:application/octet-stream;base64,${taken}`);
    await db.import(await file.blob());
    const sum = await db.query('SELECT count(*) AS c, sum(a) AS s, max(b) AS m FROM t');
    const checked = await db.query('PRAGMA integrity_check');
    await db.run('INSERT INTO t VALUES (9000, NULL)');
    return { sum: Object.values(sum[0]!).join('|'), checked };
  }, taken);
  expect(found).toEqual({ sum, checked: [{ integrity_check: 'ok' }] });
  await page.reload();
  await join(page);
  await open(page, 'out');
  expect(await query(page, 'SELECT max(a) AS m FROM t')).toEqual([{ m: 9000 }]);
});

/** Types statements and runs them. */
async function run(page: Page, sql: string): Promise<void> {
  await page.getByRole('textbox', { name: 'SQL' }).fill(sql);
  await page.getByRole('textbox', { name: 'SQL' }).press('Control+Enter');
}

appTest('a database from its screen to another browser', async ({ openTab }) => {
  const a = await openTab();
  await hasPeer(a.page, (peer) => peer.role === 'relay');
  await goTo(a.page, 'Databases');
  await a.page.getByLabel('Open or make').fill('herbarium');
  await a.page.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(a.page.getByRole('heading', { level: 1, name: 'herbarium' })).toBeVisible();
  await run(
    a.page,
    `CREATE TABLE species (name TEXT, seen INTEGER);
     INSERT INTO species VALUES ('Rosa canina', 214), ('Taxus baccata', 96), (NULL, 3);`,
  );
  await expect(a.page.getByText(/^Done in/)).toBeVisible();
  await a.page.getByRole('button', { name: 'species' }).click();
  await expect(a.page.getByRole('cell', { name: 'Rosa canina' })).toBeVisible();
  await expect(a.page.getByText(/^3 rows in/)).toBeVisible();
  await run(a.page, 'SELECT * FROM nowhere');
  await expect(a.page.getByRole('alert')).toContainText('no such table: nowhere');

  await a.page.getByLabel('Publish as').fill('herbarium');
  await a.page.getByRole('button', { name: 'Take a snapshot' }).click();
  await expect(a.page.getByText('The snapshot is durable here.')).toBeVisible();
  const address = await a.page.locator('#dbaddress').innerText();
  expect(address).toMatch(/^craftobj:\/\/did:craftec:\w+\/herbarium$/);
  await run(a.page, 'DELETE FROM species WHERE seen < 100');
  await expect(a.page.getByText(/^2 rows changed in/)).toBeVisible();

  const b = await openTab();
  await hasPeer(b.page, (peer) => peer.role === 'relay');
  await goTo(b.page, 'Databases');
  await b.page.getByLabel('Open or make').fill(address);
  await b.page.getByRole('button', { name: 'Open', exact: true }).click();
  await expect(b.page.getByText('Somebody’s, read-only')).toBeVisible({
    timeout: 30_000,
  });
  await run(b.page, 'SELECT sum(seen) AS total FROM species');
  await expect(b.page.getByRole('cell', { name: '313' })).toBeVisible({
    timeout: 30_000,
  });
  await run(b.page, 'DELETE FROM species');
  await expect(b.page.getByRole('alert')).toContainText(/read/);

  await a.page.getByRole('slider', { name: 'Snapshot' }).press('Home');
  await expect(a.page.getByText(/You are looking at/)).toBeVisible();
  await run(a.page, 'SELECT count(*) AS n FROM species');
  await expect(a.page.getByRole('cell', { name: '3', exact: true })).toBeVisible();
  await a.page.getByRole('button', { name: 'Restore this' }).click();
  await expect(a.page.getByText('Yours, in this browser')).toBeVisible();
  await run(a.page, 'SELECT count(*) AS n FROM species');
  await expect(a.page.getByRole('cell', { name: '3', exact: true })).toBeVisible();

  const saved = a.page.waitForEvent('download');
  await a.page.getByRole('button', { name: 'Export a file' }).click();
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'craftec-export-')), 'garden.sqlite');
  await (await saved).saveAs(file);
  expect(sqlite3(file, 'SELECT sum(seen) FROM species')).toBe('313');
  await a.page.getByLabel('Import a file').setInputFiles(file);
  await expect(a.page.getByRole('heading', { level: 1, name: 'garden' })).toBeVisible();
  await a.page.getByRole('button', { name: 'species' }).click();
  await expect(a.page.getByText(/^3 rows in/)).toBeVisible();
  await a.page.getByRole('button', { name: 'Remove…' }).click();
  await a.page.getByRole('button', { name: 'Remove for ever' }).click();
  await expect(a.page.getByRole('link', { name: /garden/ })).toHaveCount(0);
  await expect(a.page.getByRole('link', { name: /herbarium/ })).toHaveCount(1);
});

appTest('old snapshots go by a rule that is set on the screen', async ({ openTab }) => {
  const { page } = await openTab();
  await goTo(page, 'Databases');
  await page.getByLabel('Open or make').fill('diary');
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  await run(page, 'CREATE TABLE t (x)');
  await expect(page.getByText(/^0 rows changed in/)).toBeVisible();
  const said = page.getByText(/snapshots? since/);
  for (const number of [1, 2, 3]) {
    await run(page, `INSERT INTO t VALUES (${number})`);
    await expect(page.getByText(/^1 row changed in/)).toBeVisible();
    await page.getByRole('button', { name: 'Take a snapshot' }).click();
    await expect(said).toContainText(number === 1 ? '1 snapshot since' : `${number} snapshots`);
  }
  const kept = page.getByRole('region', { name: 'Which snapshots stay' });
  await expect(kept.getByText('All of them.')).toBeVisible();
  await kept.getByLabel('The newest').fill('1');
  await kept.getByLabel('and all of the last').fill('0');
  await kept.getByRole('button', { name: 'Keep these only' }).click();
  await expect(kept.getByRole('status')).toHaveText('2 snapshots let go.');
  await expect(kept.getByText('The newest 1.')).toBeVisible();
  await expect(said).toContainText('1 snapshot since');
  await kept.getByRole('button', { name: 'Keep all' }).click();
  await expect(kept.getByText('All of them.')).toBeVisible();
});
