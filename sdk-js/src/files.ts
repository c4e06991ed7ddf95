/** From whatever a page has (input, drop, picker, map) to a list of files with clean paths. */

import { CraftecError } from './errors.js';
import type { LeftOut } from './types.js';

/** What a site is published from. */
export type SiteFiles =
  | FileList
  | readonly File[]
  | ReadonlyMap<string, Blob | Uint8Array | string>
  | FileSystemDirectoryHandle
  | FileSystemDirectoryEntry;

/** One file to publish. */
export interface SiteFile {
  path: string;
  size: number;
  blob: Blob;
}

export interface Collected {
  files: SiteFile[];
  leftOut: LeftOut[];
}

/** What operating systems and tools leave in folders, and nobody means to publish. */
const JUNK: ReadonlyMap<string, string> = new Map([
  ['.DS_Store', 'left by macOS'],
  ['__MACOSX', 'left by macOS'],
  ['Thumbs.db', 'left by Windows'],
  ['desktop.ini', 'left by Windows'],
  ['.git', 'the history of a repository, which would be public'],
]);
const NAME_BYTES = 255;
const PATH_BYTES = 4096;

/** Finds all files; `found` hears how many so far. Unreadable ones are reported, not thrown. */
export async function collect(
  input: SiteFiles,
  found: (files: number, bytes: number) => void,
  signal?: AbortSignal,
): Promise<Collected> {
  const list = new Collector(found, signal);
  if (input instanceof Map) {
    for (const [path, data] of input as ReadonlyMap<string, Blob | Uint8Array | string>) {
      list.add(path, data instanceof Blob ? data : new Blob([data as BlobPart]));
    }
  } else if (isHandle(input)) await list.walkHandle(input, '');
  else if (isEntry(input)) await list.walkEntry(input, '');
  else if (isFiles(input)) list.addFiles(input);
  else {
    throw new CraftecError('bad_input', 'There is nothing to publish: no files, no folder.', {
      hint: 'Pass the files of an <input webkitdirectory>, a Map or a folder handle.',
    });
  }
  if (list.files.length === 0) {
    const why = list.leftOut[0];
    const more = why ? ` “${why.path}” was left out: ${why.reason}.` : '';
    throw new CraftecError('bad_input', `The folder has no files to publish.${more}`);
  }
  return { files: list.files, leftOut: list.leftOut };
}

class Collector {
  readonly files: SiteFile[] = [];
  readonly leftOut: LeftOut[] = [];
  private bytes = 0;
  private readonly seen = new Set<string>();

  constructor(
    private readonly found: (files: number, bytes: number) => void,
    private readonly signal: AbortSignal | undefined,
  ) {}

  addFiles(input: Iterable<File>): void {
    const all = [...input].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
    const top = commonTop(all.map(({ path }) => path));
    for (const { file, path } of all) this.add(path.slice(top.length), file);
  }

  add(path: string, blob: Blob): void {
    this.signal?.throwIfAborted();
    const junk = junkIn(path);
    if (junk) return this.leave(junk.path, junk.reason);
    const wrong = pathProblem(path);
    if (wrong !== undefined) return this.leave(path, wrong);
    if (this.seen.has(path)) return this.leave(path, 'another file has the same path');
    this.seen.add(path);
    this.files.push({ path, size: blob.size, blob });
    this.bytes += blob.size;
    this.found(this.files.length, this.bytes);
  }

  async walkHandle(folder: FileSystemDirectoryHandle, prefix: string): Promise<void> {
    await this.tryRead(prefix || folder.name, async () => {
      const entries = folder as unknown as AsyncIterable<[string, FileSystemHandle]>;
      for await (const [name, entry] of entries) {
        const path = prefix + name;
        this.signal?.throwIfAborted();
        const junk = junkIn(path);
        if (junk) this.leave(junk.path, junk.reason);
        else if (entry.kind === 'directory') {
          await this.walkHandle(entry as FileSystemDirectoryHandle, `${path}/`);
        } else {
          const file = entry as FileSystemFileHandle;
          await this.tryRead(path, async () => this.add(path, await file.getFile()));
        }
      }
    });
  }

