import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { peerText } from './text.js';

interface Signed {
  [body: string]: unknown;
  sig: Uint8Array;
}
interface Receipt {
  v: number;
  giver: Uint8Array;
  to: Uint8Array;
  since_ms: number;
  until_ms: number;
  totals: Record<string, number | bigint>;
}
interface Receipts {
  receipts: (Record<string, string | number> & { giver: string; hex: string })[];
  audits: { auditor: string; holder: string; time_ms: number; passed: boolean; hex: string }[];
}
interface Ledgers {
  protocol: string;
  swaps: { name: string; given_by: string | null; known_by: string | null; hex: string }[];
}
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}`, import.meta.url), 'utf8'));
const receipts = read('receipt.json') as Receipts;
const ledger = read('ledger.json') as Ledgers;
const unhex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Whether `key` (32 bytes) signed `body` under a domain of ours. */
function signed(domain: string, key: Uint8Array, body: unknown, sig: Uint8Array): boolean {
  const message = Buffer.concat([Buffer.from(`craftec/${domain}/1\0`), encode(body)]);
  const x = Buffer.from(key).toString('base64url');
  const jwk = { kty: 'OKP', crv: 'Ed25519', x };
  return verify(null, message, createPublicKey({ key: jwk, format: 'jwk' }), sig);
}

describe('receipts', () => {
  it.each(receipts.receipts)('reads what $giver signed until $until_ms', (vector) => {
    const { receipt, sig } = decode(unhex(vector.hex)) as Signed & { receipt: Receipt };
    expect(receipt.v).toBe(1);
    expect([peerText(receipt.giver), peerText(receipt.to)]).toEqual([vector.giver, vector.to]);
    expect([receipt.since_ms, receipt.until_ms]).toEqual([vector.since_ms, vector.until_ms]);
    for (const total of ['stored_byte_hours', 'served_bytes', 'audits_passed']) {
      expect(String(receipt.totals[total])).toBe(vector[total]);
    }
    expect(signed('receipt', receipt.giver, receipt, sig)).toBe(true);
    expect(signed('promise', receipt.giver, receipt, sig)).toBe(false);
    expect(hex(encode({ receipt, sig }))).toBe(vector.hex);
  });

  it.each(receipts.audits)('reads an audit of $holder at $time_ms', (vector) => {
    const { audit, sig } = decode(unhex(vector.hex)) as Signed & {
      audit: { auditor: Uint8Array; holder: Uint8Array; time_ms: number; passed: boolean };
    };
    expect([peerText(audit.auditor), peerText(audit.holder)]).toEqual([
      vector.auditor,
      vector.holder,
    ]);
    expect([audit.time_ms, audit.passed]).toEqual([vector.time_ms, vector.passed]);
    expect(signed('audit', audit.auditor, audit, sig)).toBe(true);
    expect(hex(encode({ audit, sig }))).toBe(vector.hex);
  });
});

describe('the exchange of receipts', () => {
  it('is version 1', () => expect(ledger.protocol).toBe('/craftec/receipt/1'));

  it.each(ledger.swaps)('swaps: $name', ({ given_by, known_by, hex: golden }) => {
    const swap = decode(unhex(golden)) as Record<'given' | 'known', { receipt: Receipt } | null>;
    const giver = (side: { receipt: Receipt } | null) => side && peerText(side.receipt.giver);
    expect([giver(swap.given), giver(swap.known)]).toEqual([given_by, known_by]);
    expect(hex(encode(swap))).toBe(golden);
  });
});
