// Objects and a small site from one tab to another over WebRTC, ours beside Helia: two strangers'
// browser contexts on loopback, already connected, fresh content in every run, the two programs in
// turn.
import { createServer } from 'node:http'
import { atEnd, line, median, page, run, startRelay } from './stage.mjs'

const BYTES = 16 << 20
const RUNS = 5
const FILES = 20
const FILE_BYTES = 8 << 10
const SITES = 9
const HTML = '<!doctype html><title>bench</title>'

await run(async () => {
  const relay = await startRelay()
  const helia = await servePeer()
  await limit(helia)
  const [ours, theirs] = [await ourTabs(relay), await heliaTabs(relay, helia)]
  await objects(ours, theirs)
  await sites(ours, theirs)
})

/** What the browser's data channels give by themselves. */
async function limit (origin) {
  const [from, to] = [await page(origin, 'raw-page.js'), await page(origin, 'raw-page.js')]
  const offer = await from.evaluate(() => window.bench.describe())
  const answer = await to.evaluate((offer) => window.bench.describe(offer), offer)
  await from.evaluate((answer) => window.bench.accept(answer), answer)
  console.log(`\nbench tab-limit: 16 MiB over one bare data channel, median of ${RUNS} runs`)
  for (const message of [16 << 10, 64 << 10]) {
    const rates = []
    for (let i = 0; i <= RUNS; i++) {
      const received = to.evaluate((bytes) => window.bench.receive(bytes), BYTES)
      await from.evaluate((size) => window.bench.send(...size), [BYTES, message])
      if (i > 0) rates.push(BYTES / 1e3 / (await received).ms)
      await received
    }
    line(`messages of ${message >> 10} KiB, MB/s`, median(rates).toFixed(1))
  }
  await Promise.all([from, to].map((page) => page.context().close()))
}

async function objects (ours, theirs) {
  const rows = await paired(RUNS, ours, theirs, async ({ from, to }) => {
    const cid = await from.evaluate((bytes) => window.bench.put(bytes), BYTES)
    return to.evaluate(([cid, bytes]) => window.bench.get(cid, bytes), [cid, BYTES])
  })
  console.log(`\nbench tab-get: 16 MiB tab to tab, connected, median of ${RUNS} paired runs`)
  line('', 'ours', 'Helia', 'ratio')
  compare('MB/s', 'tab-get', rows, (r) => BYTES / 1e3 / r.ms, (a, b) => a / b)
  compare('first byte, ms', 'tab-get-first-byte', rows, (r) => r.first, (a, b) => b / a)
}

async function sites (ours, theirs) {
  const rows = await paired(SITES, ours, theirs, async ({ from, to }) => {
    const size = [FILES, FILE_BYTES]
    const { cid, began } = await from.evaluate((size) => window.bench.publish(...size), size)
    return await to.evaluate(([cid, size]) => window.bench.open(cid, ...size), [cid, size]) - began
  })
  console.log(`\nbench tab-site: ${FILES} files of ${FILE_BYTES >> 10} KiB, from drop to read in ` +
    `another tab, connected, median of ${SITES} paired runs`)
  line('', 'ours', 'Helia', 'ratio')
  compare('ms', 'tab-site', rows, (ms) => ms, (a, b) => b / a)
}

/** Runs both in turn; the first run warms both up. */
async function paired (runs, ours, theirs, once) {
  const rows = []
  for (let i = 0; i <= runs; i++) {
    const row = { ours: await once(ours), helia: await once(theirs) }
    if (i > 0) rows.push(row)
  }
  return rows
}

function compare (what, name, rows, pick, better) {
  const of = (who) => median(rows.map((row) => pick(row[who])))
  const ratio = median(rows.map((row) => better(pick(row.ours), pick(row.helia)))).toFixed(2)
  line(what, of('ours').toFixed(1), of('helia').toFixed(1), ratio)
  console.log(`ratio ${name} ${ratio}`)
}

async function ourTabs (relay) {
  const open = () => page(relay.app, 'craftec-page.js')
  const [from, to] = [await open(), await open()]
  await from.evaluate(() => window.bench.start())
  await to.evaluate(() => window.bench.start())
  // The first transfer makes them find each other and become direct.
  const cid = await from.evaluate(() => window.bench.put(1 << 20))
  await to.evaluate((cid) => window.bench.get(cid, 1 << 20), cid)
  const peer = await from.evaluate(() => window.bench.node.peerId)
  await to.evaluate((peer) => window.bench.waitForDirect(peer), peer)
  return { from, to }
}

async function heliaTabs (relay, origin) {
  const open = () => page(origin, 'helia-page.js')
  const [from, to] = [await open(), await open()]
  const addr = await from.evaluate((relay) => window.bench.start(relay), relay.addr)
  await to.evaluate((relay) => window.bench.start(relay), relay.addr)
  await to.evaluate((addr) => window.bench.connect(addr), addr)
  return { from, to }
}

/** An empty page on a secure origin for the peer. */
async function servePeer () {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end(HTML)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(() => server.close())
  return `http://localhost:${server.address().port}/`
}
