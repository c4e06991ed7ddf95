/** A Craftec node for any frontend. */

import { Node } from './node.js';
import type { NodeOptions } from './options.js';

export { registerApp } from './app.js';
export { CraftecError, type ErrorCode } from './errors.js';
export type { SiteFiles } from './files.js';
export type { Node } from './node.js';
export type { Objects, PutResult } from './obj.js';
export type { NodeOptions } from './options.js';
export { serveRtc } from './rtc.js';
export type { Sites } from './sites.js';
export type { BatchItem, Database, OpenOptions } from './sql/database.js';
export type { Statement } from './sql/statement.js';
export type { Sql } from './sql/sql.js';
export type { Transaction } from './sql/transaction.js';
export type { BrowserStorage, Keeping } from './storage.js';
export { support, type Support } from './support.js';
export type * from './types.js';
export { isCid, parseAddress, type Address } from './wire/text.js';

/** Version of this package. */
export const version: string = __VERSION__;

/** Starts, or joins, the node of this browser; or connects to a native one. */
export function createNode(options: NodeOptions = {}): Promise<Node> {
  return Node.create(options);
}
