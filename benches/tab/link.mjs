// A slow link, simulated: a TCP proxy on loopback that holds every byte back for half of a round trip
// and lets no more through than the rate, each way.
import { connect, createServer } from 'node:net'
import { atEnd } from './stage.mjs'

/** Starts one in front of a port; answers its own, and counts what came through to the client. */
export async function slowLink (port, { roundTripMs, bitsPerSecond }) {
  const link = { port: 0, received: 0 }
  const server = createServer((client) => {
    const far = connect(port, '127.0.0.1')
    pass(client, far, roundTripMs / 2, bitsPerSecond / 8, () => {})
    pass(far, client, roundTripMs / 2, bitsPerSecond / 8, (bytes) => { link.received += bytes })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(() => server.close())
  link.port = server.address().port
  return link
}

/** Bytes on the way at one time: what a link of this delay holds, and as much again in a queue. */
const QUEUED_MS = 100

function pass (from, to, delayMs, bytesPerSecond, count) {
  // Chunks on the way, in their order, each with the time at which it arrives.
  const queue = []
  // When the last byte so far will have left the narrow end.
  let free = performance.now()
  let timer
  const deliver = () => {
    timer = undefined
    while (queue.length > 0 && queue[0].due <= performance.now()) {
      const { bytes } = queue.shift()
      count(bytes.length)
      to.write(bytes)
    }
    if (queue.length > 0) timer = setTimeout(deliver, queue[0].due - performance.now())
    else if (from.destroyed) to.destroy()
  }
  from.on('data', (bytes) => {
    const now = performance.now()
    free = Math.max(free, now) + bytes.length / bytesPerSecond * 1000
    const wait = free - now
    if (wait > QUEUED_MS) {
      from.pause()
      setTimeout(() => from.resume(), wait - QUEUED_MS)
    }
    queue.push({ due: free + delayMs, bytes })
    timer ??= setTimeout(deliver, wait + delayMs)
  })
  for (const event of ['close', 'error']) from.on(event, () => { timer ??= setTimeout(deliver, 0) })
}
