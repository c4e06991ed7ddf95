//! The store on a real disk and on a simulated one that crashes, tears, rots and fills up.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{Cid, Codec};
use craftec_platform::{
    Folder,
    native::NativeFolder,
    sim::{Damage, SimDisk},
};
use futures::executor::block_on;
use proptest::prelude::*;

use super::{index::NUMBERS, *};

mod cached;
mod crash;
mod format;
mod full;
mod life;
mod rot;

fn open(folder: &dyn Folder) -> Result<Store, StoreError> {
    block_on(Store::open(folder))
}

/// A block whose bytes follow from `seed`.
fn block(seed: u64, bytes: usize) -> Block {
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    let mut content = vec![0; bytes];
    reader.fill(&mut content);
    Block::of(Codec::Raw, content).unwrap()
}

/// What the store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    blocks: BTreeMap<Cid, u64>,
    pins: BTreeMap<(Cid, PinReason), Pin>,
    meta: BTreeMap<(u8, Vec<u8>), Bytes>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) {
        for cid in &batch.deleted {
            self.blocks.remove(cid);
        }
        self.blocks.extend(batch.blocks.iter().map(|b| (*b.cid(), b.len() as u64)));
        for change in &batch.pins {
            match change {
                batch::PinChange::Set(root, pin) => {
                    self.pins.insert((*root, pin.reason), pin.clone());
                }
                batch::PinChange::Gone(root, reason) => {
                    self.pins.retain(|(r, why), _| r != root || reason.is_some_and(|w| w != *why));
                }
            }
        }
        for (key, value) in &batch.meta {
            let key = (key[0], key[1..].to_vec());
            match value {
                Some(value) => self.meta.insert(key, value.clone()),
                None => self.meta.remove(&key),
            };
        }
    }

    /// Everything the store has, with every block read and verified and every counter checked.
    fn of(store: &Store) -> Self {
        let mut model = Self::default();
        let mut cursor = None;
        loop {
            let page = store.iterate(cursor.as_ref(), 3).unwrap();
            let Some(last) = page.last() else { break };
            cursor = Some(*last);
            for cid in page {
                let block = store.get(&cid).unwrap().unwrap();
                assert_eq!(store.len_of(&cid).unwrap(), Some(block.len() as u64));
                assert!(model.blocks.insert(cid, block.len() as u64).is_none());
            }
        }
        assert_eq!(store.blocks().unwrap(), model.blocks.len() as u64);
        assert_eq!(store.used_bytes().unwrap(), model.blocks.values().sum::<u64>());
        let pins = store.pins().unwrap();
        model.pins = pins.into_iter().map(|(root, pin)| ((root, pin.reason), pin)).collect();
        for namespace in [Meta::Node, Meta::Head] {
            let values = store.meta_scan(namespace).unwrap();
            model.meta.extend(values.into_iter().map(|(k, v)| ((namespace as u8, k), v)));
        }
        assert_eq!(store.0.space.borrow().clone().unwrap_or_default().take_changes(), []);
        model
    }
}

/// A life of a store in a few commits: inline and packed blocks, space freed and used again.
fn workload() -> Vec<Batch> {
    let mut batches = vec![Batch::new(), Batch::new(), Batch::new(), Batch::new()];
    let root = block(2, 5000);
    batches[0]
        .put_all([block(1, 40), root.clone(), block(3, 40_000)])
        .pin(*root.cid(), Pin::new(PinReason::Own, 7, "a site", 45_040))
        .meta_put(Meta::Head, "name", "first");
    batches[1].put_all([block(4, 9000), block(5, 1025)]).meta_put(Meta::Head, "name", "second");
    batches[2]
        .delete(*block(3, 40_000).cid())
        .delete(*block(1, 40).cid())
        .put(block(6, 60_000))
        .unpin(*root.cid(), None)
        .meta_delete(Meta::Head, "name");
    batches[3].put_all([block(7, 30_000), block(8, 3000), block(9, 1024)]);
    batches[3].pin(*root.cid(), Pin::new(PinReason::Lent, 8, "", 0));
    batches
}

