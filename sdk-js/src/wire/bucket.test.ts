// Keys of a bucket against their golden vectors, written here a second time.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Vectors {
  prefix: string;
  block: { text: string; cid: string; key: string };
  root: { name: string; key: string };
}
const path = new URL('../../../tests/vectors/bucket.json', import.meta.url);
const { block, root } = JSON.parse(readFileSync(path, 'utf8')) as Vectors;

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** The bytes of a CID in multibase base32. */
function bytes(cid: string): number[] {
  expect(cid[0]).toBe('b');
  const bits = [...cid.slice(1)].map((digit) => BASE32.indexOf(digit).toString(2).padStart(5, '0'));
  return (bits.join('').match(/[01]{8}/g) ?? []).map((byte) => parseInt(byte, 2));
}

it('a block lies under its CID: version 1, raw, BLAKE3 of 32 bytes', () => {
  expect(block.key).toBe(`1/blocks/${block.cid}`);
  expect(bytes(block.cid).slice(0, 4)).toEqual([1, 0x55, 0x1e, 32]);
  expect(bytes(block.cid)).toHaveLength(36);
});

it('a root lies under its name, percent-encoded where a key may not hold it', () => {
  expect(root.key).toBe(`1/roots/${encodeURIComponent(root.name).replaceAll('%20', ' ')}`);
});
