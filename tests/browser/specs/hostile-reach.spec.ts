// A site that reaches for what is not its own: names, cookies, keys, devices, the API, the gateway,
// other hosts and paths, the disk. Nothing is there for it.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, type Page } from '@playwright/test';
import { openSite } from '../support/app.ts';
import { test } from '../support/fixtures.ts';
import { appGoesOn, attack, write } from '../support/hostile.ts';
import { request } from '../support/http.ts';
import { put, reads, status } from '../support/node.ts';

test('nothing of the app is found under its names', async ({ relay, openTab }) => {
  const { app, site } = await attack(relay, openTab);
  await app.page.evaluate(async () => {
    localStorage.setItem('secret', 'of the app');
    await new Promise((done) => {
      const request = indexedDB.open('secret');
      request.onsuccess = done;
    });
    await caches.open('secret');
  });
  const found = await site.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const worker = (url: string) =>
      new Promise((done, fail) => {
        const made = new SharedWorker(url, { name: 'craftec-broker', type: 'module' });
        made.onerror = () => fail(new DOMException('not loaded', 'NetworkError'));
        setTimeout(done, 1_500);
      });
    const channel = new BroadcastChannel('craftec-node');
    const heard = new Promise<string>((done) => {
      channel.onmessage = () => done('heard');
      setTimeout(() => done('silence'), 2_000);
    });
    channel.postMessage({ t: 'who' });
    const { held } = await navigator.locks.query();
    return {
      local: localStorage.getItem('secret'),
      databases: (await indexedDB.databases()).map(({ name }) => name),
      caches: await caches.keys(),
      opfs: await tried(() => root.getDirectoryHandle('craftec')),
      broker: await tried(() => worker(`${APP}/sdk/broker.js`)),
      node: await tried(() => new Worker(`${APP}/sdk/worker.js`, { type: 'module' })),
      sdk: await tried(() => import(`${APP}/sdk/index.js`)),
      channel: await heard,
      locks: held?.map(({ name }) => name),
      lock: await navigator.locks.request('craftec-node', { ifAvailable: true }, (l) => !!l),
    };
  });
  expect(found).toEqual({
    local: null,
    databases: [],
    caches: [],
    opfs: 'NotFoundError',
    broker: 'SecurityError',
    node: 'SecurityError',
    sdk: 'TypeError',
    channel: 'silence',
    locks: [],
    // The site's own lock of that name: the app's is another, and stays held.
    lock: true,
  });
  const answered = await app.page.evaluate(
    () =>
      new Promise<string>((done) => {
        const channel = new BroadcastChannel('craftec-node');
        channel.onmessage = ({ data }) => data.t === 'leader' && done('leader');
        channel.postMessage({ t: 'who' });
      }),
  );
  expect(answered, 'on the app’s own origin that is how tabs find the node').toBe('leader');
  const holder = () => navigator.locks.query().then(({ held }) => held?.map(({ name }) => name));
  expect(await app.page.evaluate(holder)).toContain('craftec-node');
});

test('cookies for the whole domain do not shut the app out, and do not stay', async ({
  relay,
  openTab,
}) => {
  const { app, site, context } = await attack(relay, openTab);
  const laid = await site.evaluate(() => {
    const domain = location.hostname.split('.').slice(1).join('.');
    for (let i = 0; i < 180; i++) {
      document.cookie = `bomb${i}=${'x'.repeat(4_000)}; Domain=${domain}; Path=/`;
    }
    return document.cookie.length;
  });
  expect(laid, 'the bomb is laid').toBeGreaterThan(100_000);
  await app.page.reload();
  await expect(app.page.getByRole('navigation', { name: 'Main' })).toBeVisible();
  await expect.poll(async () => (await context.cookies()).length).toBe(0);
  await appGoesOn(app.page);
});

