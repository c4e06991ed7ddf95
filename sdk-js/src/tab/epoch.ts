/**
 * The number of a worker's reign. It grows with every worker that starts, and is kept beside the
 * node's files, so that one that stood still (a suspended process, a machine that slept) learns
 * when it wakes whether another has taken its place.
 *
 * What it does not do is guard the disk. That the browser does: a sync access handle is exclusive
 * and lives as long as its worker, so whoever has the store open is the only one that can write it,
 * and a successor waits until the handles are let go of. The epoch decides who has to let go, and
 * whose port a client takes.
 *
 * File `craftec-epoch` in the root of the origin's private file system, 16 bytes, big endian:
 *
 * | bytes | what |
 * |---|---|
 * | 0..4  | `CFE` and the version of this layout, 1 |
 * | 4..12 | the epoch, at most 2^53 - 1 |
 * | 12..16 | FNV-1a (32 bit) over the 12 bytes before |
 */

import { CraftecError } from '../errors.js';

const FILE = 'craftec-epoch';
const BYTES = 16;
const MAGIC = [0x43, 0x46, 0x45, 1];
/** A worker that ends while it counts holds the file for a moment more. */
const BUSY_TRIES = 100;
const BUSY_MS = 20;

/** The epoch in `bytes`; `undefined` where there is none: never written, torn, a later layout. */
export function readEpoch(bytes: Uint8Array): number | undefined {
  if (bytes.length !== BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, BYTES);
  if (view.getUint32(12) !== fnv(bytes.subarray(0, 12))) return undefined;
  const epoch = view.getBigUint64(4);
  return epoch <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(epoch) : undefined;
}

export function writeEpoch(epoch: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(BYTES);
  bytes.set(MAGIC);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(4, BigInt(epoch));
  view.setUint32(12, fnv(bytes.subarray(0, 12)));
  return bytes;
}

/**
 * The epoch after `last`. It never falls behind the clock, so that it grows even where the file was
 * lost: only a lost file and a clock that was set back, both at once, could repeat one.
 */
export function epochAfter(last: number | undefined, nowMs: number): number {
  const floor = Number.isSafeInteger(nowMs) && nowMs > 0 ? nowMs : 1;
  return Math.max((last ?? 0) + 1, floor);
}

/** Begins a reign: the next epoch, on disk before it is used. Only for the holder of the lock. */
export async function beginEpoch(): Promise<number> {
  const root = await navigator.storage.getDirectory();
  const file = await root.getFileHandle(FILE, { create: true });
  const handle = await opened(file);
  try {
    const bytes = new Uint8Array(BYTES);
    const read = handle.read(bytes, { at: 0 });
    const epoch = epochAfter(readEpoch(bytes.subarray(0, read)), Date.now());
    handle.truncate(BYTES);
    handle.write(writeEpoch(epoch), { at: 0 });
    handle.flush();
    return epoch;
  } finally {
    handle.close();
  }
}

/** What is on disk now; `undefined` where it can't be told: no file, or it is being written. */
export async function presentEpoch(): Promise<number | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    const file = await (await root.getFileHandle(FILE)).getFile();
    return readEpoch(new Uint8Array(await file.arrayBuffer()));
  } catch {
    return undefined;
  }
}

async function opened(file: FileSystemFileHandle): Promise<FileSystemSyncAccessHandle> {
  for (let tries = 1; ; tries++) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      const name = (error as { name?: unknown } | null)?.name;
      const busy = name === 'NoModificationAllowedError' || name === 'InvalidModificationError';
      if (!busy) throw CraftecError.from(error, 'storage');
      if (tries >= BUSY_TRIES) {
        throw new CraftecError('unavailable', 'Another tab still has the storage open.', {
          hint: 'It is closing, or does not answer: close it, then try again.',
        });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
  }
}

function fnv(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
