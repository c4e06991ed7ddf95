// wa-sqlite with its write-ahead log on OPFS.
import make from '@journeyapps/wa-sqlite/dist/wa-sqlite.mjs'
import * as SQLite from '@journeyapps/wa-sqlite'
import { OPFSWriteAheadVFS } from '@journeyapps/wa-sqlite/src/examples/OPFSWriteAheadVFS.js'
import { serve } from './sql-serve.js'

let sqlite3
let db
const prepared = new Map()

async function statementOf (sql) {
  const known = prepared.get(sql)
  if (known) return known
  for await (const statement of sqlite3.statements(db, sql, { unscoped: true })) {
    prepared.set(sql, statement)
    return statement
  }
}

async function rows (sql, params) {
  const statement = await statementOf(sql)
  if (params?.length) sqlite3.bind_collection(statement, params)
  const found = []
  while (await sqlite3.step(statement) === SQLite.SQLITE_ROW) found.push(sqlite3.row(statement))
  await sqlite3.reset(statement)
  return found
}

async function forget () {
  for (const statement of prepared.values()) await sqlite3.finalize(statement)
  prepared.clear()
}

serve({
  async open () {
    const module = await make({ locateFile: () => '/wa-sqlite.wasm' })
    sqlite3 = SQLite.Factory(module)
    const vfs = await OPFSWriteAheadVFS.create('bench', module)
    sqlite3.vfs_register(vfs, true)
    db = await sqlite3.open_v2('bench.db')
    // Nobody else has it open, as with the others.
    await sqlite3.exec(db, 'PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 4096; ' +
      'PRAGMA synchronous = FULL; PRAGMA cache_size = -16384')
  },
  async exec (sql) {
    await forget()
    await sqlite3.exec(db, sql)
  },
  query: rows,
  async batch (items) {
    await sqlite3.exec(db, 'BEGIN IMMEDIATE')
    for (const [sql, params] of items) await rows(sql, params)
    await sqlite3.exec(db, 'COMMIT')
  }
})