test('passkeys of the app and of the domain cannot be claimed', async ({ relay, openTab }) => {
  const { app, site, context } = await attack(relay, openTab);
  const authenticator = async (page: Page) => {
    const cdp = await context.newCDPSession(page);
    await cdp.send('WebAuthn.enable');
    const options = {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    } as const;
    await cdp.send('WebAuthn.addVirtualAuthenticator', { options });
  };
  const make = async (id: string) => {
    const publicKey: PublicKeyCredentialCreationOptions = {
      challenge: new Uint8Array(32),
      rp: { id, name: 'x' },
      user: { id: new Uint8Array(8), name: 'x', displayName: 'x' },
      pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    };
    return navigator.credentials.create({ publicKey }).then(
      () => 'done',
      (error: Error) => error.name,
    );
  };
  const use = async (rpId: string) => {
    const publicKey = { challenge: new Uint8Array(32), rpId };
    return navigator.credentials.get({ publicKey }).then(
      () => 'done',
      (error: Error) => error.name,
    );
  };
  const domain = new URL(relay.app).hostname;
  // Only a page in front may ask.
  await app.page.bringToFront();
  await authenticator(app.page);
  expect(await app.page.evaluate(make, domain), 'the app itself can').toBe('done');
  expect(await app.page.evaluate(use, domain)).toBe('done');
  await site.bringToFront();
  await authenticator(site);
  const own = new URL(site.url()).hostname;
  for (const id of [domain, domain.replace('app.', ''), own, 'localhost']) {
    expect(await site.evaluate(make, id), `create for ${id}`).toMatch(/NotAllowed|Security/);
    expect(await site.evaluate(use, id), `get for ${id}`).toMatch(/NotAllowed|Security/);
  }
});

test('payments and devices are refused, from the node and from the gateway', async ({
  relay,
  openTab,
}) => {
  const { site } = await attack(relay, openTab);
  const names = [
    'permissions-policy',
    'content-security-policy',
    'cross-origin-resource-policy',
    'origin-agent-cluster',
    'x-content-type-options',
    'referrer-policy',
  ];
  const fromNode = await site.evaluate(async (names) => {
    const { headers } = await fetch('/evil.css');
    return names.map((name) => headers.get(name));
  }, names);
  const { headers } = await request(relay, new URL(site.url()).host, '/evil.css');
  const sorted = (policy: unknown) => String(policy).split(/,\s*/).sort();
  const fromGateway = names.map((name) => sorted(headers[name]));
  expect(fromNode.map(sorted), 'both say the same').toEqual(fromGateway);
  const result = await site.evaluate(async () => {
    type Policy = { featurePolicy: { allowsFeature(name: string): boolean } };
    const { featurePolicy } = document as unknown as Policy;
    const names = [
      ...['publickey-credentials-get', 'publickey-credentials-create', 'payment', 'usb'],
      ...['serial', 'hid', 'midi', 'display-capture', 'idle-detection', 'otp-credentials'],
      ...['identity-credentials-get', 'local-fonts', 'bluetooth'],
    ];
    const allowed = names.filter((name) => featurePolicy.allowsFeature(name));
    const media = navigator.mediaDevices;
    const payment = await tried(() => {
      const methods = [{ supportedMethods: `${location.origin}/pay` }];
      return new PaymentRequest(methods, {
        total: { label: 'x', amount: { currency: 'EUR', value: '1' } },
      }).canMakePayment();
    });
    return { allowed, payment, screen: await tried(() => media.getDisplayMedia()) };
  });
  expect(result.allowed).toEqual([]);
  expect(result.payment).toMatch(/SecurityError|ReferenceError/);
  expect(result.screen).toMatch(/NotAllowedError|InvalidStateError/);
});

test('the API is out of reach, with the token too', async ({ relay, openTab }) => {
  const { app, site } = await attack(relay, openTab);
  const token = await readFile(path.join(relay.data, 'api.token'), 'utf8');
  const hosts = [new URL(relay.app).host, `127.0.0.1:${relay.http}`, `localhost:${relay.http}`];
  const connect = ([url, token]: [string, string]) =>
    new Promise<string>((done) => {
      const socket = new WebSocket(url, ['craftec', `token.${token}`]);
      socket.onopen = () => done('open');
      socket.onerror = () => done('refused');
    });
  for (const host of hosts) {
    const url = `ws://${host}/api/v1`;
    expect(await app.page.evaluate(connect, [url, token] as [string, string]), 'the app may').toBe(
      'open',
    );
    for (const given of ['', `?token=${token}`]) {
      for (const held of [token, '0']) {
        const outcome = await site.evaluate(connect, [url + given, held] as [string, string]);
        expect(outcome, `${url} from a site`).toBe('refused');
      }
    }
  }
  const own = await site.evaluate(connect, [
    `ws://${new URL(site.url()).host}/api/v1?token=${token}`,
    token,
  ] as [string, string]);
  expect(own, 'on its own host').toBe('refused');
  const fetched = await site.evaluate(
    async ([app, token]) => {
      const urls = [
        '/api/v1',
        `/api/v1?token=${token}`,
        '/relay.json',
        '/metrics',
        '/healthz',
        '/',
      ];
      const results: string[] = [];
      for (const url of urls) {
        const host = { 'x-forwarded-host': new URL(app!).host };
        results.push(await tried(() => fetch(app + url)));
        results.push(await tried(() => fetch(app + url, { headers: host })));
        results.push(await tried(() => fetch(app + url, { method: 'POST', body: 'x' })));
        const own = await fetch(url, { headers: host }).then((r) => r.text());
        if (/craftec_|peer_id|^ok/.test(own)) results.push(`read ${url}`);
      }
      return results;
    },
    [relay.app, token],
  );
  expect(fetched).toEqual(fetched.map(() => 'TypeError'));
});

