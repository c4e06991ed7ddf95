// What every browser test begins with: a relay, and tabs that are strangers to each other.
import { type Browser, type BrowserContext, type Page, test as base } from '@playwright/test';
import { Relay } from './relay.ts';

/** A browser of its own (storage, identity) with the app open. */
export interface Tab {
  context: BrowserContext;
  page: Page;
  close(): Promise<void>;
}

interface Fixtures {
  relay: Relay;
  openTab: (options?: { colorScheme?: 'light' | 'dark'; width?: number }) => Promise<Tab>;
}

export const test = base.extend<Fixtures>({
  relay: async ({}, use) => {
    const relay = await Relay.start();
    await use(relay);
    await relay.end();
  },
  openTab: async ({ browser, relay }, use, info) => {
    const tabs: Tab[] = [];
    await use(async (options = {}) => {
      const tab = await openTab(browser, relay, options);
      const name = `tab ${tabs.push(tab)}`;
      tab.page.on('console', (m) => {
        if (m.type() === 'error') console.log(`[${info.title}] ${name}: ${m.text()}`);
      });
      tab.page.on('pageerror', (e) => console.log(`[${info.title}] ${name} threw: ${e.message}`));
      await tab.page.goto(relay.app);
      return tab;
    });
    await Promise.all(tabs.map((tab) => tab.close()));
  },
});

export { expect } from '@playwright/test';

async function openTab(
  browser: Browser,
  _relay: Relay,
  options: { colorScheme?: 'light' | 'dark'; width?: number },
): Promise<Tab> {
  const context = await browser.newContext({
    colorScheme: options.colorScheme ?? 'light',
    viewport: { width: options.width ?? 1280, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await context.close();
  };
  return { context, page, close };
}
