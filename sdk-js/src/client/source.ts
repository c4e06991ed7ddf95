/** Bytes to put, cut into chunks that fit a frame. */

import { CraftecError } from '../errors.js';
import type { Data } from '../types.js';

/** Largest chunk of one request. */
export const CHUNK_BYTES = 1 << 20;
/** Small pieces of a stream are gathered up to this, to save requests. */
const GATHER_BYTES = 256 << 10;

export interface Source {
  /** Whether `chunks` can be called again. */
  repeatable: boolean;
  total?: number;
  chunks(): AsyncIterable<Uint8Array>;
}

export function sourceOf(data: Data): Source {
  if (typeof data === 'string') return fromBytes(new TextEncoder().encode(data));
  if (data instanceof Uint8Array) return fromBytes(data);
  if (data instanceof ArrayBuffer) return fromBytes(new Uint8Array(data));
  if (data instanceof Blob) return fromBlob(data);
  if (data instanceof ReadableStream) return fromStream(data);
  throw new CraftecError('bad_input', 'There is nothing to put: the data is of an unknown kind.', {
    hint: 'Pass a Uint8Array, an ArrayBuffer, a Blob, a ReadableStream or a string.',
  });
}

function fromBytes(bytes: Uint8Array): Source {
  return {
    repeatable: true,
    total: bytes.length,
    async *chunks() {
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        yield bytes.subarray(at, at + CHUNK_BYTES);
      }
    },
  };
}

function fromBlob(blob: Blob): Source {
  return {
    repeatable: true,
    total: blob.size,
    async *chunks() {
      for (let at = 0; at < blob.size; at += CHUNK_BYTES) {
        yield new Uint8Array(await blob.slice(at, at + CHUNK_BYTES).arrayBuffer());
      }
    },
  };
}

function fromStream(stream: ReadableStream<Uint8Array>): Source {
  return {
    repeatable: false,
    async *chunks() {
      const reader = stream.getReader();
      let ended = false;
      try {
        let held: Uint8Array[] = [];
        let bytes = 0;
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          if (!(value instanceof Uint8Array)) {
            throw new CraftecError('bad_input', 'The stream holds something else than bytes.');
          }
          held.push(value);
          bytes += value.length;
          if (bytes < GATHER_BYTES) continue;
          yield* cut(join(held, bytes));
          held = [];
          bytes = 0;
        }
        ended = true;
        if (bytes > 0) yield* cut(join(held, bytes));
      } finally {
        if (!ended) await reader.cancel().catch(() => {});
        reader.releaseLock();
      }
    },
  };
}

function join(parts: Uint8Array[], bytes: number): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only) return only;
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function* cut(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    yield bytes.subarray(at, at + CHUNK_BYTES);
  }
}
