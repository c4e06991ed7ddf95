/** What the tabs of one origin agree on. Changing any of these splits them into two groups. */

/** Held by the tab whose worker runs the node. */
export const LEADER_LOCK = 'craftec-node';
/** Where a leader says that it is there, and clients ask. */
export const CHANNEL = 'craftec-node';
/** Name of the SharedWorker. */
export const BROKER = 'craftec-broker';
/** Held by the one tab that keeps a worker ready. */
export const STANDBY_LOCK = 'craftec-standby';
/** Held by the one tab that takes the lock from a leader that is silent. */
export const DEPOSE_LOCK = 'craftec-depose';

/** How often the leader's worker says that it is there. */
export const BEAT_MS = 1_000;

/**
 * On {@link CHANNEL}. Tabs of other app versions hear it too: fields are added, never changed, and
 * words that are not known are ignored.
 */
export type ChannelMessage =
  /** Is anyone leading? */
  | { t: 'who' }
  /** Yes; `life` is a lock that its worker holds as long as it runs. */
  | ({ t: 'leader'; life: string } & Partial<Reign>)
  /** The heart of a worker, from its start on: it turns its event loop. */
  | ({ t: 'beat'; life: string } & Reign)
  /** A session over the BroadcastChannel `channel`; `client` is a lock that the asker holds. */
  | { t: 'call'; life: string; channel: string; client: string }
  /** It is open. */
  | { t: 'called'; channel: string };

/** Whose word counts. */
export interface Reign {
  /** Grows with every worker that starts; 0 while it is not known yet. */
  epoch: number;
  /** Versions of the node's language that its build speaks. */
  versions: readonly number[];
}

/** Tab or bridge → broker. */
export type ToBroker =
  | { t: 'lead'; life: string; port: MessagePort; epoch?: number }
  /** A port; not to the node with the life `ended`, which the asker saw end. */
  | { t: 'want'; id: number; client?: string; site?: string; ended?: string };

/** Broker → tab or bridge. */
export interface FromBroker {
  t: 'port';
  id: number;
  life: string;
  port: MessagePort;
  epoch?: number;
  /** Of a site: where {@link AGAIN} gets it a port to the next node, as an {@link Again}. */
  again?: MessagePort;
}

/** Broker → tab, once: a lock that it holds as long as it lives. */
export interface BrokerLife {
  t: 'broker';
  life: string;
}

/** Said over `again`: the node is gone, a port to the next one is wanted. */
export const AGAIN = 'again';
/**
 * The answers: at once whether there is a tab to wait for, then the port, when it leads. And
 * unasked, when the node that the last port led to is gone.
 */
export type Again =
  { t: 'wait' } | { t: 'none' } | { t: 'port'; port: MessagePort } | { t: 'ended' };

/** Broker or page → worker: a session for `port`; with `site`, for that one root only. */
export interface Attach {
  t: 'attach';
  port: MessagePort;
  /**
   * A lock that the client holds; the session ends when it is let go. A site has none, since no
   * lock reaches over origins: its session ends when it was idle for long.
   */
  client?: string;
  site?: string;
}

export interface WorkerConfig {
  relays: string[];
  folder?: string;
  lendBytes?: number;
  mendSeconds?: number;
  agent?: string;
  rtc?: RtcConfiguration;
}

/** An `RTCConfiguration`, which only pages know: here it is passed on. */
export type RtcConfiguration = Readonly<Record<string, unknown>>;

/** Page → worker. */
export type ToWorker =
  | {
      t: 'start';
      config: WorkerConfig;
      wasmUrl?: string;
      /** For the page's half of WebRTC. */
      rtc: MessagePort;
      /** The lock to hold as long as the node runs. */
      life: string;
    }
  | Attach
  /** From a broker: the one there is, or another one after that died. */
  | { t: 'hub'; hub: MessagePort }
  /** Be ready to start: load the wasm, open nothing. */
  | { t: 'warm'; wasmUrl?: string }
  | { t: 'stop' };

/** Worker → page. */
export type FromWorker =
  /** The wasm is loaded. */
  | { t: 'warm' }
  | { t: 'ready'; epoch: number }
  | { t: 'failed'; error: import('../errors.js').ApiError }
  | { t: 'panic'; message: string }
  /** It stood still for so long that its connections are dead: start anew. */
  | { t: 'slept' }
  /** It heard of a later epoch than its own, and ends itself. */
  | { t: 'deposed'; epoch: number }
  | { t: 'stopped' };

/** A lock name that nobody else holds. */
export function freshLock(kind: 'life' | 'client' | 'broker'): string {
  return `craftec-${kind}-${crypto.randomUUID()}`;
}

/** Takes `name` and keeps it until `signal` fires; resolves once it is held. */
export function holdLock(name: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, () => {
        resolve();
        return new Promise<void>((release) => {
          if (signal.aborted) release();
          else signal.addEventListener('abort', () => release(), { once: true });
        });
      })
      .catch(reject);
  });
}
