// The peer's side of the bench, in a page: a Helia node that reaches other tabs over WebRTC.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'

let helia
let fs

window.bench = {
  async start (relay) {
    helia = withBitswap(withLibp2pLight(createHeliaLight(), {
      addresses: { listen: ['/p2p-circuit', '/webrtc'] },
      transports: [
        webSockets(),
        webRTC({ rtcConfiguration: { iceServers: [] } }),
        circuitRelayTransport()
      ],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false },
      services: { identify: identify(), ping: ping() }
    }))
    await helia.start()
    fs = unixfs(helia)
    await helia.libp2p.dial(multiaddr(relay))
    for (let i = 0; i < 200; i++) {
      const addr = helia.libp2p.getMultiaddrs().find((a) => a.toString().includes('/webrtc'))
      if (addr) return addr.toString()
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error('no address through the relay within 20 s')
  },

  async connect (addr) {
    // The dial of this version hangs now and then; ask again.
    for (let i = 0; i < 5; i++) {
      try {
        await helia.libp2p.dial(multiaddr(addr), { signal: AbortSignal.timeout(10_000) })
        return
      } catch (error) {
        if (i === 4) throw error
      }
    }
  },

  async put (bytes) {
    const data = new Uint8Array(bytes)
    for (let i = 0; i < bytes; i += 65536) crypto.getRandomValues(data.subarray(i, i + 65536))
    return (await fs.addBytes(data)).toString()
  },

  async get (cid, bytes) {
    const started = performance.now()
    let first
    let read = 0
    for await (const part of fs.cat(CID.parse(cid), { signal: AbortSignal.timeout(60_000) })) {
      first ??= performance.now() - started
      read += part.length
    }
    if (read !== bytes) throw new Error(`read ${read} of ${bytes} bytes`)
    return { ms: performance.now() - started, first }
  },

  async publish (files, bytes) {
    const site = []
    for (let i = 0; i < files; i++) {
      const content = crypto.getRandomValues(new Uint8Array(bytes))
      site.push({ path: `file-${i}.bin`, content })
    }
    const began = performance.timeOrigin + performance.now()
    let root
    for await (const { cid } of fs.addAll(site, { wrapWithDirectory: true })) root = cid
    return { cid: root.toString(), began }
  },

  async open (cid, files, bytes) {
    const signal = AbortSignal.timeout(60_000)
    const names = Array.from({ length: files }, (_, i) => `file-${i}.bin`)
    await Promise.all(names.map(async (path) => {
      let read = 0
      for await (const part of fs.cat(CID.parse(cid), { path, signal })) read += part.length
      if (read !== bytes) throw new Error('a file has another length')
    }))
    return performance.timeOrigin + performance.now()
  }
}
