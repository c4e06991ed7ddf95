import { describe, expect, it, vi } from 'vitest';
import { camel } from './camel.js';
import * as replay from './replay.js';
import { Session } from './session.js';
import { CraftecError } from '../errors.js';
import { Objects } from '../obj.js';
import { Sites } from '../sites.js';
import type { Health, PublishProgress } from '../types.js';
import { CID, FakeNode, memory, type Behaviour } from './fake-node.js';

/** A session whose nth connection goes to the nth node; the last one serves all that follow. */
function sessionOf(...behaviours: Behaviour[]) {
  const nodes: FakeNode[] = [];
  const session = new Session(() => {
    const node = new FakeNode(
      behaviours[Math.min(nodes.length, behaviours.length - 1)] as Behaviour,
    );
    nodes.push(node);
    return Promise.resolve(node);
  });
  const health = new Set<(health: Health) => void>();
  session.onevent = ({ health: event }) => {
    if (event) for (const fn of health) fn(event);
  };
  const objects = new Objects(session, (fn) => (health.add(fn), () => health.delete(fn)));
  return { session, objects, sites: new Sites(session, 'http://craftec.localhost:4080'), nodes };
}

/** Serves `content` under any CID, `step` bytes a read. */
function content(content: Uint8Array, step: number, more: Partial<Record<string, Behaviour>> = {}) {
  const at = new Map<number, { at: number; end: number }>();
  const behaviour: Behaviour = (name, fields, node) => {
    const special = more[name]?.(name, fields, node);
    if (special !== undefined) return special;
    if (name === 'get_open') {
      const range = fields['range'] as { start: number; end: number | null } | null;
      const handle = node.handle();
      at.set(handle, { at: range?.start ?? 0, end: range?.end ?? content.length });
      const opened = { handle, cid: CID, size: content.length, kind: 'file', path: '' };
      return { opened: { ...opened, mime: 'text/plain' } };
    }
    const cursor = at.get(fields['handle'] as number);
    if (name !== 'get_read' || !cursor) throw { code: 'not_found', message: 'no such handle' };
    const bytes = content.slice(cursor.at, Math.min(cursor.at + step, cursor.end));
    cursor.at += bytes.length;
    return { bytes: { bytes } };
  };
  return behaviour;
}

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 31) & 255);
/** `toEqual` takes seconds for a megabyte. */
const same = (a: Uint8Array | undefined, b: Uint8Array) =>
  a !== undefined && Buffer.compare(a, b) === 0;
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('errors', () => {
  it('keep code, hint and whether to try again', async () => {
    const { objects } = sessionOf(() => {
      throw { code: 'unavailable', message: 'no holder', hint: 'wait', retryable: true };
    });
    const error: unknown = await objects.stat(CID).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CraftecError);
    expect(error).toMatchObject({ code: 'unavailable', hint: 'wait', retryable: true });
  });

  it('of an unknown code are internal, of a browser mapped by name', () => {
    expect(CraftecError.fromApi({ code: 'new', message: 'm' }).code).toBe('internal');
    const quota = new DOMException('full', 'QuotaExceededError');
    expect(CraftecError.from(quota)).toMatchObject({ code: 'full' });
    expect(CraftecError.from(new DOMException('x', 'AbortError'))).toMatchObject({
      code: 'aborted',
      name: 'AbortError',
    });
    const there = CraftecError.from(new CraftecError('full', 'f', { hint: 'h' }).toApi());
    expect(there).toMatchObject({ code: 'full', message: 'f', hint: 'h' });
  });

  it('say what a caller got wrong before anything is sent', async () => {
    const { objects, nodes } = sessionOf(memory().behaviour);
    await expect(objects.get('nonsense')).rejects.toMatchObject({ code: 'bad_input' });
    await expect(objects.put(5 as never)).rejects.toMatchObject({ code: 'bad_input' });
    await expect(objects.put('x', { replicas: -1 })).rejects.toThrow(/0 to 256/);
    await expect(objects.get(CID, { range: { start: 5, end: 1 } })).rejects.toThrow(/range/);
    expect(nodes).toEqual([]);
  });
});

