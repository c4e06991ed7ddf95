// Packs against their golden vectors, read by arithmetic that is written here a second time.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Vectors {
  members: string[];
  cid: string;
  block: string;
  record: string;
}
const path = new URL('../../../tests/vectors/pack.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;

/** The bytes of a CID in base32 (RFC 4648, lower case, after its `b`), in hexadecimal. */
function bytesOf(cid: string): string {
  const digits = [...cid.slice(1)].map((c) => 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c));
  const bits = digits.map((digit) => digit.toString(2).padStart(5, '0')).join('');
  const bytes = bits.match(/.{8}/g) ?? [];
  return bytes.map((byte) => parseInt(byte, 2).toString(16).padStart(2, '0')).join('');
}

describe('packs', () => {
  it('name single blocks, the lowest first', () => {
    const members = vectors.members.map(bytesOf).sort();
    // A map of "v" and "members"; each CID is tag 42 of 37 bytes, the first of them zero.
    const links = members.map((member) => `d82a582500${member}`).join('');
    const key = (text: string) =>
      (0x60 + text.length).toString(16) + Buffer.from(text).toString('hex');
    expect(vectors.block).toBe(`a2${key('v')}01${key('members')}8${members.length}${links}`);
    expect(members.every((member) => member.startsWith('01551e20'))).toBe(true);
    expect(bytesOf(vectors.cid).startsWith('01711e20')).toBe(true);
  });

  it('are remembered with their bytes, copies and time', () => {
    expect(vectors.record.startsWith('a5')).toBe(true);
    expect(vectors.record).toContain(vectors.block);
  });
});
