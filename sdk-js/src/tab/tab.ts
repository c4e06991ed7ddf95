/**
 * How a page reaches the node of its browser: its own worker when this tab leads, a port from the
 * broker when another does, a BroadcastChannel when there is no common broker. Listens to the
 * leader's heart, and takes its place when that stands still.
 */

import { CraftecError } from '../errors.js';
import { broadcastTransport, BYE, portTransport, watchLock } from '../client/transport.js';
import type { Transport } from '../client/transport.js';
import { VERSIONS } from '../wire/frames.js';
import { wantDatabases } from './build.js';
import { Leader, type LeaderOptions } from './leader.js';
import {
  BEAT_MS,
  CHANNEL,
  DEPOSE_LOCK,
  freshLock,
  holdLock,
  LEADER_LOCK,
  type Attach,
  type BrokerLife,
  type ChannelMessage,
  type FromBroker,
  type Reign,
  type ToBroker,
} from './names.js';
import { DEPOSE_TICKS, Pulse } from './pulse.js';

/** How long a broker has to hand over a port of a leader that is known to be there. */
const BROKER_MS = 700;
/** How often a client asks for a leader that did not announce itself. */
const ASK_MS = 1_000;
/** When a broker that handed over a port of a deposed leader is asked again. */
const STALE_MS = 100;
/** How long the one that takes the lock keeps others from doing the same. */
const DEPOSE_MS = 5_000;
/** Tabs that find the leader silent at the same tick act within this, one after the other. */
const DEPOSE_JITTER_MS = 500;

export interface TabOptions extends LeaderOptions {
  /** The SharedWorker, where the browser has it. */
  makeHub: () => MessagePort | undefined;
}

export class Tab {
  onrole: (role: 'leader' | 'follower') => void = () => {};
  private readonly leader: Leader;
  private hub: MessagePort | undefined;
  private readonly client = freshLock('client');
  private readonly stopped = new AbortController();
  private readonly held: Promise<void>;
  private readonly wants = new Map<number, (answer: FromBroker) => void>();
  private readonly channel = new BroadcastChannel(CHANNEL);
  private readonly pulse = new Pulse(DEPOSE_TICKS);
  /** The latest reign that was heard of. */
  private reign: Reign | undefined;
  private next = 0;
  /** Set while a connection is being looked for. */
  private wake: () => void = () => {};
  private fail: (error: CraftecError) => void = () => {};
  private failure: CraftecError | undefined;
  /** While the page sleeps: resolves when it is back. */
  private sleep: { over: Promise<void>; end: () => void } | undefined;
  /** The life that this tab saw end last: the broker may not know yet. */
  private ended: string | undefined;
  /** This tab is taking the leader's place: the present one is of no use to it. */
  private seizing = false;
  private equipping: Promise<true> | undefined;
  /** Ends what is connected now, so that the session looks for the node anew. */
  private drop: () => void = () => {};

  /** Asks the broker once more for what is being waited for. */
  private want: () => void = () => {};

  constructor(private readonly options: TabOptions) {
    this.leader = new Leader(options);
    this.leader.onchange = (leading) => {
      if (leading) this.failure = undefined;
      this.seizing = false;
      this.onrole(leading ? 'leader' : 'follower');
      this.wake();
    };
    this.leader.onfailed = (error) => {
      this.failure = error;
      this.seizing = false;
      this.fail(error);
    };
    this.meetBroker();
    this.held = holdLock(this.client, this.stopped.signal);
    this.listen();
    this.followLifecycle();
    this.leader.campaign();
  }

  get role(): 'leader' | 'follower' {
    return this.leader.leading ? 'leader' : 'follower';
  }

  stop(): void {
    this.stopped.abort();
    this.leader.stop();
    this.channel.close();
    this.hub?.close();
  }

  /**
   * The node speaks no version of ours. The newer build leads: it reads what the older one stored,
   * and the other way round nobody promised. `true` when this tab takes over.
   */
  outranks(): boolean {
    const theirs = this.reign?.versions ?? [1];
    if (Math.max(...VERSIONS) <= Math.max(...theirs) || this.leader.reigns) return false;
    this.seizing = true;
    this.leader.campaign(true);
    return true;
  }

  /**
   * Has a node with databases run, in this tab, in the place of one without. It is loaded before
   * the present one ends, which goes on where that fails.
   */
  equip(): Promise<true> {
    const replace = async (): Promise<true> => {
      if (this.leader.equipped) return true;
      await this.leader.prepare();
      wantDatabases();
      this.seizing = !this.leader.reigns;
      this.leader.succeed();
      this.drop();
      return true;
    };
    this.equipping ??= replace().finally(() => (this.equipping = undefined));
    return this.equipping;
  }

  /** A transport to whichever tab leads, as soon as one does. */
  async connect(signal: AbortSignal): Promise<Transport> {
    await this.held;
    await this.sleep?.over;
    if (this.failure) this.leader.campaign();
    this.failure = undefined;
    const search = new AbortController();
    const stop = () => search.abort();
    signal.addEventListener('abort', stop, { once: true });
    try {
      const transport = await new Promise<Transport>((resolve, reject) => {
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
        if (!this.seizing) this.follow(search.signal, offer);
      });
      this.drop = () => transport.drop();
      return transport;
    } finally {
      signal.removeEventListener('abort', stop);
      search.abort();
      this.wake = this.fail = () => {};
    }
  }

