import { readFileSync } from 'node:fs';
import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { peerText } from './text.js';

interface Told {
  id: string;
  addrs: string[];
}
interface Vectors {
  protocol: string;
  asks: { count: number; hex: string }[];
  answers: { name: string; hex: string; peers: Told[]; wait_ms: number }[];
}
const path = new URL('../../../tests/vectors/pex.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
const unhex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('peer exchange', () => {
  it('is version 1', () => expect(vectors.protocol).toBe('/craftec/pex/1'));

  it.each(vectors.asks)('asks for $count peers', ({ count, hex: golden }) => {
    expect(decode(unhex(golden))).toEqual({ count });
    expect(hex(encode({ count }))).toBe(golden);
  });

  it.each(vectors.answers)('answers: $name', ({ hex: golden, peers, wait_ms }) => {
    const answer = decode(unhex(golden)) as {
      peers: { id: Uint8Array; addrs: string[] }[];
      wait_ms: number;
    };
    expect(answer.wait_ms).toBe(wait_ms);
    expect(answer.peers.map(({ id, addrs }) => ({ id: peerText(id), addrs }))).toEqual(peers);
    expect(hex(encode(answer))).toBe(golden);
  });
});
