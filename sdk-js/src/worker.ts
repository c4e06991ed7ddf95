/** The worker that runs the node without databases: see `tab/worker.ts`. */

import init, { TabNode } from '../pkg/node.js';
import { serve } from './tab/worker.js';

serve({
  init,
  start: (...how) => TabNode.start(...how),
  url: new URL('./node_bg.wasm', import.meta.url),
});
