import { defineConfig } from 'vitest/config';

export default defineConfig({
  define: { __VERSION__: '"test"' },
  test: { include: ['src/**/*.test.ts'], environment: 'node', testTimeout: 60_000 },
});
