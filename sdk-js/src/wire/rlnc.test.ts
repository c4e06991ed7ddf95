// Network coding against its golden vectors, in arithmetic that is written here a second time.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Piece {
  coefficients: string;
  payload: string;
}
interface Sample {
  seed: number;
  coefficients: string;
}
interface Vectors {
  products: { factors: string; products: string };
  inverses_from_1: string;
  matrix: { columns: number; matrix: string; inverse: string };
  sampled: { dense: Sample[]; sparse: (Sample & { nonzero: number })[] };
  coding: { sources: string[]; coded: Piece[]; recoded: Piece & { weights: string } };
  checksum: { piece_bytes: number; secret_seed: number; piece_seed: number; tag: string };
}
const path = new URL('../../../tests/vectors/rlnc.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
const unhex = (text: string) => [...Buffer.from(text, 'hex')];
const hex = (bytes: number[]) => Buffer.from(bytes).toString('hex');

/** A product in GF(2^8) of x^8 + x^4 + x^3 + x + 1. */
function mul(a: number, b: number): number {
  let product = 0;
  for (; b; b >>= 1, a = (a << 1) ^ (a & 0x80 ? 0x11b : 0)) product ^= b & 1 ? a : 0;
  return product;
}
const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum ^ mul(x, b[i] ?? 0), 0);
const column = (rows: number[][], at: number) => rows.map((row) => row[at] ?? 0);
/** The sum of rows, each times its coefficient. */
const combine = (coefficients: number[], rows: number[][]) =>
  (rows[0] ?? []).map((_, at) => dot(coefficients, column(rows, at)));
const chunks = (bytes: number[], size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.slice(i * size, (i + 1) * size),
  );

/** The bytes of the vectors' generator. */
function* generate(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    yield (state >> 16) & 255;
  }
}
function bytes(seed: number, count: number): number[] {
  const from = generate(seed);
  return Array.from({ length: count }, () => from.next().value);
}

describe('network coding', () => {
  it('multiplies and inverts', () => {
    const pairs = chunks(unhex(vectors.products.factors), 2);
    expect(hex(pairs.map(([a, b]) => mul(a ?? 0, b ?? 0)))).toBe(vectors.products.products);
    unhex(vectors.inverses_from_1).forEach((inverse, i) => expect(mul(i + 1, inverse)).toBe(1));
  });

  it('inverts a matrix', () => {
    const { columns, matrix, inverse } = vectors.matrix;
    const rows = chunks(unhex(matrix), columns);
    chunks(unhex(inverse), columns).forEach((row, i) =>
      expect(combine(row, rows)).toEqual(row.map((_, at) => Number(at === i))),
    );
  });

  it('encodes and recodes', () => {
    const { sources, coded, recoded } = vectors.coding;
    for (const { coefficients, payload } of coded) {
      expect(hex(combine(unhex(coefficients), sources.map(unhex)))).toBe(payload);
    }
    const weights = unhex(recoded.weights);
    const of = (part: keyof Piece) => coded.map((piece) => unhex(piece[part]));
    expect(hex(combine(weights, of('coefficients')))).toBe(recoded.coefficients);
    expect(hex(combine(weights, of('payload')))).toBe(recoded.payload);
  });

  it.each(vectors.sampled.dense)('draws dense coefficients of seed $seed', (sample) => {
    const length = sample.coefficients.length / 2;
    expect(hex(bytes(sample.seed, length))).toBe(sample.coefficients);
  });

  it.each(vectors.sampled.sparse)('draws sparse coefficients of seed $seed', (sample) => {
    const from = generate(sample.seed);
    const drawn = unhex(sample.coefficients).map(() => 0);
    for (let i = 0; i < sample.nonzero; i++) {
      let byte: number;
      do byte = from.next().value;
      while (byte >= 256 - (256 % drawn.length) || drawn[byte % drawn.length] !== 0);
      while (drawn[byte % drawn.length] === 0) drawn[byte % drawn.length] = from.next().value;
    }
    expect(hex(drawn)).toBe(sample.coefficients);
  });

  it('tags a piece under a secret key', () => {
    const { piece_bytes, secret_seed, piece_seed, tag } = vectors.checksum;
    const [forms, width] = [20, 512];
    const rows = Math.ceil(piece_bytes / width);
    const secret = bytes(secret_seed, forms * (rows + width));
    const left = chunks(secret.slice(0, forms * rows), rows);
    const right = chunks(secret.slice(forms * rows), width);
    const piece = [...bytes(piece_seed, piece_bytes), ...new Array<number>(width).fill(0)];
    const matrix = chunks(piece.slice(0, rows * width), width);
    expect(hex(left.map((a, form) => dot(combine(a, matrix), right[form] ?? [])))).toBe(tag);
  });
});
