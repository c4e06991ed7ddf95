/**
 * What may be asked again when the node moved to another tab below a request, so that the caller
 * notices nothing, and why that does not do anything twice.
 *
 * A request that was lost may have been carried out: its answer may be what got lost. So the table
 * says for each command what a second time does. Every command must be in it, or this does not
 * compile; {@link Session.ask} takes those that stand alone, `Session.run` whole pieces of work.
 */

import type { Command } from '../wire/types.js';

type Keys<T> = T extends string ? T : T extends object ? keyof T : never;
/** Every command of the language. */
export type CommandName = Keys<Command>;

export type Replay =
  /** Changes nothing, or nothing that outlives the session. */
  | 'read'
  /** States how things are to be, not a step from how they are: twice leaves what once leaves. */
  | 'state'
  /**
   * Belongs to a handle, which ended with its session: never asked again by itself. The piece of
   * work that opened the handle begins anew; it has effect with its last command alone, under the
   * CID of the content, so that a second time stores the same object.
   */
  | 'part'
  /** A step: never asked again. The caller is told that it may have been done. */
  | 'once';

export const REPLAY = {
  hello: 'read',
  status: 'read',
  subscribe: 'read',
  // A second dial of a connected peer finds the connection.
  connect: 'state',
  put_open: 'read',
  put_chunk: 'part',
  // The object's record is under its CID: written again, it is the same but for the time.
  put_close: 'part',
  folder_open: 'read',
  folder_file: 'part',
  folder_add: 'part',
  // As above; a name that points to this root already gets no new head.
  folder_close: 'part',
  get_open: 'read',
  car_open: 'read',
  block: 'read',
  get_read: 'part',
  close: 'part',
  list: 'read',
  stat: 'read',
  pin: 'state',
  // What is not kept is `not_found`: after a loss that is the wanted end, see `Objects.unpin`.
  unpin: 'state',
  objects: 'read',
  sites: 'read',
  resolve: 'read',
  backup_words: 'read',
  identity_card: 'read',
  lend_space: 'state',
  serve_limits: 'state',
  // Makes the database where there is none, and finds it the second time.
  sql_open: 'read',
  sql_encrypt: 'part',
  sql_share: 'part',
  sql_readers: 'part',
  sql_retain: 'part',
  sql_retention: 'part',
  sql_query: 'part',
  sql_rows: 'part',
  sql_script: 'part',
  sql_batch: 'part',
  sql_transaction: 'part',
  sql_finish: 'part',
  sql_snapshot: 'part',
  sql_snapshots: 'read',
  sql_restore: 'part',
  sql_branches: 'part',
  sql_merge: 'part',
  sql_drop_branch: 'part',
  sql_changed: 'part',
  sql_export: 'part',
  sql_import: 'part',
  sql_begin: 'part',
  sql_pages: 'part',
  sql_reserve: 'part',
  sql_stage: 'part',
  sql_commit: 'part',
  sql_end: 'part',
  sql_databases: 'read',
  // What is gone is `not_found`: after a loss that is the wanted end, see `Sql.remove`.
  sql_drop: 'state',
  backup_open: 'read',
  // Nothing changes before its `put_close`; what was taken in already is found and left as it is.
  restore_open: 'read',
} as const satisfies Record<CommandName, Replay>;

type NamesOf<R extends Replay> = {
  [K in CommandName]: (typeof REPLAY)[K] extends R ? K : never;
}[CommandName];
type Named<K> =
  K extends Extract<Command, string> ? K : Extract<Command, Record<K & string, unknown>>;

/** Commands that stand alone: those that belong to a handle are asked within a piece of work. */
export type Single = Named<NamesOf<'read' | 'state' | 'once'>>;

export function nameOf(command: Command): CommandName {
  return (typeof command === 'string' ? command : Object.keys(command)[0]) as CommandName;
}

/** Whether `command`, lost on its way, may be asked again by itself. */
export function repeats(command: Command): boolean {
  const replay: Replay | undefined = REPLAY[nameOf(command)];
  return replay === 'read' || replay === 'state';
}
