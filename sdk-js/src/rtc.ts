/**
 * The page's half of WebRTC: lends `RTCPeerConnection`s, which exist only in a window, to the
 * node's worker, by ids that the worker chooses. Every data channel is transferred to the worker in
 * the very task that created it (one task later a browser refuses), so no byte of a stream passes
 * through the page's thread. What still needs that thread: a new connection, a new channel, a
 * change of state.
 *
 * Decides nothing, retries nothing, and keeps no state but the connections themselves.
 */

/** What the worker asks. With `seq` it wants an answer. */
type Request = { pc: number; seq?: number } & (
  | { op: 'new'; config?: RTCConfiguration | null }
  | { op: 'close' }
  | { op: 'alive'; name: string }
  | { op: 'createDataChannel'; label: string; init: RTCDataChannelInit }
  | { op: 'createOffer' }
  | { op: 'createAnswer' }
  | { op: 'setLocal' | 'setRemote'; type: RTCSdpType; sdp: string }
  | { op: 'addIce'; candidate: string }
);

/** Those that need an existing connection. */
type ConnectionRequest = Exclude<Request, { op: 'new' | 'close' | 'alive' }>;

/** What the page tells. The first three answer a `seq`. */
type Reply =
  | { ev: 'ok'; seq: number; value: string | null }
  | { ev: 'err'; seq: number; error: string }
  | { ev: 'channel'; pc: number; seq: number | undefined; dc: RTCDataChannel }
  | { ev: 'inbound'; pc: number; dc: RTCDataChannel }
  | { ev: 'ice'; pc: number; candidate: string }
  | { ev: 'state'; pc: number; state: RTCPeerConnectionState };

/** Options of {@link serveRtc}. */
export interface RtcOptions {
  /**
   * Connections lent at one time; one more is answered as failed. Chromium allows 500 per page,
   * and an idle one costs some 2.5 MB. Default 256.
   */
  maxConnections?: number;
}

/** A page that lends connections. */
export interface RtcServer {
  /** How many connections are lent now. */
  readonly size: number;
  /** Closes every connection; the worker is told. New ones may be asked for. */
  closeAll(): void;
  /** Closes every connection and serves no more. */
  stop(): void;
}

/**
 * Lends peer connections to the worker at the other end of `port`, until the page or the worker
 * ends.
 *
 * ```ts
 * const { port1, port2 } = new MessageChannel();
 * serveRtc(port1);
 * worker.postMessage({ rtc: port2 }, [port2]);
 * ```
 */
export function serveRtc(port: MessagePort, options: RtcOptions = {}): RtcServer {
  const lender = new Lender(port, options.maxConnections ?? 256);
  return {
    get size() {
      return lender.size;
    },
    closeAll: () => lender.closeAll(),
    stop: () => lender.stop(),
  };
}

class Lender {
  /** The strong references that keep the connections alive. */
  private readonly connections = new Map<number, RTCPeerConnection>();
  private readonly stopped = new AbortController();
  private told = false;

  constructor(
    private readonly port: MessagePort,
    private readonly maxConnections: number,
  ) {
    port.onmessage = ({ data }: MessageEvent<Request>) => this.onRequest(data);
    // Closing tells the other side at once; of a page that merely dies it learns by ICE timeouts.
    addEventListener('pagehide', () => this.closeAll(), { signal: this.stopped.signal });
  }

  get size(): number {
    return this.connections.size;
  }

  closeAll(): void {
    for (const id of [...this.connections.keys()]) this.close(id);
  }

  stop(): void {
    this.closeAll();
    this.stopped.abort();
    this.port.onmessage = null;
    this.port.close();
  }

  private tell(reply: Reply, transfer: Transferable[] = []): void {
    this.port.postMessage(reply, transfer);
  }

  private onRequest(request: Request): void {
    switch (request.op) {
      case 'new':
        this.open(request.pc, request.config ?? {});
        break;
      case 'close':
        this.close(request.pc);
        break;
      case 'alive':
        this.watch(request.name);
        break;
      default:
        this.onConnection(request);
    }
  }

