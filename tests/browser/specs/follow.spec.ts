// A tab follows a database that another publishes over and over: each state within a second, and little
// more than what changed on the way.
import { expect, type Page } from '@playwright/test';
import { test } from '../support/fixtures.ts';
import { hasPeer, status } from '../support/node.ts';

/** How often the publisher commits and publishes; `COMMITS=1000` for long. */
const COMMITS = Number(process.env['COMMITS'] ?? 25);
const ROWS = 3_000;

interface Database {
  exec(sql: string): Promise<void>;
  query(sql: string): Promise<Record<string, unknown>[]>;
  snapshot(options: object): Promise<{
    cid: string;
    uri: string;
    newBlocks: number;
    waits: boolean;
  }>;
  on(event: 'change', fn: (change: { cid: string; equivocation: boolean }) => void): () => void;
}
type WithSql = Window & {
  db: Database;
  told: { cid: string; at: number }[];
};

const open = (page: Page, name: string) =>
  page.evaluate(async (name) => {
    const node = (await window.testNode!) as unknown as {
      sql: { open(name: string): Promise<Database> };
    };
    const here = window as unknown as WithSql;
    here.db = await node.sql.open(name);
    here.told = [];
    here.db.on('change', ({ cid }) => here.told.push({ cid, at: Date.now() }));
  }, name);

const received = async (page: Page) => {
  const peers = (await status(page)).peers as unknown as { received: number }[];
  return peers.reduce((sum, peer) => sum + peer.received, 0);
};

test('a follower sees each state that is published, and fetches what changed', async ({
  openTab,
}) => {
  test.setTimeout(120_000 + COMMITS * 2_000);
  const [{ page: a }, { page: b }] = [await openTab(), await openTab()];
  for (const page of [a, b]) {
    await hasPeer(page, (peer) => peer.role === 'relay');
    await status(page);
  }
  await open(a, 'ticker');
  const publish = (sql: string) =>
    a.evaluate(async (sql) => {
      const { db } = window as unknown as WithSql;
      await db.exec(sql);
      const taken = await db.snapshot({ name: 'ticker', replicas: 1 });
      return { ...taken, at: Date.now() };
    }, sql);
  const { uri } = await publish(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, body TEXT);
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
     INSERT INTO t SELECT i, 0, hex(zeroblob(90)) FROM n`,
  );
  await open(b, uri);
  const total = () =>
    b.evaluate(async () => {
      const rows = await (window as unknown as WithSql).db.query('SELECT sum(n) AS s FROM t');
      return rows[0]!['s'];
    });
  expect(await total()).toBe(0);

  const before = await received(b);
  const late: number[] = [];
  let changed = 0;
  for (let i = 1; i <= COMMITS; i++) {
    const id = 1 + Math.floor(Math.random() * ROWS);
    const taken = await publish(`UPDATE t SET n = n + 1 WHERE id = ${id}`);
    expect(taken.waits).toBe(false);
    changed += taken.newBlocks * 4096;
    const at = await b.evaluate(async (cid) => {
      const { told } = window as unknown as WithSql;
      for (let tries = 0; tries < 1_000; tries++) {
        const heard = told.find((one) => one.cid === cid);
        if (heard) return heard.at;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return Infinity;
    }, taken.cid);
    late.push(at - taken.at);
    if (i % 20 === 0 || i === COMMITS) expect(await total()).toBe(i);
  }
  const moved = (await received(b)) - before;
  late.sort((x, y) => x - y);
  const [median, most] = [late[Math.floor(COMMITS / 2)]!, late.at(-1)!];
  console.log(
    `follow: ${COMMITS} states, heard of ${median} ms after they were published (median), ` +
      `${most} ms at most; ${moved} bytes for ${changed} that changed`,
  );
  // Much else may run on the machine of an ordinary test.
  expect(most).toBeLessThan(COMMITS < 1_000 ? 5_000 : 1_000);
  expect(median).toBeLessThan(1_000);
  expect(moved).toBeLessThan(changed * 1.5);
});
