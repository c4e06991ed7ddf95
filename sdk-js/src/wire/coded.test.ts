// The code of files against its golden vectors, in arithmetic that is written here a second time.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Row {
  sources: number;
  index: number;
  coefficients: string;
}
interface File {
  size: number;
  piece_bytes: number;
  sources: number[];
  pieces: number[];
  needed: number;
  shards: string[];
}
interface Vectors {
  shards: number;
  percent: number;
  files: File[];
  coefficients: Row[];
  generation: { sources: string[]; indices: number[]; pieces: string[] };
}
const path = new URL('../../../tests/vectors/coded.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
const unhex = (text: string) => [...Buffer.from(text, 'hex')];
const hex = (bytes: number[]) => Buffer.from(bytes).toString('hex');

/** A product in GF(2^8) of x^8 + x^4 + x^3 + x + 1. */
function mul(a: number, b: number): number {
  let product = 0;
  for (; b; b >>= 1, a = (a << 1) ^ (a & 0x80 ? 0x11b : 0)) product ^= b & 1 ? a : 0;
  return product;
}
const elements = Array.from({ length: 256 }, (_, b) => b);
const inverse = (a: number) => elements.findIndex((b) => mul(a, b) === 1);
/** Piece `index` of a generation: a source as it is, or 1 / (index + source) of each. */
const coefficients = (sources: number, index: number) =>
  Array.from({ length: sources }, (_, i) =>
    index < sources ? Number(i === index) : inverse(index ^ i),
  );

describe('coded files', () => {
  it.each(vectors.coefficients)('codes piece $index of $sources sources', (row) => {
    expect(hex(coefficients(row.sources, row.index))).toBe(row.coefficients);
  });

  it('makes pieces, with zeros after a short source', () => {
    const { sources, indices, pieces } = vectors.generation;
    const rows = sources.map(unhex);
    const piece = (index: number) =>
      Array.from({ length: 8 }, (_, at) =>
        coefficients(rows.length, index).reduce((sum, c, i) => sum ^ mul(c, rows[i]?.[at] ?? 0), 0),
      );
    expect(indices.map((index) => hex(piece(index)))).toEqual(pieces);
  });

  it.each(vectors.files)('divides $size bytes', (file) => {
    const { percent, shards } = vectors;
    const count = Math.ceil(file.size / file.piece_bytes);
    expect(file.sources.reduce((sum, k) => sum + k, 0)).toBe(count);
    expect(file.pieces).toEqual(file.sources.map((k) => Math.ceil((k * percent) / 100)));
    // So many shards, whichever they are, have k pieces of each generation.
    const least = (n: number, m: number) =>
      m * Math.floor(n / shards) + Math.max(0, m - (shards - (n % shards)));
    const enough = (m: number) => file.sources.every((k, g) => least(file.pieces[g] ?? 0, m) >= k);
    expect(enough(file.needed)).toBe(true);
    expect(enough(file.needed - 1)).toBe(false);
    expect(new Set(file.shards).size).toBe(shards);
  });
});
