/** Filled in by the build. */
declare const __VERSION__: string;

/** What wasm-bindgen makes of `node-wasm`; written by the build, so its shape is stated here. */
declare module '*/pkg/node.js' {
  export class TabNode {
    static start(
      config: unknown,
      page: MessagePort,
      panicked: (message: string) => void,
    ): Promise<TabNode>;
    attach(port: MessagePort): number;
    attach_site(port: MessagePort, root: string): number;
    detach(session: number): void;
    stop(): Promise<void>;
  }
  export default function init(options: { module_or_path: string | URL }): Promise<unknown>;
}

declare module '*/pkg/node_sql.js' {
  export * from '*/pkg/node.js';
  export { default } from '*/pkg/node.js';
}

/** A file as text, at build time. */
declare module '*?text' {
  const text: string;
  export default text;
}
