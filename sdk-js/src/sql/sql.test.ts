import { describe, expect, it } from 'vitest';
import { FakeNode, type Behaviour } from '../client/fake-node.js';
import { Session } from '../client/session.js';
import type { SqlParam } from '../types.js';
import { Sql } from './sql.js';
import { named, onlyReads, statement } from './values.js';

const OPENED = { cid: null, writable: true, bytes: 0, time_ms: null, equivocation: false };
const ROOT = 'bafyr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4';

/** Databases whose every query gives the rows 0, 1, 2… up to `rows`, `step` an answer. */
function numbers(rows: number, step: number, opened: object = OPENED): Behaviour {
  const at = new Map<number, number>();
  const part = (from: number, node: FakeNode, columns: string[]) => {
    const to = Math.min(from + step, rows);
    const more = to < rows ? node.handle() : null;
    if (more !== null) at.set(more, to);
    const found = Array.from({ length: to - from }, (_, i) => [from + i]);
    return { rows: { columns, rows: found, changes: 0, last_rowid: 0, more } };
  };
  return (name, fields, node) => {
    if (name === 'sql_open') return { database: { handle: node.handle(), ...opened } };
    if (name === 'sql_query') return part(0, node, ['n']);
    const handle = fields['handle'] as number;
    node.open.delete(handle);
    if (name === 'sql_rows') return part(at.get(handle) ?? 0, node, []);
    throw { code: 'bad_input', message: `no ${name} here` };
  };
}

/** A session whose nth connection goes to the nth node; the last one serves all that follow. */
function sqlOf(equip: () => Promise<boolean>, ...behaviours: Behaviour[]) {
  const nodes: FakeNode[] = [];
  const session = new Session(() => {
    const node = new FakeNode(behaviours[Math.min(nodes.length, behaviours.length - 1)]!);
    nodes.push(node);
    return Promise.resolve(node);
  });
  return { sql: new Sql(session, equip), nodes };
}
const never = () => Promise.resolve(false);
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('values', () => {
  it('become those of SQLite', () => {
    const bytes = new Uint8Array([1]);
    const given: SqlParam[] = [
      undefined,
      true,
      1.5,
      2n ** 63n - 1n,
      'x',
      bytes,
      bytes.buffer,
      null,
    ];
    const params = [null, 1, 1.5, 2n ** 63n - 1n, 'x', bytes, bytes, null];
    expect(statement('SELECT ?', given)).toEqual({ sql: 'SELECT ?', params });
  });

  it.each([
    [NaN, /Parameter 2 is NaN/],
    [2n ** 63n, /more than 64 bits/],
    [new Date(), /Parameter 2 is a Date/],
    [{}, /Parameter 2 is a Object/],
  ])('that SQLite has not are refused by their number: %s', (value, words) => {
    expect(() => statement('SELECT ?', [1, value as never])).toThrow(words);
  });

  it('come out by the names of their columns, whatever these are', () => {
    const [row] = named<Record<string, unknown>>(['a', '__proto__', 'a'], [[1, 2, 3]]);
    expect(Object.entries(row!)).toEqual([
      ['a', 3],
      ['__proto__', 2],
    ]);
  });

  it.each([
    ['SELECT 1', true],
    ['  -- a\n /* b */ values (1)', true],
    ['explain SELECT 1', true],
    ['WITH a AS (SELECT 1) DELETE FROM t', false],
    ['INSERT INTO t SELECT 1', false],
    ['selection', false],
    ['PRAGMA user_version = 3', false],
  ])('%s surely only reads: %s', (sql, reads) => {
    expect(onlyReads(sql)).toBe(reads);
  });
});

describe('a result', () => {
  it('is gathered over its answers, or streamed', async () => {
    const { sql, nodes } = sqlOf(never, numbers(10, 3));
    const db = await sql.open('shop');
    const all = Array.from({ length: 10 }, (_, n) => ({ n }));
    expect((await db.query('SELECT n')).map((row) => ({ ...row }))).toEqual(all);
    const seen = [];
    for await (const row of db.stream('SELECT n')) seen.push({ ...row });
    expect(seen).toEqual(all);
    db.close();
    await settle();
    expect(nodes[0]!.open.size).toBe(0);
    await expect(db.query('SELECT n')).rejects.toThrow(/was closed/);
  });

  it('that nobody reads to its end is let go of', async () => {
    const { sql, nodes } = sqlOf(never, numbers(10, 3));
    const db = await sql.open('shop');
    expect(await db.prepare('SELECT n').get()).toMatchObject({ n: 0 });
    await settle();
    // What is left open is the database.
    expect(nodes[0]!.open.size).toBe(1);
  });
});

