//! Roots, nodes and logs keep their promises on anything: the bodies of the fuzz targets, on random
//! bytes and on damaged copies of real ones.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../fuzz/src/sql.rs"]
mod bodies;

use craftec_core::{
    Cid, Codec,
    database::{ChangedPages, PAGE_BYTES, Root},
    sign::Hash,
};
use craftec_platform::{Folder, sim::SimDisk};
use craftec_sql::{
    log::{Log, LogOptions},
    page::{Digest, PageNo},
    table::PageTable,
};
use futures::executor::block_on;
use proptest::{prelude::*, sample::Index};

/// A root, and the nodes of a small table.
fn tables() -> Vec<Vec<u8>> {
    let mut table = PageTable::default();
    for number in 1..=300u32 {
        table.set(PageNo::new(number).unwrap(), Digest::of(&number.to_le_bytes()));
    }
    let made = table.materialise(None).unwrap();
    let root = Root {
        parent: Some(Cid::of(Codec::DagCbor, b"parent")),
        changed: ChangedPages::of([1, 5, 6, 7, 290]),
        ..Root::new(300, made.top)
    };
    let nodes = made.nodes.into_iter().map(|(_, bytes)| bytes.to_vec());
    nodes.chain([root.encode().unwrap()]).collect()
}

/// What follows the header in a log of a few units.
fn log() -> Vec<u8> {
    let disk = SimDisk::new();
    let mut log = block_on(Log::open(&disk, "fuzz", LogOptions::default())).unwrap();
    for unit in 1..=3u8 {
        for number in 1..=u32::from(unit) {
            log.write(PageNo::new(number).unwrap(), &[unit; PAGE_BYTES]).unwrap();
        }
        log.commit().unwrap();
        log.snapshot(Hash([0; 32])).unwrap();
    }
    let (name, _) = log.file_names();
    let used = log.size().used_bytes;
    drop(log);
    let file = block_on(disk.open(&name)).unwrap();
    let mut bytes = vec![0; used as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes.split_off(4096)
}

fn damaged(good: &[u8], damage: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, how, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how % 5 {
            0 => bytes.truncate(at),
            1 => bytes[at] = *byte,
            2 => bytes[at] ^= 1 << (byte % 8),
            3 => bytes.insert(at, *byte),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

#[test]
fn whole_ones_are_taken() {
    tables().iter().for_each(|bytes| bodies::page_table(bytes));
    bodies::sql_log(&log());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn damaged_tables_break_nothing(
        which in any::<Index>(),
        damage in prop::collection::vec(any::<(Index, u8, u8)>(), 1..4),
    ) {
        let good = tables();
        bodies::page_table(&damaged(&good[which.index(good.len())], &damage));
    }

    #[test]
    fn damaged_logs_break_nothing(damage in prop::collection::vec(any::<(Index, u8, u8)>(), 1..4)) {
        bodies::sql_log(&damaged(&log(), &damage));
    }

    #[test]
    fn random_bytes_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::page_table(&bytes);
        bodies::sql_log(&bytes);
    }
}
