//! Bits rot in every part of both files: what is served is right, what is lost is said, and the store
//! opens with what is left.

use super::{super::salvage, *};

/// An index of many pages: blocks in it and beside it, pins and records.
fn healthy() -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let mut model = Model::default();
    {
        let store = open(&disk).unwrap();
        for step in 0..12_u64 {
            let mut batch = Batch::new();
            for name in step * 30..step * 30 + 30 {
                batch.put(block(name, 20 + name as usize * 7 % 900));
            }
            batch.put(block(step + 1000, 3000)).meta_put(
                Meta::Head,
                step.to_le_bytes(),
                vec![7; 900],
            );
            batch.pin(*block(step, 20).cid(), Pin::new(PinReason::Own, step, "name", 1));
            if step > 0 {
                batch.delete(*block(step + 999, 3000).cid());
            }
            model.apply(&batch);
            store.commit(batch).unwrap();
        }
        store.cache(&[block(5000, 2000)]).unwrap();
        model.blocks.insert(*block(5000, 2000).cid(), 2000);
        store.flush().unwrap();
    }
    (disk, model)
}

/// Everything that can be had: blocks that are right, pins and records.
fn readable(store: &Store) -> Model {
    let mut model = Model::default();
    for cid in store.iterate(None, 10_000).unwrap() {
        match store.get(&cid) {
            Ok(Some(block)) => {
                assert!(cid.matches(block.bytes()));
                model.blocks.insert(cid, block.len() as u64);
            }
            Ok(None) => panic!("listed, not rotten, and yet missing"),
            Err(error) => assert!(matches!(error, StoreError::Rotten { .. }), "{error}"),
        }
    }
    let pins = store.pins().unwrap();
    model.pins = pins.into_iter().map(|(root, pin)| ((root, pin.reason), pin)).collect();
    let values = store.meta_scan(Meta::Head).unwrap();
    model.meta.extend(values.into_iter().map(|(key, value)| ((Meta::Head as u8, key), value)));
    model
}

#[test]
fn a_healthy_index_can_be_read_without_its_database() {
    let (disk, model) = healthy();
    let file = block_on(disk.open(INDEX_FILE)).unwrap();
    let salvaged = salvage::read(&*file).unwrap();
    assert_eq!((salvaged.unreadable, salvaged.damaged.len()), (0, 0));
    let count = |table: &str| salvaged.rows.iter().filter(|(name, ..)| name == table).count();
    assert_eq!(count("blocks"), model.blocks.len());
    assert_eq!((count("pins"), count("meta"), count("seen")), (12, 12, 1));
}

#[test]
fn an_index_that_rots_anywhere_opens_with_all_but_what_was_on_that_page() {
    let (healthy, expected) = healthy();
    let length = healthy.len_of(INDEX_FILE).unwrap();
    let deleted: Vec<Cid> = (1000..1012).map(|name| *block(name, 3000).cid()).collect();
    let (mut rebuilt, mut unharmed, mut lost) = (0, 0, 0);
    let places =
        (0..512).step_by(3).chain((512..4096).step_by(997)).chain((4096..length).step_by(1999));
    for at in places {
        let disk = healthy.duplicate();
        assert!(disk.rot(INDEX_FILE, at, 0x10));
        let store = match open(&disk) {
            Ok(store) => store,
            // The first bytes say what the file is and how it is laid out: without them nothing
            // can be read, and the store says so.
            Err(StoreError::Corrupt { .. }) if at < 64 => continue,
            Err(error) => panic!("byte {at}: {error}"),
        };
        let found = readable(&store);
        if store.rebuilt().is_none() {
            assert_eq!(found, expected, "byte {at}");
            unharmed += 1;
            continue;
        }
        rebuilt += 1;
        // Blocks that were deleted may come back, as cache.
        let is_known = |cid: &Cid| expected.blocks.contains_key(cid) || deleted.contains(cid);
        assert!(found.blocks.keys().all(is_known), "byte {at}");
        let left = expected.blocks.keys().filter(|cid| found.blocks.contains_key(cid)).count();
        assert!(left + 40 > expected.blocks.len(), "byte {at}: {left} left, {:?}", store.rebuilt());
        lost += expected.blocks.len() - left;
        assert!(found.pins.iter().all(|(key, pin)| expected.pins.get(key) == Some(pin)));
        assert!(found.meta.iter().all(|(key, value)| expected.meta.get(key) == Some(value)));
        let damaged = &store.rebuilt().unwrap().damaged_tables;
        let intact = |table: &str| !damaged.iter().any(|name| name == table);
        assert!(!intact("pins") || found.pins == expected.pins, "byte {at}");
        assert!(!intact("meta") || found.meta == expected.meta, "byte {at}");
        assert_eq!(store.has_lost_records().unwrap(), !intact("meta") || !intact(""));
        // It takes what was lost again, and the next start finds nothing wrong.
        store.put(&[block(0, 20), block(1011, 3000), block(1, 27)]).unwrap();
        drop(store);
        let store = open(&disk).unwrap();
        assert_eq!(store.rebuilt(), None, "byte {at}");
        Model::of(&store);
    }
    println!("{rebuilt} rebuilt ({lost} blocks lost), {unharmed} unharmed");
    assert!(rebuilt > 20 && unharmed > 20);
}

