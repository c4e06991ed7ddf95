/** Values on their way into SQLite and out of it. */

import { CraftecError } from '../errors.js';
import type { SqlParam, SqlRow, SqlValue } from '../types.js';
import type { WireStatement, WireValue } from '../wire/types.js';

const INTEGERS = [-(2n ** 63n), 2n ** 63n - 1n] as const;

/** A statement as the wire wants it; throws a `bad_input` that names the parameter. */
export function statement(sql: string, params: readonly SqlParam[] = []): WireStatement {
  if (typeof sql !== 'string') throw new CraftecError('bad_input', 'The SQL is not a text.');
  return { sql, params: params.map((value, at) => outward(value, at + 1)) };
}

function outward(value: SqlParam, number: number): WireValue {
  switch (typeof value) {
    case 'undefined':
      return null;
    case 'boolean':
      return value ? 1 : 0;
    case 'string':
      return value;
    case 'number':
      if (Number.isFinite(value)) return value;
      throw refused(
        number,
        `${value}, which SQLite does not have`,
        'NULL says that there is none.',
      );
    case 'bigint':
      if (value >= INTEGERS[0] && value <= INTEGERS[1]) return value;
      throw refused(number, 'an integer of more than 64 bits', 'Give it as a text.');
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  const what = Object.prototype.toString.call(value).slice('[object '.length, -1);
  throw refused(number, `a ${what}`, 'Give a number, a text or bytes.');
}

function refused(number: number, what: string, hint: string): CraftecError {
  return new CraftecError('bad_input', `Parameter ${number} is ${what}.`, { hint });
}

/** Rows by the names of their columns; of two columns with one name the later counts. */
export function named<T>(columns: readonly string[], rows: readonly SqlValue[][]): T[] {
  return rows.map((row) => {
    const out = Object.create(null) as SqlRow;
    columns.forEach((column, at) => (out[column] = row[at] ?? null));
    return out as T;
  });
}

/** Whether a statement surely only reads, so that it can be asked again. */
export function onlyReads(sql: string): boolean {
  return /^(\s|--[^\n]*\n|\/\*[^]*?\*\/)*(select|values|explain)\b/i.test(sql);
}