  /** A frozen page hears nothing: it lets go of session, lock and disk, and comes back. */
  private followLifecycle(): void {
    const { signal } = this.stopped;
    const aside = () => {
      if (!this.sleep) {
        let end = () => {};
        const over = new Promise<void>((resolve) => (end = resolve));
        this.sleep = { over, end };
      }
      this.leader.aside();
      // Else events would pile up in a port that nobody reads.
      this.drop();
    };
    const back = () => {
      this.sleep?.end();
      this.sleep = undefined;
      this.leader.back();
    };
    document.addEventListener('freeze', aside, { signal });
    document.addEventListener('resume', back, { signal });
    addEventListener('pagehide', aside, { signal });
    addEventListener('pageshow', (event) => event.persisted && back(), { signal });
  }

  /** The broker dies with the process that it is in; there is another one at once. */
  private meetBroker(): void {
    const hub = this.options.makeHub();
    this.hub = hub;
    this.leader.meet(hub);
    this.want();
    if (!hub) return;
    hub.onmessage = ({ data }: MessageEvent<FromBroker | BrokerLife>) => {
      if (data.t !== 'broker') return this.wants.get(data.id)?.(data);
      watchLock(data.life, this.stopped.signal, () => {
        if (this.hub !== hub) return;
        hub.close();
        this.meetBroker();
      });
    };
  }

  private listen(): void {
    this.channel.addEventListener('message', ({ data }: MessageEvent<ChannelMessage>) => {
      if (data.t !== 'leader' && data.t !== 'beat') return;
      this.leader.beat(data.life);
      const { epoch, versions } = data;
      // A worker that was deposed and does not know it yet is no sign of life; one that has no
      // epoch yet is.
      if (epoch && epoch < (this.reign?.epoch ?? 0)) return;
      if (epoch && versions) this.reign = { epoch, versions };
      this.pulse.beat();
    });
    const ticking = setInterval(() => {
      const loading = this.leader.tick();
      if (loading) this.say({ t: 'beat', life: loading, epoch: 0, versions: VERSIONS });
      if (this.leader.reigns) this.pulse.beat();
      else if (this.pulse.tick()) void this.depose();
      // Whoever leads without beats is of an older version, and answers this.
      else if (this.pulse.quiet) this.say({ t: 'who' });
    }, BEAT_MS);
    this.stopped.signal.addEventListener('abort', () => clearInterval(ticking));
  }

  /** The leader is silent: one tab takes its place, the others wait for that one's first beats. */
  private async depose(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * DEPOSE_JITTER_MS));
    await navigator.locks.request(DEPOSE_LOCK, { ifAvailable: true }, async (ours) => {
      const { held } = await navigator.locks.query();
      // A free lock goes to whoever queues for it; a held one is taken from its holder.
      if (!ours || !held?.some(({ name }) => name === LEADER_LOCK)) return;
      if (this.stopped.signal.aborted || this.sleep || this.leader.reigns) return;
      console.warn('craftec: the tab that runs the node is silent; this one takes over');
      this.leader.campaign(true);
      await new Promise<void>((resolve) => {
        setTimeout(resolve, DEPOSE_MS);
        // A frozen page may not keep others from it.
        document.addEventListener('freeze', () => resolve(), { once: true });
      });
    });
  }

  private say(message: ChannelMessage): void {
    if (!this.stopped.signal.aborted) this.channel.postMessage(message);
  }

  private ownPort(): Transport {
    const leading = this.leader.leading;
    if (!leading) throw stoppedError();
    const { port1, port2 } = new MessageChannel();
    const attach: Attach = { t: 'attach', port: port1, client: this.client };
    leading.worker.postMessage(attach, [port1]);
    return portTransport(port2, leading.life, () => (this.ended = leading.life));
  }

  /** Asks the broker, and on the channel; whoever leads answers one of them. */
  private follow(signal: AbortSignal, offer: (transport: Transport) => void): void {
    if (signal.aborted) return;
    const stale = (epoch: number | undefined) => (epoch ?? Infinity) < (this.reign?.epoch ?? 0);
    const id = ++this.next;
    const want = () => {
      const message: ToBroker = { t: 'want', id, client: this.client };
      if (this.ended !== undefined) message.ended = this.ended;
      this.hub?.postMessage(message);
    };
    this.wants.set(id, ({ port, life, epoch }) => {
      // Late ones are let go of with a word, or their sessions would stay open.
      if (signal.aborted || stale(epoch)) port.postMessage(BYE);
      else offer(portTransport(port, life, () => (this.ended = life)));
      if (signal.aborted) this.wants.delete(id);
      // The broker has not heard of the present leader yet.
      else setTimeout(() => !signal.aborted && want(), STALE_MS);
    });
    this.want = want;
    want();

    const called = `craftec-call-${crypto.randomUUID()}`;
    let life: string | undefined;
    const onmessage = ({ data }: MessageEvent<ChannelMessage>) => {
      if (data.t === 'leader' && data.life !== life && !stale(data.epoch)) {
        life = data.life;
        const wanted = () => life === data.life && !signal.aborted;
        const call = { t: 'call', life: data.life, channel: called, client: this.client } as const;
        setTimeout(() => wanted() && this.say(call), this.hub ? BROKER_MS : 0);
      } else if (data.t === 'called' && data.channel === called && life !== undefined) {
        offer(broadcastTransport(called, life));
      }
    };
    this.channel.addEventListener('message', onmessage);
    this.say({ t: 'who' });
    const asking = setInterval(() => this.say({ t: 'who' }), ASK_MS);
    signal.addEventListener('abort', () => {
      clearInterval(asking);
      this.want = () => {};
      this.channel.removeEventListener('message', onmessage);
    });
  }
}

function stoppedError(): CraftecError {
  return new CraftecError('aborted', 'This node was stopped.');
}