#[test]
fn a_replacement_of_the_index_goes_on_after_a_crash_at_any_change() {
    let (rotten, _) = healthy();
    let file_length = rotten.len_of(INDEX_FILE).unwrap();
    // A leaf in use: the first place whose rot makes a rebuild lose blocks.
    let at = (4096..file_length).step_by(509).find(|at| {
        let disk = rotten.duplicate();
        disk.rot(INDEX_FILE, *at, 1);
        open(&disk).unwrap().rebuilt().is_some_and(|rebuilt| rebuilt.unreadable_pages == 1)
    });
    rotten.rot(INDEX_FILE, at.unwrap(), 1);
    let expected = {
        let disk = rotten.duplicate();
        Model::of(&open(&disk).unwrap())
    };
    assert!(expected.blocks.len() > 100);
    for change in 0.. {
        let mut ended = false;
        let damages = [Damage::Lost, Damage::Torn(change), Damage::Kept, Damage::Shredded(change)];
        for damage in damages.into_iter().skip(change as usize % 2).step_by(2) {
            let disk = rotten.duplicate();
            disk.power_off_at(change);
            ended = open(&disk).is_ok();
            disk.crash(damage);
            let store = open(&disk).unwrap_or_else(|e| panic!("change {change}, {damage:?}: {e}"));
            assert_eq!(Model::of(&store), expected, "change {change}, {damage:?}");
            assert_eq!(block_on(disk.list()).unwrap(), [PACK_FILE, INDEX_FILE]);
        }
        if ended {
            assert!(change > 5);
            return;
        }
    }
}

#[test]
fn an_index_that_rots_while_it_is_open_is_an_error_and_never_a_panic() {
    let (healthy, expected) = healthy();
    let length = healthy.len_of(INDEX_FILE).unwrap();
    let (mut noticed, mut scrubbed) = (0, 0);
    for at in (4096..length).step_by(4001) {
        let disk = healthy.duplicate();
        // Without a cache every read comes from the disk.
        let store = block_on(Store::open_with(&disk, StoreOptions { cache_bytes: 0 })).unwrap();
        assert!(disk.rot(INDEX_FILE, at, 0x40));
        let (mut page, mut wrong) = (Some(0), false);
        while let Some(first) = page.take() {
            match store.scrub_index(first) {
                Ok((_, next)) => page = next,
                Err(StoreError::Corrupt { .. }) => wrong = true,
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        scrubbed += u64::from(wrong);
        for cid in expected.blocks.keys() {
            match store.get(cid) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("byte {at}: a block is said to be absent"),
                Err(StoreError::Corrupt { .. }) => {
                    assert!(wrong, "byte {at}: found by a reader and not by a scrub");
                    noticed += 1;
                    break;
                }
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
    assert!(noticed > 5 && scrubbed >= noticed, "{noticed} noticed, {scrubbed} scrubbed");
}

#[test]
fn a_pack_that_rots_anywhere_never_serves_wrong_bytes_and_a_scrub_finds_it() {
    let (healthy, expected) = healthy();
    let length = healthy.len_of(PACK_FILE).unwrap();
    for at in (0..length).step_by(331) {
        let disk = healthy.duplicate();
        let store = open(&disk).unwrap();
        assert!(disk.rot(PACK_FILE, at, 0x80));
        let (mut cursor, mut rotten, mut read) = (None, Vec::new(), 0);
        loop {
            let step = store.scrub_step(cursor.as_ref(), 4000).unwrap();
            rotten.extend(step.rotten.iter().copied());
            read += step.blocks;
            let Some(next) = step.next else { break };
            cursor = Some(next);
        }
        assert_eq!(read + rotten.len() as u64, expected.blocks.len() as u64);
        assert!(rotten.len() <= 1, "byte {at}");
        assert_eq!(store.rotten(), rotten.len() as u64);
        // It is gone, and welcome again.
        let mut left = expected.clone();
        left.blocks.retain(|cid, _| !rotten.contains(cid));
        assert_eq!(Model::of(&store), left, "byte {at}");
    }
}

/// A disk that can't read some bytes of a file, or none at all.
#[test]
fn a_place_that_cannot_be_read_costs_its_block_and_a_disk_that_cannot_be_read_none() {
    let (disk, expected) = healthy();
    let store = open(&disk).unwrap();
    let place = store.place_of(block(5000, 2000).cid()).unwrap().unwrap();
    disk.fail_reads(PACK_FILE, place.offset..place.offset + 1);
    assert!(matches!(store.get(&place.cid), Err(StoreError::Io { .. })));
    assert!(store.has(&place.cid).unwrap(), "an error of the disk is no proof of rot");
    let step = store.scrub_step(None, u64::MAX).unwrap();
    let after = store.scrub_step(step.next.as_ref(), u64::MAX).unwrap();
    let rotten: Vec<Cid> = step.rotten.into_iter().chain(after.rotten).collect();
    assert_eq!(rotten, [place.cid], "the others can be read");
    disk.fail_reads(PACK_FILE, 0..0);
    let mut left = expected;
    left.blocks.remove(&place.cid);
    assert_eq!(Model::of(&store), left);
}