describe('a node that moves', () => {
  /** Loses its node at the nth command of a name. */
  const losing = (behaviour: Behaviour, command: string, nth: number): Behaviour => {
    let seen = 0;
    return (name, fields, node) => {
      if (name === command && ++seen === nth) {
        node.lose();
        return new Promise(() => {});
      }
      return behaviour(name, fields, node);
    };
  };

  it('is asked again for what only reads, before its first row', async () => {
    const { sql, nodes } = sqlOf(never, losing(numbers(4, 9), 'sql_query', 1), numbers(4, 9));
    const db = await sql.open('shop');
    expect(await db.query('SELECT n')).toHaveLength(4);
    expect(nodes).toHaveLength(2);
  });

  it('is not asked again for what may have written', async () => {
    const { sql } = sqlOf(never, losing(numbers(4, 9), 'sql_query', 1), numbers(4, 9));
    const db = await sql.open('shop');
    const error = await db.run('DELETE FROM t').catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'unavailable', retryable: false });
    expect(await db.query('SELECT n')).toHaveLength(4);
  });

  it('gives the rest of a snapshot, but not of what others may have written since', async () => {
    const moving = (opened: object) =>
      sqlOf(never, losing(numbers(9, 2, opened), 'sql_rows', 2), numbers(9, 2, opened)).sql;
    const snapshot = await moving({ ...OPENED, cid: ROOT, writable: false }).open('craftobj://x/y');
    const rest = (await snapshot.query('SELECT n')).map(({ n }) => n);
    expect(rest).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    const own = await moving(OPENED).open('shop');
    await expect(own.query('SELECT n')).rejects.toMatchObject({
      code: 'unavailable',
      retryable: true,
    });
  });
});

describe('a change', () => {
  it('is told, also of what was committed while the node moved', async () => {
    let commit: (bytes: number) => void = () => {};
    const behaviour: Behaviour = (name, _, node) => {
      if (name === 'sql_open') return { database: { handle: node.handle(), ...OPENED } };
      return new Promise((resolve) => {
        commit = (bytes) => resolve({ changed: { database: { handle: 1, ...OPENED, bytes } } });
      });
    };
    const { sql, nodes } = sqlOf(never, behaviour);
    const db = await sql.open('shop');
    const told: number[] = [];
    const off = db.on('change', ({ bytes }) => told.push(bytes));
    await settle();
    commit(4096);
    await settle();
    expect([told, db.bytes]).toEqual([[4096], 4096]);
    nodes[0]!.lose();
    await settle();
    expect([told.length, nodes.length]).toEqual([2, 2]);
    off();
    commit(8192);
    await settle();
    expect(told).toHaveLength(2);
    db.close();
  });
});

describe('a transaction', () => {
  /** Notes what was asked for; a statement `bad` fails. */
  const noting = (asked: unknown[]): Behaviour => {
    return (name, fields, node) => {
      if (name === 'sql_open') return { database: { handle: node.handle(), ...OPENED } };
      if (name === 'sql_transaction') return { handle: { handle: node.handle() } };
      asked.push(name === 'sql_finish' ? fields['commit'] : fields['sql']);
      if (fields['sql'] === 'bad') throw { code: 'bad_input', message: 'It is bad.' };
      if (name === 'sql_finish') return 'done';
      if (name === 'sql_script') return { executed: { changes: [0], last_rowid: 0 } };
      return { rows: { columns: ['n'], rows: [[7]], changes: 1, last_rowid: 3, more: null } };
    };
  };

  it('is committed when its work is done, and rolled back when that fails', async () => {
    const asked: unknown[] = [];
    const db = await sqlOf(never, noting(asked)).sql.open('shop');
    const total = await db.transaction(async (tx) => {
      const [row] = await tx.query<{ n: number }>('SELECT n');
      await tx.exec('one; two');
      return row!.n + (await tx.run('INSERT')).lastRowid;
    });
    expect([total, asked]).toEqual([10, ['SELECT n', 'one; two', 'INSERT', true]]);
    asked.length = 0;
    const failed = db.transaction(async (tx) => void (await tx.run('bad')));
    await expect(failed).rejects.toMatchObject({ code: 'bad_input' });
    const own = db.transaction(() => Promise.reject(new Error('mine')));
    await expect(own).rejects.toThrow('mine');
    expect(asked).toEqual(['bad', false, false]);
  });
});

