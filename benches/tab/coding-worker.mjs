// Times the coder's WebAssembly module: in a browser's worker, and the same in Node.js.
const PIECE = 256 << 10

/** GB/s (10^9 source bytes a second) and the checksum's milliseconds: medians of `runs`. */
export async function measure (wasm, { sources, runs }) {
  const { instance } = await WebAssembly.instantiate(wasm)
  const coder = instance.exports
  const must = (went, what) => {
    if (went !== 1) throw new Error(`${what} failed`)
  }
  must(coder.prepare(sources), 'prepare')
  const time = (step, times = 1) => {
    const taken = []
    for (let run = 0; run <= runs; run++) {
      const started = performance.now()
      for (let i = 0; i < times; i++) must(coder[step](), step)
      if (run > 0) taken.push((performance.now() - started) / times) // the first warms up
    }
    return taken.sort((a, b) => a - b)[runs >> 1]
  }
  const rate = (ms) => sources * PIECE / 1e6 / ms
  const [encode, decode] = [rate(time('encode')), rate(time('decode'))]
  must(coder.check(), 'decoding')
  let kernel = ''
  for (let at = 0, code; (code = coder.kernel(at)) !== 0; at++) kernel += String.fromCharCode(code)
  return { kernel, sources, encode, decode, checksum: time('checksum', 20) }
}

// Within a worker: what is asked by message.
if (typeof WorkerGlobalScope !== 'undefined') {
  globalThis.onmessage = async ({ data: { wasm, how } }) => {
    try {
      globalThis.postMessage({ measured: await measure(wasm, how) })
    } catch (error) {
      globalThis.postMessage({ error: String(error) })
    }
  }
}
