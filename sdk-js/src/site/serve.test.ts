import { describe, expect, it, vi } from 'vitest';

vi.stubGlobal('location', new URL('http://x.craftec.localhost:4080'));
import { Connection } from '../client/connection.js';
import { ConnectionLost } from '../errors.js';
import { isNameLabel, siteHost } from './names.js';
import { CID, FakeNode, type Behaviour } from '../client/fake-node.js';

// A service worker has a location when its modules load.
const { parseRange, pathOf, serve } = await import('./serve.js');

/** A node with one site. A folder opens as its `index.html`, as the node does it. */
function siteNode(files: Record<string, string>): Behaviour {
  const reads = new Map<number, { text: string; read: boolean }>();
  return (name, fields, node) => {
    if (name === 'get_read') {
      const read = reads.get(fields['handle'] as number);
      const bytes = new TextEncoder().encode(read && !read.read ? read.text : '');
      if (read) read.read = true;
      return { bytes: { bytes } };
    }
    const asked = fields['path'] as string;
    const index = asked === '' ? 'index.html' : `${asked}/index.html`;
    const isFolder = Object.keys(files).some(
      (path) => asked === '' || path.startsWith(`${asked}/`),
    );
    const path = asked in files ? asked : index in files ? index : asked;
    const text = files[path];
    if (text === undefined && !isFolder) throw { code: 'not_found', message: `no ${asked}` };
    const range = fields['range'] as { start: number; end: number } | null;
    const handle = node.handle();
    reads.set(handle, { text: (text ?? '').slice(range?.start ?? 0, range?.end), read: false });
    const kind = text === undefined ? 'folder' : 'file';
    return { opened: { handle, cid: CID, size: text?.length ?? 0, kind, path, mime: 'text/html' } };
  };
}

async function ask(files: Record<string, string>, path: string, range: string | null = null) {
  const node = new FakeNode(siteNode(files));
  const connection = await Connection.open(node);
  const url = new URL(`http://x.craftec.localhost:4080${path}`);
  const session = {
    run: <T>(work: (c: Connection, again: boolean) => T) => work(connection, false),
  };
  const response = await serve({ root: CID, session }, { url, method: 'GET', range });
  const body = response.body ? await response.text() : '';
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(node.open.size).toBe(0);
  return { response, status: response.status, body, location: response.headers.get('location') };
}

const SITE = {
  'index.html': 'home',
  'docs/index.html': 'docs',
  'a b/ü.html': 'named',
  'img/x': '',
};

describe('a site from the node', () => {
  it('answers files, index files and names in any script', async () => {
    expect(await ask(SITE, '/')).toMatchObject({ status: 200, body: 'home' });
    expect(await ask(SITE, '/docs/')).toMatchObject({ status: 200, body: 'docs' });
    expect(await ask(SITE, '/a%20b/%C3%BC.html')).toMatchObject({ status: 200, body: 'named' });
    const { response } = await ask(SITE, '/index.html');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('content-security-policy')).toBe(
      "frame-ancestors 'self' http://app.craftec.localhost:4080",
    );
    expect(response.headers.get('etag')).toBe(`"${CID}"`);
  });

  it('sends folders to their slash, on this origin', async () => {
    expect(await ask(SITE, '/docs?q=1')).toMatchObject({ status: 302, location: '/docs/?q=1' });
    expect(await ask({ 'evil/index.html': '' }, '//evil')).toMatchObject({ status: 400 });
  });

  it('says 404 in the site’s own words, or in ours', async () => {
    expect(await ask({ ...SITE, '404.html': 'lost?' }, '/nope')).toMatchObject({
      status: 404,
      body: 'lost?',
    });
    const { status, body } = await ask(SITE, '/<script>');
    expect(status).toBe(404);
    expect(body).not.toContain('<script>');
    expect(await ask(SITE, '/img/')).toMatchObject({ status: 404 });
    expect(await ask(SITE, '/index.html/')).toMatchObject({ status: 404 });
  });

  it('answers ranges', async () => {
    const site = { 'f.txt': '0123456789' };
    const part = await ask(site, '/f.txt', 'bytes=2-4');
    expect(part).toMatchObject({ status: 206, body: '234' });
    expect(part.response.headers.get('content-range')).toBe('bytes 2-4/10');
    expect(await ask(site, '/f.txt', 'bytes=-3')).toMatchObject({ status: 206, body: '789' });
    expect(await ask(site, '/f.txt', 'bytes=10-')).toMatchObject({ status: 416 });
  });

  it('leaves a lost node to its caller', async () => {
    const node = new FakeNode(siteNode(SITE));
    const connection = await Connection.open(node);
    node.lose();
    const url = new URL('http://x.craftec.localhost/');
    const session = {
      run: <T>(work: (c: Connection, again: boolean) => T) => work(connection, false),
    };
    const lost = serve({ root: CID, session }, { url, method: 'GET', range: null });
    await expect(lost).rejects.toBeInstanceOf(ConnectionLost);
  });
});

describe('what a request says', () => {
  it.each([
    ['/', ''],
    ['/a/b', 'a/b'],
    ['/a/', 'a'],
    ['/%E0%A4%A', undefined],
    ['/%2e%2e/x', undefined],
    ['/a%2fb', undefined],
    ['/a%00', undefined],
    ['/a//b', undefined],
  ])('path %s', (pathname, path) => expect(pathOf(pathname)).toBe(path));

  it.each([
    [null, undefined],
    ['bytes=0-0', { start: 0, end: 1 }],
    ['bytes=5-', { start: 5, end: 10 }],
    ['bytes=5-99', { start: 5, end: 10 }],
    ['bytes=-99', { start: 0, end: 10 }],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', undefined],
    ['bytes=0-1,3-4', undefined],
    ['lines=1-2', undefined],
    ['bytes=-', undefined],
  ])('range %s', (header, range) => expect(parseRange(header, 10)).toEqual(range));

  it('host', () => {
    const cid = `${CID}.craftec.localhost:4080`;
    expect(siteHost(`http://${cid}`)).toEqual({
      label: CID,
      app: 'http://app.craftec.localhost:4080',
    });
    expect(siteHost('https://a.x.org')?.app).toBe('https://app.x.org');
    for (const bad of ['null', 'http://localhost', 'http://a.b/c', '']) {
      expect(siteHost(bad)).toBeUndefined();
    }
    expect(siteHost('http://evil.com.craftec.localhost')?.app).toBe(
      'http://app.com.craftec.localhost',
    );
    expect(isNameLabel(`n${'a'.repeat(52)}`)).toBe(true);
    expect(isNameLabel('news')).toBe(false);
  });
});
