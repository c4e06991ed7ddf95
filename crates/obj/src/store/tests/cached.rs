//! Blocks stored without a flush: durable with the next commit, put back when the index must be
//! reopened, never mixed up.

use super::*;

/// Caches blocks and commits now and then; what is durable by the end or the disk's failure.
fn run_cached(disk: &SimDisk) -> BTreeSet<Cid> {
    let mut durable = BTreeSet::new();
    let Ok(store) = open(disk) else { return durable };
    let mut cached = Vec::new();
    for step in 0..9_u64 {
        let block = block(step, 400 + step as usize * 3_000);
        cached.push(*block.cid());
        if store.cache(std::slice::from_ref(&block)).is_err() {
            return durable;
        }
        assert_eq!(store.get(block.cid()).unwrap(), Some(block.clone()), "readable at once");
        if step % 3 == 2 {
            // The block is there already, and must be durable when the commit returns.
            if store.put(&[block]).is_err() {
                return durable;
            }
            durable.extend(cached.iter().copied());
        }
    }
    durable
}

#[test]
fn what_is_cached_is_durable_with_the_next_commit_and_never_wrong() {
    let disk = SimDisk::new();
    assert_eq!(run_cached(&disk).len(), 9);
    let changes = disk.changes();
    for at in 0..changes + 1 {
        for damage in [Damage::Lost, Damage::Kept, Damage::Torn(at), Damage::Torn(at + 1000)] {
            let disk = SimDisk::new();
            disk.power_off_at(at);
            let durable = run_cached(&disk);
            disk.crash(damage);
            let store = open(&disk).unwrap_or_else(|e| panic!("change {at}, {damage:?}: {e}"));
            let listed: BTreeSet<Cid> = store.iterate(None, 100).unwrap().into_iter().collect();
            assert!(listed.is_superset(&durable), "change {at}, {damage:?}");
            for cid in listed {
                assert!(store.get(&cid).unwrap().is_some(), "change {at}, {damage:?}");
            }
        }
    }
}

#[test]
fn a_flush_without_a_change_makes_the_cache_durable() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.cache(&[block(1, 9_000)]).unwrap();
    store.flush().unwrap();
    let changes = disk.changes();
    store.flush().unwrap();
    assert_eq!(disk.changes(), changes, "nothing is left to flush");
    disk.power_off_at(changes);
    drop(store);
    disk.crash(Damage::Lost);
    assert!(open(&disk).unwrap().get(block(1, 9_000).cid()).unwrap().is_some());
}

#[test]
fn what_became_durable_is_not_lost_when_the_index_is_reopened_on_a_full_disk() {
    // Closing the failed index made all of it durable: there is nothing to put back, and no room.
    for spare in (0..400_000).step_by(8_111) {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        let blocks = [1, 13, 2, 3, 16, 10].map(named);
        store.cache(&blocks[..4]).unwrap();
        store.flush().unwrap();
        store.cache(&blocks[4..]).unwrap();
        disk.set_capacity(Some(disk.used_bytes() + spare));
        if store.cache(&[named(24)]).is_err() {
            continue;
        }
        let before = Model::of(&store);
        store.0.index.failure("testing", redb::Error::PreviousIo);
        let found = Model::of(&store);
        assert!(store.losses() > 0 || found == before, "{spare} spare");
        assert!(store.losses() == 0 || found != before, "{spare} spare: lost, and yet there");
    }
}

/// One step of a life on a disk that is now and then full.
#[derive(Clone, Debug)]
enum Turn {
    Cache(Vec<u64>),
    Commit(Vec<u64>, Vec<u64>),
    Flush,
    Tight(u64),
    Roomy,
    Reopen,
    Crash(u64),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let names = || prop::collection::vec(0..30_u64, 1..8);
    let turn = prop_oneof![
        4 => names().prop_map(Turn::Cache),
        3 => (names(), names()).prop_map(|(put, gone)| Turn::Commit(put, gone)),
        1 => Just(Turn::Flush),
        2 => (0..300_000_u64).prop_map(Turn::Tight),
        2 => Just(Turn::Roomy),
        2 => Just(Turn::Reopen),
        1 => any::<u64>().prop_map(Turn::Crash),
    ];
    prop::collection::vec(turn, 1..40)
}

/// A block of a fixed length per name: some live in the index, some in the pack.
fn named(name: u64) -> Block {
    block(name, [300, 900, 2_000, 30_000, 90_000][name as usize % 5])
}

/// Whether nothing waits for a flush.
fn done_durably(store: &Store) -> bool {
    store.0.redo.is_empty()
}

#[test]
fn what_is_cached_survives_an_index_that_must_be_reopened() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.put(&[named(1), named(3)]).unwrap();
    store.delete(&[*named(3).cid()]).unwrap();
    store.cache(&[named(2), named(4), named(5)]).unwrap();
    let cached = Model::of(&store);
    store.0.index.failure("testing", redb::Error::PreviousIo);
    assert_eq!(Model::of(&store), cached, "put back into the same extents");
    assert_eq!(store.losses(), 0);
    store.flush().unwrap();
    drop(store);
    disk.crash(Damage::Lost);
    assert_eq!(Model::of(&open(&disk).unwrap()), cached);
}