describe('put', () => {
  it.each([
    ['text', 'grüße', 7],
    ['bytes', bytes(3_000_000), 3_000_000],
    ['an empty blob', new Blob([]), 0],
    ['a blob', new Blob([bytes(1 << 20), bytes(10)]), (1 << 20) + 10],
    ['a stream', new Blob([bytes(700_000)]).stream(), 700_000],
  ])('stores %s', async (_, data, size) => {
    const { files, behaviour } = memory();
    const { objects } = sessionOf(behaviour);
    const seen: number[] = [];
    const stored = await objects.put(data, { onProgress: (p) => seen.push(p.bytes) });
    expect(stored).toEqual({ cid: CID, size });
    expect(files.get('')?.length).toBe(size);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    if (size > 0) expect(seen.at(-1)).toBe(size);
  });

  it('ends with its signal and leaves no handle open', async () => {
    const store = memory();
    const stop = new AbortController();
    const { objects, nodes } = sessionOf((name, fields, node) => {
      if (name === 'put_chunk') stop.abort();
      return store.behaviour(name, fields, node);
    });
    const put = objects.put(bytes(5 << 20), { signal: stop.signal });
    await expect(put).rejects.toMatchObject({ code: 'aborted', name: 'AbortError' });
    await settle();
    expect(nodes[0]?.open.size).toBe(0);
    expect(nodes[0]?.asked).not.toContain('put_close');
  });

  it('starts over on the next node when the data can be read again', async () => {
    const store = memory();
    const { objects } = sessionOf((name, fields, node) => {
      if (name === 'put_chunk') node.lose();
      return store.behaviour(name, fields, node);
    }, memory().behaviour);
    expect((await objects.put(bytes(2_000_000))).size).toBe(2_000_000);
  });

  it('puts a short stream again, and says when a long one can’t be', async () => {
    const moving = (after: number) => {
      let chunks = 0;
      const store = memory();
      const next = memory();
      const made = sessionOf((name, fields, node) => {
        if (name === 'put_chunk' && ++chunks === after) node.lose();
        return store.behaviour(name, fields, node);
      }, next.behaviour);
      return { ...made, files: next.files };
    };
    const short = bytes(5_000_000);
    const { objects, files } = moving(3);
    expect((await objects.put(new Blob([short]).stream())).size).toBe(short.length);
    expect(same(files.get(''), short)).toBe(true);
    let cancelled: unknown;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 20)),
      cancel: (reason) => void (cancelled = reason ?? 'yes'),
    });
    await expect(moving(20).objects.put(endless)).rejects.toThrow(/while a stream was being put/);
    expect(cancelled).toBe('yes');
  });

  it('waits for copies when asked to', async () => {
    const store = memory();
    const health = { wanted: 2, signed: 1, reachable: 1, needed: 1 };
    const { objects, nodes } = sessionOf((name, fields, node) => {
      if (name === 'stat') return { stat: { cid: CID, health, holders: [] } };
      return store.behaviour(name, fields, node);
    });
    let done = false;
    const put = objects.put('x', { ack: 'replicated' }).then(() => (done = true));
    await settle();
    expect(done).toBe(false);
    nodes[0]?.emit({ health: { cid: CID, health: { ...health, signed: 2 }, holders: [] } });
    await put;
  });
});

describe('get', () => {
  it('reads all, a range, and a stream', async () => {
    const all = bytes(100_000);
    const { objects, nodes } = sessionOf(content(all, 4_096));
    expect(await objects.get(CID)).toEqual(all);
    expect(await objects.get(CID, { range: { start: 5, end: 9_000 } })).toEqual(
      all.slice(5, 9_000),
    );
    expect(new Uint8Array(await new Response(objects.stream(CID)).arrayBuffer())).toEqual(all);
    await settle();
    expect(nodes[0]?.open.size).toBe(0);
  });

  it('goes on where it was when the node moves', async () => {
    const all = bytes(50_000);
    let reads = 0;
    const first = content(all, 4_096, {
      get_read: (_name, _fields, node) => void (++reads === 4 && node.lose()),
    });
    const { objects } = sessionOf(first, content(all, 1_000));
    expect(await objects.get(CID)).toEqual(all);
  });

  it('needs nobody for the end, when the node moves after the last byte', async () => {
    const all = bytes(8_192);
    let reads = 0;
    const first = content(all, 4_096, {
      get_read: (_name, _fields, node) => void (++reads === 3 && node.lose()),
      get_open: (_name, fields) => {
        const range = fields['range'] as { start: number } | null;
        // As the node has it.
        if (range?.start === all.length) throw { code: 'bad_input', message: 'outside' };
      },
    });
    expect(await sessionOf(first, first).objects.get(CID)).toEqual(all);
  });

  it('does not take a short answer for the whole', async () => {
    const { objects } = sessionOf(
      content(bytes(100), 10, { get_read: () => ({ bytes: { bytes: new Uint8Array() } }) }),
    );
    await expect(objects.get(CID)).rejects.toThrow(/after 0 of 100 bytes/);
  });

  it('drops its handle when a stream is cancelled or aborted', async () => {
    const { objects, nodes } = sessionOf(content(bytes(1 << 20), 1_000));
    const reader = objects.stream(CID).getReader();
    await reader.read();
    await reader.cancel();
    const stop = new AbortController();
    const opened = await objects.open(CID, { signal: stop.signal });
    stop.abort();
    await expect(new Response(opened.body).arrayBuffer()).rejects.toMatchObject({
      code: 'aborted',
    });
    await settle();
    expect(nodes[0]?.open.size).toBe(0);
  });
});

