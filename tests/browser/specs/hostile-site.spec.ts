// A site that attacks: the app, the node, its siblings. Everything here runs on the site's own
// origin, with what a site's script has; every attempt fails, and the app goes on.
import { expect, type Page } from '@playwright/test';
import { openSite } from '../support/app.ts';
import { test } from '../support/fixtures.ts';
import { appGoesOn, attack, FILES, write } from '../support/hostile.ts';
import { status } from '../support/node.ts';

test.describe('service workers', () => {
  test('none of its own is registered, whatever the address', async ({ relay, openTab }) => {
    const { site, cid } = await attack(relay, openTab);
    const served = await site.evaluate(async () => {
      const response = await fetch('/evil-sw.js');
      return [response.status, response.headers.get('content-type')];
    });
    expect(served, 'the file itself is a script').toEqual([200, 'text/javascript; charset=utf-8']);
    const attempts = await site.evaluate(async (cid) => {
      const code = 'onfetch = (e) => e.respondWith(new Response("owned"))';
      const blob = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
      const urls: [string, RegistrationOptions?][] = [
        ['/evil-sw.js'],
        ['/evil-sw.js', { scope: '/evil-sw.js' }],
        ['/evil-sw.js?/.craftec/sw.js'],
        ['/evil-sw.js#/.craftec/sw.js'],
        ['/evil-sw.js', { type: 'module', updateViaCache: 'all' }],
        ['/deep/evil-sw.js', { scope: '/deep/' }],
        ['/.craftec/boot.js', { scope: '/.craftec/' }],
        ['/.craftec/../evil-sw.js'],
        ['/.craftec/..%2fevil-sw.js', { scope: '/.craftec/' }],
        ['/.craftec%2fsw.js'],
        ['/%2ecraftec/sw.js', { scope: '/%2ecraftec/' }],
        ['/.craftec//sw.js', { scope: '/.craftec/' }],
        ['/.craftec/sw.js/', { scope: '/.craftec/' }],
        ['/.craftec/SW.js', { scope: '/.craftec/' }],
        ['//evil-sw.js'],
        [`/ipfs/${cid}/evil-sw.js?format=raw`],
        [`${APP}/ipfs/${cid}/evil-sw.js?format=raw`],
        [`${APP}/app-sw.js`],
        [blob],
        [`data:text/javascript,${encodeURIComponent(code)}`],
      ];
      const done: string[] = [];
      for (const [url, options] of urls) {
        const result = await tried(() => navigator.serviceWorker.register(url, options));
        if (result === 'done') done.push(url);
      }
      return done;
    }, cid);
    expect(attempts).toEqual([]);
    const registrations = await site.evaluate(async () =>
      (await navigator.serviceWorker.getRegistrations()).map((r) => r.active?.scriptURL),
    );
    expect(registrations).toEqual([`${new URL(site.url()).origin}/.craftec/sw.js`]);
  });

  test('its files in the place of ours are never served, and ours comes back', async ({
    relay,
    openTab,
  }) => {
    const { site, context } = await attack(relay, openTab);
    const ours = await site.evaluate(() => fetch('/.craftec/sw.js').then((r) => r.text()));
    expect(ours).not.toContain('owned');
    const variant = await site.evaluate(() => fetch('/.craftec/sw.js?x').then((r) => r.text()));
    expect(variant).toBe(ours);
    // A registration of ours under another address runs ours.
    await site.evaluate(async () => {
      await navigator.serviceWorker.register('/.craftec/sw.js?evil', { scope: '/deep/' });
      for (const one of await navigator.serviceWorker.getRegistrations()) await one.unregister();
      for (const name of await caches.keys()) await caches.delete(name);
      const cache = await caches.open('craftec');
      await cache.put('/', new Response('owned', { headers: { 'content-type': 'text/html' } }));
      await cache.put('/.craftec/sw.js', new Response('owned'));
    });
    const again = await context.newPage();
    await again.goto(site.url());
    await expect(again.locator('h1')).toHaveText('hostile');
    await expect.poll(() => again.evaluate(() => !!navigator.serviceWorker.controller)).toBe(true);
    expect(await again.evaluate(() => navigator.serviceWorker.controller?.scriptURL)).toMatch(
      /\/\.craftec\/sw\.js$/,
    );
  });
});

