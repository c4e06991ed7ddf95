import { decode } from 'cborg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ConnectionLost } from '../errors.js';
import { AGAIN } from '../tab/names.js';
import { encodeFrame } from '../wire/frames.js';
import { Link } from './link.js';

/** The node's end of a port: says hello, and its name to everything else, `answers` times. */
function node(name: string, answers: number): { port: MessagePort; alive: () => boolean } {
  const { port1, port2 } = new MessageChannel();
  let open = true;
  port1.onmessage = ({ data }: MessageEvent) => {
    if (data === 'ping') return port1.postMessage('pong');
    if (data === 'bye') return void (open = false);
    const { id, command } = decode(data as Uint8Array) as { id: number; command: unknown };
    if (typeof command === 'object') {
      const reply = { hello: { version: 1, agent: name } };
      return port1.postMessage(encodeFrame({ ok: { id, reply } }));
    }
    if (answers-- <= 0) return port1.close();
    const reply = { words: { words: [name] } };
    return port1.postMessage(encodeFrame({ ok: { id, reply } }));
  };
  return { port: port2, alive: () => open };
}

/** A broker that has one node after the other. */
function broker(nodes: MessagePort[]) {
  const { port1, port2 } = new MessageChannel();
  const asked = vi.fn();
  port1.onmessage = ({ data }: MessageEvent) => {
    asked(data);
    const port = nodes.shift();
    port1.postMessage({ t: port ? 'wait' : 'none' });
    if (port) port1.postMessage({ t: 'port', port }, [port]);
  };
  cleanup.push(port1, port2);
  return { again: port2, asked, tell: (word: unknown) => port1.postMessage(word) };
}

const cleanup: MessagePort[] = [];
afterEach(() => {
  for (const port of cleanup.splice(0)) port.close();
  vi.useRealTimers();
});

const words = async (link: Link) =>
  link.run(async (c) => (await c.ask('backup_words', 'words')).words[0]);

describe('a link', () => {
  it('goes on with the next node, and the one after', async () => {
    const { again, asked } = broker([node('b', 1).port, node('c', 9).port]);
    const link = await Link.open('root', node('a', 1).port, again);
    expect(await words(link)).toBe('a');
    expect(await words(link)).toBe('b');
    expect(await words(link)).toBe('c');
    expect(asked.mock.calls).toEqual([[AGAIN], [AGAIN]]);
    // Several that are lost together ask once.
    expect(await Promise.all([words(link), words(link)])).toEqual(['c', 'c']);
    expect(asked).toHaveBeenCalledTimes(2);
    link.close();
  });

  it('goes on at once when it is told that its node is gone', async () => {
    const silent = new MessageChannel();
    silent.port1.onmessage = ({ data }: MessageEvent) => {
      if (!(data instanceof Uint8Array)) return;
      const { id, command } = decode(data) as { id: number; command: unknown };
      if (typeof command !== 'object') return;
      const reply = { hello: { version: 1, agent: 'a' } };
      silent.port1.postMessage(encodeFrame({ ok: { id, reply } }));
    };
    cleanup.push(silent.port1);
    const { again, tell } = broker([node('b', 9).port]);
    const link = await Link.open('root', silent.port2, again);
    const asked = words(link);
    tell({ t: 'ended' });
    expect(await asked).toBe('b');
    link.close();
  });

  it('is lost when there is no other node, or nobody to ask', async () => {
    const alone = await Link.open('root', node('a', 0).port);
    await expect(words(alone)).rejects.toBeInstanceOf(ConnectionLost);
    const { again } = broker([]);
    const link = await Link.open('root', node('a', 0).port, again);
    const lost = words(link);
    await expect(lost).rejects.toBeInstanceOf(ConnectionLost);
    link.close();
  });

  it('lets go of a port that comes too late', async () => {
    const { port1, port2 } = new MessageChannel();
    cleanup.push(port1, port2);
    const link = await Link.open('root', node('a', 0).port, port2);
    await expect(words(link)).rejects.toBeInstanceOf(ConnectionLost);
    const late = node('b', 9);
    port1.postMessage({ t: 'port', port: late.port }, [late.port]);
    await vi.waitFor(() => expect(late.alive()).toBe(false));
    link.close();
  });
});
