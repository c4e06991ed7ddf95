// A tab that reads a database of somebody at the other end of a slow link.
window.bench = {
  async start (relay) {
    const url = '/sdk/index.js'
    const { createNode } = await import(url)
    this.node = await createNode({ relays: [relay] })
    // Loads the build with databases, which is not what is measured.
    await this.node.sql.list()
    for (let i = 0; i < 300; i++) {
      const { peers } = await this.node.status()
      if (peers.some((peer) => relay.endsWith(peer.peerId))) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error('no connection within 30 s')
  },

  async ask (uri, sql, params) {
    const began = performance.now()
    const db = await this.node.sql.open(uri)
    const opened = performance.now() - began
    const rows = await db.query(sql, params)
    const ms = performance.now() - began
    db.close()
    return { opened, ms, rows: JSON.stringify(rows) }
  }
}
