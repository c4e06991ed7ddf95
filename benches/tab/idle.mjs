// What a node that does nothing holds in memory: a relay's process, and what a tab with a node needs
// beyond the same tab without one. Private bytes that are resident (Linux, /proc/PID/smaps_rollup),
// once the node has had a minute to settle.
import { readFile } from 'node:fs/promises'
import { browser, line, page, run, startRelay } from './stage.mjs'

const SETTLE_MS = 60_000
const RELAY_GOAL = 60
const TAB_GOAL = 80

await run(async () => {
  const relay = await startRelay()
  const tab = await page(`${relay.app}healthz`, 'craftec-page.js')
  const pid = await rendererOf(tab)
  await tab.requestGC()
  const before = await privateMb(pid)
  await tab.evaluate(() => window.bench.start())
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  await tab.requestGC()
  const [node, relayMb] = [await privateMb(pid) - before, await privateMb(relay.pid)]
  console.log('\nbench idle: memory of a node that does nothing, MB')
  line('', 'MB', 'goal')
  line('relay', relayMb.toFixed(1), RELAY_GOAL)
  line('node in a tab', node.toFixed(1), TAB_GOAL)
  line('the tab before it', before.toFixed(1))
  console.log(`ratio idle-relay ${(RELAY_GOAL / relayMb).toFixed(2)}`)
  console.log(`ratio idle-tab ${(TAB_GOAL / node).toFixed(2)}`)
})

/** The process of a page: the renderer that works while the page does. */
async function rendererOf (page) {
  const session = await (await browser()).newBrowserCDPSession()
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

async function privateMb (pid) {
  const smaps = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kb = [...smaps.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)].map((m) => Number(m[1]))
  return kb.reduce((sum, kb) => sum + kb, 0) * 1024 / 1e6
}
