// The skeleton, walking: a site from tab to tab, the relay gone, the tab gone, everything back.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { get, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { expect, test } from '../support/fixtures.ts';
import { hasPeer, put, reads, signed, status } from '../support/node.ts';
import { openSite, publishFolder } from '../support/app.ts';

/** A small site with a subfolder, a script that fetches and a name in another script. */
async function sampleSite(): Promise<string> {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'site-')), 'field-notes');
  await mkdir(path.join(folder, 'заметки'), { recursive: true });
  const page = `<!doctype html><html lang="en"><title>Field notes</title>
    <link rel="stylesheet" href="style.css"><h1>Field notes</h1><p id="said"></p>
    <script src="app.js"></script></html>`;
  const script = `fetch('${encodeURI('заметки/один.json')}').then((r) => r.json())
    .then((j) => { document.getElementById('said').textContent = j.said; });`;
  await writeFile(path.join(folder, 'index.html'), page);
  await writeFile(path.join(folder, 'style.css'), 'h1 { color: rgb(1, 2, 3) }');
  await writeFile(path.join(folder, 'app.js'), script);
  await writeFile(path.join(folder, 'заметки/один.json'), '{"said":"larch, 3 m"}');
  return folder;
}

test('the app comes compressed, to each browser as it can take it', async ({ relay, openTab }) => {
  const { page } = await openTab();
  const entries = await page.evaluate(() =>
    (performance.getEntriesByType('resource') as PerformanceResourceTiming[])
      .filter(({ name }) => name.endsWith('_bg.wasm'))
      .map(({ encodedBodySize, decodedBodySize }) => encodedBodySize / decodedBodySize),
  );
  expect(entries).not.toEqual([]);
  // Brotli; gzip makes 0.38 of it.
  for (const share of entries) expect(share).toBeLessThan(0.33);

  const node = new URL('/node_bg.wasm', relay.app);
  const bodies = new Set<string>();
  const lengths: number[] = [];
  for (const [accepted, coding] of [
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip', 'gzip'],
    ['identity', null],
  ] as const) {
    const answer = await fetched(node, accepted);
    expect(answer.headers['content-encoding'] ?? null).toBe(coding);
    const plain =
      coding === 'br'
        ? brotliDecompressSync(answer.body)
        : coding === 'gzip'
          ? gunzipSync(answer.body)
          : answer.body;
    lengths.push(answer.body.length);
    bodies.add(createHash('sha256').update(plain).digest('hex'));
  }
  expect(bodies.size).toBe(1);
  expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
});

/** A file as it crosses the line: `fetch` would undo its coding. */
function fetched(url: URL, accepted: string) {
  return new Promise<{ headers: IncomingHttpHeaders; body: Buffer }>((resolve, reject) => {
    const headers = { 'Accept-Encoding': accepted, Host: url.host };
    const options = { host: '127.0.0.1', port: url.port, path: url.pathname, headers };
    get(options, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => resolve({ headers: answer.headers, body: Buffer.concat(parts) }));
      answer.on('error', reject);
    }).on('error', reject);
  });
}

test('a site walks from tab to tab, and survives the relay and its author', async ({
  relay,
  openTab,
}) => {
  const a = await openTab();
  const site = await publishFolder(a.page, await sampleSite());
  const b = await openTab();

  await test.step('tab B opens the site of tab A in its own origin', async () => {
    const opened = await openSite(b.page, site.cid);
    await expect(opened.getByRole('heading', { name: 'Field notes' })).toBeVisible();
    await expect(opened.locator('#said')).toHaveText('larch, 3 m');
    const color = opened.locator('h1').evaluate((h1) => getComputedStyle(h1).color);
    expect(await color).toBe('rgb(1, 2, 3)');
    expect(new URL(opened.url()).host).toBe(new URL(relay.site(site.cid)).host);
    expect(await opened.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);
  });

  const [idA, idB] = [(await status(a.page)).peerId, (await status(b.page)).peerId];
  await test.step('the connection between the tabs is direct', async () => {
    await hasPeer(b.page, (p) => p.peerId === idA && p.link === 'webrtc');
    await hasPeer(a.page, (p) => p.peerId === idB && p.link === 'webrtc');
    await b.page.getByRole('link', { name: 'Network' }).first().click();
    const row = b.page.getByRole('row').filter({ hasText: /WebRTC/ });
    await expect(row).toHaveCount(1);
  });

  await test.step('with the relay killed, B reads a second object from A', async () => {
    await relay.kill();
    const second = await put(a.page, 3_000_000, 7);
    expect(await reads(b.page, second, 3_000_000, 7)).toBe(true);
  });

  await test.step('with the relay back and A closed, the site opens from replicas', async () => {
    await relay.up();
    await hasPeer(a.page, (p) => p.role === 'relay', 60_000);
    // The relay and tab B: with both closed below, the relay alone still has it.
    await signed(a.page, site.cid, 2);
    await a.close();
    await b.close();
    const c = await openTab();
    const opened = await openSite(c.page, site.cid);
    await expect(opened.locator('#said')).toHaveText('larch, 3 m');
  });
});

test('a reload finds what the tab had', async ({ openTab }) => {
  const { page } = await openTab();
  const cid = await put(page, 2_000_000, 3);
  const before = await status(page);
  await page.reload();
  const after = await status(page);
  expect(after.peerId).toBe(before.peerId);
  expect(after.did).toBe(before.did);
  expect(await reads(page, cid, 2_000_000, 3)).toBe(true);
});
