/**
 * Judges whether a worker still turns its event loop, by counting one's own ticks since its last
 * beat. Ticks and not time: whoever slept, or was throttled to a tick a minute, has ticked once and
 * hears the beats that waited for it, so only one that is awake can find another silent.
 */

/**
 * Ticks without a beat after which the page that owns a worker takes it for hung. The longest that
 * the node computes in one go is a few hundred milliseconds; the rest is for loaded machines.
 */
export const HUNG_TICKS = 8;
/** The same before the first beat: the script is being loaded, over whatever network there is. */
export const LOADING_TICKS = 60;
/**
 * Ticks after which another tab takes the leader's place. Later than the above by more than a
 * worker takes to start, so that the leader's own page, which can do it gently, comes first.
 */
export const DEPOSE_TICKS = 14;

export class Pulse {
  private silent = 0;

  constructor(private readonly limit: number) {}

  beat(): void {
    this.silent = 0;
  }

  /** Whether a beat is overdue. */
  get quiet(): boolean {
    return this.silent > 1;
  }

  /** Once per beat that is due; `true` when it is time to act. It then counts anew. */
  tick(): boolean {
    this.silent += 1;
    if (this.silent <= this.limit) return false;
    this.silent = 0;
    return true;
  }
}
