// Reads CAR files that Craftec wrote with the JavaScript implementation of IPFS and checks that
// every file, listing and path comes out as tests/vectors/unixfs.json says.
//
//   npm test        (the two steps below)
//   npm run cars    writes cars/ by the example write_cars of crates/obj
//   node check.mjs cars
//
// Independent of Craftec: CAR, dag-pb, UnixFS, the HAMT walk and BLAKE3 are all other people's
// code.

import assert from 'node:assert/strict'
import { createReadStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CarBlockIterator } from '@ipld/car'
import * as dagPb from '@ipld/dag-pb'
import { blake3 } from '@noble/hashes/blake3.js'
import { UnixFS } from 'ipfs-unixfs'
import { exporter } from 'ipfs-unixfs-exporter'

const BLAKE3 = 0x1e
const DAG_PB = 0x70
const MURMUR3_X64_64 = 0x22n
const folder = process.argv[2]
if (folder === undefined) {
  console.error('usage: node check.mjs FOLDER (with the CAR files of the write_cars example)')
  process.exit(2)
}
const vectors = JSON.parse(
  readFileSync(new URL('../vectors/unixfs.json', import.meta.url), 'utf8')
)

/** The bytes of a seed: `vectors.pattern` in code. */
function pattern (seed, size) {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) {
    bytes[i] = (Math.imul(i, 2654435761) + seed) >>> 24
  }
  return bytes
}

/** The blocks of a CAR file, each checked against its CID, as a block store for the exporter. */
async function open (root) {
  const car = await CarBlockIterator.fromIterable(createReadStream(join(folder, `${root}.car`)))
  assert.deepEqual((await car.getRoots()).map(String), [root])
  const blocks = new Map()
  for await (const { cid, bytes } of car) {
    assert.equal(cid.multihash.code, BLAKE3)
    assert.deepEqual(blake3(bytes), cid.multihash.digest, `${cid} does not match its bytes`)
    assert(!blocks.has(String(cid)), `${cid} is in the file twice`)
    if (cid.code === DAG_PB) {
      canonical(cid, bytes)
    }
    blocks.set(String(cid), bytes)
  }
  const get = function * (cid) {
    const bytes = blocks.get(String(cid))
    assert(bytes !== undefined, `${cid} is not in the file`)
    yield bytes
  }
  return { blocks, store: { get } }
}

/** The other implementation would have written the very same bytes. */
function canonical (cid, bytes) {
  const node = dagPb.decode(bytes)
  assert.deepEqual(dagPb.encode(node), bytes, `${cid} is not canonical dag-pb`)
  const data = UnixFS.unmarshal(node.Data)
  if (data.type === 'hamt-sharded-directory') {
    // It reads the field but forgets it.
    data.hashType = MURMUR3_X64_64
  }
  assert.deepEqual(data.marshal(), node.Data, `${cid} is not a canonical UnixFS message`)
}

async function read (entry, options) {
  const parts = []
  for await (const part of entry.content(options)) {
    parts.push(part)
  }
  return Buffer.concat(parts)
}

async function checkFile (path, store, seed, size) {
  const entry = await exporter(path, store)
  const expected = Buffer.from(pattern(seed, size))
  const found = await read(entry)
  assert(expected.equals(found), `${path}: ${found.length} of ${size} bytes, or others`)
  if (size > 10) {
    const [offset, length] = [Math.floor(size / 3), Math.floor(size / 2)]
    const part = await read(entry, { offset, length })
    assert(expected.subarray(offset, offset + length).equals(part), `${path}: a range differs`)
  }
}

/** All files of a folder, by listing. */
async function * walk (root, store, prefix = '') {
  const folder = await exporter(root, store)
  assert.equal(folder.type, 'directory')
  for await (const { name, cid } of folder.entries()) {
    const entry = await exporter(cid, store)
    if (entry.type === 'directory') {
      yield * walk(cid, store, `${prefix}${name}/`)
    } else {
      yield `${prefix}${name}`
    }
  }
}

function members ({ rule, files }) {
  const ruled = Array.from({ length: rule?.count ?? 0 }, (_, i) => ({
    path: rule.path.replace('{i:05}', String(i).padStart(5, '0')),
    seed: i,
    size: i % 50
  }))
  return [...ruled, ...files]
}

for (const { name, seed, size, cid, blocks: count } of vectors.files) {
  const { blocks, store } = await open(cid)
  assert.equal(blocks.size, count)
  await checkFile(cid, store, seed, size)
  console.log(`ok file ${name}: ${blocks.size} blocks`)
}
for (const vector of vectors.folders) {
  const { blocks, store } = await open(vector.cid)
  assert.equal(blocks.size, vector.blocks)
  const all = members(vector)
  assert.equal(all.length, vector.file_count)
  const listed = []
  for await (const path of walk(vector.cid, store)) {
    listed.push(path)
  }
  assert.deepEqual(listed.sort(), all.map(({ path }) => path).sort())
  // By path, so that the other side hashes the names itself; of many a sample.
  const step = Math.ceil(all.length / 400)
  const sample = all.filter((_, i) => i % step === 0 || i >= all.length - 2)
  for (const { path, seed, size } of sample) {
    await checkFile(`${vector.cid}/${path}`, store, seed, size)
  }
  console.log(`ok folder ${vector.name}: ${blocks.size} blocks, ${all.length} files`)
}
