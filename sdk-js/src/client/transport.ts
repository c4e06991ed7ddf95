/** Ways to carry frames to a node: a MessagePort, a BroadcastChannel, a WebSocket. */

import { ConnectionLost, CraftecError } from '../errors.js';

/** Moves whole frames; knows nothing of their content. */
export interface Transport {
  /** Takes the buffer of `frame` with it where it can. Never throws; a dead one drops it. */
  send(frame: Uint8Array<ArrayBuffer>): void;
  onframe: (frame: Uint8Array<ArrayBuffer>) => void;
  /** Called at most once; nothing arrives after it. */
  onlost: (error: CraftecError) => void;
  close(): void;
  /** Closes it as if it had been lost: whoever uses it looks for the node anew. */
  drop(): void;
}

/** Said over a port instead of a frame, to end the session behind it. */
export const BYE = 'bye';
export const PING = 'ping';
export const PONG = 'pong';

/** Buffers up to this length are copied: handing one over costs 5 µs more than that. */
const COPIED_BYTES = 4 << 10;

/** The part of a MessagePort and of a BroadcastChannel that frames need. */
interface Channel {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

class ChannelTransport implements Transport {
  onframe: Transport['onframe'] = () => {};
  onlost: Transport['onlost'] = () => {};
  private open = true;

  constructor(
    private readonly channel: Channel,
    private readonly transfers: boolean,
    private readonly onclosed: () => void,
    onword: (word: string) => void,
  ) {
    channel.onmessage = ({ data }: MessageEvent) => {
      if (!this.open) return;
      if (data instanceof Uint8Array) this.onframe(data as Uint8Array<ArrayBuffer>);
      else if (data === BYE) this.lose(new ConnectionLost());
      else if (typeof data === 'string') onword(data);
    };
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    if (!this.open) return;
    const handsOver = this.transfers && frame.buffer.byteLength > COPIED_BYTES;
    if (handsOver) this.channel.postMessage(frame, [frame.buffer]);
    else this.channel.postMessage(frame);
  }

  say(word: string): void {
    if (this.open) this.channel.postMessage(word);
  }

  lose(error: CraftecError): void {
    if (!this.open) return;
    this.shut();
    this.onlost(error);
  }

  close(): void {
    if (!this.open) return;
    this.channel.postMessage(BYE);
    this.shut();
  }

  drop(): void {
    if (!this.open) return;
    this.channel.postMessage(BYE);
    this.lose(new ConnectionLost());
  }

  private shut(): void {
    this.open = false;
    this.channel.close();
    this.onclosed();
  }
}

/**
 * Over a port whose other end is in this origin. The node holds the Web Lock `life`; when it is
 * granted to us, the node is gone, whatever its end was, and `ended` is told before anybody else.
 */
export function portTransport(
  port: MessagePort,
  life: string,
  ended: () => void = () => {},
): Transport {
  const done = new AbortController();
  const transport = new ChannelTransport(
    port,
    true,
    () => done.abort(),
    () => {},
  );
  watchLock(life, done.signal, () => {
    ended();
    transport.lose(new ConnectionLost());
  });
  return transport;
}

/** The same over a BroadcastChannel, which copies: for browsers without SharedWorker. */
export function broadcastTransport(name: string, life: string): Transport {
  const done = new AbortController();
  const channel = new BroadcastChannel(name);
  const transport = new ChannelTransport(
    channel,
    false,
    () => done.abort(),
    () => {},
  );
  watchLock(life, done.signal, () => transport.lose(new ConnectionLost()));
  return transport;
}

/** How long an answer to a ping may take: the worker may be hashing. */
const PONG_MS = 2_000;

/**
 * Over a port from another origin, where no lock can be shared: `check` asks whether the node is
 * there still, and loses the transport when it stays silent.
 */
export function pingedTransport(port: MessagePort): Transport & { check(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const quiet = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const transport = new ChannelTransport(port, true, quiet, quiet);
  // Not every browser fires it; where it does, the loss is known at once.
  port.addEventListener('close', () => transport.lose(new ConnectionLost()));
  return Object.assign(transport, {
    check() {
      if (timer !== undefined) return;
      timer = setTimeout(() => transport.lose(new ConnectionLost()), PONG_MS);
      transport.say(PING);
    },
  });
}

/** Calls `ended` when the holder of the lock `name` lets it go. */
export function watchLock(name: string, signal: AbortSignal, ended: () => void): void {
  navigator.locks
    .request(name, { mode: 'shared', signal }, () => {
      if (!signal.aborted) ended();
    })
    .catch(() => {
      // Only our own signal ends the wait.
    });
}

/** To a native node. `token` travels as a subprotocol, since a page can't set headers. */
export function webSocketTransport(
  url: string,
  token: string,
  signal?: AbortSignal,
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    let socket: WebSocket;
    try {
      socket = new WebSocket(url, ['craftec', `token.${token}`]);
    } catch (cause) {
      reject(new CraftecError('bad_input', `Not a WebSocket address: ${url}`, { cause }));
      return;
    }
    socket.binaryType = 'arraybuffer';
    let opened = false;
    const transport: Transport = {
      send: (frame) => socket.readyState === WebSocket.OPEN && socket.send(frame),
      onframe: () => {},
      onlost: () => {},
      close() {
        socket.onclose = null;
        socket.close();
      },
      drop: () => socket.close(),
    };
    const giveUp = () => {
      transport.close();
      reject(new CraftecError('aborted', 'The call was ended by its AbortSignal.'));
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    socket.onopen = () => {
      opened = true;
      signal?.removeEventListener('abort', giveUp);
      resolve(transport);
    };
    socket.onmessage = ({ data }: MessageEvent) => {
      if (data instanceof ArrayBuffer) transport.onframe(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => {
      signal?.removeEventListener('abort', giveUp);
      const why = reason || `code ${code}`;
      if (opened) transport.onlost(new ConnectionLost(`The connection to ${url} ended (${why}).`));
      else {
        reject(
          new CraftecError('unavailable', `No node answered at ${url} (${why}).`, {
            hint: 'Is `craftec up` running, and is the token right?',
          }),
        );
      }
    };
  });
}