describe('publish', () => {
  it('adds small and large files, reports progress and what was left out', async () => {
    const { files, behaviour } = memory();
    const { sites } = sessionOf(behaviour);
    const seen: PublishProgress[] = [];
    const site = await sites.publish(
      new Map<string, Blob | string>([
        ['index.html', '<h1>hi</h1>'],
        ['big.bin', new Blob([bytes(1_200_000)])],
        ['.DS_Store', 'x'],
        ['../up', 'x'],
      ]),
      { onProgress: (progress) => seen.push(progress) },
    );
    expect(site.url).toBe(`http://${CID}.craftec.localhost:4080/`);
    expect([...files.keys()].sort()).toEqual(['big.bin', 'index.html']);
    expect(site.leftOut.map(({ path }) => path)).toEqual(['.DS_Store', '../up']);
    expect(seen.map(({ phase }) => phase)).toContain('hashing');
    expect(seen.at(-1)).toMatchObject({ phase: 'storing', files: 2, bytes: 1_200_011 });
  });

  it('says so when a file can’t be read, and publishes the rest', async () => {
    const { files, behaviour } = memory();
    const { sites } = sessionOf(behaviour);
    const gone = new Blob(['x']);
    vi.spyOn(gone, 'arrayBuffer').mockRejectedValue(new DOMException('no', 'NotReadableError'));
    const site = await sites.publish(
      new Map([
        ['a', new Blob(['a'])],
        ['gone', gone],
      ]),
    );
    expect(site.leftOut).toEqual([{ path: 'gone', reason: 'the browser could not read it' }]);
    expect([...files.keys()]).toEqual(['a']);
  });

  it('manages 10,000 files', async () => {
    const { files, behaviour } = memory();
    const { sites } = sessionOf(behaviour);
    const many = new Map(Array.from({ length: 10_000 }, (_, i) => [`d${i % 97}/${i}.txt`, `${i}`]));
    expect((await sites.publish(many)).files).toBe(10_000);
    expect(files.size).toBe(10_000);
  });

  it('stops at its signal without closing the folder as if it were whole', async () => {
    const store = memory();
    const stop = new AbortController();
    const { sites, nodes } = sessionOf((name, fields, node) => {
      if (name === 'folder_add') stop.abort();
      return store.behaviour(name, fields, node);
    });
    const many = new Map(Array.from({ length: 100 }, (_, i) => [`${i}`, `${i}`]));
    const publish = sites.publish(many, { signal: stop.signal });
    await expect(publish).rejects.toMatchObject({ code: 'aborted' });
    await settle();
    expect(nodes[0]?.asked).not.toContain('folder_close');
    expect(nodes[0]?.open.size).toBe(0);
  });
});

