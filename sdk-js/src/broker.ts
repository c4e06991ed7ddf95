/**
 * The SharedWorker between the tabs of one origin: gives each client a MessagePort to the node's
 * worker, and sites another one when the node moved. Frames never pass through it; it holds no
 * state but who leads and who waits. It lives in the process of some tab and dies if that crashes:
 * it holds a lock by which the others learn of it, and make another.
 */

import { watchLock } from './client/transport.js';
import { AGAIN, freshLock, holdLock, LEADER_LOCK } from './tab/names.js';
import type { Again, Attach, BrokerLife, FromBroker, ToBroker } from './tab/names.js';

/** Clients that may wait for a leader; more than any browser has tabs. */
const WAITING = 256;

interface Leader {
  life: string;
  port: MessagePort;
  epoch: number;
}

/** Sites that are told when their node goes; the one longest here finds out by itself beyond it. */
const SITES = 256;

/** Somebody who waits for a leader; called once with one. */
type Waiting = (leader: Leader) => void;

let leader: Leader | undefined;
const waiting: Waiting[] = [];
const sites: MessagePort[] = [];

/** A port to the node for `whom`. */
function attach({ port }: Leader, whom: Omit<Attach, 't' | 'port'>): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port.postMessage({ t: 'attach', port: port1, ...whom } satisfies Attach, [port1]);
  return port2;
}

function introduce(to: Leader, asker: MessagePort, want: ToBroker & { t: 'want' }) {
  const whom: Omit<Attach, 't' | 'port'> = {};
  if (want.client !== undefined) whom.client = want.client;
  if (want.site !== undefined) whom.site = want.site;
  const { life, epoch } = to;
  const answer: FromBroker = { t: 'port', id: want.id, life, epoch, port: attach(to, whom) };
  if (want.site !== undefined) answer.again = again(want.site);
  asker.postMessage(answer, answer.again ? [answer.port, answer.again] : [answer.port]);
}

/** A port over which a site gets others for its root, and for no other, when the node moved. */
function again(site: string): MessagePort {
  const { port1, port2 } = new MessageChannel();
  const say = (answer: Again, transfer: Transferable[] = []) => port1.postMessage(answer, transfer);
  if (sites.length >= SITES) sites.shift();
  sites.push(port1);
  port1.onmessage = async ({ data }) => {
    if (data !== AGAIN) return;
    say({ t: (await awaited()) ? 'wait' : 'none' });
    whenLed(undefined, (to) => {
      const port = attach(to, { site });
      say({ t: 'port', port }, [port]);
    });
  };
  return port2;
}

/** Whether some tab leads, or is about to. */
async function awaited(): Promise<boolean> {
  const { held, pending } = await navigator.locks.query();
  return [...(held ?? []), ...(pending ?? [])].some(({ name }) => name === LEADER_LOCK);
}

/** Calls `then` with the leader, or with the next one, if its life is the one that `ended`. */
function whenLed(ended: string | undefined, then: Waiting) {
  if (leader && leader.life === ended) reigns(undefined);
  if (leader) return then(leader);
  if (waiting.length >= WAITING) waiting.shift();
  waiting.push(then);
}

function reigns(next: Leader | undefined) {
  if (leader) for (const site of sites) site.postMessage({ t: 'ended' } satisfies Again);
  leader = next;
}

function lead(next: Leader) {
  // A leader that was deposed while it started: its worker is about to hear of it.
  if (leader && next.epoch < leader.epoch) return next.port.close();
  reigns(next);
  watchLock(next.life, new AbortController().signal, () => {
    if (leader === next) reigns(undefined);
    next.port.close();
  });
  for (const then of waiting.splice(0)) then(next);
}

const life = freshLock('broker');
const held = holdLock(life, new AbortController().signal);

function connected(event: MessageEvent) {
  const [tab] = event.ports;
  if (!tab) return;
  void held.then(() => tab.postMessage({ t: 'broker', life } satisfies BrokerLife));
  tab.onmessage = ({ data }: MessageEvent<ToBroker>) => {
    if (data.t === 'lead') lead({ life: data.life, port: data.port, epoch: data.epoch ?? 0 });
    else if (data.t === 'want') whenLed(data.ended, (to) => introduce(to, tab, data));
  };
}

(self as unknown as { onconnect: typeof connected }).onconnect = connected;
