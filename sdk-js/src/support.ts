/**
 * What a browser must have to run a node, and what goes on less well without something else. Looks
 * at this page's globals only; starts nothing.
 */

export { lacks } from './errors.js';

/** A browser's fitness. */
export interface Support {
  /** Without these no node runs here. */
  missing: string[];
  /** Without these it runs, and does something less well. */
  reduced: { feature: string; effect: string }[];
}

/** A module with one 128-bit constant: valid where SIMD is. */
const SIMD = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0],
  ...[65, 0, 253, 15, 253, 98, 11],
]);

function has(object: object | undefined, name: string): boolean {
  return object !== undefined && name in object;
}

/** Looks at the browser of this page. */
export function support(): Support {
  // Absent where there is no browser, as `storage` is outside secure contexts.
  const { navigator } = globalThis as { navigator?: Navigator };
  const missing: string[] = [];
  const need = (there: boolean, what: string) => there || missing.push(what);
  need(globalThis.isSecureContext, 'a secure context (https, or localhost)');
  need(typeof Worker === 'function' && typeof document === 'object', 'web workers');
  const wasm = typeof WebAssembly === 'object' && WebAssembly.validate(SIMD);
  need(wasm, 'WebAssembly with SIMD');
  need(has(navigator, 'locks'), 'Web Locks');
  need(has(navigator?.storage, 'getDirectory'), 'the private file system (OPFS)');
  need(typeof BroadcastChannel === 'function', 'BroadcastChannel');
  need(has(globalThis.crypto, 'subtle'), 'WebCrypto');
  need(has(AbortSignal, 'any') && has(AbortSignal, 'timeout'), 'AbortSignal.any');
  need(has(URL, 'canParse'), 'URL.canParse');

  const reduced: Support['reduced'] = [];
  const want = (there: boolean, feature: string, effect: string) =>
    there || reduced.push({ feature, effect });
  want(
    typeof RTCPeerConnection === 'function',
    'WebRTC',
    'connections to other tabs stay relayed, and end with their relay',
  );
  want(
    typeof SharedWorker === 'function',
    'SharedWorker',
    'tabs share the node over a BroadcastChannel, which copies, and sites open from the gateway',
  );
  want(
    has(navigator, 'serviceWorker'),
    'service workers',
    'sites open from the gateway, unverified, and the app only while its server is there',
  );
  want(
    has(navigator?.storage, 'persist'),
    'persistent storage',
    'the browser may drop what is stored when its disk is full',
  );
  return { missing, reduced };
}
