// Tabs behind routers: a browser in each namespace, driven over its pipe; pages come from memory, so
// that no web server is needed inside.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const STUN_PORT = 3478;
const ORIGIN = 'http://localhost';
const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };

/** A STUN server in a namespace. */
export async function stun(network, name) {
  const command = ['netns', 'exec', network.of(name), process.execPath, join(here, 'stun.mjs')];
  const child = spawn('ip', [...command, network.relay, String(STUN_PORT)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const url = `stun:${network.relay}:${STUN_PORT}`;
  return { url, child, down: () => child.kill('SIGKILL') };
}

/** A tab of its own browser in the namespace `name`, with the probe that `tests/interop` builds. */
export class Tab {
  static async open(network, folder, name, pages) {
    const { startBrowser } = await import('../interop/stage.mjs');
    const wrapper = join(folder, `chromium-${name}`);
    const chromium = process.env.CHROME ?? '/usr/bin/chromium';
    writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${network.of(name)} ${chromium} "$@"\n`);
    chmodSync(wrapper, 0o755);
    const browser = await startBrowser(wrapper);
    const page = await (await browser.newContext()).newPage();
    page.on('pageerror', (error) => console.error(`[${name}]`, error.message));
    await page.context().route(`${ORIGIN}/**`, (route) => {
      const path = normalize(new URL(route.request().url()).pathname);
      if (path === '/tab.html') {
        const body = '<!doctype html><title>tab</title><script type="module" src="/tab.js"></script>';
        return route.fulfill({ contentType: 'text/html', body });
      }
      const file = join(pages, path);
      if (!existsSync(file)) return route.fulfill({ status: 404 });
      const contentType = TYPES[path.split('.').at(-1)] ?? 'application/octet-stream';
      return route.fulfill({ contentType, body: readFileSync(file) });
    });
    await page.goto(`${ORIGIN}/tab.html`);
    await page.waitForFunction(() => globalThis.tab);
    return Object.assign(new Tab(), { name, browser, page });
  }

  call(name, ...args) {
    return this.page.evaluate(([n, a]) => globalThis.tab.call(n, ...a), [name, args]);
  }

  async start(relay, stunUrl) {
    this.id = await this.call('start', [relay], { iceServers: [{ urls: stunUrl }] });
    return this.id;
  }

  async addresses() {
    return this.call('addresses');
  }

  /** How the tab is connected to another. */
  async link(to) {
    const lines = await this.call('peers');
    return lines.find((line) => line.startsWith(to.id))?.split(' ')[1];
  }

  down() {
    return this.browser.close();
  }
}
