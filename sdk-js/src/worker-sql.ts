/** The worker that runs the node with databases: see `tab/worker.ts`. */

import init, { TabNode } from '../pkg/node_sql.js';
import { serve } from './tab/worker.js';

serve({
  init,
  start: (...how) => TabNode.start(...how),
  url: new URL('./node_sql_bg.wasm', import.meta.url),
});
