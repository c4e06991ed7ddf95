/** Sites: publish a folder, list what was published, say where it opens. */

import { camel } from './client/camel.js';
import type { Connection } from './client/connection.js';
import { within, type Session } from './client/session.js';
import { CHUNK_BYTES, sourceOf } from './client/source.js';
import { aborted, ConnectionLost, CraftecError } from './errors.js';
import { collect, readProblem, type SiteFile, type SiteFiles } from './files.js';
import { copies, pushChunks } from './obj.js';
import type {
  LeftOut,
  Published,
  PublishOptions,
  PublishProgress,
  Resolved,
  SiteRow,
} from './types.js';

/** Small files on their way to the node at one time, each in one frame. */
const SMALL_LANES = 16;
/** Large files at one time: the node keeps some MiB of each. */
const LARGE_LANES = 2;
/** Progress is told at most this often. */
const PROGRESS_MS = 50;

export class Sites {
  constructor(
    private readonly session: Session,
    private readonly gateway: string,
  ) {}

  /** Publishes a folder; resolves when it is durable here. */
  async publish(input: SiteFiles, options: PublishOptions = {}): Promise<Published> {
    const { name, replicas, signal } = options;
    const wanted = copies(replicas);
    const tell = paced(options.onProgress);
    tell({ phase: 'reading', files: 0, bytes: 0 });
    const { files, leftOut } = await collect(
      input,
      (found, bytes) => tell({ phase: 'reading', files: found, bytes }),
      signal,
    ).catch((error: unknown) => {
      throw signal?.aborted ? aborted(signal) : error;
    });
    const { published, unread } = await this.session.run(async (connection) => {
      const { handle: folder } = await connection.ask('folder_open', 'handle', signal);
      try {
        const upload = new Upload(connection, folder, files, tell, signal);
        await upload.run();
        const last = { files: upload.files, totalFiles: upload.files };
        tell({ phase: 'storing', ...last, bytes: upload.bytes, totalBytes: upload.bytes }, true);
        const close = { folder, replicas: wanted, site: true, name: name ?? null };
        const published = await connection.ask({ folder_close: close }, 'published', signal);
        return { published, unread: upload.unread };
      } catch (error) {
        connection.drop(folder);
        throw error;
      }
    }, signal);
    const url = this.url(published.label ?? published.cid);
    return { ...published, url, leftOut: [...leftOut, ...unread] };
  }

  /** Sites published here, newest first. */
  async list(options: { signal?: AbortSignal } = {}): Promise<SiteRow[]> {
    const { sites } = await this.session.ask('sites', 'sites', options.signal);
    return sites.map((site) => ({ ...camel(site), url: this.url(site.label ?? site.cid) }));
  }

  /** Where a name points now: a label, or `did:craftec:…/name`. */
  async resolve(name: string, options: { signal?: AbortSignal } = {}): Promise<Resolved> {
    return camel(await this.session.ask({ resolve: { name } }, 'resolved', options.signal));
  }

  /** Where the site with this CID or label opens. */
  url(cidOrLabel: string): string {
    const gateway = new URL(this.gateway);
    return `${gateway.protocol}//${cidOrLabel}.${gateway.host}/`;
  }
}

/** Hands the files of one folder to the node, several at a time. */
class Upload {
  files = 0;
  bytes = 0;
  readonly unread: LeftOut[] = [];
  private readonly totalBytes: number;

  constructor(
    private readonly connection: Connection,
    private readonly folder: number,
    private readonly list: readonly SiteFile[],
    private readonly tell: (progress: PublishProgress, now?: boolean) => void,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.totalBytes = list.reduce((sum, { size }) => sum + size, 0);
  }

  async run(): Promise<void> {
    const isSmall = ({ size }: SiteFile) => size < CHUNK_BYTES;
    const small = this.list.filter(isSmall).values();
    const large = this.list.filter((file) => !isSmall(file)).values();
    // Lanes share one iterator; when one fails, the others find it stopped.
    let stopped = false;
    const lane = async (files: Iterator<SiteFile>, add: (file: SiteFile) => Promise<void>) => {
      try {
        for (let file; !stopped && (file = files.next().value as SiteFile | undefined);) {
          if (this.signal?.aborted) throw aborted(this.signal);
          await add(file);
        }
      } catch (error) {
        stopped = true;
        throw error;
      }
    };
    const lanes = (n: number, files: Iterator<SiteFile>, add: (file: SiteFile) => Promise<void>) =>
      Array.from({ length: n }, () => lane(files, add));
    await Promise.all([
      ...lanes(SMALL_LANES, small, (file) => this.addSmall(file)),
      ...lanes(LARGE_LANES, large, (file) => this.addLarge(file)),
    ]);
    if (this.files > 0) return;
    const reason = this.unread[0]?.reason ?? '';
    throw new CraftecError('bad_input', `None of the files could be read: ${reason}.`);
  }

  private async addSmall({ path, blob }: SiteFile): Promise<void> {
    let bytes;
    try {
      bytes = new Uint8Array(await within(blob.arrayBuffer(), this.signal));
    } catch (error) {
      return this.skip(path, error);
    }
    const command = { folder_add: { folder: this.folder, path, bytes } };
    await this.connection.ask(command, 'done', this.signal);
    this.bytes += bytes.length;
    this.count();
  }

  private async addLarge({ path, blob }: SiteFile): Promise<void> {
    const open = { folder_file: { folder: this.folder, path } };
    const { handle } = await this.connection.ask(open, 'handle', this.signal);
    const before = this.bytes;
    let sent = 0;
    try {
      await pushChunks(
        this.connection,
        handle,
        sourceOf(blob),
        ({ bytes }) => {
          this.bytes += bytes - sent;
          sent = bytes;
          this.progress();
        },
        this.signal,
      );
    } catch (error) {
      this.connection.drop(handle);
      const ofFile = error instanceof CraftecError && error.cause instanceof DOMException;
      if (!ofFile || error instanceof ConnectionLost) throw error;
      this.bytes = Math.max(before, this.bytes - sent);
      return this.skip(path, error.cause);
    }
    await this.connection.ask({ put_close: { handle } }, 'stored', this.signal);
    this.count();
  }

  private skip(path: string, error: unknown): void {
    if (this.signal?.aborted) throw aborted(this.signal);
    this.unread.push({ path, reason: readProblem(error) });
  }

  private count(): void {
    this.files += 1;
    this.progress();
  }

  private progress(): void {
    const { files, bytes, totalBytes } = this;
    this.tell({ phase: 'hashing', files, totalFiles: this.list.length, bytes, totalBytes });
  }
}

/** Calls `fn` at most every {@link PROGRESS_MS}, and at each change of phase. */
function paced(
  fn: ((progress: PublishProgress) => void) | undefined,
): (progress: PublishProgress, now?: boolean) => void {
  let last = -Infinity;
  let phase = '';
  return (progress, now = false) => {
    const at = performance.now();
    if (!now && progress.phase === phase && at - last < PROGRESS_MS) return;
    last = at;
    phase = progress.phase;
    fn?.(progress);
  };
}
