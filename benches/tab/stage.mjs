// What every bench in tabs needs: a relay of ours, a browser, pages with one script in them, and an
// end that leaves nothing behind.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer as createSocket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'

const here = import.meta.dirname
const cleanups = []

/** Runs a bench, and ends what it started however it ends. */
export async function run (bench) {
  try {
    await bench()
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup()
  }
}

/** Has something done when the bench ends. */
export function atEnd (cleanup) {
  cleanups.push(cleanup)
}

/** A line of a table. */
export function line (name, ...cells) {
  console.log(name.padEnd(28) + cells.map((cell) => String(cell).padStart(12)).join(''))
}

/** The middle value. */
export function median (values) {
  return values.sort((a, b) => a - b)[values.length >> 1]
}

/**
 * A page of a browser of its own, with `script` and what it imports. The profile is an ordinary
 * one, in a folder that is removed at the end. In an incognito window, which is what a context is,
 * reads and writes of files go through another process: 4 KiB in some 0.7 ms instead of 0.01.
 */
export async function page (origin, script, { args = [] } = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), 'craftec-bench-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROME ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      '--disable-features=WebRtcHideLocalIpsWithMdns', ...args]
  })
  atEnd(async () => {
    await context.close()
    await rm(profile, { recursive: true, force: true })
  })
  const page = context.pages()[0]
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

/** The process of a page: the renderer that works while the page does. */
export async function rendererOf (page) {
  const session = await page.context().browser().newBrowserCDPSession()
  const cpu = async () => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo')
    return new Map(processInfo.filter((p) => p.type === 'renderer').map((p) => [p.id, p.cpuTime]))
  }
  const before = await cpu()
  // Only this page's process works now.
  await page.evaluate(() => {
    const until = performance.now() + 1500
    while (performance.now() < until);
  })
  const spent = [...await cpu()].map(([id, time]) => [time - (before.get(id) ?? 0), id])
  return spent.sort((a, b) => b[0] - a[0])[0][1]
}

/** Bytes of a process that are its own and resident, in MB. */
export async function privateMb (pid) {
  const smaps = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kb = [...smaps.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)].map((m) => Number(m[1]))
  return kb.reduce((sum, kb) => sum + kb, 0) * 1024 / 1e6
}

/** A relay with a data folder of its own. */
export async function startRelay () {
  const data = await mkdtemp(path.join(tmpdir(), 'craftec-bench-'))
  const [http, ws] = await freePorts(2)
  const binary = process.env.CRAFTEC ?? path.join(here, '../../target/release/craftec')
  const child = spawn(binary, ['--data', data, '--json', 'up', '--http', `127.0.0.1:${http}`,
    '--listen', `/ip4/127.0.0.1/tcp/${ws}/ws`], { stdio: ['ignore', 'pipe', 'inherit'] })
  atEnd(async () => {
    child.kill('SIGKILL')
    await rm(data, { recursive: true, force: true })
  })
  const ready = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`craftec up ended with ${code}`)))
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)))
  })
  const addr = `/ip4/127.0.0.1/tcp/${ws}/ws/p2p/${ready.peer_id}`
  const app = `http://app.craftec.localhost:${http}/`
  return { pid: child.pid, app, addr, port: ws, data, binary }
}

/** Ports that nobody listens on, below those that systems give to connections. */
async function freePorts (count) {
  const found = new Set()
  for (let tries = 0; tries < 100 && found.size < count; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const socket = createSocket()
    const free = await new Promise((resolve) => {
      socket.once('error', () => resolve(false))
      socket.listen(port, '127.0.0.1', () => socket.close(() => resolve(true)))
    })
    if (free) found.add(port)
  }
  if (found.size < count) throw new Error('too few free ports in 100 tries')
  return [...found]
}
