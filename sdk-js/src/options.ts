/** What `createNode` takes, and what is found out when it is not given. */

import { CraftecError } from './errors.js';

export interface NodeOptions {
  /** Multiaddrs of relays; default: `relays` of `/relay.json` on the page's origin. */
  relays?: readonly string[];
  /** Origin below which sites open; default: `gateway` of `/relay.json`, else from the page's. */
  gateway?: string;
  storage?: {
    /** Folder in the origin's private file system; default `craftec`. */
    folder?: string;
    /** Bytes that may be kept for others; default: the node decides. */
    lendBytes?: number;
    /** How often a holder of a coded object looks after it, 2 to 86400 s; default: 600. */
    mendSeconds?: number;
  };
  /** How this node names itself to others. */
  agent?: string;
  /** For connections to other tabs: ICE servers. Default: the STUN of `/relay.json`, if any. */
  rtc?: RTCConfiguration;
  /** Gives up, and stops the node when it fires later. */
  signal?: AbortSignal;
  /** Use a native node instead of one in this browser. */
  remote?: { url: string; token: string };
  workerUrl?: string | URL;
  sharedWorkerUrl?: string | URL;
  wasmUrl?: string | URL;
  /** The same of the node that has databases, which is loaded when one is opened first. */
  databases?: { workerUrl?: string | URL; wasmUrl?: string | URL };
}

export interface Surroundings {
  relays: string[];
  gateway: string;
  /** `stun:` URLs that the relay offers; none on the same machine. */
  stun: string[];
}

/** Where `craftec up` serves sites unless told otherwise. */
const LOCAL_GATEWAY = 'http://craftec.localhost:4080';
const RELAY_JSON_MS = 3_000;

/** Fills in relays and gateway from what the page's origin says. */
export async function surroundings(options: NodeOptions): Promise<Surroundings> {
  const { relays, gateway, remote, signal } = options;
  const complete = (relays || remote) && gateway;
  const said = complete || typeof location === 'undefined' ? {} : await relayJson(signal);
  return {
    relays: [...(relays ?? said.relays ?? [])],
    gateway: origin(gateway ?? said.gateway ?? ownGateway()),
    stun: said.stun ?? [],
  };
}

/** An origin without anything of it makes no difference to a page that names its own relays. */
async function relayJson(signal?: AbortSignal): Promise<Partial<Surroundings>> {
  try {
    const limit = AbortSignal.timeout(RELAY_JSON_MS);
    const response = await fetch('/relay.json', {
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    if (!response.ok) return {};
    const { relays, gateway, stun } = (await response.json()) as Record<string, unknown>;
    const found: Partial<Surroundings> = {};
    if (Array.isArray(relays)) found.relays = relays.filter((r) => typeof r === 'string');
    if (typeof gateway === 'string') found.gateway = gateway;
    if (Array.isArray(stun)) {
      found.stun = stun.filter((url) => typeof url === 'string' && url.startsWith('stun:'));
    }
    return found;
  } catch (error) {
    if (signal?.aborted) throw CraftecError.from(error, 'aborted');
    return {};
  }
}

/** `app.X` serves the app of the gateway `X`. */
function ownGateway(): string {
  if (typeof location === 'undefined' || !location.host.startsWith('app.')) return LOCAL_GATEWAY;
  return `${location.protocol}//${location.host.slice('app.'.length)}`;
}

function origin(gateway: string): string {
  try {
    return new URL(gateway).origin;
  } catch (cause) {
    throw new CraftecError('bad_input', `The gateway “${gateway}” is not an origin.`, { cause });
  }
}
