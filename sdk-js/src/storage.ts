/** What the browser promises about this origin's data: the node's disk is as lasting as that. */

/** How the browser keeps this origin's data. */
export interface Keeping {
  /** It is kept until a person clears it; `null` where the browser doesn't say. */
  kept: boolean | null;
  /** Bytes that this origin uses, all together, and may use; `null` where it doesn't say. */
  used: number | null;
  quota: number | null;
}

export class BrowserStorage {
  /** How it stands. Never asks anybody. */
  async status(): Promise<Keeping> {
    const manager = storageManager();
    const kept = (await quietly(() => manager?.persisted?.())) ?? null;
    const estimate = await quietly(() => manager?.estimate?.());
    return { kept, used: estimate?.usage ?? null, quota: estimate?.quota ?? null };
  }

  /**
   * Asks the browser not to clear this origin's data when the disk runs low; some browsers ask the
   * person. Call it when there is something to keep, not when the page loads. Without it, under
   * pressure a browser may delete everything here at once, the identity included: then only the 24
   * words or a backup bring it back.
   */
  async persist(): Promise<boolean | null> {
    return (await quietly(() => storageManager()?.persist?.())) ?? null;
  }
}

function storageManager(): StorageManager | undefined {
  return typeof navigator === 'undefined' ? undefined : navigator.storage;
}

/** Browsers refuse with exceptions where a page has no storage of its own. */
async function quietly<T>(ask: () => Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}
