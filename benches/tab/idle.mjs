// What a node that does nothing holds in memory: a relay's process, and what a tab with a node needs
// beyond the same tab without one. Private bytes that are resident (Linux, /proc/PID/smaps_rollup),
// once the node has had a minute to settle.
import { line, page, privateMb, rendererOf, run, startRelay } from './stage.mjs'

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
