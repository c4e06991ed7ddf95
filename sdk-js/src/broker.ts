/**
 * The SharedWorker between the tabs of one origin: gives each client a MessagePort to the node's
 * worker. Frames never pass through it; it holds no state but who leads and who waits.
 */

import { watchLock } from './client/transport.js';
import type { Attach, FromBroker, ToBroker } from './tab/names.js';

/** Clients that may wait for a leader; more than any browser has tabs. */
const WAITING = 256;

interface Leader {
  life: string;
  port: MessagePort;
}

let leader: Leader | undefined;
const waiting: { asker: MessagePort; want: Extract<ToBroker, { t: 'want' }> }[] = [];

function introduce({ life, port }: Leader, asker: MessagePort, want: ToBroker & { t: 'want' }) {
  const { port1, port2 } = new MessageChannel();
  const attach: Attach = { t: 'attach', port: port1 };
  if (want.client !== undefined) attach.client = want.client;
  if (want.site !== undefined) attach.site = want.site;
  port.postMessage(attach, [port1]);
  const answer: FromBroker = { t: 'port', id: want.id, life, port: port2 };
  asker.postMessage(answer, [port2]);
}

function lead(next: Leader) {
  leader = next;
  watchLock(next.life, new AbortController().signal, () => {
    if (leader === next) leader = undefined;
    next.port.close();
  });
  for (const { asker, want } of waiting.splice(0)) introduce(next, asker, want);
}

function connected(event: MessageEvent) {
  const [tab] = event.ports;
  if (!tab) return;
  tab.onmessage = ({ data }: MessageEvent<ToBroker>) => {
    if (data.t === 'lead') lead({ life: data.life, port: data.port });
    else if (leader) introduce(leader, tab, data);
    else {
      if (waiting.length >= WAITING) waiting.shift();
      waiting.push({ asker: tab, want: data });
    }
  };
}

(self as unknown as { onconnect: typeof connected }).onconnect = connected;
