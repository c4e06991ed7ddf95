import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { epochAfter, readEpoch, writeEpoch } from './epoch.js';
import { DEPOSE_TICKS, HUNG_TICKS, Pulse } from './pulse.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

describe('epochs', () => {
  const golden = JSON.parse(
    readFileSync(new URL('../../../tests/vectors/epoch.json', import.meta.url), 'utf8'),
  ) as { good: { epoch: number; bytes: string }[]; bad: { why: string; bytes: string }[] };

  it('are on disk as the golden vectors have them', () => {
    for (const { epoch, bytes } of golden.good) {
      expect(hex(writeEpoch(epoch))).toBe(bytes);
      expect(readEpoch(unhex(bytes))).toBe(epoch);
    }
    for (const { why, bytes } of golden.bad) expect(readEpoch(unhex(bytes)), why).toBeUndefined();
  });

  it('that were torn or damaged anywhere are none', () => {
    const whole = writeEpoch(1_800_000_000_000);
    for (let cut = 0; cut < whole.length; cut++) {
      expect(readEpoch(whole.subarray(0, cut))).toBeUndefined();
      const damaged = whole.slice();
      damaged[cut]! ^= 1 << (cut % 8);
      expect(readEpoch(damaged), `byte ${cut}`).toBeUndefined();
    }
  });

  it('grow, whatever the clock or the file says', () => {
    const now = 1_800_000_000_000;
    expect(epochAfter(undefined, now)).toBe(now);
    expect(epochAfter(now, now)).toBe(now + 1);
    // The clock was set back.
    expect(epochAfter(now, 5)).toBe(now + 1);
    expect(epochAfter(now, NaN)).toBe(now + 1);
    // The file was lost.
    expect(epochAfter(undefined, now + 1)).toBeGreaterThan(now);
    let last: number | undefined;
    for (const at of [7, 7, 3, 9, 8, -1, 9.5, 10]) {
      const next = epochAfter(last, at);
      expect(next).toBeGreaterThan(last ?? 0);
      last = next;
    }
  });
});

describe('a pulse', () => {
  it('is lost after so many ticks without a beat, and counts anew', () => {
    const pulse = new Pulse(3);
    const ticks = (n: number) => Array.from({ length: n }, () => pulse.tick());
    expect(ticks(3)).toEqual([false, false, false]);
    pulse.beat();
    expect(pulse.quiet).toBe(false);
    expect(ticks(4)).toEqual([false, false, false, true]);
    expect(ticks(4)).toEqual([false, false, false, true]);
  });

  it('is not lost by a listener that slept, however long', () => {
    const pulse = new Pulse(HUNG_TICKS);
    for (let i = 0; i < 1000; i++) {
      // One tick after hours, then the beats that waited for it.
      expect(pulse.tick()).toBe(false);
      pulse.beat();
    }
  });

  it('is found lost by its own page well before another tab acts', () => {
    expect(DEPOSE_TICKS - HUNG_TICKS).toBeGreaterThanOrEqual(5);
  });
});
