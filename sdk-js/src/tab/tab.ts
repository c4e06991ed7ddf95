/**
 * How a page reaches the node of its browser: its own worker when this tab leads, a port from the
 * broker when another does, a BroadcastChannel when there is no common broker.
 */

import { CraftecError } from '../errors.js';
import { broadcastTransport, BYE, portTransport, type Transport } from '../client/transport.js';
import { Leader, type LeaderOptions } from './leader.js';
import {
  CHANNEL,
  freshLock,
  holdLock,
  type Attach,
  type ChannelMessage,
  type FromBroker,
  type ToBroker,
} from './names.js';

/** How long a broker has to hand over a port of a leader that is known to be there. */
const BROKER_MS = 700;
/** How often a client asks for a leader that did not announce itself. */
const ASK_MS = 1_000;

export interface TabOptions extends Omit<LeaderOptions, 'hub'> {
  /** The SharedWorker, where the browser has it. */
  hub?: MessagePort;
}

export class Tab {
  onrole: (role: 'leader' | 'follower') => void = () => {};
  private readonly leader: Leader;
  private readonly hub: MessagePort | undefined;
  private readonly client = freshLock('client');
  private readonly stopped = new AbortController();
  private readonly held: Promise<void>;
  private readonly wants = new Map<number, (answer: FromBroker) => void>();
  private next = 0;
  /** Set while a connection is being looked for. */
  private wake: () => void = () => {};
  private fail: (error: CraftecError) => void = () => {};
  private failure: CraftecError | undefined;

  constructor(options: TabOptions) {
    this.hub = options.hub;
    if (this.hub) {
      this.hub.onmessage = ({ data }: MessageEvent<FromBroker>) => {
        this.wants.get(data.id)?.(data);
      };
    }
    this.leader = new Leader(options);
    this.leader.onchange = (leading) => {
      if (leading) this.failure = undefined;
      this.onrole(leading ? 'leader' : 'follower');
      this.wake();
    };
    this.leader.onfailed = (error) => {
      this.failure = error;
      this.fail(error);
    };
    this.held = holdLock(this.client, this.stopped.signal);
    this.leader.campaign();
  }

  get role(): 'leader' | 'follower' {
    return this.leader.leading ? 'leader' : 'follower';
  }

  stop(): void {
    this.stopped.abort();
    this.leader.stop();
    this.hub?.close();
  }

  /** A transport to whichever tab leads, as soon as one does. */
  async connect(signal: AbortSignal): Promise<Transport> {
    await this.held;
    if (this.failure) this.leader.campaign();
    this.failure = undefined;
    const search = new AbortController();
    const stop = () => search.abort();
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await new Promise<Transport>((resolve, reject) => {
        this.fail = reject;
        signal.addEventListener('abort', () => reject(stoppedError()), { once: true });
        if (signal.aborted) reject(stoppedError());
        const offer = (transport: Transport) => {
          if (search.signal.aborted) transport.close();
          else resolve(transport);
          search.abort();
        };
        this.wake = () => this.leader.leading && !search.signal.aborted && offer(this.ownPort());
        this.wake();
        this.follow(search.signal, offer);
      });
    } finally {
      signal.removeEventListener('abort', stop);
      search.abort();
      this.wake = this.fail = () => {};
    }
  }

  private ownPort(): Transport {
    const leading = this.leader.leading;
    if (!leading) throw stoppedError();
    const { port1, port2 } = new MessageChannel();
    const attach: Attach = { t: 'attach', port: port1, client: this.client };
    leading.worker.postMessage(attach, [port1]);
    return portTransport(port2, leading.life);
  }

  /** Asks the broker, and on the channel; whoever leads answers one of them. */
  private follow(signal: AbortSignal, offer: (transport: Transport) => void): void {
    if (signal.aborted) return;
    const id = ++this.next;
    this.wants.set(id, ({ port, life }) => {
      // Late ones are let go of with a word, or their sessions would stay open.
      if (signal.aborted) port.postMessage(BYE);
      else offer(portTransport(port, life));
      this.wants.delete(id);
    });
    this.hub?.postMessage({ t: 'want', id, client: this.client } satisfies ToBroker);

    const channel = new BroadcastChannel(CHANNEL);
    const say = (message: ChannelMessage) => channel.postMessage(message);
    const called = `craftec-call-${crypto.randomUUID()}`;
    let life: string | undefined;
    channel.onmessage = ({ data }: MessageEvent<ChannelMessage>) => {
      if (data.t === 'leader' && data.life !== life) {
        life = data.life;
        const call = () => life === data.life && !signal.aborted;
        const message: ChannelMessage = {
          t: 'call',
          life: data.life,
          channel: called,
          client: this.client,
        };
        setTimeout(() => call() && say(message), this.hub ? BROKER_MS : 0);
      } else if (data.t === 'called' && data.channel === called && life !== undefined) {
        offer(broadcastTransport(called, life));
      }
    };
    say({ t: 'who' });
    const asking = setInterval(() => say({ t: 'who' }), ASK_MS);
    signal.addEventListener('abort', () => {
      clearInterval(asking);
      channel.close();
    });
  }
}

function stoppedError(): CraftecError {
  return new CraftecError('aborted', 'This node was stopped.');
}
