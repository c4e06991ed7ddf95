/** Text forms of CIDs (base32) and peer ids (base58btc), and checks of what people type. */

import { CraftecError } from '../errors.js';

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** Version 1, any of our codecs, BLAKE3-256: 36 bytes. */
const CID_BYTES = 36;
const CID_TEXT = 59;
const CODECS: ReadonlySet<number> = new Set([0x55, 0x70, 0x71]);
/** An Ed25519 key in protobuf behind an identity multihash. */
const PEER_PREFIX = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

function base32(bytes: Uint8Array): string {
  let out = '';
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += BASE32[(value >>> bits) & 31];
      value &= (1 << bits) - 1;
    }
  }
  return bits > 0 ? out + BASE32[(value << (5 - bits)) & 31] : out;
}

function unbase32(text: string): Uint8Array | undefined {
  const out = new Uint8Array(Math.floor((text.length * 5) / 8));
  let value = 0;
  let bits = 0;
  let at = 0;
  for (const letter of text) {
    const digit = BASE32.indexOf(letter);
    if (digit < 0) return undefined;
    value = (value << 5) | digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = (value >>> bits) & 255;
      value &= (1 << bits) - 1;
    }
  }
  // Left-over bits must be zero: one CID has one text.
  return value === 0 ? out : undefined;
}

/** The text of a binary CID, whatever its kind. */
export function cidText(bytes: Uint8Array): string {
  return `b${base32(bytes)}`;
}

/** The binary form of one of our CIDs; `undefined` when the text is something else. */
function cidBytesOf(text: string): Uint8Array | undefined {
  if (text.length !== CID_TEXT || text[0] !== 'b') return undefined;
  const bytes = unbase32(text.slice(1));
  if (bytes?.length !== CID_BYTES) return undefined;
  const ours = bytes[0] === 1 && CODECS.has(bytes[1] ?? 0) && bytes[2] === 0x1e && bytes[3] === 32;
  return ours ? bytes : undefined;
}

/** Whether `text` is a CID of ours. */
export function isCid(text: string): boolean {
  return cidBytesOf(text) !== undefined;
}

/** The binary form of a CID; throws a `bad_input` that says what was wrong. */
export function cidBytes(text: string): Uint8Array {
  const bytes = cidBytesOf(text);
  if (bytes) return bytes;
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  throw new CraftecError('bad_input', `“${shown}” is not a content address.`, {
    hint: 'An address is 59 characters long, begins with “b” and has a BLAKE3 hash.',
  });
}

/** `12D3KooW…` from the 32 bytes of the key. */
export function peerText(key: Uint8Array): string {
  const bytes = [...PEER_PREFIX, ...key];
  const digits: number[] = [];
  for (const byte of bytes) {
    let carry = byte;
    for (let i = 0; i < digits.length; i++) {
      carry += (digits[i] ?? 0) << 8;
      digits[i] = carry % 58;
      carry = Math.floor(carry / 58);
    }
    while (carry > 0) {
      digits.push(carry % 58);
      carry = Math.floor(carry / 58);
    }
  }
  let out = '';
  for (let i = 0; i < bytes.length && bytes[i] === 0; i++) out += '1';
  for (let i = digits.length - 1; i >= 0; i--) out += BASE58[digits[i] ?? 0];
  return out;
}

/** The key behind a peer id; throws a `bad_input`. */
export function peerKey(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const letter of text.length > 64 ? '' : text) {
    let carry = BASE58.indexOf(letter);
    if (carry < 0) break;
    for (let i = 0; i < bytes.length; i++) {
      carry += (bytes[i] ?? 0) * 58;
      bytes[i] = carry & 255;
      carry >>= 8;
    }
    while (carry > 0) {
      bytes.push(carry & 255);
      carry >>= 8;
    }
  }
  for (let i = 0; i < text.length && text[i] === '1'; i++) bytes.push(0);
  bytes.reverse();
  if (bytes.length === 38 && PEER_PREFIX.every((byte, i) => bytes[i] === byte)) {
    return Uint8Array.from(bytes.slice(6));
  }
  throw new CraftecError('bad_input', `“${text.slice(0, 80)}” is not a peer id (12D3KooW…).`);
}

/** What a caller names content by. */
export interface Address {
  cid: string;
  /** Below the root, without slashes at its ends. */
  path: string;
}

/** Reads `cid`, `cid/path`, `/ipfs/cid/path` and `ipfs://cid/path`. */
export function parseAddress(text: string): Address {
  const bare = text.trim().replace(/^(ipfs:\/\/|\/ipfs\/)/, '');
  const slash = bare.indexOf('/');
  const cid = slash < 0 ? bare : bare.slice(0, slash);
  cidBytes(cid);
  const path = slash < 0 ? '' : bare.slice(slash + 1).replace(/\/+$/, '');
  if (path && path.split('/').some((name) => name === '' || name === '.' || name === '..')) {
    throw new CraftecError('bad_input', `The path “${path}” has an empty, “.” or “..” name.`);
  }
  return { cid, path };
}