test.describe('frames and windows', () => {
  /** Where the frame of `src` that the site makes ends up. */
  async function framed(site: Page, src: string): Promise<string> {
    await site.evaluate((src) => {
      document.querySelectorAll('iframe').forEach((frame) => frame.remove());
      const frame = document.createElement('iframe');
      frame.src = src;
      document.body.append(frame);
      return new Promise((done) => (frame.onload = done));
    }, src);
    const url = () => site.frames()[1]?.url() ?? '';
    await expect.poll(url).not.toBe('');
    return url();
  }

  test('the app and siblings cannot be framed, online or from a cache', async ({
    relay,
    openTab,
  }) => {
    const { site, context, other, app } = await attack(relay, openTab);
    const blocked = /^chrome-error:/;
    for (const place of ['/', '/settings', '/open', '/index.html', '/x/bridge.html']) {
      expect(await framed(site, relay.app + place), place).toMatch(blocked);
    }
    expect(await framed(site, `${relay.site(other)}/`), 'a sibling never visited').toMatch(blocked);
    const sibling = await openSite(app.page, other);
    await expect(sibling.locator('body')).toHaveText('other');
    expect(await framed(site, `${relay.site(other)}/`), 'a sibling visited').toMatch(blocked);
    await expect.poll(() => app.page.evaluate(async () => !!(await caches.match('/')))).toBe(true);
    await relay.kill();
    const kept = await context.newPage();
    await kept.goto(relay.app);
    await expect(kept.getByRole('navigation', { name: 'Main' })).toBeVisible();
    expect(await framed(site, `${relay.app}/`), 'the app from its own cache').toMatch(blocked);
  });

  test('nothing of the app is read or run through a frame', async ({ relay, openTab }) => {
    const { site } = await attack(relay, openTab);
    const results = await site.evaluate(async () => {
      const frame = await bridge();
      const inside = frame.contentWindow as Window & typeof globalThis;
      document.domain = document.domain;
      return [
        await tried(() => inside.document.body),
        await tried(() => inside.localStorage.length),
        await tried(() => inside.indexedDB),
        await tried(() => inside.navigator.serviceWorker),
        await tried(() => (inside as unknown as { eval(code: string): void }).eval('1')),
        await tried(() => (document.domain = location.hostname.split('.').slice(1).join('.'))),
        await tried(() => inside.document),
        await tried(() => (inside.location.href = 'javascript:parent.owned = 1')),
      ];
    });
    expect(results.filter((result) => result === 'done').length).toBeLessThanOrEqual(1);
    expect(results.slice(0, 5)).toEqual(Array(5).fill('SecurityError'));
    expect(results[6]).toBe('SecurityError');
    expect(await site.evaluate(() => 'owned' in window)).toBe(false);
  });

  test('a window of the app gives no handle, and a link into it does nothing', async ({
    relay,
    openTab,
  }) => {
    const { site, context, app, other } = await attack(relay, openTab);
    const before = await status(app.page);
    const objects = () => app.page.evaluate(async () => (await window.testNode!).status());
    const stored = (await objects()) as unknown as { objects: number; storage: object };
    const links = [
      '/',
      `/open?root=${other}&path=..%2F..%2Fapi`,
      '/settings?lend=0&lendSpace=0#lend=0',
      `/publish?cid=${other}#publish`,
      `/sites/${other}?pin=1&unpin=1`,
      `/files?cid=${other}&put=x`,
      '/network?connect=%2Fip4%2F192.0.2.1%2Ftcp%2F1',
      `/?root=javascript:alert(1)#<img src=x onerror=alert(1)>`,
    ];
    for (const link of links) {
      const opened = context.waitForEvent('page');
      await site.evaluate(
        (url) => void ((window as { w?: unknown }).w = open(url)),
        relay.app + link,
      );
      const page = await opened;
      let alerts = 0;
      page.on('dialog', (dialog) => ((alerts += 1), dialog.dismiss()));
      await expect(page.getByRole('navigation', { name: 'Main' })).toBeVisible();
      expect(await page.evaluate(() => opener), link).toBeNull();
      const handle = await site.evaluate(async () => {
        const w = (window as { w?: Window | null }).w!;
        w.postMessage({ t: 'attach' }, '*');
        return {
          closed: w.closed,
          frames: w.length,
          navigated: await tried(() => (w.location.href = 'javascript:document.title="owned"')),
        };
      });
      expect(handle.closed, 'the handle leads nowhere').toBe(true);
      expect(handle.frames).toBe(0);
      expect(await page.title()).not.toBe('owned');
      expect(alerts).toBe(0);
      await page.close();
    }
    const after = (await objects()) as unknown as typeof stored;
    expect(after.objects).toBe(stored.objects);
    expect((after.storage as { lendLimit?: number }).lendLimit).toBe(
      (stored.storage as { lendLimit?: number }).lendLimit,
    );
    await appGoesOn(app.page, before);
  });

  test('a site that the app opened or shows cannot lead the app away', async ({
    relay,
    openTab,
  }) => {
    const { site, app, cid } = await attack(relay, openTab);
    expect(await site.evaluate(() => opener)).toBeNull();
    await app.page.getByRole('button', { name: 'View it here' }).click();
    const view = app.page.frameLocator('iframe[title="The opened site"]');
    await expect(view.locator('h1')).toHaveText('hostile');
    const frame = app.page.frames().find((f) => f.url().startsWith(relay.site(cid)))!;
    await frame.evaluate(() => {
      onclick = () => {
        for (const to of ['http://127.0.0.1:9/', 'javascript:document.title="owned"']) {
          try {
            top!.location.href = to;
          } catch {
            // Refused.
          }
        }
      };
    });
    await view.locator('h1').click();
    await new Promise((done) => setTimeout(done, 1_000));
    expect(app.page.url()).toContain(relay.app);
    expect(await app.page.title()).not.toBe('owned');
    const features = ['camera', 'microphone', 'geolocation', 'display-capture', 'payment'];
    const allowed = (features: string[]) => {
      type Policy = { featurePolicy: { allowsFeature(name: string): boolean } };
      const { featurePolicy } = document as unknown as Policy;
      return features.filter((name) => featurePolicy.allowsFeature(name));
    };
    expect(await frame.evaluate(allowed, features), 'in our frame').toEqual([]);
  });
});

