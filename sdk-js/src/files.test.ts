import { describe, expect, it } from 'vitest';
import { collect, commonTop, pathProblem } from './files.js';

function file(path: string, text = 'x'): File {
  const made = new File([text], path.split('/').at(-1) ?? '');
  Object.defineProperty(made, 'webkitRelativePath', { value: path });
  return made;
}

const paths = async (files: File[]) => {
  const { files: found, leftOut } = await collect(files, () => {});
  return { found: found.map(({ path }) => path), leftOut };
};

/** A folder handle as the file system access API has it. */
function folder(name: string, entries: Record<string, unknown>): FileSystemDirectoryHandle {
  const handle = {
    kind: 'directory',
    name,
    async *[Symbol.asyncIterator]() {
      yield* Object.entries(entries);
      await Promise.resolve();
    },
  };
  return handle as unknown as FileSystemDirectoryHandle;
}

describe('collect', () => {
  it('strips the folder that was chosen', async () => {
    const { found } = await paths([file('site/index.html'), file('site/a/b.css')]);
    expect(found).toEqual(['index.html', 'a/b.css']);
  });

  it('strips nothing that is not common', () => {
    expect(commonTop(['a/x', 'b/x'])).toBe('');
    expect(commonTop(['index.html'])).toBe('');
    expect(commonTop(['a/x', 'ab/x'])).toBe('');
    expect(commonTop(['a/b/x', 'a/b/y'])).toBe('a/');
    expect(commonTop([])).toBe('');
  });

  it('leaves out what nobody means to publish, each once, and says so', async () => {
    const { found, leftOut } = await paths([
      file('s/index.html'),
      file('s/.git/HEAD'),
      file('s/.git/config'),
      file('s/sub/.DS_Store'),
      file('s/Thumbs.db'),
      file('s/.well-known/x'),
    ]);
    expect(found).toEqual(['index.html', '.well-known/x']);
    expect(leftOut.map(({ path }) => path)).toEqual(['.git/', 'sub/.DS_Store', 'Thumbs.db']);
  });

  it('keeps names in any script, and refuses what is no path', async () => {
    const { found } = await paths([file('s/日本語/ñandú ☃.html'), file('s/%2e%2e/#?.txt')]);
    expect(found).toEqual(['日本語/ñandú ☃.html', '%2e%2e/#?.txt']);
    expect(pathProblem('a/../b')).toMatch(/empty/);
    expect(pathProblem('/a')).toMatch(/empty/);
    expect(pathProblem('a\0b')).toMatch(/zero byte/);
    expect(pathProblem('ä'.repeat(128))).toMatch(/255 bytes/);
    expect(pathProblem('a/'.repeat(2_100) + 'a')).toMatch(/4096/);
    expect(pathProblem('ä'.repeat(127))).toBeUndefined();
  });

  it('reports one path given twice', async () => {
    const { found, leftOut } = await paths([file('s/a'), file('s/b'), file('s/a')]);
    expect(found).toEqual(['a', 'b']);
    expect(leftOut).toEqual([{ path: 'a', reason: 'another file has the same path' }]);
  });

  it('walks a folder handle and reports what can’t be read', async () => {
    const entry = (text: string) => ({
      kind: 'file',
      getFile: () => Promise.resolve(new File([text], 'f')),
    });
    const locked = {
      kind: 'file',
      getFile: () => Promise.reject(new DOMException('no', 'NotReadableError')),
    };
    const { files, leftOut } = await collect(
      folder('site', {
        'index.html': entry('hello'),
        '.git': folder('.git', { HEAD: entry('x') }),
        sub: folder('sub', { a: entry('a'), locked }),
      }),
      () => {},
    );
    expect(files.map(({ path, size }) => [path, size])).toEqual([
      ['index.html', 5],
      ['sub/a', 1],
    ]);
    expect(leftOut.map(({ path }) => path)).toEqual(['.git', 'sub/locked']);
  });

  it('walks a dropped entry, whose reader hands out files in batches', async () => {
    const entry = (name: string) => ({
      isDirectory: false,
      name,
      file: (ok: (f: File) => void) => ok(new File([name], name)),
    });
    const batches = [[entry('a'), entry('b')], [entry('c')], []];
    const dropped = {
      isDirectory: true,
      name: 'site',
      createReader: () => ({
        readEntries: (ok: (e: unknown[]) => void) => ok(batches.shift() ?? []),
      }),
    };
    const { files } = await collect(dropped as unknown as FileSystemDirectoryEntry, () => {});
    expect(files.map(({ path }) => path)).toEqual(['a', 'b', 'c']);
  });

  it('says when there is nothing', async () => {
    await expect(collect([], () => {})).rejects.toThrow(/no files to publish/);
    await expect(collect([file('s/.DS_Store')], () => {})).rejects.toThrow(/left out/);
    await expect(collect(3 as never, () => {})).rejects.toMatchObject({ code: 'bad_input' });
  });
});
