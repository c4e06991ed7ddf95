import { defineConfig } from '@playwright/test';

// Debian's Chromium, headless; nothing of it may call home from a closed network.
const args = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Two contexts of one browser reach each other by address: no mDNS names on loopback.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

export default defineConfig({
  testDir: 'specs',
  outputDir: 'results',
  // Each test has a relay and browsers of its own, but there are only two cores.
  workers: 1,
  fullyParallel: false,
  forbidOnly: !!process.env['CI'],
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    viewport: { width: 1280, height: 900 },
    launchOptions: { executablePath: process.env['CHROME'] ?? '/usr/bin/chromium', args },
    trace: 'retain-on-failure',
  },
});
