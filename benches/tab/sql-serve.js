// A peer's worker: answers a page with what its engine does.
export function serve (engine) {
  let ready
  self.onmessage = async ({ data: { id, op, args } }) => {
    try {
      ready ??= engine.open()
      await ready
      self.postMessage({ id, result: op === 'open' ? undefined : await engine[op](...args) })
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) })
    }
  }
}
