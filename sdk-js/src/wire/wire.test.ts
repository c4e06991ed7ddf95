import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CraftecError } from '../errors.js';
import { decodeFrame, encodeFrame, encodeRequest } from './frames.js';
import { cidBytes, cidText, isCid, parseAddress, peerKey, peerText } from './text.js';
import type { Command } from './types.js';

interface Vector {
  name: string;
  hex: string;
  json: unknown;
}
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}`, import.meta.url), 'utf8'));
const api = read('api.json') as { to_node: Vector[]; from_node: Vector[] };
const core = read('core.json') as { cids: { bytes: string; text: string }[] };
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const unhex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

/** JSON has no byte strings: it lists numbers where a frame has bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
}

function withBytes(value: unknown, key = ''): unknown {
  if (key === 'bytes' && Array.isArray(value)) return Uint8Array.from(value as number[]);
  if (Array.isArray(value)) return value.map((item) => withBytes(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withBytes(v, k)]));
}

describe('frames', () => {
  it.each(api.to_node)('sends the golden bytes of $name', ({ hex: golden, json }) => {
    const { id, command } = withBytes(json) as { id: number; command: Command };
    expect(hex(encodeRequest(id, command))).toBe(golden);
  });

  it.each(api.from_node)('reads and writes $name', ({ hex: golden, json }) => {
    const frame = decodeFrame(unhex(golden));
    expect(plain(frame)).toEqual(json);
    expect(hex(encodeFrame(frame))).toBe(golden);
  });

  it('refuses every cut frame, and noise, with a typed error', () => {
    for (const { hex: golden } of api.from_node) {
      const bytes = unhex(golden);
      for (let cut = 0; cut < bytes.length; cut += 7) {
        expect(() => decodeFrame(bytes.subarray(0, cut))).toThrow(CraftecError);
      }
    }
    expect(() => decodeFrame(unhex('a0'))).toThrow(/unknown kind/);
    expect(() => decodeFrame(new Uint8Array(3 << 20))).toThrow(/3145728 bytes/);
  });

  it('owns the buffer it gives away', () => {
    const bytes = new Uint8Array(1 << 20).fill(7);
    const frame = encodeRequest(1, { put_chunk: { handle: 1, bytes } });
    expect(frame.byteLength).toBe(frame.buffer.byteLength);
    structuredClone(frame, { transfer: [frame.buffer] });
    expect(bytes[5]).toBe(7);
  });
});

describe('text', () => {
  it('reads and writes CIDs as the golden vectors have them', () => {
    for (const { bytes, text } of core.cids) {
      expect(cidText(unhex(bytes))).toBe(text);
      expect(hex(cidBytes(text))).toBe(bytes);
    }
  });

  it.each([
    '',
    '..',
    'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG',
    'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy',
    'BAFKR4IHKR4LD3M4GQKJF4RERYXSY2S5TKBXPRQKOW6FIN2IIYVREUZZAB4',
    `b${'a'.repeat(58)}`,
    'bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab5',
  ])('says what is no CID: %s', (text) => {
    expect(isCid(text)).toBe(false);
    expect(() => cidBytes(text)).toThrow(/is not a content address/);
  });

  it('reads and writes peer ids', () => {
    const id = '12D3KooWGzBx3AaDXsZFEdPMhJ8hXQNvyHKoVZxQUEqC2nZ8pCZL';
    const key = Uint8Array.from({ length: 32 }, (_, i) => i * 7);
    expect(peerKey(peerText(key))).toEqual(key);
    expect(peerText(key)).toMatch(/^12D3KooW/);
    expect(() => peerKey('Qmfoo')).toThrow(/not a peer id/);
    expect(() => peerKey(id.repeat(5))).toThrow(/not a peer id/);
  });

  it('reads addresses as people paste them', () => {
    const { text: cid } = core.cids[0] as { text: string };
    expect(parseAddress(cid)).toEqual({ cid, path: '' });
    expect(parseAddress(` ipfs://${cid}/a/b `)).toEqual({ cid, path: 'a/b' });
    expect(parseAddress(`/ipfs/${cid}/a/`)).toEqual({ cid, path: 'a' });
    for (const path of ['..', 'a/../b', 'a//b', './a']) {
      expect(() => parseAddress(`${cid}/${path}`)).toThrow(/empty, “.” or “..” name/);
    }
  });
});
