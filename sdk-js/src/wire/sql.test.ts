// Sets of changed pages against their golden vectors, read by arithmetic that is written here a
// second time.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Vectors {
  changed: { pages: number[]; cbor: string }[];
  roots: { cid: string; bytes: string }[];
}
const path = new URL('../../../tests/vectors/sql.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;

/** The content of a short CBOR byte string. */
function content(cbor: string): number[] {
  const bytes = [...Buffer.from(cbor, 'hex')];
  expect(bytes[0]).toBe(0x40 + bytes.length - 1);
  return bytes.slice(1);
}

/** Unsigned varints, the smallest digits first. */
function varints(bytes: number[]): number[] {
  const numbers: number[] = [];
  let [number, shift] = [0, 1];
  for (const byte of bytes) {
    number += (byte & 0x7f) * shift;
    shift *= 0x80;
    if (byte < 0x80) {
      numbers.push(number);
      [number, shift] = [0, 1];
    }
  }
  return numbers;
}

/** Page numbers of pairs: pages left out, and how many more than one follow each other. */
function pages(numbers: number[]): number[] {
  const found: number[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    const last = found.at(-1);
    const gap = numbers[at] ?? 0;
    const start = last === undefined ? gap + 1 : last + gap + 2;
    for (let more = 0; more <= (numbers[at + 1] ?? 0); more++) found.push(start + more);
  }
  return found;
}

describe('databases', () => {
  it.each(vectors.changed)('reads the changed pages $pages', (set) => {
    expect(pages(varints(content(set.cbor)))).toEqual(set.pages);
  });

  it.each(vectors.roots)('has roots under DAG-CBOR with BLAKE3, $cid', (root) => {
    expect(root.cid.startsWith('bafyr')).toBe(true);
    expect(root.bytes.startsWith('a8')).toBe(true);
  });
});
