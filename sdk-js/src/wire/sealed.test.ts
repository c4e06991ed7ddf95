// What a holder without a key reads of an encrypted database, against the golden vectors.
import { decode } from 'cborg';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cidText } from './text.js';

interface Vectors {
  id: string;
  node: { bytes: string; links: string[]; entries: (string | null)[] };
  root: { bytes: string; links: string[] };
  page: { open: string; sealed: string };
}
const path = new URL('../../../tests/vectors/sealed.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;

const tags: ((inner: unknown) => unknown)[] = [];
tags[42] = (inner) => cidText((inner as Uint8Array).subarray(1));

function read(hex: string): unknown {
  return decode(Buffer.from(hex, 'hex'), { tags });
}

describe('encrypted databases', () => {
  it('show which blocks a node has below it, and not in which order', () => {
    const [links, order] = read(vectors.node.bytes) as [string[], Uint8Array];
    expect(links).toEqual(vectors.node.links);
    expect(new Set(links)).toEqual(new Set(vectors.node.entries.filter((cid) => cid !== null)));
    // A tag, and what of four entries each became one byte, with the head of the list.
    expect(order.length).toBe(16 + 5);
  });

  it('show of a root what must be kept and which key it is under', () => {
    const root = read(vectors.root.bytes) as Record<string, unknown>;
    expect(Object.keys(root).sort()).toEqual(
      ['holdings', 'key', 'page_bytes', 'pages', 'sealed', 'shares', 'table', 'v'].sort(),
    );
    expect([root.v, root.pages, root.table]).toEqual([2, 4, vectors.root.links[0]]);
    expect(Buffer.from(root.key as Uint8Array).toString('hex')).toBe(vectors.id);
    expect((root.shares as Uint8Array[]).map((share) => share.length)).toEqual([80]);
  });

  it('keep the length of a page', () => {
    expect(vectors.page.sealed.length).toBe(vectors.page.open.length);
    expect(vectors.page.sealed).not.toContain(vectors.page.open.slice(0, 32));
  });
});
