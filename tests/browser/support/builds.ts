// The SDK as another version of the app would bring it: built from the same sources, with other
// versions of the node's language.
import { copyFile, mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build, type Plugin } from 'esbuild';

const SDK = path.resolve(import.meta.dirname, '../../../sdk-js');

/** The client speaks `versions`. */
function speaks(versions: readonly number[]): Plugin {
  return {
    name: 'versions',
    setup(b) {
      b.onLoad({ filter: /wire\/frames\.ts$/ }, async ({ path: file }) => {
        const source = await readFile(file, 'utf8');
        const ours = /(VERSIONS(?:: [^=]+)? = )\[[\d, ]*\]/;
        if (!ours.test(source)) throw new Error(`no VERSIONS in ${file}`);
        return { contents: source.replace(ours, `$1${JSON.stringify(versions)}`), loader: 'ts' };
      });
    },
  };
}

/**
 * So does its node: the wasm's language is of version 1, so a few lines stand before it that agree
 * on a version of `versions` and pass everything else on as it is.
 */
function nodeSpeaks(versions: readonly number[]): Plugin {
  const contents = `
    import init, { TabNode as Node } from ${JSON.stringify(path.join(SDK, 'pkg/node.js'))};
    import { decode } from ${JSON.stringify(path.join(SDK, '../node_modules/cborg/cborg.js'))};
    import { encodeFrame } from ${JSON.stringify(path.join(SDK, 'src/wire/frames.ts'))};
    const OURS = ${JSON.stringify(versions)};
    export default init;
    export class TabNode {
      static async start(...all) {
        return Object.assign(new TabNode(), { node: await Node.start(...all) });
      }
      attach(port) {
        const { port1, port2 } = new MessageChannel();
        let agreed;
        port.onmessage = ({ data }) => {
          if (!agreed && data instanceof Uint8Array) {
            const { id, command } = decode(data, { tags: [] });
            agreed = OURS.find((v) => command.hello?.versions.includes(v)) ?? 0;
            data = encodeFrame({ id, command: { hello: { versions: agreed ? [1] : [0] } } });
          }
          port1.postMessage(data);
        };
        let greeted = false;
        port1.onmessage = ({ data }) => {
          if (!greeted && agreed && data instanceof Uint8Array) {
            greeted = true;
            const frame = decode(data);
            frame.ok.reply.hello.version = agreed;
            data = encodeFrame(frame);
          }
          port.postMessage(data);
        };
        return this.node.attach(port2);
      }
      attach_site(port, root) { return this.node.attach_site(port, root); }
      detach(session) { this.node.detach(session); }
      stop() { return this.node.stop(); }
    }`;
  return {
    name: 'node-versions',
    setup(b) {
      b.onResolve({ filter: /pkg\/node\.js$/ }, ({ importer }) =>
        importer.endsWith('worker.ts') ? { path: 'node', namespace: 'other' } : undefined,
      );
      b.onLoad({ filter: /.*/, namespace: 'other' }, () => ({ contents, resolveDir: SDK }));
    },
  };
}

/** Builds the SDK for a client and a node that speak `versions`; the folder it is in. */
export async function buildSdk(versions: readonly number[]): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'craftec-build-'));
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: ['index', 'worker', 'broker', 'bridge'].map((n) => path.join(SDK, `src/${n}.ts`)),
    outdir: folder,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: ['es2022'],
    define: { __VERSION__: '"other"' },
    logLevel: 'warning',
    plugins: versions.includes(1) ? [speaks(versions)] : [speaks(versions), nodeSpeaks(versions)],
  });
  await copyFile(path.join(SDK, 'pkg/node_bg.wasm'), path.join(folder, 'node_bg.wasm'));
  return folder;
}
