// Builds dist/ from src/ and pkg/: `node sdk-js/build.mjs`.
//
// pkg/ comes from wasm-bindgen (`--target web`, as `node` and `node_sql`) before this runs.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const src = join(here, 'src');
const dist = join(here, 'dist');
const pkg = join(here, 'pkg');
const require = createRequire(import.meta.url);

/** `import text from './file?text'`: a file of src/ or one built before, as a string. */
function textFiles(folders) {
  return {
    name: 'text-files',
    setup(b) {
      b.onResolve({ filter: /\?text$/ }, ({ path }) => ({
        path: path.replace(/^\.\//, '').replace(/\?text$/, ''),
        namespace: 'text-files',
      }));
      b.onLoad({ filter: /.*/, namespace: 'text-files' }, async ({ path }) => {
        for (const folder of folders) {
          try {
            return { contents: await readFile(join(folder, path), 'utf8'), loader: 'text' };
          } catch (error) {
            if (error.code !== 'ENOENT') throw error;
          }
        }
        throw new Error(`${path} is in none of ${folders.join(', ')}`);
      });
    },
  };
}

async function bundle(entry, out, format, more = {}) {
  await build({
    entryPoints: [join(src, entry)],
    outfile: join(dist, out),
    bundle: true,
    format,
    platform: 'browser',
    target: ['es2022'],
    charset: 'utf8',
    legalComments: 'none',
    minify: true,
    logLevel: 'warning',
    ...more,
  });
}

function declarations() {
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
  const run = spawnSync(
    process.execPath,
    [tsc, '-p', join(here, 'tsconfig.json'), '--emitDeclarationOnly', '--outDir', dist],
    { stdio: 'inherit' },
  );
  if (run.status !== 0) throw new Error('the types do not check');
}

/** One hash over everything built, so that the app's cache changes whenever a file does. */
async function fingerprint() {
  const hash = createHash('sha256');
  for (const name of (await readdir(dist, { recursive: true })).sort()) {
    if (/\.(js|html|wasm)$/.test(name)) hash.update(await readFile(join(dist, name)));
  }
  return hash.digest('hex').slice(0, 12);
}

async function main() {
  const builds = ['node_bg.wasm', 'node_sql_bg.wasm'];
  for (const name of builds) {
    await access(join(pkg, name)).catch(() => {
      throw new Error(`${name} is missing: build node-wasm and run wasm-bindgen first`);
    });
  }
  const { version } = JSON.parse(await readFile(join(here, 'package.json'), 'utf8'));
  const define = { __VERSION__: JSON.stringify(version) };

  await rm(dist, { recursive: true, force: true });
  await mkdir(join(dist, 'site'), { recursive: true });
  for (const name of builds) await copyFile(join(pkg, name), join(dist, name));
  await copyFile(join(src, 'bridge.html'), join(dist, 'bridge.html'));
  await copyFile(join(src, 'site', 'boot.html'), join(dist, 'site', 'boot.html'));

  // Readable: bundlers of others minify it, and look in it for the worker's URL.
  await bundle('index.ts', 'index.js', 'esm', { define, minify: false });
  // For a page that asks before it loads anything else.
  await bundle('support.ts', 'support.js', 'esm', { define });
  await bundle('worker.ts', 'worker.js', 'esm', { define });
  await bundle('worker-sql.ts', 'worker-sql.js', 'esm', { define });
  await bundle('broker.ts', 'broker.js', 'esm', { define });
  await bundle('bridge.ts', 'bridge.js', 'esm', { define });
  await bundle('site/boot.ts', 'site/boot.js', 'iife', { define });
  const plugins = [textFiles([join(dist, 'site'), join(src, 'site')])];
  await bundle('site/sw.ts', 'site/sw.js', 'iife', { define, plugins });
  const build = JSON.stringify(`${version}-${await fingerprint()}`);
  await bundle('app-sw.ts', 'app-sw.js', 'iife', { define: { __VERSION__: build } });

  for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) {
    await copyFile(join(here, '..', licence), join(dist, licence));
  }
  declarations();
  await writeFile(join(dist, 'VERSION'), `${JSON.parse(build)}\n`);
}

await main().catch((error) => {
  console.error(`sdk-js: ${error.message}`);
  process.exitCode = 1;
});
