/** Bytes to put, cut into chunks that fit a frame. */

import { CraftecError } from '../errors.js';
import type { Data } from '../types.js';

/** Largest chunk of one request. */
export const CHUNK_BYTES = 1 << 20;
/** Small pieces of a stream are gathered up to this, to save requests. */
const GATHER_BYTES = 256 << 10;
/**
 * What is kept of a stream that is put, so that it can be put again when the node moves: a stream
 * gives its bytes once. One longer than this fails then; the limit is what a page can spare.
 */
const KEEP_BYTES = 16 << 20;

export interface Source {
  /** Whether `chunks` can be called again now. */
  readonly repeatable: boolean;
  total?: number;
  chunks(): AsyncIterable<Uint8Array>;
  /** Nothing more is wanted of it. */
  cancel?(): Promise<void>;
}

export function sourceOf(data: Data): Source {
  if (typeof data === 'string') return fromBytes(new TextEncoder().encode(data));
  if (data instanceof Uint8Array) return fromBytes(data);
  if (data instanceof ArrayBuffer) return fromBytes(new Uint8Array(data));
  if (data instanceof Blob) return fromBlob(data);
  if (data instanceof ReadableStream) return new StreamSource(data);
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

/** A stream's chunks, the first of them kept; `chunks` goes over those again, then reads on. */
class StreamSource implements Source {
  private readonly kept: Uint8Array[] = [];
  /** Read and not yet handed out. */
  private readonly cut: Uint8Array[] = [];
  private keptBytes = 0;
  private all = true;
  private ended = false;
  /** One read at a time: the next one waits for what a lost put had begun. */
  private reading: Promise<unknown> = Promise.resolve();
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.reader = stream.getReader();
  }

  get repeatable(): boolean {
    return this.all;
  }

  async *chunks(): AsyncIterable<Uint8Array> {
    for (let at = 0; ; at++) {
      // Read ahead by a put that was lost, or by this one.
      const chunk = this.kept[at] ?? (await this.more(at));
      if (!chunk) return;
      yield chunk;
    }
  }

  async cancel(): Promise<void> {
    if (!this.ended) await this.reader.cancel().catch(() => {});
    this.ended = true;
  }

  /** The next chunk that the stream has; `undefined` at its end. */
  private async gather(): Promise<Uint8Array | undefined> {
    const held: Uint8Array[] = [];
    let bytes = 0;
    while (this.cut.length === 0 && bytes < GATHER_BYTES && !this.ended) {
      const { done, value } = await this.reader.read();
      if (done) this.ended = true;
      else if (!(value instanceof Uint8Array)) {
        throw new CraftecError('bad_input', 'The stream holds something else than bytes.');
      } else {
        held.push(value);
        bytes += value.length;
      }
    }
    if (bytes > 0) this.cut.push(...cut(join(held, bytes)));
    return this.cut.shift();
  }

  private more(at: number): Promise<Uint8Array | undefined> {
    const read = this.reading.then(async () => {
      const chunk = this.kept[at] ?? (await this.gather());
      if (chunk && this.kept.length === at) this.keep(chunk);
      return chunk;
    });
    this.reading = read.catch(() => {});
    return read;
  }

  private keep(chunk: Uint8Array): void {
    this.keptBytes += chunk.length;
    this.all &&= this.keptBytes <= KEEP_BYTES;
    // A copy: the stream's owner may use its buffers again.
    if (this.all) this.kept.push(chunk.slice());
    else this.kept.length = 0;
  }
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