test('the gateway’s content is no script, style, page or worker', async ({ relay, openTab }) => {
  const { site, cid, context } = await attack(relay, openTab);
  const listed = await relay.cli('ls', cid);
  const entries = (listed['entries'] ?? listed) as { name: string; cid: string }[];
  const cidOf = (name: string) => entries.find((entry) => entry.name === name)!.cid;
  const bare = `http://127.0.0.1:${relay.http}`;
  const local = `http://localhost:${relay.http}`;
  for (const base of [relay.app, bare, local]) {
    const results = await site.evaluate(
      async ([base, script, style, page]) => {
        const url = (cid: string) => `${base}/ipfs/${cid}?format=raw`;
        const load = (tag: 'script' | 'link' | 'img' | 'object', cid: string) =>
          new Promise<string>((done) => {
            const element = document.createElement(tag);
            if (element instanceof HTMLLinkElement) {
              element.rel = 'stylesheet';
              element.href = url(cid);
            } else if (element instanceof HTMLObjectElement) element.data = url(cid);
            else element.src = url(cid);
            element.onload = () => done('loaded');
            element.onerror = () => done('refused');
            // Not every element says that it was refused.
            setTimeout(() => done('refused'), 3_000);
            document.body.append(element);
          });
        const worker = (code: string) =>
          new Promise<string>((done) => {
            const blob = new Blob([code], { type: 'text/javascript' });
            const made = new Worker(URL.createObjectURL(blob));
            made.onmessage = ({ data }) => done(data);
          });
        const importing = `try { importScripts('${url(script!)}'); postMessage('ran') }
          catch (e) { postMessage(e.name) }`;
        return {
          script: await load('script', script!),
          style: await load('link', style!),
          image: await load('img', page!),
          object: await load('object', page!),
          module: await tried(() => import(url(script!))),
          fetched: await tried(() => fetch(url(script!))),
          opaque: await tried(() => fetch(url(script!), { mode: 'no-cors' })),
          worker: await worker(importing),
          made: await tried(() => new Worker(url(script!))),
        };
      },
      [base, cidOf('evil-sw.js'), cidOf('evil.css'), cidOf('evil.svg')],
    );
    expect(results, base).toEqual({
      script: 'refused',
      style: 'refused',
      image: 'refused',
      object: 'refused',
      module: 'TypeError',
      fetched: 'TypeError',
      opaque: 'TypeError',
      worker: 'NetworkError',
      made: 'SecurityError',
    });
  }
  // A person who goes there gets a download or words, never a page.
  const visitor = await context.newPage();
  const started = visitor.waitForEvent('download');
  await visitor.goto(`${relay.app}/ipfs/${cidOf('evil.svg')}?format=raw`).catch(() => {});
  expect((await started).suggestedFilename()).toMatch(/\.bin$/);
  expect(await site.evaluate(() => 'owned' in self)).toBe(false);
});

