import { describe, expect, test } from 'vitest';
import { lacks, support } from './support.js';

describe('what a browser lacks', () => {
  test('is one sentence, however much it is', () => {
    expect(lacks(['a'])).toBe('This browser can’t run a node: it lacks a.');
    expect(lacks(['a', 'b'])).toMatch(/lacks a and b\.$/);
    expect(lacks(['a', 'b', 'c'])).toMatch(/lacks a, b and c\.$/);
  });

  test('is named where there is no browser at all', () => {
    const { missing, reduced } = support();
    expect(missing).toContain('web workers');
    expect(missing).not.toContain('WebAssembly with SIMD');
    expect(reduced.map(({ feature }) => feature)).toContain('WebRTC');
  });
});
