// Compresses the app for whoever takes Brotli, once and as far as it goes: `node compress.mjs FOLDER CACHE`
// writes `x.br` beside each `x`. What was compressed before comes from the cache, by the hash of its bytes.
import { createHash } from 'node:crypto'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'

/** What shrinks, and is long enough to be worth it. */
const ENDINGS = ['.wasm', '.js', '.css', '.html', '.svg']
const FROM_BYTES = 1024

const [folder, cache] = process.argv.slice(2)
const compress = promisify(brotliCompress)
await mkdir(cache, { recursive: true })
const found = await readdir(folder, { recursive: true })
await Promise.all(found.filter((name) => ENDINGS.includes(path.extname(name))).map(one))

async function one (name) {
  const file = path.join(folder, name)
  const plain = await readFile(file)
  if (plain.length < FROM_BYTES) return
  const kept = path.join(cache, createHash('sha256').update(plain).digest('hex'))
  let packed = await readFile(kept).catch(() => undefined)
  if (!packed) {
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: plain.length
    }
    packed = await compress(plain, { params })
    await writeFile(kept, packed)
  }
  await writeFile(`${file}.br`, packed)
}