describe('a node that moves', () => {
  /** Answers `name` by losing the connection, `times` times; carries it out before, or not. */
  const losing = (name: string, times: number, behaviour: Behaviour, carriedOut = true) => {
    let lost = 0;
    const moves: Behaviour = (asked, fields, node) => {
      if (asked !== name || lost >= times) return behaviour(asked, fields, node);
      lost += 1;
      if (carriedOut) behaviour(asked, fields, node);
      node.lose();
      return 'done';
    };
    return moves;
  };

  it('is asked again by itself for what changes nothing twice', async () => {
    const kept = new Set([CID]);
    const pins: Behaviour = (name) => {
      if (name === 'stat') return { stat: { cid: CID, holders: [] } };
      if (name === 'pin') kept.add(CID);
      if (name === 'unpin' && !kept.delete(CID)) throw { code: 'not_found', message: 'not kept' };
      return 'done';
    };
    for (const times of [1, 2, 5]) {
      const { objects, nodes } = sessionOf(losing('stat', times, pins));
      expect((await objects.stat(CID)).cid).toBe(CID);
      expect(nodes.length).toBe(times + 1);
    }
    await sessionOf(losing('pin', 1, pins)).objects.pin(CID);
    // The answer got lost, not the deed: the second finds nothing to let go of.
    await sessionOf(losing('unpin', 1, pins)).objects.unpin(CID);
    expect(kept.size).toBe(0);
    const first = sessionOf(pins).objects.unpin(CID);
    await expect(first).rejects.toMatchObject({ code: 'not_found' });
    await expect(sessionOf(losing('stat', 6, pins)).objects.stat(CID)).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it('stores an object once, whether its last answer or its last command was lost', async () => {
    for (const carriedOut of [true, false]) {
      const { files, behaviour } = memory();
      const { objects } = sessionOf(losing('put_close', 1, behaviour, carriedOut));
      expect(await objects.put(bytes(2_500_000))).toEqual({ cid: CID, size: 2_500_000 });
      expect(same(files.get(''), bytes(2_500_000))).toBe(true);
    }
  });

  it('has its copies looked up again: what it told meanwhile nobody heard', async () => {
    const health = (signed: number) => ({ wanted: 2, signed, reachable: signed, needed: 1 });
    const holding = (signed: number): Behaviour => {
      const store = memory();
      return (name, fields, node) => {
        if (name === 'stat') return { stat: { cid: CID, health: health(signed), holders: [] } };
        return store.behaviour(name, fields, node);
      };
    };
    const { objects, nodes } = sessionOf(holding(1), holding(2));
    const put = objects.put('x', { ack: 'replicated' });
    await settle();
    nodes[0]?.lose();
    expect((await put).cid).toBe(CID);
  });

  it('is not asked again for a step, and the caller is told', async () => {
    const single = vi.spyOn(replay, 'repeats').mockReturnValue(false);
    const { session, nodes } = sessionOf(losing('status', 1, () => 'done'));
    const asked = session.ask('status', 'done');
    await expect(asked).rejects.toMatchObject({ retryable: false, message: /moved/ });
    expect(nodes.flatMap(({ asked }) => asked).filter((name) => name === 'status').length).toBe(1);
    single.mockRestore();
  });

  it('of another version gives way, or the caller is told to load again', async () => {
    const foreign: Behaviour = () => {
      throw { code: 'version', message: 'speaks 7', retryable: false };
    };
    let ours = false;
    const make = (outranks: () => boolean) =>
      new Session(() => Promise.resolve(new FakeNode(foreign, !ours)), outranks);
    const refused = make(() => false);
    await expect(refused.connection()).rejects.toMatchObject({ code: 'version' });
    const winner = make(() => (ours = true));
    expect((await winner.connection()).agent).toBe('fake/1');
  });
});

describe('session', () => {
  it('stops for good', async () => {
    const { session, objects, nodes } = sessionOf(memory().behaviour);
    await objects.put('x');
    const states: string[] = [];
    session.onstate = (state) => states.push(state);
    session.stop();
    await expect(objects.put('x')).rejects.toMatchObject({ code: 'aborted' });
    expect(nodes[0]?.closed).toBe(true);
    expect(states).toEqual(['stopped']);
  });

  it('gives up on a node that breaks every connection', async () => {
    const { objects } = sessionOf((_name, _fields, node) => {
      node.lose();
      return 'done';
    });
    await expect(objects.mine()).rejects.toMatchObject({ code: 'unavailable', retryable: true });
  });

  it('turns field names, all the way down, and leaves bytes alone', () => {
    const bytes = new Uint8Array(2);
    expect(camel({ a_b: [{ rtt_ms: 1, via: null }], bytes, at: 'x_y' })).toEqual({
      aB: [{ rttMs: 1, via: null }],
      bytes,
      at: 'x_y',
    });
  });
});