#[test]
fn every_size_survives_reopening() {
    let path = tempfile::tempdir().unwrap();
    let disks: [Box<dyn Fn() -> Box<dyn Folder>>; 2] =
        [Box::new(|| Box::new(NativeFolder::open(path.path()).unwrap())), {
            let disk = SimDisk::new();
            Box::new(move || Box::new(disk.clone()))
        }];
    let sizes = [0, 1, 1023, 1024, 1025, 4096, 256 << 10, 1 << 20];
    let blocks: Vec<Block> = (0..).zip(sizes).map(|(seed, size)| block(seed, size)).collect();
    for disk in disks {
        let mut expected = Model::default();
        {
            let store = open(&*disk()).unwrap();
            store.put(&blocks).unwrap();
            store.put(&blocks[2..5]).unwrap();
            let pin = Pin::new(PinReason::Site, 1, "Über uns 網站", 9);
            store.pin(blocks[3].cid(), pin).unwrap();
            store.meta_put(Meta::Node, b"key", &b"value"[..]).unwrap();
            for block in &blocks {
                assert_eq!(store.get(block.cid()).unwrap().as_ref(), Some(block));
                expected.blocks.insert(*block.cid(), block.len() as u64);
            }
            let absent = Cid::of(Codec::Raw, b"absent");
            assert_eq!(store.get(&absent).unwrap(), None);
            let asked = [absent, *blocks[0].cid()];
            assert_eq!(store.has_many(&asked).unwrap(), [false, true]);
            assert_eq!(store.pins_of(blocks[3].cid()).unwrap().len(), 1);
            expected.pins = Model::of(&store).pins;
            expected.meta = Model::of(&store).meta;
        }
        let store = open(&*disk()).unwrap();
        assert_eq!(Model::of(&store), expected);
        let rest = store.sweep(|cid| cid == blocks[7].cid()).unwrap();
        assert_eq!(rest.blocks, 7);
        assert_eq!(store.used_bytes().unwrap(), 1 << 20);
        store.delete(&[*blocks[7].cid(), *blocks[7].cid()]).unwrap();
        assert_eq!(store.0.pack.len().unwrap(), 0, "an empty pack takes no space");
    }
}

#[test]
fn two_stores_cannot_share_a_folder() {
    let disk = SimDisk::new();
    let _store = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Busy)));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let transaction = store.0.index.write(true).unwrap();
    transaction.open_table(NUMBERS).unwrap().insert(index::FORMAT, 3).unwrap();
    transaction.commit().unwrap();
    drop(store);
    assert!(matches!(open(&disk), Err(StoreError::Newer { found: 3, known: 2 })));
}

#[test]
fn values_beyond_the_limits_are_refused_whole() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut batch = Batch::new();
    batch.put(block(1, 10)).meta_put(Meta::Node, [0; META_KEY_BYTES + 1], "v");
    assert!(matches!(store.commit(batch), Err(StoreError::TooLong { .. })));
    let mut batch = Batch::new();
    batch.put(block(1, 10));
    batch.pin(*block(1, 10).cid(), Pin::new(PinReason::Own, 0, "x".repeat(PIN_BYTES), 0));
    assert!(matches!(store.commit(batch), Err(StoreError::TooLong { .. })));
    assert_eq!(Model::of(&store), Model::default());
}

/// Runs the workload until the disk fails; what was acknowledged, and what was under way.
fn run(disk: &SimDisk) -> (Model, Option<Model>) {
    let mut acknowledged = Model::default();
    let Ok(store) = open(disk) else { return (acknowledged, None) };
    for batch in workload() {
        let mut next = acknowledged.clone();
        next.apply(&batch);
        if store.commit(batch).is_err() {
            return (acknowledged, Some(next));
        }
        acknowledged = next;
    }
    (acknowledged, None)
}

#[test]
fn a_crash_at_any_change_loses_nothing_acknowledged() {
    let disk = SimDisk::new();
    run(&disk);
    let changes = disk.changes();
    assert!(changes > 30, "the workload is too small to mean anything: {changes} changes");
    for at in 0..changes {
        for damage in [Damage::Lost, Damage::Kept, Damage::Torn(at), Damage::Torn(at + 1000)] {
            let disk = SimDisk::new();
            disk.power_off_at(at);
            let (acknowledged, under_way) = run(&disk);
            disk.crash(damage);
            let store = open(&disk).unwrap_or_else(|e| panic!("change {at}, {damage:?}: {e}"));
            let found = Model::of(&store);
            assert!(
                found == acknowledged || Some(&found) == under_way.as_ref(),
                "change {at}, {damage:?}: {found:?} is neither before nor after the commit"
            );
            store.put(&[block(20, 70_000)]).unwrap();
            assert!(store.has(block(20, 70_000).cid()).unwrap());
            Model::of(&store);
        }
    }
}

#[test]
fn a_lost_flush_never_shows_wrong_bytes() {
    for lost in 1..12 {
        for damage in [Damage::Lost, Damage::Torn(lost)] {
            let disk = SimDisk::new();
            let store = open(&disk).unwrap();
            disk.lose_flushes(lost);
            for batch in workload() {
                store.commit(batch).unwrap();
            }
            drop(store);
            disk.crash(damage);
            // A disk that lies about flushes may cost data, but what is served is right.
            let Ok(store) = open(&disk) else { continue };
            for cid in store.iterate(None, 100).unwrap() {
                match store.get(&cid) {
                    Ok(Some(block)) => assert!(cid.matches(block.bytes())),
                    Ok(None) => panic!("listed, not rotten, and yet missing"),
                    Err(error) => assert!(matches!(error, StoreError::Rotten { .. }), "{error}"),
                }
            }
        }
    }
}

