// 16 MiB from one tab to another over WebRTC, ours beside Helia: two strangers' browser contexts on
// loopback, already connected, fresh content in every run, the two programs in turn.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createSocket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'

const BYTES = 16 << 20
const RUNS = 5
const HTML = '<!doctype html><title>bench</title>'

const here = import.meta.dirname
const cleanups = []
let started
try {
  await main()
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}

async function main () {
  const relay = await startRelay()
  const helia = await servePeer()
  const [ours, theirs] = [await ourTabs(relay), await heliaTabs(relay, helia)]
  const rows = []
  for (let run = 0; run <= RUNS; run++) {
    const row = { ours: await once(ours), helia: await once(theirs) }
    if (run > 0) rows.push(row) // the first warms both up
  }
  report(rows)
}

async function once ({ from, to }) {
  const cid = await from.evaluate((bytes) => window.bench.put(bytes), BYTES)
  return to.evaluate(([cid, bytes]) => window.bench.get(cid, bytes), [cid, BYTES])
}

function report (rows) {
  const rate = (ms) => BYTES / 1e6 / (ms / 1e3)
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1]
  const line = (name, a, b, c) =>
    console.log(name.padEnd(28) + [a, b, c].map((v) => String(v).padStart(12)).join(''))
  console.log(`\nbench tab-get: 16 MiB tab to tab, connected, median of ${rows.length} paired runs`)
  line('', 'ours', 'Helia', 'ratio')
  const pair = (pick, better) => {
    const of = (who) => median(rows.map((row) => pick(row[who])))
    const ratio = median(rows.map((row) => better(pick(row.ours), pick(row.helia))))
    return [of('ours').toFixed(1), of('helia').toFixed(1), ratio.toFixed(2)]
  }
  const get = pair((r) => rate(r.ms), (a, b) => a / b)
  const first = pair((r) => r.first, (a, b) => b / a)
  line('MB/s', ...get)
  line('first byte, ms', ...first)
  console.log(`ratio tab-get ${get[2]}`)
  console.log(`ratio tab-get-first-byte ${first[2]}`)
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

async function page (origin, script) {
  const context = await (await browser()).newContext()
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error(`${script}: ${error.message}`))
  await page.goto(origin)
  const bundled = await build({
    entryPoints: [path.join(here, script)],
    bundle: true,
    format: 'iife',
    write: false,
    target: 'es2022',
    logLevel: 'error'
  })
  await page.evaluate(bundled.outputFiles[0].text)
  return page
}

function browser () {
  started ??= chromium.launch({
    executablePath: process.env.CHROME ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      '--disable-features=WebRtcHideLocalIpsWithMdns']
  }).then((browser) => {
    cleanups.push(() => browser.close())
    return browser
  })
  return started
}

/** An empty page on a secure origin for the peer. */
async function servePeer () {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end(HTML)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  return `http://localhost:${server.address().port}/`
}

async function startRelay () {
  const data = await mkdtemp(path.join(tmpdir(), 'craftec-bench-'))
  const [http, ws] = [await freePort(), await freePort()]
  const binary = process.env.CRAFTEC ?? path.join(here, '../../target/release/craftec')
  const child = spawn(binary, ['--data', data, '--json', 'up', '--http', `127.0.0.1:${http}`,
    '--listen', `/ip4/127.0.0.1/tcp/${ws}/ws`], { stdio: ['ignore', 'pipe', 'inherit'] })
  cleanups.push(async () => {
    child.kill('SIGKILL')
    await rm(data, { recursive: true, force: true })
  })
  const ready = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`craftec up ended with ${code}`)))
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)))
  })
  const addr = `/ip4/127.0.0.1/tcp/${ws}/ws/p2p/${ready.peer_id}`
  return { app: `http://app.craftec.localhost:${http}/`, addr }
}

async function freePort () {
  const socket = createSocket()
  await new Promise((resolve) => socket.listen(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise((resolve) => socket.close(resolve))
  return port
}
