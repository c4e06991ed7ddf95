// Our side of the bench, in the app's page: the SDK's node.
window.bench = {
  async start () {
    const url = '/sdk/index.js'
    const { createNode } = await import(url)
    this.node = await createNode()
    // By default a tab sends 64 MB at full speed and then 2 MB/s, for its owner's line. Here it is to
    // show what it can.
    await this.node.serveLimits({ rate: 'unlimited', monthly: 'unlimited' })
    return (await this.node.status()).peerId
  },

  async waitForDirect (peerId) {
    for (let i = 0; i < 300; i++) {
      const { peers } = await this.node.status()
      if (peers.some((p) => p.peerId === peerId && p.link === 'webrtc')) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error('no direct connection within 30 s')
  },

  async put (bytes) {
    const data = new Uint8Array(bytes)
    for (let i = 0; i < bytes; i += 65536) crypto.getRandomValues(data.subarray(i, i + 65536))
    return (await this.node.obj.put(data, { replicas: 0 })).cid
  },

  async get (cid, bytes) {
    const started = performance.now()
    let first
    let read = 0
    const reader = (await this.node.obj.stream(cid)).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      first ??= performance.now() - started
      read += value.length
    }
    if (read !== bytes) throw new Error(`read ${read} of ${bytes} bytes`)
    return { ms: performance.now() - started, first }
  },

  /** Publishes a site of small files; answers its root and when that began (ms since 1970). */
  async publish (files, bytes) {
    const site = new Map()
    for (let i = 0; i < files; i++) {
      site.set(`file-${i}.bin`, crypto.getRandomValues(new Uint8Array(bytes)))
    }
    const began = performance.timeOrigin + performance.now()
    const { cid } = await this.node.sites.publish(site, { replicas: 0 })
    return { cid, began }
  },

  /** Reads every file of a site; answers when that was done (ms since 1970). */
  async open (cid, files, bytes) {
    const names = Array.from({ length: files }, (_, i) => `file-${i}.bin`)
    const read = await Promise.all(names.map((name) => this.node.obj.get(`${cid}/${name}`)))
    if (read.some((data) => data.length !== bytes)) throw new Error('a file has another length')
    return performance.timeOrigin + performance.now()
  }
}
