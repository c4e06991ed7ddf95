//! A long seeded life of a store, and what it should hold at every moment of it.

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};

use super::*;

/// Blocks of a life: few, so that they are put, deleted and put again.
const NAMES: u64 = 24;

/// One thing that happens to a store.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A durable change of any kind.
    Commit(Box<Batch>),
    /// Blocks stored without a flush.
    Cache(Vec<Block>),
    Flush,
    /// Everything goes but these.
    Sweep(BTreeSet<Cid>),
    /// The last so many blocks of the pack move into free extents.
    Move(usize),
    /// Closed in peace and opened again.
    Reopen,
}

/// A block of a fixed length per name: some live in the index, some in the pack.
pub(super) fn named(name: u64) -> Block {
    let lengths = [300, 1_024, 1_025, 0, 9_000, 4_096, 512, 40_000];
    block(name, lengths[name as usize % lengths.len()])
}

/// What happens, by seed.
pub(super) fn life(seed: u64, acts: usize) -> Vec<Act> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    (0..acts).map(|number| act(&mut rng, number)).collect()
}

fn act(rng: &mut ChaCha12Rng, number: usize) -> Act {
    let mut below = |limit: u64| u64::from(rng.next_u32()) % limit;
    if number % 9 == 8 {
        return Act::Reopen;
    }
    let kind = below(12);
    let count = 1 + below(5);
    let names: Vec<u64> = (0..count).map(|_| below(NAMES)).collect();
    match kind {
        0..=2 => return Act::Cache(names.into_iter().map(named).collect()),
        3 if number.is_multiple_of(2) => return Act::Flush,
        3 => return Act::Move(count as usize + 2),
        4 if number.is_multiple_of(3) => {
            return Act::Sweep((0..NAMES / 2).map(|_| *named(below(NAMES)).cid()).collect());
        }
        _ => {}
    }
    let mut batch = Batch::new();
    batch.put_all(names.iter().map(|name| named(*name)));
    for _ in 0..below(4) {
        batch.delete(*named(below(NAMES)).cid());
    }
    let reasons = [PinReason::Own, PinReason::Site, PinReason::Lent];
    let reason = reasons[below(3) as usize];
    match below(5) {
        0 | 1 => {
            let pin = Pin::new(reason, below(1000), "x".repeat(below(200) as usize), below(9));
            batch.pin(*named(below(NAMES)).cid(), pin);
        }
        2 => {
            batch.unpin(*named(below(NAMES)).cid(), (below(2) == 0).then_some(reason));
        }
        _ => {}
    }
    match below(4) {
        0 | 1 => {
            let value = vec![below(256) as u8; below(3000) as usize];
            batch.meta_put(Meta::Head, below(8).to_le_bytes(), value);
        }
        2 => {
            batch.meta_delete(Meta::Head, below(8).to_le_bytes());
        }
        _ => {}
    }
    Act::Commit(Box::new(batch))
}

/// A store that lives, and what it should hold.
pub(super) struct Life {
    pub(super) disk: SimDisk,
    pub(super) store: Option<Store>,
    /// What it should show.
    pub(super) now: Model,
    /// What a crash may not take.
    pub(super) durable: Model,
}

impl Life {
    pub(super) fn begin(disk: &SimDisk) -> Self {
        let store = Some(open(disk).unwrap());
        let (now, durable) = Default::default();
        Self { disk: disk.clone(), store, now, durable }
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// What it should show after `act`.
    pub(super) fn after(&self, act: &Act) -> Model {
        let mut after = self.now.clone();
        match act {
            Act::Commit(batch) => after.apply(batch),
            Act::Cache(blocks) => {
                let mut batch = Batch::new();
                batch.put_all(blocks.iter().cloned());
                after.apply(&batch);
            }
            Act::Sweep(keep) => after.blocks.retain(|cid, _| keep.contains(cid)),
            Act::Flush | Act::Move(_) | Act::Reopen => {}
        }
        after
    }

    /// Does it; after an error nothing is assumed.
    pub(super) fn act(&mut self, act: &Act) -> Result<(), StoreError> {
        let after = self.after(act);
        match act {
            Act::Commit(batch) => self.store().commit((**batch).clone())?,
            Act::Cache(blocks) => self.store().cache(blocks)?,
            Act::Flush => self.store().flush()?,
            Act::Move(count) => {
                let mut places: Vec<Placed> = Vec::new();
                for cid in self.now.blocks.keys() {
                    places.extend(self.store().place_of(cid)?);
                }
                places.sort_unstable_by(|a, b| b.cmp(a));
                let last: Vec<Cid> = places.iter().take(*count).map(|place| place.cid).collect();
                self.store().relocate(&last)?;
            }
            Act::Sweep(keep) => drop(self.store().sweep(|cid| keep.contains(cid))?),
            Act::Reopen => {
                self.store = None;
                self.store = Some(open(&self.disk)?);
            }
        }
        self.now = after;
        if self.store().0.redo.is_empty() {
            self.durable = self.now.clone();
        }
        Ok(())
    }
}