test('no other host or path leads to the app or to content', async ({ relay, openTab }) => {
  const { cid, other } = await attack(relay, openTab);
  const domain = 'craftec.localhost';
  const at = (name: string) => `${name}:${relay.http}`;
  const hosts = [
    `${cid}.app.${domain}`,
    `app.${cid}.${domain}`,
    `app.app.${domain}`,
    `${cid}.${other}.${domain}`,
    `app.${domain}.`,
    `${cid}.${domain}.`,
    `xn--app-.${domain}`,
    `аpp.${domain}`.replace('а', 'xn--pp-6ya'),
    `${'a'.repeat(63)}.${domain}`,
    `${'a'.repeat(64)}.${domain}`,
    `${cid.toUpperCase()}.${domain}`,
    `app%2e${domain}`,
    `app.${domain}@evil.example`,
    `evil.example#.${domain}`,
    `app.${domain}.evil.example`,
    `evil${domain}`,
    'evil.example',
  ];
  for (const host of hosts) {
    for (const target of ['/', '/healthz', '/relay.json', `/ipfs/${cid}?format=raw`]) {
      const { status, text } = await request(relay, at(host), target);
      expect([400, 421], `${host}${target}: ${status}`).toContain(status);
      expect(text).not.toMatch(/<script|peer_id|hostile/);
    }
  }
  const site = at(`${cid}.${domain}`);
  const paths = ['/..%2f', '//app', '/%2e%2e/%2e%2e/etc/passwd', '/%2e/', '/a/..', '/%00', '/%ff'];
  for (const target of [...paths, '/..\\..\\', '/%5c..%5c', '/.craftec/..%2findex.html']) {
    const { status } = await request(relay, site, target);
    expect([400, 404], target).toContain(status);
  }
  const app = at(`app.${domain}`);
  for (const target of [...paths, '/site/boot.html', '/sdk/site/sw.js', '/.craftec/sw.js']) {
    const { status, text } = await request(relay, app, target);
    expect([400, 404], target).toContain(status);
    expect(text).not.toContain('root:');
  }
});

test('names of files put nothing into headers or pages', async ({ relay, openTab }) => {
  const { app } = await attack(relay, openTab);
  const names = [
    'a\r\nSet-Cookie: owned=1\r\n.txt',
    'b"; filename="evil.html',
    '<img src=x onerror=owned=1>.txt',
    'c\u2028\u202e.html',
    'd\r\nX-Evil: 1/index.html',
    'e.html.unknown',
  ];
  const files = Object.fromEntries(names.map((name) => [name, '<script>owned = 1</script>']));
  const folder = await write({ ...files, 'index.html': '<h1>names</h1>' });
  const { cid } = await relay.cli('site', 'publish', folder);
  const site = await openSite(app.page, String(cid));
  for (const direct of [false, true]) {
    for (const name of names) {
      const url = '/' + name.split('/').map(encodeURIComponent).join('/');
      const headers = await site.evaluate(
        async ([url, direct]) => {
          const init = direct ? { headers: { 'X-Craftec-Direct': '1' } } : {};
          const base = direct ? `${url}?` : url;
          const response = await fetch(base!, init as RequestInit);
          return [response.status, ...[...response.headers].flat()].join('\n');
        },
        [url, direct ? '1' : ''] as const,
      );
      expect(headers.slice(0, 3)).toBe(/[\r\n]/.test(name) ? '400' : '200');
      expect(headers).not.toMatch(/set-cookie|x-evil/i);
      expect(headers).not.toMatch(/text\/html[^]*unknown/);
    }
  }
  const folderUrl = `/${encodeURIComponent('d\r\nX-Evil: 1')}`;
  const raw = await request(relay, `${cid}.craftec.localhost:${relay.http}`, folderUrl);
  expect([302, 400]).toContain(raw.status);
  expect(raw.headers['x-evil']).toBeUndefined();
  // A missing file's page shows its name as text.
  for (const name of ['<script>owned=1<', '"><img src=x onerror=owned=1>']) {
    await site.goto(`${new URL(site.url()).origin}/${encodeURIComponent(name)}`);
    await expect(site.locator('body')).toContainText(/nothing at|no such file/i);
    expect(await site.evaluate(() => 'owned' in self)).toBe(false);
  }
  expect(await app.context.cookies()).toEqual([]);
});

test('a site that fills its storage leaves the app its own', async ({ relay, openTab }) => {
  const { app, site, context } = await attack(relay, openTab);
  const before = await status(app.page);
  const cdp = await context.newCDPSession(site);
  const origin = new URL(site.url()).origin;
  await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 20 << 20 });
  const outcome = await site.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const file = await (await root.getFileHandle('x', { create: true })).createWritable();
    const fill = async () => {
      for (let i = 0; i < 60; i++) await file.write(new Uint8Array(1 << 20));
      await file.close();
    };
    const database = await tried(async () => {
      const cache = await caches.open('x');
      for (let i = 0; i < 60; i++) await cache.put(`/${i}`, new Response(new Uint8Array(1 << 20)));
    });
    return [await tried(fill), database];
  });
  expect(outcome).toContain('QuotaExceededError');
  const cid = await put(app.page, 30_000_000, 5);
  expect(await reads(app.page, cid, 30_000_000, 5)).toBe(true);
  await appGoesOn(app.page, before);
});