#[test]
fn a_batch_that_relies_on_lost_blocks_is_refused() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let before = store.losses();
    store.cache(&[named(4)]).unwrap();
    // The index fails, and what is kept in mind cannot be put back.
    store.0.index.failure("testing", redb::Error::PreviousIo);
    store.0.redo.remember(vec![(named(3).cid().to_bytes(), vec![9])]);
    assert!(matches!(store.commit_since(before, Batch::new()), Err(StoreError::Io { .. })));
    assert_eq!(store.losses(), 1);
    store.commit_since(store.losses(), Batch::new()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_turn_of_a_full_disk_mixes_blocks_up(turns in turns()) {
        let disk = SimDisk::new();
        let mut store = open(&disk).unwrap();
        let (mut durable, mut now, mut lost) = (Model::default(), Model::default(), 0);
        for turn in turns {
            let mut batch = Batch::new();
            let losses = store.losses();
            let done = match &turn {
                Turn::Cache(names) => {
                    let blocks: Vec<Block> = names.iter().map(|name| named(*name)).collect();
                    batch.put_all(blocks.clone());
                    store.cache(&blocks)
                }
                Turn::Commit(names, gone) => {
                    batch.put_all(names.iter().map(|name| named(*name)));
                    for name in gone {
                        batch.delete(*named(*name).cid());
                    }
                    store.commit(batch.clone())
                }
                Turn::Flush => store.flush(),
                Turn::Tight(spare) => {
                    disk.set_capacity(Some(disk.used_bytes() + spare));
                    continue;
                }
                Turn::Roomy => {
                    disk.set_capacity(None);
                    continue;
                }
                Turn::Reopen => {
                    store.0.index.failure("testing", redb::Error::PreviousIo);
                    Ok(())
                }
                Turn::Crash(seed) => {
                    drop(store);
                    disk.crash(Damage::Torn(*seed));
                    disk.set_capacity(None);
                    store = open(&disk).unwrap();
                    let found = Model::of(&store);
                    // Closing flushes what it can; a crash after it takes nothing durable.
                    prop_assert!(durable.blocks.keys().all(|cid| found.blocks.contains_key(cid)));
                    now = found.clone();
                    durable = found;
                    continue;
                }
            };
            match done {
                Ok(()) => now.apply(&batch),
                Err(StoreError::Full { .. }) => {}
                Err(error) => prop_assert!(false, "{}", error),
            }
            let found = Model::of(&store);
            if store.losses() > losses {
                now = durable.clone();
                lost += 1;
            } else if done_durably(&store) {
                durable = now.clone();
            }
            prop_assert_eq!(&found, &now, "{} lost", lost);
        }
    }
}

#[test]
fn a_read_writes_nothing_and_uses_are_written_down_together() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    store.set_minute(10);
    store.put(&[block(1, 3000)]).unwrap();
    store.cache(&[block(2, 3000), block(3, 300)]).unwrap();
    store.flush().unwrap();
    let minutes = |store: &Store| -> BTreeMap<Cid, Option<u32>> {
        store.list(None, 10).unwrap().into_iter().map(|b| (b.cid, b.minute)).collect()
    };
    let of = |seed, bytes| *block(seed, bytes).cid();
    assert_eq!(minutes(&store)[&of(1, 3000)], None, "what was put is no cache");
    assert_eq!(minutes(&store)[&of(2, 3000)], Some(10));
    store.set_minute(20);
    let changes = disk.changes();
    for _ in 0..100 {
        store.get(&of(1, 3000)).unwrap();
        store.get(&of(2, 3000)).unwrap();
        store.peek(&of(3, 300)).unwrap();
    }
    assert_eq!(disk.changes(), changes, "a read writes nothing");
    assert_eq!(minutes(&store)[&of(2, 3000)], Some(20), "and counts at once");
    assert_eq!(minutes(&store)[&of(3, 300)], Some(10), "a peek does not");
    store.note_uses().unwrap();
    assert_eq!(store.noted_uses(), 0);
    store.flush().unwrap();
    // A flush without a block to flush changes nothing; closing writes down what was noted.
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(minutes(&store)[&of(2, 3000)], Some(20));
    assert_eq!(minutes(&store)[&of(1, 3000)], None);
    store.promote(&[of(2, 3000)]).unwrap();
    assert_eq!(minutes(&store)[&of(2, 3000)], None, "kept from now on");
    store.delete(&[of(3, 300)]).unwrap();
    store.put(&[block(3, 300)]).unwrap();
    assert_eq!(minutes(&store)[&of(3, 300)], None, "its past went with it");
}

#[test]
fn blocks_move_into_holes_and_the_pack_gets_shorter() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let blocks: Vec<Block> = (0..40).map(|seed| block(seed, 10_000)).collect();
    store.put(&blocks).unwrap();
    let gone: Vec<Cid> = blocks.iter().step_by(2).map(|block| *block.cid()).collect();
    store.delete(&gone).unwrap();
    let before = Model::of(&store);
    let (free, end) = store.pack_bytes().unwrap();
    assert_eq!((free, end), (20 * 10_240, 40 * 10_240));
    let mut places: Vec<Placed> =
        before.blocks.keys().filter_map(|cid| store.place_of(cid).unwrap()).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    let cids: Vec<Cid> = places.iter().map(|place| place.cid).collect();
    assert_eq!(store.relocate(&cids).unwrap(), 10 * 10_240, "the last half moved");
    assert_eq!(Model::of(&store), before);
    assert_eq!(store.pack_bytes().unwrap(), (0, 20 * 10_240));
    assert_eq!(disk.len_of(PACK_FILE), Some(20 * 10_240), "the rest is given back");
    assert_eq!(store.relocate(&cids).unwrap(), 0, "nothing is left to move");
    drop(store);
    assert_eq!(Model::of(&open(&disk).unwrap()), before);
}
