/**
 * Frames of the node's language: canonical DAG-CBOR both ways.
 *
 * In memory a frame is what its JSON form is (CIDs and peer ids are strings, byte strings are
 * `Uint8Array`), so the names of fields say which strings are links and keys on the wire.
 */

import { decode as decodeCbor, encode as encodeCbor, Token, Type } from 'cborg';
import { CraftecError, type ApiError } from '../errors.js';
import { cidBytes, cidText, peerKey, peerText } from './text.js';
import type { Command, Event, Reply } from './types.js';

/** Largest frame: an upload chunk of 1 MiB and its envelope (`limits::API_FRAME_BYTES`). */
export const FRAME_BYTES = (1 << 20) + (16 << 10);
/** Versions of the language that this build speaks, newest first. */
export const VERSIONS = [1];

export type FromNode =
  | { ok: { id: number; reply: Reply } }
  | { err: { id: number; error: ApiError } }
  | { event: { event: Event } };

const PEER_FIELDS: ReadonlySet<string> = new Set(['peer', 'peer_id', 'via']);
const LINK_TAG = 42;

class Link {
  constructor(readonly bytes: Uint8Array) {}
}

const ENCODE = {
  // DAG-CBOR has floats of 64 bits only.
  float64: true,
  typeEncoders: {
    Object(value: unknown) {
      if (!(value instanceof Link)) return null;
      const bytes = new Uint8Array(value.bytes.length + 1);
      bytes.set(value.bytes, 1);
      return [new Token(Type.tag, LINK_TAG), new Token(Type.bytes, bytes)];
    },
  },
};

/** Fields that hold a CID. */
const LINK_FIELDS: ReadonlySet<string> = new Set(['cid', 'base']);

const TAGS: ((inner: unknown) => unknown)[] = [];
TAGS[LINK_TAG] = (inner) => {
  if (!(inner instanceof Uint8Array) || inner[0] !== 0) throw new Error('a link without its 0');
  return cidText(inner.subarray(1));
};

const DECODE = {
  allowBigInt: true,
  allowIndefinite: false,
  allowInfinity: false,
  allowNaN: false,
  allowUndefined: false,
  rejectDuplicateMapKeys: true,
  strict: true,
  tags: TAGS,
};

/** Replaces strings by links and keys, where a field's name says so. */
function outward(value: unknown, name: string): unknown {
  if (typeof value === 'string') {
    if (LINK_FIELDS.has(name)) return new Link(cidBytes(value));
    return PEER_FIELDS.has(name) ? peerKey(value) : value;
  }
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map((item) => outward(item, ''));
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
    const fields = Object.entries(value).map(([key, field]) => [key, outward(field, key)]);
    return Object.fromEntries(fields) as unknown;
  }
  return value;
}

/** The other way; links have become strings in the decoder. Changes `value` in place. */
function inward(value: unknown): void {
  if (Array.isArray(value)) value.forEach(inward);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  const fields = value as Record<string, unknown>;
  for (const [key, field] of Object.entries(fields)) {
    if (field instanceof Uint8Array && PEER_FIELDS.has(key)) fields[key] = peerText(field);
    else inward(field);
  }
}

/** Bytes of any frame in its JSON shape. The result owns its buffer. */
export function encodeFrame(frame: unknown): Uint8Array<ArrayBuffer> {
  const bytes = encodeCbor(outward(frame, ''), ENCODE);
  const owned = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  return owned ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

/** Bytes of a request. */
export function encodeRequest(id: number, command: Command): Uint8Array<ArrayBuffer> {
  return encodeFrame({ id, command });
}

/** A frame from a node; throws `internal` when it is none. */
export function decodeFrame(bytes: Uint8Array): FromNode {
  if (bytes.length > FRAME_BYTES) {
    throw new CraftecError('internal', `The node sent a frame of ${bytes.length} bytes.`);
  }
  let frame: unknown;
  try {
    frame = decodeCbor(bytes, DECODE);
  } catch (cause) {
    throw new CraftecError('internal', `The node sent a malformed frame: ${String(cause)}`, {
      cause,
    });
  }
  inward(frame);
  if (typeof frame === 'object' && frame !== null) {
    if ('ok' in frame || 'err' in frame || 'event' in frame) return frame as FromNode;
  }
  throw new CraftecError('internal', 'The node sent a frame of an unknown kind.');
}