  private onConnection(request: ConnectionRequest): void {
    const connection = this.connections.get(request.pc);
    if (!connection) {
      this.fail(request.seq, 'this connection is closed');
      return;
    }
    // No await may stand between the creation of a channel and its transfer.
    if (request.op === 'createDataChannel') {
      try {
        const dc = connection.createDataChannel(request.label, request.init);
        this.tell({ ev: 'channel', pc: request.pc, seq: request.seq, dc }, [dc]);
      } catch (error) {
        this.refused(error);
        this.fail(request.seq, error);
      }
      return;
    }
    perform(connection, request).then(
      (value) => {
        const { seq } = request;
        if (seq !== undefined) this.tell({ ev: 'ok', seq, value: value ?? null });
      },
      (error: unknown) => this.fail(request.seq, error),
    );
  }

  private fail(seq: number | undefined, error: unknown): void {
    if (seq === undefined) return;
    this.tell({ ev: 'err', seq, error: error instanceof Error ? error.message : String(error) });
  }

  /** Says once why connections stay relayed: the browser keeps its data channels in windows. */
  private refused(error: unknown): void {
    if (this.told) return;
    this.told = true;
    console.warn('craftec: no data channel for the worker, connections stay relayed:', error);
  }

  private open(id: number, config: RTCConfiguration): void {
    try {
      if (this.connections.size >= this.maxConnections) throw new Error('too many connections');
      const connection = new RTCPeerConnection(config);
      this.connections.set(id, connection);
      this.follow(id, connection);
    } catch (error) {
      console.warn('craftec: no peer connection:', error);
      this.tell({ ev: 'state', pc: id, state: 'failed' });
    }
  }

  private follow(id: number, connection: RTCPeerConnection): void {
    connection.onicecandidate = ({ candidate }) => {
      // The empty candidate says that there are no more; nobody waits for that.
      if (!candidate?.candidate) return;
      this.tell({ ev: 'ice', pc: id, candidate: JSON.stringify(candidate.toJSON()) });
    };
    connection.onconnectionstatechange = () => {
      this.tell({ ev: 'state', pc: id, state: connection.connectionState });
      // Nobody restarts ICE: free it now.
      if (connection.connectionState === 'failed') this.close(id);
      else this.followAssociation(id, connection);
    };
    // Inside the handler: a task later the channel could not be transferred.
    connection.ondatachannel = ({ channel: dc }) => {
      try {
        this.tell({ ev: 'inbound', pc: id, dc }, [dc]);
      } catch (error) {
        this.refused(error);
        this.close(id);
      }
    };
  }

  /**
   * A peer that closes in good order ends its SCTP association at once, while the connection's own
   * state stays `connected` for some seconds: take the association's end for the connection's.
   */
  private followAssociation(id: number, connection: RTCPeerConnection): void {
    const sctp = connection.sctp;
    if (!sctp || sctp.onstatechange) return;
    sctp.onstatechange = () => {
      if (sctp.state === 'closed') this.close(id);
    };
  }

  private close(id: number): void {
    const connection = this.connections.get(id);
    if (!connection) return;
    this.connections.delete(id);
    connection.onicecandidate = null;
    connection.onconnectionstatechange = null;
    connection.ondatachannel = null;
    if (connection.sctp) connection.sctp.onstatechange = null;
    connection.close();
    // close() itself fires no event.
    this.tell({ ev: 'state', pc: id, state: 'closed' });
  }

  /**
   * The worker holds the Web Lock `name` for life, so being granted it means that the worker ended,
   * in whatever way. Without this its connections would stay open here, dead to the other side.
   */
  private watch(name: string): void {
    const signal = this.stopped.signal;
    navigator.locks
      .request(name, { signal }, () => this.closeAll())
      .catch((error: unknown) => {
        if (!signal.aborted) console.warn('craftec: cannot see the worker end:', error);
      });
  }
}

async function perform(
  connection: RTCPeerConnection,
  request: Exclude<ConnectionRequest, { op: 'createDataChannel' }>,
): Promise<string | undefined> {
  switch (request.op) {
    case 'createOffer':
      return (await connection.createOffer()).sdp;
    case 'createAnswer':
      return (await connection.createAnswer()).sdp;
    case 'setLocal':
      await connection.setLocalDescription({ type: request.type, sdp: request.sdp });
      return undefined;
    case 'setRemote':
      await connection.setRemoteDescription({ type: request.type, sdp: request.sdp });
      return undefined;
    case 'addIce':
      await connection.addIceCandidate(JSON.parse(request.candidate) as RTCIceCandidateInit);
      return undefined;
    default:
      throw new Error(`unknown operation ${(request as { op: string }).op}`);
  }
}
