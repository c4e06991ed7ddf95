/**
 * A site's tie to the node of this browser: one connection at a time, and the next one when the
 * node moved to another tab. Every port is for the site's one root; the node enforces that.
 */

import { Connection } from '../client/connection.js';
import type { Runner } from '../client/reader.js';
import { BYE, pingedTransport } from '../client/transport.js';
import { ConnectionLost } from '../errors.js';
import { AGAIN, type Again } from '../tab/names.js';

/** How long the broker may take to say a word; it ended with the last tab of the app. */
const WORD_MS = 400;
/** How long another tab may take to have the node. */
const AGAIN_MS = 2_500;
/** How often one piece of work goes on with another connection. */
const MOVES = 3;

export class Link implements Runner {
  /** When a name's root is asked for again. */
  until = Infinity;
  private connection: Promise<Connection> | undefined;
  private ping: () => void = () => {};
  private drop: () => void = () => {};
  private asking: { heard: () => void; done: (port?: MessagePort) => void } | undefined;

  private constructor(
    readonly root: string,
    private readonly again: MessagePort | undefined,
  ) {
    if (!again) return;
    again.onmessage = ({ data }: MessageEvent<Again>) => this.heard(data);
  }

  /** Rejects when the node does not answer. */
  static async open(root: string, port: MessagePort, again?: MessagePort): Promise<Link> {
    const link = new Link(root, again);
    await link.use(port);
    return link;
  }

  /** Asks whether the node is there still; if not, what waits for it goes on with the next one. */
  check(): void {
    this.ping();
  }

  /** Throws {@link ConnectionLost} when there is no other node to go on with. */
  async run<T>(work: (connection: Connection, again: boolean) => Promise<T>): Promise<T> {
    for (let moves = 0; ; moves++) {
      const connection = await (this.connection ??= this.reconnect());
      try {
        return await work(connection, moves > 0);
      } catch (error) {
        if (!(error instanceof ConnectionLost) || moves >= MOVES) throw error;
      }
    }
  }

  close(): void {
    this.connection?.then((connection) => connection.close()).catch(() => {});
    this.again?.close();
  }

  private use(port: MessagePort): Promise<Connection> {
    const transport = pingedTransport(port);
    transport.check();
    this.ping = () => transport.check();
    this.drop = () => transport.drop();
    const opened = Connection.open(transport);
    const current = opened.catch((error: unknown) => {
      forget();
      throw error;
    });
    const forget = () => {
      if (this.connection === current) this.connection = undefined;
    };
    void opened.then(({ lost }) => lost.then(forget)).catch(() => {});
    this.connection = current;
    return current;
  }

  private async reconnect(): Promise<Connection> {
    const { again } = this;
    if (!again) throw new ConnectionLost();
    try {
      const port = await new Promise<MessagePort>((resolve, reject) => {
        const done = (port?: MessagePort) => {
          this.asking = undefined;
          clearTimeout(timer);
          if (port) resolve(port);
          else reject(new ConnectionLost());
        };
        let timer = setTimeout(() => done(), WORD_MS);
        const heard = () => {
          clearTimeout(timer);
          timer = setTimeout(() => done(), AGAIN_MS);
        };
        this.asking = { heard, done };
        again.postMessage(AGAIN);
      });
      return await this.use(port);
    } catch (error) {
      this.connection = undefined;
      throw error;
    }
  }

  private heard(answer: Again): void {
    if (answer.t === 'ended') this.drop();
    else if (answer.t === 'wait') this.asking?.heard();
    else if (answer.t === 'none') this.asking?.done();
    else if (this.asking) this.asking.done(answer.port);
    // Nobody waits for it any more; its session would stay open.
    else answer.port.postMessage(BYE);
  }
}
