// Audits against their golden vectors, with BLAKE3's tree written here a second time.
import { readFileSync } from 'node:fs';
import { decode, encode, Token, Type } from 'cborg';
import { describe, expect, it } from 'vitest';
import { cidBytes, cidText } from './text.js';

interface Proof {
  len: number;
  path: Uint8Array;
  chunk: Uint8Array;
}
interface Case {
  seed: number;
  len: number;
  cid: string;
  chunk: number;
  shown: number;
  proved_len: number | null;
  path: string[];
  request: string;
  answer: string;
}
interface Vectors {
  protocol: string;
  cases: Case[];
  answers: { name: string; hex: string; json: unknown }[];
  forged: { name: string; cid: string; chunk: number; answer: string }[];
  refused: { name: string; hex: string }[];
}
const path = new URL('../../../tests/vectors/audit.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
const unhex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const CHUNK = 1024;
const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/** Columns, then diagonals. */
const MIXED = [0, 1, 2, 3].map((i) => [i, 4 + i, 8 + i, 12 + i]);
const DIAGONAL = [0, 1, 2, 3].map((i) => [
  i,
  4 + ((i + 1) % 4),
  8 + ((i + 2) % 4),
  12 + ((i + 3) % 4),
]);
const [START, END, PARENT, ROOT] = [1, 2, 4, 8];

const words = (bytes: Uint8Array) => {
  const padded = new Uint8Array(64);
  padded.set(bytes);
  const view = new DataView(padded.buffer);
  return Array.from({ length: 16 }, (_, i) => view.getUint32(4 * i, true));
};
const rotate = (x: number, by: number) => (x >>> by) | (x << (32 - by));

function compress(cv: number[], block: number[], counter: number, len: number, flags: number) {
  const v = Int32Array.from([...cv, ...IV.slice(0, 4), counter, 0, len, flags]);
  const at = (i: number | undefined) => v[i ?? 0] ?? 0;
  let message = block;
  for (let round = 0; round < 7; round++) {
    [...MIXED, ...DIAGONAL].forEach(([a = 0, b = 0, c = 0, d = 0], i) => {
      for (const [word, right, left] of [
        [message[2 * i] ?? 0, 16, 12],
        [message[2 * i + 1] ?? 0, 8, 7],
      ] as const) {
        v[a] = at(a) + at(b) + word;
        v[d] = rotate(at(d) ^ at(a), right);
        v[c] = at(c) + at(d);
        v[b] = rotate(at(b) ^ at(c), left);
      }
    });
    message = PERMUTATION.map((from) => message[from] ?? 0);
  }
  return IV.map((_, i) => at(i) ^ at(i + 8));
}

function chunkHash(bytes: Uint8Array, index: number, root: number): number[] {
  let cv = IV;
  const last = Math.max(Math.ceil(bytes.length / 64), 1) - 1;
  for (let at = 0; at <= last; at++) {
    const block = bytes.subarray(64 * at, 64 * at + 64);
    const flags = (at === 0 ? START : 0) | (at === last ? END | root : 0);
    cv = compress(cv, words(block), index, block.length, flags);
  }
  return cv;
}

const bytesOf = (cv: number[]) => {
  const out = new DataView(new ArrayBuffer(32));
  cv.forEach((word, i) => {
    out.setInt32(4 * i, word, true);
  });
  return new Uint8Array(out.buffer);
};

/** The chunk that a proof shows of a block; `undefined` if it shows nothing. */
function shown(cid: string, wanted: number, proof: Proof): number | undefined {
  const last = Math.max(Math.ceil(proof.len / CHUNK), 1) - 1;
  const chunk = Math.min(wanted, last);
  const turns: boolean[] = [];
  for (let [first, count] = [0, last + 1]; count > 1;) {
    const left = 2 ** Math.ceil(Math.log2(count)) / 2;
    const isLeft = chunk < first + left;
    turns.push(isLeft);
    [first, count] = isLeft ? [first, left] : [first + left, count - left];
  }
  const length = chunk === last ? proof.len - last * CHUNK : CHUNK;
  if (proof.chunk.length !== length || proof.path.length !== 32 * turns.length) return undefined;
  let hash = bytesOf(chunkHash(proof.chunk, chunk, turns.length === 0 ? ROOT : 0));
  for (let at = turns.length - 1; at >= 0; at--) {
    const beside = proof.path.subarray(32 * at, 32 * at + 32);
    const both = Buffer.concat(turns[at] ? [hash, beside] : [beside, hash]);
    hash = bytesOf(compress(IV, words(both), 0, 64, PARENT | (at === 0 ? ROOT : 0)));
  }
  return hex(hash) === hex(cidBytes(cid).subarray(4)) ? chunk : undefined;
}

class Link {
  constructor(readonly bytes: Uint8Array) {}
}
const tags: ((inner: Uint8Array) => Link)[] = [];
tags[42] = (inner) => new Link(inner.subarray(1));
const LINKS = {
  typeEncoders: {
    Object: (value: unknown) =>
      value instanceof Link
        ? [
            new Token(Type.tag, 42),
            new Token(Type.bytes, Buffer.concat([Buffer.of(0), value.bytes])),
          ]
        : null,
  },
};

const proofOf = (golden: string) =>
  (decode(unhex(golden)) as { proofs: { proof: Proof }[] }).proofs[0]?.proof as Proof;

describe('audits', () => {
  it('are version 1', () => expect(vectors.protocol).toBe('/craftec/audit/1'));

  it.each(vectors.cases)('ask for chunk $chunk of $len bytes', ({ cid, chunk, request }) => {
    const asked = decode(unhex(request), { tags }) as {
      challenges: { cid: Link; chunk: number }[];
    };
    expect(asked.challenges).toHaveLength(1);
    expect(asked.challenges.map((c) => [cidText(c.cid.bytes), c.chunk])).toEqual([[cid, chunk]]);
    expect(hex(encode(asked, LINKS))).toBe(request);
  });

  it.each(vectors.cases)('prove chunk $shown of $len bytes', (golden) => {
    const proof = proofOf(golden.answer);
    const pattern = (i: number) =>
      ((Math.imul(golden.shown * CHUNK + i, 2_654_435_761) + golden.seed) >>> 24) & 255;
    expect(proof.len).toBe(golden.len);
    expect(hex(proof.path)).toBe(golden.path.join(''));
    expect(hex(proof.chunk)).toBe(hex(Uint8Array.from(proof.chunk, (_, i) => pattern(i))));
    expect(shown(golden.cid, golden.chunk, proof)).toBe(golden.shown);
    const isLast = golden.shown === Math.max(Math.ceil(golden.len / CHUNK), 1) - 1;
    expect(golden.proved_len).toBe(isLast ? golden.len : null);
    expect(hex(encode(decode(unhex(golden.answer))))).toBe(golden.answer);
  });

  it.each(vectors.forged)('are not taken in by $name', ({ cid, chunk, answer }) => {
    expect(shown(cid, chunk, proofOf(answer))).toBeUndefined();
  });

  it.each(vectors.answers)('answer: $name', ({ hex: golden, json }) => {
    expect(decode(unhex(golden))).toEqual(json);
    expect(hex(encode(json))).toBe(golden);
  });
});