test.describe('the bridge', () => {
  test('gives a port for the site itself, whatever is asked for', async ({ relay, openTab }) => {
    const { site, cid, other, app } = await attack(relay, openTab);
    const { roots, answers, own } = await site.evaluate(
      async ({ cid, other }) => {
        const frame = await bridge();
        const roots: unknown[] = [];
        const forged = [
          { t: 'want', root: other },
          { t: 'want', site: other, client: 'craftec-client-1' },
          { t: 'want', origin: APP },
          { t: 'lead', life: 'x' },
          { t: 'attach' },
          null,
          'want',
          [],
        ];
        let port: MessagePort | undefined;
        for (const message of forged) {
          const answer = await say(frame, message);
          roots.push(answer?.root ?? answer?.t ?? 'silence');
          port ??= answer?.port;
        }
        const commands: [string, unknown][] = [
          ['other root', { get_open: { cid: other, path: '', range: null } }],
          ['other list', { list: { cid: other, path: '' } }],
          ['other stat', { stat: { cid: other } }],
          ['status', 'status'],
          ['subscribe', 'subscribe'],
          ['objects', 'objects'],
          ['sites', 'sites'],
          ['words', 'backup_words'],
          ['connect', { connect: { addr: '/ip4/192.0.2.1/tcp/1' } }],
          ['lend', { lend_space: { bytes: 0 } }],
          ['resolve', { resolve: { name: 'n' } }],
          ['pin', { pin: { cid } }],
          ['unpin', { unpin: { cid } }],
          ['block', { block: { cid } }],
          ['car', { car_open: { cid, path: '' } }],
          ['folder', 'folder_open'],
          ['put', { put_open: { replicas: null, redundancy: null, name: null } }],
        ];
        const answers: [string, string][] = [];
        for (const [name, command] of commands) {
          const answer = await ask(port!, command);
          answers.push([name, /refused/.test(answer) ? 'refused' : answer.slice(0, 80)]);
        }
        const own = await ask(port!, { get_open: { cid, path: 'evil.css', range: null } });
        return { roots, answers, own };
      },
      { cid, other },
    );
    expect(roots.slice(0, 3), 'the host of the page alone decides').toEqual([cid, cid, cid]);
    expect(roots.slice(3)).toEqual(Array(5).fill('silence'));
    expect(answers).toEqual(answers.map(([name]) => [name, 'refused']));
    expect(own, 'its own files it may read').toContain('opened');
    await appGoesOn(app.page);
  });

  test('a frame too long for a question ends the session, not the node', async ({
    relay,
    openTab,
  }) => {
    const { site, app } = await attack(relay, openTab);
    const before = await status(app.page);
    const said = await site.evaluate(async () => {
      const frame = await bridge();
      const { port } = (await say(frame, { t: 'want' }))!;
      return new Promise<string>((done) => {
        port.onmessage = ({ data }) => done(typeof data === 'string' ? data : 'an answer');
        for (let i = 0; i < 4; i++) {
          const huge = new Uint8Array(64 << 20);
          port.postMessage(huge, [huge.buffer]);
        }
        setTimeout(() => done('silence'), 15_000);
      });
    });
    expect(said).toBe('bye');
    await appGoesOn(app.page, before);
  });

  for (const kind of ['by its CID', 'by a name']) {
    test(`a flood of questions by a site ${kind} shuts nobody else out`, async ({
      relay,
      openTab,
    }) => {
      test.setTimeout(240_000);
      const { context, app, site: first } = await attack(relay, openTab);
      const before = await status(app.page);
      let site = first;
      if (kind === 'by a name') {
        const folder = await write(FILES);
        const { label } = await relay.cli('site', 'publish', folder, '--name', 'flood');
        site = await context.newPage();
        await site.goto(relay.site(String(label)));
        await expect(site.locator('h1')).toHaveText('hostile');
      }
      const heard = await site.evaluate(async () => {
        const frames: HTMLIFrameElement[] = [];
        for (let i = 0; i < 8; i++) frames.push(await bridge());
        let ports = 0;
        addEventListener('message', ({ data }) => (ports += data?.t === 'node' ? 1 : 0));
        for (let i = 0; i < 400; i++) {
          for (const frame of frames) frame.contentWindow!.postMessage({ t: 'want' }, APP);
        }
        await new Promise((done) => setTimeout(done, 8_000));
        return ports;
      });
      expect(heard, 'one question of a frame at a time').toBeLessThan(100);
      // A second tab of the app needs a session of its own.
      const second = await context.newPage();
      await second.goto(relay.app);
      await appGoesOn(second, before);
      await appGoesOn(app.page, before);
    });
  }
});
