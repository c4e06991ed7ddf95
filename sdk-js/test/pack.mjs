// The package as others get it: packed, installed into a fresh vite project outside this tree,
// built, served, and used in Chromium. Also checks what publint says of it. Needs dist/.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { startBrowser } from './host.mjs';

const here = fileURLToPath(new URL('..', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const MAIN = `import { createNode, CraftecError, type Node } from '@craftec/sdk';
declare global { interface Window { run: () => Promise<unknown> } }
window.run = async () => {
  const node: Node = await createNode({ relays: [] });
  const { cid, size } = await node.obj.put('packed');
  const text = new TextDecoder().decode(await node.obj.get(cid));
  const site = await node.sites.publish(new Map([['index.html', '<h1>hi</h1>']]));
  const bad = await node.obj.get('x').catch((e: unknown) => e instanceof CraftecError && e.code);
  const { role } = node;
  await node.stop();
  return { text, size, files: site.files, bad, role };
};
`;

function run(command, args, cwd) {
  const done = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (done.status !== 0) {
    throw new Error(
      `${command} ${args.join(' ')}\n${done.error ?? ''}${done.stdout}${done.stderr}`,
    );
  }
  return done.stdout;
}

async function checkPackage() {
  const { messages, pkg } = await publint({ pkgDir: here, strict: true });
  const lines = messages.map((message) => formatMessage(message, pkg));
  assert.deepEqual(lines, [], 'publint');
}

function scaffold(project, tarball) {
  mkdirSync(join(project, 'src'), { recursive: true });
  const write = (name, text) => writeFileSync(join(project, name), text);
  const versions = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).devDependencies;
  const manifest = {
    name: 'fresh',
    private: true,
    type: 'module',
    dependencies: { '@craftec/sdk': `file:${tarball}` },
    devDependencies: { vite: '^8.0.0', typescript: versions.typescript },
  };
  write('package.json', JSON.stringify(manifest));
  write(
    'index.html',
    '<!doctype html><title>fresh</title><script type="module" src="/src/main.ts"></script>',
  );
  write('src/main.ts', MAIN);
  const compilerOptions = {
    target: 'ES2022',
    module: 'ESNext',
    moduleResolution: 'bundler',
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
    strict: true,
    noEmit: true,
    types: [],
  };
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }));
}

async function serve(folder) {
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    const name = pathname === '/' ? 'index.html' : pathname.slice(1);
    try {
      const body = readFileSync(join(folder, name));
      response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'text/plain' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}

const root = mkdtempSync(join(tmpdir(), 'craftec-pack-'));
let server;
let browser;
try {
  await checkPackage();
  const out = run('npm', ['pack', '--json', '--pack-destination', root], here);
  const [{ filename, files }] = JSON.parse(out.slice(out.indexOf('[')));
  const names = files.map(({ path }) => path);
  for (const wanted of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/worker.js',
    'dist/node_bg.wasm',
    'dist/worker-sql.js',
    'dist/node_sql_bg.wasm',
    'README.md',
  ]) {
    assert.ok(names.includes(wanted), `${wanted} is in the package`);
  }
  assert.ok(!names.some((name) => name.startsWith('src/')), 'sources are not in the package');
  const project = join(root, 'fresh');
  scaffold(project, join(root, filename));
  run(
    'npm',
    ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'],
    project,
  );
  run('npx', ['tsc'], project);
  run('npx', ['vite', 'build'], project);
  const built = readdirSync(join(project, 'dist'), { recursive: true }).join(' ');
  for (const part of [/worker.*\.js/, /broker.*\.js/, /node_bg.*\.wasm/]) assert.match(built, part);
  server = await serve(join(project, 'dist'));
  browser = await startBrowser();
  const page = await browser.context.newPage();
  page.on('console', (message) => console.log('  [page]', message.text()));
  await page.goto(`http://localhost:${server.address().port}/`);
  await page.waitForFunction(() => 'run' in window);
  assert.deepEqual(await page.evaluate(() => window.run()), {
    text: 'packed',
    size: 6,
    files: 1,
    bad: 'bad_input',
    role: 'leader',
  });
  console.log('ok      the packed package works in a fresh vite project');
} finally {
  await browser?.close();
  server?.close();
  rmSync(root, { recursive: true, force: true });
}
