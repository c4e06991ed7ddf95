// One engine, asked from a page: the workloads are the same for all.
const INSERTS = 200
const BULK = 10_000
const POINTS = 500
const ROWS = 100_000
const AGGREGATES = 5

/** Ours: the node of this page. */
async function ours () {
  const url = '/sdk/index.js'
  const { createNode } = await import(url)
  const node = await createNode({ relays: [] })
  const db = await node.sql.open('bench')
  return {
    exec: (sql) => db.exec(sql),
    run: (sql, params) => db.run(sql, params),
    query: (sql, params) => db.query(sql, params),
    batch: (items) => db.batch(items)
  }
}

/** A peer in a worker, over messages. */
async function peer (script) {
  const worker = new Worker(`/${script}`, { type: 'module' })
  const waiting = new Map()
  let next = 0
  worker.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    if (error) reject(new Error(error))
    else resolve(result)
  }
  const ask = (op, ...args) => new Promise((resolve, reject) => {
    waiting.set(++next, { resolve, reject })
    worker.postMessage({ id: next, op, args })
  })
  await ask('open')
  return {
    exec: (sql) => ask('exec', sql),
    run: (sql, params) => ask('query', sql, params),
    query: (sql, params) => ask('query', sql, params),
    batch: (items) => ask('batch', items)
  }
}

const OPEN = {
  ours,
  'sqlite-wasm': () => peer('sql-stock-worker.js'),
  'wa-sqlite': () => peer('sql-wa-worker.js')
}

async function timed (work) {
  const began = performance.now()
  await work()
  return performance.now() - began
}

window.bench = {
  async start (engine) {
    this.db = await OPEN[engine]()
    await this.db.exec('CREATE TABLE big (id INTEGER PRIMARY KEY, v INTEGER, body TEXT)')
    await this.db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
      INSERT INTO big SELECT i, i * 7 % 1000, 'body of row number ' || i FROM n`)
  },

  async run () {
    const { db } = this
    await db.exec('DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)')
    const insert = 'INSERT INTO t VALUES (?, ?)'
    const autocommit = await timed(async () => {
      for (let i = 0; i < INSERTS; i++) await db.run(insert, [i, `body of row number ${i}`])
    })
    const items = Array.from({ length: BULK }, (_, i) => [insert, [i + INSERTS, `body of row number ${i}`]])
    const bulk = await timed(() => db.batch(items))
    const point = await timed(async () => {
      for (let i = 0; i < POINTS; i++) {
        const [row] = await db.query('SELECT body FROM big WHERE id = ?', [(i * 7919) % ROWS + 1])
        if (!row) throw new Error('no row')
      }
    })
    const aggregate = await timed(async () => {
      for (let i = 0; i < AGGREGATES; i++) {
        await db.query('SELECT count(*), sum(v), avg(length(body)) FROM big')
      }
    })
    return {
      autocommit: autocommit / INSERTS,
      bulk,
      point: point / POINTS,
      aggregate: aggregate / AGGREGATES
    }
  }
}
