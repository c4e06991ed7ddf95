// Network coding in a dedicated worker of Chromium, and in Node.js for comparison: one module built
// with simd128 and one with relaxed SIMD, from the target folder that is the first argument.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import path from 'node:path'
import { chromium } from 'playwright-core'
import { measure } from './coding-worker.mjs'

const here = import.meta.dirname
const target = process.argv[2]
const BUILDS = ['simd128', 'relaxed']
const RUNS = 9
/** What a tab must decode, GB/s, with 32 sources and simd128. */
const GOAL = 0.4

const modules = {}
for (const build of BUILDS) {
  const folder = path.join(target, build, 'wasm32-unknown-unknown/release')
  modules[build] = await readFile(path.join(folder, 'craftec_bench_coding_wasm.wasm'))
}
const rows = [...(await inNode()), ...(await inChromium())]
report(rows)

function report (rows) {
  console.log(`\nbench tab-coding: pieces of 256 KiB, one thread, median of ${RUNS} runs`)
  const line = (name, ...cells) =>
    console.log(name.padEnd(36) + cells.map((cell) => String(cell).padStart(13)).join(''))
  line('', 'encode GB/s', 'decode GB/s', 'checksum ms')
  for (const { where, kernel, sources, encode, decode, checksum } of rows) {
    const name = `${where}, ${kernel}, k = ${sources}`
    line(name, encode.toFixed(3), decode.toFixed(3), checksum.toFixed(3))
  }
  const of = (kernel) =>
    rows.find((row) => row.where === 'Chromium' && row.kernel === kernel && row.sources === 32)
  console.log(`ratio tab-coding-decode-of-goal ${(of('simd128').decode / GOAL).toFixed(2)}`)
}

async function inNode () {
  const rows = []
  for (const sources of [32, 64]) {
    const row = await measure(modules.simd128, { sources, runs: RUNS })
    rows.push({ where: 'Node.js', ...row })
  }
  return rows
}

async function inChromium () {
  const worker = await readFile(path.join(here, 'coding-worker.mjs'))
  const served = {
    '/': ['text/html', '<!doctype html><title>bench</title>'],
    '/worker.mjs': ['text/javascript', worker],
    ...Object.fromEntries(BUILDS.map((b) => [`/${b}.wasm`, ['application/wasm', modules[b]]]))
  }
  const server = createServer((request, response) => {
    const [type, body] = served[request.url] ?? ['text/plain', '']
    response.setHeader('content-type', type).end(body)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({
    executablePath: process.env.CHROME ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--no-first-run', '--disable-background-networking']
  })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    const rows = []
    for (const build of BUILDS) {
      for (const sources of [32, 64]) {
        const row = await page.evaluate(inWorker, [build, { sources, runs: RUNS }])
        rows.push({ where: 'Chromium', ...row })
      }
    }
    return rows
  } finally {
    await browser.close()
    server.close()
  }
}

/** Runs in the page. */
async function inWorker ([build, how]) {
  const wasm = await (await fetch(`/${build}.wasm`)).arrayBuffer()
  const worker = new Worker('/worker.mjs', { type: 'module' })
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = (message) => resolve(message.data)
    worker.onerror = (event) => reject(new Error(event.message))
    worker.postMessage({ wasm, how })
  })
  worker.terminate()
  if (answer.error) throw new Error(answer.error)
  return answer.measured
}
