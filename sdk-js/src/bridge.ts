/**
 * A hidden frame on the app's origin, embedded by a site's boot page. Gives the site a port to the
 * node of this browser that reads this one site and nothing else: the root comes from the host of
 * the page that asks, as the browser states it, and the node enforces it.
 */

import { Connection } from './client/connection.js';
import { portTransport } from './client/transport.js';
import { isNameLabel, siteHost, type FromBridge, type ToBridge } from './site/names.js';
import { BROKER, freshLock, holdLock, LEADER_LOCK } from './tab/names.js';
import type { FromBroker, ToBroker } from './tab/names.js';
import { isCid } from './wire/text.js';

const ended = new AbortController();
let broker: Broker | undefined;
let asking = false;

/** Whether some tab of this browser runs a node. */
async function nodeRuns(): Promise<boolean> {
  if (!('locks' in navigator) || typeof SharedWorker === 'undefined') return false;
  const { held, pending } = await navigator.locks.query();
  // Between two leaders nobody holds it, but somebody waits for it.
  return [...(held ?? []), ...(pending ?? [])].some(({ name }) => name === LEADER_LOCK);
}

class Broker {
  private readonly port: MessagePort;
  private next = 0;

  constructor() {
    this.port = new SharedWorker(new URL('./broker.js', import.meta.url), {
      type: 'module',
      name: BROKER,
    }).port;
  }

  want(whom: { client: string } | { site: string }): Promise<FromBroker> {
    const id = ++this.next;
    return new Promise((resolve) => {
      const onmessage = ({ data }: MessageEvent<FromBroker>) => {
        if (data.id !== id) return;
        this.port.removeEventListener('message', onmessage);
        resolve(data);
      };
      this.port.addEventListener('message', onmessage);
      this.port.start();
      this.port.postMessage({ t: 'want', id, ...whom } satisfies ToBroker);
    });
  }
}

/** The root behind a name, as the node of this browser knows it. */
async function resolveName(broker: Broker, name: string): Promise<string> {
  const client = freshLock('client');
  // Let go of as soon as the answer is there: the node's sessions are few, and a site's page can
  // hold as many of these frames as it likes.
  const done = new AbortController();
  await holdLock(client, AbortSignal.any([ended.signal, done.signal]));
  try {
    const { port, life } = await broker.want({ client });
    const connection = await Connection.open(portTransport(port, life));
    try {
      return (await connection.ask({ resolve: { name } }, 'resolved')).cid;
    } finally {
      connection.close();
    }
  } finally {
    done.abort();
  }
}

/** The port for the site on `origin`; `undefined` when there is none to give. */
async function portFor(origin: string): Promise<Extract<FromBridge, { t: 'node' }> | undefined> {
  const host = siteHost(origin);
  if (!host || host.app !== location.origin) return undefined;
  const named = isNameLabel(host.label);
  if (!named && !isCid(host.label)) return undefined;
  if (!(await nodeRuns())) return undefined;
  broker ??= new Broker();
  const root = named ? await resolveName(broker, host.label) : host.label;
  const { port, again } = await broker.want({ site: root });
  return again ? { t: 'node', root, port, again } : { t: 'node', root, port };
}

/** One frame of one site at a time asks the node: a flood of questions waits for itself. */
async function inTurn(origin: string): Promise<Awaited<ReturnType<typeof portFor>>> {
  const turn = { signal: ended.signal };
  return navigator.locks.request(`craftec-bridge-${origin}`, turn, () => portFor(origin));
}

addEventListener('message', ({ origin, source, data }: MessageEvent<ToBridge>) => {
  if (source === null || source !== window.parent || window.parent === window) return;
  if (data?.t !== 'want') return;
  const answer = (message: FromBridge, transfer: Transferable[] = []) => {
    source.postMessage(message, { targetOrigin: origin, transfer });
  };
  // A boot page asks once; whoever asks without waiting for the answer is told that there is none.
  if (asking) return answer({ t: 'none' });
  asking = true;
  inTurn(origin)
    .then(
      (found) => {
        if (!found) return answer({ t: 'none' });
        answer(found, found.again ? [found.port, found.again] : [found.port]);
      },
      (error: unknown) => {
        console.warn('craftec: no port for', origin, error);
        answer({ t: 'none' });
      },
    )
    .finally(() => (asking = false));
});
addEventListener('pagehide', () => ended.abort());
