// Databases in a tab: ours beside sqlite-wasm on its pool of OPFS files and wa-sqlite with its write-ahead
// log, each in a worker that a page asks, every engine in turn, 4 KiB pages, commits durable.
import { build } from 'esbuild'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { atEnd, line, median, page, run } from './stage.mjs'

const RUNS = 5
const HTML = '<!doctype html><title>bench</title>'
const here = import.meta.dirname
const SDK = path.join(here, '../../sdk-js/dist')
const PEERS = path.join(here, 'node_modules')
const ENGINES = ['ours', 'sqlite-wasm', 'wa-sqlite']
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' }
/** What is measured: in milliseconds, and whether the goal is to beat either peer, or which. */
const ROWS = [
  ['autocommit', 'durable INSERT, ms', 'wa-sqlite'],
  ['bulk', '10,000 INSERT, one commit, ms', 'sqlite-wasm'],
  ['point', 'SELECT by key, ms', 'sqlite-wasm'],
  ['aggregate', 'aggregate of 100,000 rows, ms', 'sqlite-wasm']
]

await run(async () => {
  const origin = await serve()
  const pages = {}
  for (const engine of ENGINES) {
    pages[engine] = await page(origin, 'sql-page.js')
    await pages[engine].evaluate((engine) => window.bench.start(engine), engine)
  }
  const rows = []
  for (let i = 0; i <= RUNS; i++) {
    const row = {}
    for (const engine of ENGINES) {
      row[engine] = await pages[engine].evaluate(() => window.bench.run())
    }
    // The first warms all of them up.
    if (i > 0) rows.push(row)
  }
  console.log(`\nbench tab-sql: asked from a page, median of ${RUNS} runs in turn`)
  line('', ...ENGINES, 'ratio')
  for (const [name, what, peer] of ROWS) {
    const of = (engine) => median(rows.map((row) => row[engine][name]))
    const ratio = median(rows.map((row) => row[peer][name] / row.ours[name])).toFixed(2)
    line(what, ...ENGINES.map((engine) => of(engine).toFixed(2)), ratio)
    console.log(`ratio tab-sql-${name} ${ratio}`)
  }
})

/** The SDK and the peers' workers, on a secure origin. */
async function serve () {
  const files = new Map([
    ['/sqlite3.wasm', path.join(PEERS, '@sqlite.org/sqlite-wasm/dist/sqlite3.wasm')],
    ['/wa-sqlite.wasm', path.join(PEERS, '@journeyapps/wa-sqlite/dist/wa-sqlite.wasm')]
  ])
  const scripts = new Map()
  for (const name of ['sql-stock-worker.js', 'sql-wa-worker.js']) {
    const bundled = await build({
      entryPoints: [path.join(here, name)],
      bundle: true,
      format: 'esm',
      write: false,
      target: 'es2022',
      logLevel: 'error'
    })
    scripts.set(`/${name}`, bundled.outputFiles[0].text)
  }
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://x')
    const file = files.get(pathname) ??
      (pathname.startsWith('/sdk/') ? path.join(SDK, path.normalize(pathname.slice(5))) : undefined)
    response.setHeader('content-type', TYPES[path.extname(pathname)] ?? 'text/html')
    if (pathname === '/relay.json') return response.end('{"relays":[]}')
    try {
      response.end(file ? await readFile(file) : scripts.get(pathname) ?? HTML)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(() => server.close())
  return `http://localhost:${server.address().port}/`
}
