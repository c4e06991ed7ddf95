// Opens the golden backup (tests/vectors/backup.bin) with other people's code alone: Argon2id and
// XChaCha20-Poly1305 of @noble, DAG-CBOR and CAR of @ipld. So a person could, without Craftec.
//
//   node backup.mjs

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { CarBlockIterator } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { argon2id } from '@noble/hashes/argon2.js'
import { blake3 } from '@noble/hashes/blake3.js'

const FRAME = 64 * 1024
const TAG = 16
const HEADER = 72

/** The content of a backup; throws when a byte of it is wrong. */
function open (bytes, passphrase) {
  const file = Buffer.from(bytes)
  const header = file.subarray(0, HEADER)
  const view = new DataView(header.buffer, header.byteOffset, HEADER)
  assert.equal(Buffer.from(header.subarray(0, 8)).toString(), 'CRAFTBAK')
  assert.equal(view.getUint16(8), 1, 'version')
  assert.equal(header[10], 1, 'Argon2id')
  const secret = argon2id(new TextEncoder().encode(passphrase), header.slice(20, 36), {
    m: view.getUint32(12), t: view.getUint32(16), p: header[11], dkLen: 48
  })
  assert.deepEqual(Buffer.from(secret.slice(32)), header.subarray(56), 'the passphrase is wrong')
  const content = []
  const nonce = new Uint8Array(24)
  nonce.set(header.subarray(36, 55))
  for (let at = HEADER, number = 0; at < file.length; at += FRAME + TAG, number++) {
    const last = at + FRAME + TAG >= file.length
    new DataView(nonce.buffer).setUint32(19, number)
    nonce[23] = last ? 1 : 0
    const frame = file.subarray(at, at + FRAME + TAG)
    content.push(xchacha20poly1305(secret.slice(0, 32), nonce, header).decrypt(frame))
  }
  return Buffer.concat(content)
}

/** The records, and where the CAR begins. */
function records (content) {
  const found = []
  for (let at = 0; ;) {
    const length = content.readUInt32BE(at)
    at += 4
    if (length === 0) return { found, car: content.subarray(at) }
    found.push(dagCbor.decode(content.subarray(at, at + length)))
    at += length
  }
}

const read = (name) => readFileSync(new URL(`../vectors/${name}`, import.meta.url))
const expected = JSON.parse(read('backup.json').toString())
const file = read('backup.bin')
const { found, car } = records(open(file, expected.passphrase))
assert.deepEqual(found.map((record) => Object.keys(record)[0]), expected.records)
assert.equal(Buffer.from(found[1].identity.entropy).toString('hex'), expected.entropy)
assert.equal(found[0].about.objects, expected.roots.length)
assert.deepEqual(
  found.filter((r) => r.object).map((r) => r.object.root.toString()), expected.roots
)
const blocks = await CarBlockIterator.fromBytes(car)
assert.deepEqual((await blocks.getRoots()).map(String), expected.roots)
const seen = []
for await (const { cid, bytes } of blocks) {
  assert.deepEqual(cid.multihash.digest, blake3(bytes), `${cid} is its bytes`)
  seen.push(cid.toString())
}
assert.deepEqual(seen.sort(), [...expected.blocks].sort())

assert.throws(() => open(file, 'another one'), /passphrase/)
for (const at of [HEADER + 5, file.length - 1]) {
  const bad = Uint8Array.from(file)
  bad[at] ^= 1
  assert.throws(() => open(bad, expected.passphrase), /tag/)
}
assert.throws(() => open(file.subarray(0, HEADER + FRAME + TAG), expected.passphrase), /tag/)
console.log(`backup: ${found.length} records, ${seen.length} blocks, as the vector says`)
