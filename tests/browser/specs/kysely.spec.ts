// Kysely on a database of a tab, by the SDK's example: queries, rows that are inserted, transactions.
import path from 'node:path';
import { expect } from '@playwright/test';
import { build } from 'esbuild';
import { join, test } from '../support/tabs.ts';

const EXAMPLE = path.resolve(import.meta.dirname, '../../../sdk-js/examples/kysely.ts');

/** The example and Kysely, as a script that leaves `Kysely` and `CraftecDialect` in the page. */
async function bundle(): Promise<string> {
  const contents = `import { Kysely } from 'kysely';
    import { CraftecDialect } from ${JSON.stringify(EXAMPLE)};
    Object.assign(globalThis, { Kysely, CraftecDialect });`;
  const stdin = { contents, resolveDir: path.dirname(EXAMPLE) };
  const built = await build({ stdin, bundle: true, write: false, format: 'iife' });
  return built.outputFiles[0]!.text;
}

test('an ORM that needs transactions runs on a database of a tab', async ({ desktop, host }) => {
  const page = await desktop.tab(host);
  await join(page);
  const found = await page.evaluate(
    async (script) => {
      new Function(script)();
      /* eslint-disable @typescript-eslint/no-explicit-any */
      const here = window as any;
      const dialect = new here.CraftecDialect(await here.node.sql.open('orm'));
      const db = new here.Kysely({ dialect });
      await db.schema
        .createTable('person')
        .addColumn('id', 'integer', (column: any) => column.primaryKey())
        .addColumn('name', 'text', (column: any) => column.notNull())
        .execute();
      const first = await db.insertInto('person').values({ name: 'Ada' }).executeTakeFirst();
      await db.transaction().execute(async (trx: any) => {
        const { n } = await trx
          .selectFrom('person')
          .select((of: any) => of.fn.countAll().as('n'))
          .executeTakeFirst();
        await trx
          .insertInto('person')
          .values({ name: `No. ${n + 1}` })
          .execute();
      });
      const failed = await db
        .transaction()
        .execute(async (trx: any) => {
          await trx.deleteFrom('person').execute();
          await trx.insertInto('person').values({ name: null }).execute();
        })
        .catch((error: { message: string }) => error.message);
      const names = await db.selectFrom('person').select('name').orderBy('id').execute();
      const streamed = [];
      for await (const row of db.selectFrom('person').select('id').stream()) streamed.push(row.id);
      const tables = await db.introspection.getTables();
      await db.destroy();
      return {
        insertId: `${first.insertId}`,
        failed,
        names: names.map(({ name }: { name: string }) => name),
        streamed,
        tables: tables.map(({ name }: { name: string }) => name),
      };
    },
    await bundle(),
  );
  expect(found).toEqual({
    insertId: '1',
    failed: expect.stringContaining('NOT NULL') as unknown,
    names: ['Ada', 'No. 2'],
    streamed: [1, 2],
    tables: ['person'],
  });
});