  async walkEntry(folder: FileSystemDirectoryEntry, prefix: string): Promise<void> {
    await this.tryRead(prefix || folder.name, async () => {
      const reader = folder.createReader();
      for (;;) {
        // Chrome hands out at most 100 at a time.
        const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => {
          reader.readEntries(resolve, reject);
        });
        if (batch.length === 0) return;
        for (const entry of batch) await this.addEntry(entry, prefix + entry.name);
      }
    });
  }

  private async addEntry(entry: FileSystemEntry, path: string): Promise<void> {
    this.signal?.throwIfAborted();
    const junk = junkIn(path);
    if (junk) return this.leave(junk.path, junk.reason);
    if (entry.isDirectory) return this.walkEntry(entry as FileSystemDirectoryEntry, `${path}/`);
    return this.tryRead(path, async () => {
      const file = await new Promise<File>((resolve, reject) => {
        (entry as FileSystemFileEntry).file(resolve, reject);
      });
      this.add(path, file);
    });
  }

  private async tryRead(path: string, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      if (this.signal?.aborted) throw CraftecError.from(this.signal.reason, 'aborted');
      this.leave(path, readProblem(error));
    }
  }

  private leave(path: string, reason: string): void {
    if (this.seen.has(`\0${path}`)) return;
    this.seen.add(`\0${path}`);
    this.leftOut.push({ path, reason });
  }
}

/** The folder that all paths begin with, with its slash; empty when there is none. */
export function commonTop(paths: readonly string[]): string {
  const first = paths[0];
  if (first === undefined) return '';
  const top = first.slice(0, first.indexOf('/') + 1);
  return top !== '' && paths.every((path) => path.startsWith(top)) ? top : '';
}

/** The first name of `path` that nobody means to publish, as the path up to it. */
function junkIn(path: string): LeftOut | undefined {
  const names = path.split('/');
  for (const [i, name] of names.entries()) {
    const reason = JUNK.get(name);
    if (reason === undefined) continue;
    const folder = i + 1 < names.length ? '/' : '';
    return { path: names.slice(0, i + 1).join('/') + folder, reason };
  }
  return undefined;
}

/** Why `path` can't be a path of a site; `undefined` when it can. */
export function pathProblem(path: string): string | undefined {
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  if (bytes(path) > PATH_BYTES) return `its path is longer than ${PATH_BYTES} bytes`;
  for (const name of path.split('/')) {
    if (name === '' || name === '.' || name === '..')
      return 'its path has an empty, “.” or “..” name';
    if (name.includes('\0')) return 'its name has a zero byte';
    if (bytes(name) > NAME_BYTES) return `its name is longer than ${NAME_BYTES} bytes`;
  }
  return undefined;
}

/** Why a file could not be read, for a person. */
export function readProblem(error: unknown): string {
  const name = (error as { name?: unknown } | null)?.name;
  if (name === 'NotReadableError') return 'the browser could not read it';
  if (name === 'NotFoundError') return 'it was moved or deleted meanwhile';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'the browser may not read it';
  return `it could not be read (${error instanceof Error ? error.message : String(error)})`;
}

function isHandle(input: SiteFiles): input is FileSystemDirectoryHandle {
  return (input as Partial<FileSystemDirectoryHandle>).kind === 'directory';
}

function isEntry(input: SiteFiles): input is FileSystemDirectoryEntry {
  return (input as Partial<FileSystemDirectoryEntry>).isDirectory === true;
}

function isFiles(input: SiteFiles): input is FileList | readonly File[] {
  return typeof (input as Partial<Iterable<File>> | null)?.[Symbol.iterator] === 'function';
}
