// sqlite-wasm of SQLite's own makers, on its pool of OPFS files.
import init from '@sqlite.org/sqlite-wasm'
import { serve } from './sql-serve.js'

let db
const prepared = new Map()

function rows (sql, params) {
  let statement = prepared.get(sql)
  if (!statement) prepared.set(sql, (statement = db.prepare(sql)))
  const found = []
  try {
    if (params?.length) statement.bind(params)
    while (statement.step()) found.push(statement.get({}))
  } finally {
    statement.reset(true)
  }
  return found
}

function forget () {
  for (const statement of prepared.values()) statement.finalize()
  prepared.clear()
}

serve({
  async open () {
    const sqlite3 = await init({ locateFile: () => '/sqlite3.wasm', print () {}, printErr: console.error })
    const pool = await sqlite3.installOpfsSAHPoolVfs({})
    db = new pool.OpfsSAHPoolDb('/bench.db')
    db.exec('PRAGMA page_size = 4096; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384')
  },
  exec (sql) {
    forget()
    db.exec(sql)
  },
  query: rows,
  batch (items) {
    db.exec('BEGIN IMMEDIATE')
    for (const [sql, params] of items) rows(sql, params)
    db.exec('COMMIT')
  }
})
