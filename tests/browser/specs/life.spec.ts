// An object outlives its author and its holders in tabs alone: the relay that introduced them is gone
// before the object is put, its author is closed once it is kept, half of the others are closed at
// once, and then one after the other makes way for a tab that has nothing. Every read is by a tab
// that never had a byte of it, and must be right.
import { type Browser, expect, test } from '@playwright/test';
import { Crowd } from '../support/crowd.ts';

interface Life {
  /** Holders at the start, the author among them. */
  holders: number;
  bytes: number;
  /** Whole copies that the author asks for; without it the node decides how the object is kept. */
  replicas?: number;
  /** From one replacement to the next. */
  pauseMs: number;
  /** How often its holders look after the object. */
  mendSeconds: number;
  /** So many of the first holders stay to the end. */
  stay: number;
}

const SHORT: Life = { holders: 8, bytes: 4 << 20, pauseMs: 8_000, mendSeconds: 2, stay: 0 };
const LONG: Life = { holders: 12, bytes: 16 << 20, pauseMs: 20_000, mendSeconds: 5, stay: 0 };
/** Looked after as rarely as ever, which is longer than this takes: one of the first must stay. */
const COPIES: Life = {
  holders: 6,
  bytes: 4 << 20,
  replicas: 5,
  pauseMs: 2_000,
  mendSeconds: 600,
  stay: 1,
};
/** How often the long one is lived. */
const RUNS = Number(process.env['LIFE_RUNS'] ?? 0);

test('an object outlives its author and all of its first holders', async ({ browser }) => {
  // Opening so many browsers takes most of it.
  test.setTimeout(5 * 60_000);
  await live(browser, SHORT, 1);
});

test('whole copies outlive their author and half of their holders', async ({ browser }) => {
  test.setTimeout(5 * 60_000);
  await live(browser, COPIES, 1);
});

for (let seed = 1; seed <= RUNS; seed++) {
  test(`twelve tabs and those that come in their place, run ${seed}`, async ({ browser }) => {
    test.setTimeout(20 * 60_000);
    await live(browser, LONG, seed);
  });
}

async function live(browser: Browser, life: Life, seed: number): Promise<void> {
  const atOnce = (life.holders - 1) >> 1;
  const rounds = life.holders - 1 - atOnce - life.stay;
  const { holders, bytes, replicas, pauseMs, mendSeconds } = life;
  const numbers = { holders, spares: rounds, readers: 2 + rounds, mendSeconds };
  const crowd = await Crowd.gather(browser, numbers);
  const begun = performance.now();
  const reads: string[] = [];
  const note = (what: string) => {
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    console.log(`${seconds.padStart(10)} ${String(crowd.holders.length).padStart(6)}  ${what}`);
  };
  try {
    const author = crowd.holders.shift()!;
    const cid = await author.put(bytes, seed, replicas === undefined ? {} : { replicas });
    await author.close();
    note('kept; the author is gone');
    const read = async () => {
      const [reader, started] = [crowd.readers.shift()!, performance.now()];
      reads.push(await reader.read(cid, bytes, seed));
      const seconds = ((performance.now() - started) / 1_000).toFixed(2);
      note(`read in ${seconds} s, ${reads.at(-1)}`);
      await reader.close();
    };
    await read();
    await Promise.all(crowd.holders.splice(0, atOnce).map((holder) => holder.close()));
    note(`${atOnce} closed at once`);
    await read();
    for (let round = 1; round <= rounds; round++) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      await crowd.holders.shift()!.close();
      const fresh = crowd.spares.shift()!;
      await fresh.lend();
      crowd.holders.push(fresh);
      note(`replaced, ${round} of ${rounds}`);
      await read();
    }
  } finally {
    await crowd.end();
  }
  const exact = reads.filter((outcome) => outcome === 'exact').length;
  console.log(`    life-tabs runs=1 reads=${reads.length} exact=${exact}`);
  expect(reads).toEqual(Array.from({ length: 2 + rounds }, () => 'exact'));
}