#[test]
fn rotten_blocks_are_named_dropped_and_welcome_again() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let blocks = [block(1, 3000), block(2, 300_000), block(3, 10)];
    store.put(&blocks).unwrap();
    assert!(disk.rot(PACK_FILE, 100, 4));
    let error = store.get(blocks[0].cid()).unwrap_err();
    assert!(matches!(error, StoreError::Rotten { cid } if cid == *blocks[0].cid()), "{error}");
    assert_eq!(store.get(blocks[0].cid()).unwrap(), None);
    assert!(!store.has(blocks[0].cid()).unwrap());
    assert_eq!((store.blocks().unwrap(), store.used_bytes().unwrap()), (2, 300_010));
    assert_eq!(store.get(blocks[1].cid()).unwrap().as_ref(), Some(&blocks[1]));
    store.put(&blocks).unwrap();
    assert_eq!(store.get(blocks[0].cid()).unwrap().as_ref(), Some(&blocks[0]));
}

#[test]
fn a_pack_cut_short_costs_only_what_was_in_the_rest() {
    let disk = SimDisk::new();
    let blocks = [block(1, 3000), block(2, 300_000), block(3, 10)];
    open(&disk).unwrap().put(&blocks).unwrap();
    block_on(disk.open(PACK_FILE)).unwrap().set_len(4000).unwrap();
    let store = open(&disk).unwrap();
    assert_eq!(store.get(blocks[0].cid()).unwrap().as_ref(), Some(&blocks[0]));
    assert!(matches!(store.get(blocks[1].cid()), Err(StoreError::Rotten { .. })));
    store.put(&blocks).unwrap();
    assert_eq!(store.get(blocks[1].cid()).unwrap().as_ref(), Some(&blocks[1]));
}

#[test]
fn a_full_disk_says_so_and_keeps_what_it_has() {
    let roomy = SimDisk::new();
    drop(open(&roomy).unwrap());
    let least = roomy.used_bytes();
    let mut fulls = 0;
    for spare in (0..400_000).step_by(7919) {
        let disk = roomy.duplicate();
        disk.set_capacity(Some(least + spare));
        let store = open(&disk).unwrap_or_else(|e| panic!("{spare} spare: {e}"));
        let mut kept = Model::default();
        for seed in 0..20 {
            let bytes = 200 + 3571 * (seed as usize % 7) * (seed as usize % 3);
            let mut batch = Batch::new();
            batch.put(block(seed, bytes)).meta_put(Meta::Node, seed.to_le_bytes(), vec![1; 3000]);
            let mut next = kept.clone();
            next.apply(&batch);
            match store.commit(batch) {
                Ok(()) => kept = next,
                Err(StoreError::Full { .. }) => {
                    fulls += 1;
                    assert_eq!(Model::of(&store), kept, "{spare} spare, at {seed}");
                }
                Err(error) => panic!("{spare} spare, at {seed}: {error}"),
            }
        }
        assert_eq!(Model::of(&store), kept, "{spare} spare");
        drop(store);
        let store = open(&disk).unwrap_or_else(|e| panic!("{spare} spare, reopened: {e}"));
        assert_eq!(Model::of(&store), kept, "{spare} spare, reopened");
        let doomed: Vec<Cid> = kept.blocks.keys().copied().collect();
        disk.set_capacity(None);
        store.delete(&doomed).unwrap();
        assert_eq!(store.used_bytes().unwrap(), 0);
    }
    assert!(fulls > 20, "the disk was hardly ever full: {fulls}");
}

/// Blocks put (name and length), blocks deleted (names), and how the step ends.
type Step = (Vec<(u64, usize)>, Vec<u64>, u8);

fn batches() -> impl Strategy<Value = Vec<Step>> {
    let put = (0..12u64, prop_oneof![0..3000usize, Just(70_000)]);
    let batch = (prop::collection::vec(put, 0..6), prop::collection::vec(0..12u64, 0..4), 0..8u8);
    prop::collection::vec(batch, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_is_what_the_model_says(history in batches(), seed in any::<u64>()) {
        let disk = SimDisk::new();
        let mut store = open(&disk).unwrap();
        let mut model = Model::default();
        let mut lengths: BTreeMap<u64, usize> = BTreeMap::new();
        for (puts, deletes, ending) in history {
            let mut batch = Batch::new();
            for (name, bytes) in puts {
                batch.put(block(name, *lengths.entry(name).or_insert(bytes)));
            }
            for name in deletes {
                if let Some(bytes) = lengths.get(&name) {
                    batch.delete(*block(name, *bytes).cid());
                }
            }
            model.apply(&batch);
            store.commit(batch).unwrap();
            if ending < 2 {
                drop(store);
                if ending == 1 {
                    disk.crash(Damage::Torn(seed));
                }
                store = open(&disk).unwrap();
            }
        }
        prop_assert_eq!(&Model::of(&store), &model);
        let keep: BTreeSet<Cid> = model.blocks.keys().take(3).copied().collect();
        let swept = store.sweep(|cid| keep.contains(cid)).unwrap();
        prop_assert_eq!(swept.blocks as usize, model.blocks.len() - keep.len());
        model.blocks.retain(|cid, _| keep.contains(cid));
        prop_assert_eq!(Model::of(&store), model);
    }
}