describe('a branch', () => {
  const conflict = { table: 'bed', kind: 'changed', key: [1] };
  /** Stops a merge where nobody is said to win; `merges` says how often it was asked for one. */
  const merging = (merges: object[]): Behaviour => {
    return (name, fields, node) => {
      if (name === 'sql_open') return { database: { handle: node.handle(), ...OPENED } };
      if (name === 'sql_branches') {
        const row = { name: 'work-1', cid: ROOT, base: null, time_ms: 7, merged: false };
        return { branches: { branches: [row] } };
      }
      if (name !== 'sql_merge') throw { code: 'conflict', message: 'The name moved on.' };
      merges.push(fields);
      const made = fields['strategy'] !== 'stop';
      return { merged: { made, cid: ROOT, conflicts: [conflict], conflicting: 1 } };
    };
  };

  it('is listed, and merged as was said', async () => {
    const merges: object[] = [];
    const { sql } = sqlOf(never, merging(merges));
    const db = await sql.open('shop');
    const work = { name: 'work-1', cid: ROOT, base: null, timeMs: 7, merged: false };
    expect(await db.branches()).toEqual([work]);
    expect(await db.merge()).toMatchObject({ made: false, conflicts: [conflict] });
    expect(await db.merge('work-1', 'theirs')).toMatchObject({ made: true, conflicting: 1 });
    expect(merges).toMatchObject([
      { branch: 'published', strategy: 'stop' },
      { branch: 'work-1', strategy: 'theirs' },
    ]);
  });

  it('is what a snapshot becomes whose name moved on', async () => {
    const db = await sqlOf(never, merging([])).sql.open('shop');
    await expect(db.snapshot({ name: 'shop' })).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('a node without databases', () => {
  const lacks: Behaviour = () => {
    throw { code: 'version', message: 'This node was built without databases.' };
  };

  it('is replaced by one that has them, once', async () => {
    let equipped = 0;
    const nodes: FakeNode[] = [];
    const session = new Session(() => {
      nodes.push(new FakeNode(equipped > 0 ? numbers(1, 1) : lacks));
      return Promise.resolve(nodes.at(-1)!);
    });
    const sql = new Sql(session, () => {
      equipped += 1;
      nodes.at(-1)!.lose();
      return Promise.resolve(true);
    });
    expect(await (await sql.open('shop')).query('SELECT n')).toHaveLength(1);
    expect(equipped).toBe(1);
  });

  it('is what it is where there is no other build', async () => {
    const { sql } = sqlOf(never, lacks);
    await expect(sql.open('shop')).rejects.toMatchObject({ code: 'version' });
  });
});

describe('an SQLite file', () => {
  /** Takes a file in. What is none is refused by the node, and tested there. */
  function taken() {
    const parts: Uint8Array[] = [];
    const behaviour: Behaviour = (name, fields, node) => {
      if (name === 'sql_open') return { database: { handle: node.handle(), ...OPENED } };
      if (name === 'sql_import') return { handle: { handle: node.handle() } };
      if (name === 'put_chunk') parts.push(fields['bytes'] as Uint8Array);
      return 'done';
    };
    return { parts, behaviour };
  }

  it('is sent in parts, and told how far it is', async () => {
    const { parts, behaviour } = taken();
    const { sql } = sqlOf(never, behaviour);
    const seen: number[] = [];
    const file = new Uint8Array(300 * 4096).fill(7);
    const db = await sql.open('shop');
    await db.import(file, { onProgress: (bytes) => seen.push(bytes) });
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(file.length);
    expect(seen.at(-1)).toBe(file.length);
  });
});
