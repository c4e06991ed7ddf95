/** A node of a few lines behind a transport: what the client under test talks to. */

import { decode } from 'cborg';
import type { Transport } from './transport.js';
import { ConnectionLost } from '../errors.js';
import { encodeFrame } from '../wire/frames.js';
import { cidText } from '../wire/text.js';

export const CID = 'bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4';

type Fields = Record<string, unknown>;
/** Answers a command; a thrown object with a `code` is answered as an error. */
export type Behaviour = (name: string, fields: Fields, node: FakeNode) => unknown;

const TAGS: ((value: unknown) => unknown)[] = [];
TAGS[42] = (bytes) => cidText((bytes as Uint8Array).subarray(1));

export class FakeNode implements Transport {
  onframe: Transport['onframe'] = () => {};
  onlost: Transport['onlost'] = () => {};
  readonly asked: string[] = [];
  readonly open = new Set<number>();
  closed = false;
  private handles = 0;

  constructor(
    private readonly behaviour: Behaviour,
    /** Whether `hello` is left to the behaviour. */
    private readonly foreign = false,
  ) {}

  handle(): number {
    this.open.add(++this.handles);
    return this.handles;
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    const { id, command } = decode(frame, { tags: TAGS }) as { id: number; command: unknown };
    const [name, fields] =
      typeof command === 'string'
        ? [command, {}]
        : (Object.entries(command as Fields)[0] ?? ['', {}]);
    this.asked.push(name);
    void this.answer(id, name, fields as Fields);
  }

  emit(event: unknown): void {
    this.say({ event: { event } });
  }

  lose(): void {
    this.closed = true;
    this.onlost(new ConnectionLost());
  }

  close(): void {
    this.closed = true;
  }

  drop(): void {
    this.lose();
  }

  private async answer(id: number, name: string, fields: Fields): Promise<void> {
    try {
      this.say({ ok: { id, reply: await this.reply(name, fields) } });
    } catch (error) {
      this.say({ err: { id, error } });
    }
  }

  private async reply(name: string, fields: Fields): Promise<unknown> {
    if (name === 'hello' && !this.foreign) return { hello: { version: 1, agent: 'fake/1' } };
    if (name === 'subscribe') return 'done';
    if (name === 'close') {
      this.open.delete(fields['handle'] as number);
      return 'done';
    }
    return this.behaviour(name, fields, this);
  }

  private say(frame: unknown): void {
    if (!this.closed) queueMicrotask(() => !this.closed && this.onframe(encodeFrame(frame)));
  }
}

/** Keeps what is put and folders in memory; enough for uploads. */
export function memory() {
  const files = new Map<string, Uint8Array>();
  const parts = new Map<number, { path: string; chunks: Uint8Array[] }>();
  const behaviour: Behaviour = (name, fields, node) => {
    const handle = fields['handle'] as number;
    switch (name) {
      case 'put_open':
      case 'folder_open':
      case 'folder_file': {
        const next = node.handle();
        parts.set(next, { path: (fields['path'] as string | undefined) ?? '', chunks: [] });
        return { handle: { handle: next } };
      }
      case 'put_chunk':
        parts.get(handle)?.chunks.push(fields['bytes'] as Uint8Array);
        return 'done';
      case 'put_close': {
        const part = parts.get(handle);
        const bytes = new Uint8Array(Buffer.concat(part?.chunks ?? []));
        files.set(part?.path ?? '', bytes);
        node.open.delete(handle);
        return { stored: { cid: CID, size: bytes.length } };
      }
      case 'folder_add':
        files.set(fields['path'] as string, fields['bytes'] as Uint8Array);
        return 'done';
      case 'folder_close': {
        node.open.delete(fields['folder'] as number);
        const bytes = [...files.values()].reduce((sum, file) => sum + file.length, 0);
        return { published: { cid: CID, files: files.size, bytes, label: null } };
      }
      default:
        throw { code: 'bad_input', message: `no ${name} here`, hint: null, retryable: false };
    }
  };
  return { files, behaviour };
}
