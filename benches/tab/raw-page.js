// The limit of both: bytes over one bare data channel, from page to page, nothing done with them.
let pc
let channel

window.bench = {
  /** An offer with all its candidates; or the answer to one. */
  async describe (offer) {
    pc = new RTCPeerConnection()
    channel = pc.createDataChannel('raw', { negotiated: true, id: 0 })
    channel.binaryType = 'arraybuffer'
    channel.bufferedAmountLowThreshold = 16 << 10
    if (offer) await pc.setRemoteDescription(offer)
    await pc.setLocalDescription(await (offer ? pc.createAnswer() : pc.createOffer()))
    await new Promise((resolve) => {
      const done = () => pc.iceGatheringState === 'complete' && resolve()
      pc.onicegatheringstatechange = done
      done()
    })
    return { type: pc.localDescription.type, sdp: pc.localDescription.sdp }
  },

  async accept (answer) {
    await pc.setRemoteDescription(answer)
    while (channel.readyState !== 'open') await new Promise((resolve) => setTimeout(resolve, 10))
  },

  /** Sends, never holding more unsent than Chromium passes on without loss. */
  async send (bytes, message) {
    const part = crypto.getRandomValues(new Uint8Array(message))
    for (let sent = 0; sent < bytes; sent += message) {
      while (channel.bufferedAmount + message > 64 << 10) {
        await new Promise((resolve) => { channel.onbufferedamountlow = resolve })
      }
      channel.send(part)
    }
  },

  /** How long it takes until so many bytes have come, from the first of them on. */
  receive (bytes) {
    return new Promise((resolve) => {
      let [read, started] = [0, performance.now()]
      channel.onmessage = ({ data }) => {
        if (read === 0) started = performance.now()
        read += data.byteLength
        if (read >= bytes) resolve({ ms: performance.now() - started, first: 0 })
      }
    })
  }
}
