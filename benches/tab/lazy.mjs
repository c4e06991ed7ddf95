// A large database on another node, read by a tab over a link of 20 ms and 50 Mbit/s that is simulated:
// an indexed query in a database that was never seen, and a scan of 100 MB. `LAZY_GB=4` makes the
// database as large as the goal says; by default it is smaller, and takes a minute less for each GB.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { slowLink } from './link.mjs'
import { line, page, privateMb, rendererOf, run, startRelay } from './stage.mjs'

const GB = Number(process.env.LAZY_GB ?? 0.5)
const LINK = { roundTripMs: 20, bitsPerSecond: 50e6 }
const SCAN_BYTES = 100e6
/** Of a row: one fills a page. */
const BODY = 3900
/** Rows of one statement, of 100 MB: it may compute for five seconds. */
const ROWS = 25_000
const GOALS = { query: 2_000, pages: 64, scan: 0.7, memory: 100 }

await run(async () => {
  const [host, author] = [await startRelay(), await startRelay()]
  const craftec = async (...args) => {
    const options = { maxBuffer: 1 << 30, env: { ...process.env, CRAFTEC_DATA: author.data } }
    const { stdout } = await promisify(execFile)(author.binary, ['--json', ...args], options)
    return JSON.parse(stdout)
  }
  const rows = Math.round(GB * 1e9 / 4096)
  await craftec('sql', 'big', `
    CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, body BLOB);
    CREATE TABLE small (id INTEGER PRIMARY KEY, body BLOB);
    CREATE INDEX by_name ON t (name);`)
  const numbers = (from, count) => `WITH RECURSIVE n(i) AS
    (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${from + count - 1})`
  for (let from = 0; from < rows; from += ROWS) {
    await craftec('sql', 'big', `${numbers(from, Math.min(ROWS, rows - from))}
      INSERT INTO t SELECT i, 'name ' || (i * 7919 % ${rows}), randomblob(${BODY}) FROM n`)
    if (process.stderr.isTTY) process.stderr.write(`\r${from} of ${rows} rows`)
  }
  await craftec('sql', 'big', `${numbers(0, Math.round(SCAN_BYTES / 4096))}
    INSERT INTO small SELECT i, randomblob(${BODY}) FROM n`)
  const { results: [{ cid, bytes }] } = await craftec('sql', 'big', '.snapshot')
  const link = await slowLink(author.port, LINK)

  // By whatever address the tab finds the node: it comes by the link.
  const args = [`--host-resolver-rules=MAP 127.0.0.1:${author.port} 127.0.0.1:${link.port}`]
  const tab = await page(`${host.app}healthz`, 'lazy-page.js', { args })
  const pid = await rendererOf(tab)
  await tab.evaluate((addr) => window.bench.start(addr), author.addr)
  await tab.requestGC()
  const before = await privateMb(pid)
  const ask = async (sql, params) => {
    const received = link.received
    const asked = await tab.evaluate(([uri, sql, params]) => window.bench.ask(uri, sql, params),
      [`craftobj://${cid}`, sql, params])
    return { ...asked, received: link.received - received }
  }
  const name = `name ${rows >> 1}`
  const query = await ask('SELECT id, length(body) AS n FROM t WHERE name = ?', [name])
  const [found] = JSON.parse(query.rows)
  if (found?.n !== BODY) throw new Error(`no row of that name: ${query.rows}`)
  let most = 0
  const look = async () => { most = Math.max(most, await privateMb(pid) - before) }
  // A tab that ended is seen by whoever waits for it.
  const watch = setInterval(() => look().catch(() => {}), 250)
  const scan = await ask('SELECT count(*) AS n, sum(length(body)) AS bytes FROM small', [])
    .finally(() => clearInterval(watch))
  const [sum] = JSON.parse(scan.rows)
  if (sum.bytes !== sum.n * BODY) throw new Error(`a wrong sum: ${scan.rows}`)
  const rate = sum.n * 4096 * 8 / (scan.ms / 1000) / LINK.bitsPerSecond

  console.log(`\nbench lazy: ${(bytes / 1e9).toFixed(1)} GB at the other end of ` +
    `${LINK.roundTripMs} ms and ${LINK.bitsPerSecond / 1e6} Mbit/s`)
  line('', 'is', 'goal')
  line('indexed query, cold, ms', query.ms.toFixed(0), GOALS.query)
  line('  of that opening, ms', query.opened.toFixed(0))
  line('  received, pages of 4 KiB', (query.received / 4096).toFixed(0), GOALS.pages)
  line('scan of 100 MB, s', (scan.ms / 1000).toFixed(1))
  line('  of the link\'s rate', rate.toFixed(2), GOALS.scan)
  line('  received / scanned', (scan.received / (sum.n * 4096)).toFixed(2))
  line('memory of the tab, more, MB', most.toFixed(0), GOALS.memory)
  console.log(`ratio lazy-query ${(GOALS.query / query.ms).toFixed(2)}`)
  console.log(`ratio lazy-scan ${(rate / GOALS.scan).toFixed(2)}`)
  console.log(`ratio lazy-memory ${(GOALS.memory / most).toFixed(2)}`)
})
