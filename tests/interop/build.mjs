/**
 * What the tests need built: the relay, the probe's wasm, and the pages' scripts.
 *
 * `WASM_CARGO` (default `cargo`) builds for wasm32-unknown-unknown with the profile `WASM_PROFILE`
 * (default `dev`); `WASM_BINDGEN` is the wasm-bindgen CLI of the version in Cargo.lock (default:
 * the one that the project's set-up installs, else the one on the PATH).
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');

function run(command, args) {
  execFileSync(command, args, { cwd: root, stdio: 'inherit' });
}

function wasmBindgen() {
  if (process.env.WASM_BINDGEN) return process.env.WASM_BINDGEN;
  const cache = process.env.CRAFTEC_CACHE ?? join(homedir(), '.cache/craftec');
  const installed = join(cache, 'tools/bin/wasm-bindgen');
  return existsSync(installed) ? installed : 'wasm-bindgen';
}

/** Builds everything; returns the relay's path and the folder with the pages. */
export async function buildAll() {
  const example = (name) => ['build', '--quiet', '--package', 'craftec-p2p', '--example', name];
  run('cargo', example('relay'));
  const [cargo, ...first] = (process.env.WASM_CARGO ?? 'cargo').split(' ');
  const profile = process.env.WASM_PROFILE ?? 'dev';
  const wasm = ['--target', 'wasm32-unknown-unknown', '--profile', profile];
  run(cargo, [...first, ...example('tab_probe'), '--features', 'probe', ...wasm]);
  const folder = profile === 'dev' ? 'debug' : profile;
  const probe = join(target, 'wasm32-unknown-unknown', folder, 'examples/tab_probe.wasm');
  const out = join(here, 'dist');
  mkdirSync(out, { recursive: true });
  const pkg = join(out, 'pkg');
  run(wasmBindgen(), ['--target', 'web', '--no-typescript', '--out-dir', pkg, probe]);
  await build({
    absWorkingDir: here,
    entryPoints: ['page/tab.ts', 'page/worker.ts', 'page/foreign.ts'],
    outdir: out,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    external: ['./pkg/tab_probe.js'],
    define: { global: 'globalThis' },
    logLevel: 'warning',
  });
  return { relay: join(target, 'debug/examples/relay'), pages: out };
}
