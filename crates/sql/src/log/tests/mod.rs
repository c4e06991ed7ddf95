//! The log on a simulated disk, against a plain list of pages and the snapshots that were taken.

mod crash;
mod rot;

use std::collections::BTreeMap;

use craftec_core::sign::Hash;
use craftec_platform::{
    Folder,
    sim::{Damage, SimDisk},
};
use futures::executor::block_on;

use super::*;
use crate::page::Page;

const SCHEMA: Hash = Hash([0; 32]);

fn options() -> LogOptions {
    LogOptions { snapshots: 3, slack_bytes: 16 << 10 }
}

fn open(disk: &SimDisk) -> Result<Log, LogError> {
    block_on(Log::open(disk, "a database", options()))
}

fn compact(log: &mut Log, disk: &SimDisk) -> Result<(), LogError> {
    let (old, new) = log.file_names();
    let file = block_on(disk.open(&new)).unwrap();
    let compacted = log.compact(file);
    let gone = if compacted.is_ok() { old } else { new };
    block_on(disk.remove(&gone)).unwrap();
    compacted
}

fn no(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn page(seed: u64) -> Page {
    let mut page = [0; PAGE_BYTES];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut page);
    page
}

/// Everything that a log says: each page read, and each snapshot with all below it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    pages: Vec<Digest>,
    kept: Vec<Kept>,
    blocks: BTreeMap<Cid, usize>,
}

fn seen(log: &mut Log) -> Seen {
    let mut seen = Seen { kept: log.kept().to_vec(), ..Seen::default() };
    let mut bytes = [0; PAGE_BYTES];
    for number in 1..=log.pages() {
        log.read(no(number), &mut bytes).unwrap();
        seen.pages.push(Digest::of(&bytes));
    }
    for kept in seen.kept.clone() {
        let below = log.blocks_of(&kept.root, None).unwrap();
        seen.blocks.insert(kept.root, below.len());
        for cid in below {
            assert!(cid.matches(&log.block(&cid).unwrap().unwrap()));
        }
    }
    seen
}

fn write(log: &mut Log, pages: &[(u32, u64)]) {
    for (number, seed) in pages {
        log.write(no(*number), &page(*seed)).unwrap();
    }
}

#[test]
fn a_commit_is_one_write_and_one_flush_and_comes_back() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    write(&mut log, &[(1, 1), (2, 2), (4, 4)]);
    assert_eq!((log.pages(), log.pending_pages()), (0, 4));
    assert!(log.commit().unwrap());
    let changes = disk.changes();
    write(&mut log, &[(2, 20)]);
    assert!(log.commit().unwrap());
    assert_eq!(disk.changes() - changes, 2, "room was made by the commit before");
    assert!(!log.commit().unwrap());
    write(&mut log, &[(2, 20)]);
    assert!(!log.commit().unwrap(), "nothing is new");
    let before = seen(&mut log);
    assert_eq!(before.pages[2], Digest::of(&[0; PAGE_BYTES]), "never written");
    drop(log);
    disk.crash(Damage::Lost);
    let mut log = open(&disk).unwrap();
    assert_eq!(seen(&mut log), before);
    assert_eq!(log.units(), 2);
}

#[test]
fn a_transaction_larger_than_a_record_is_still_one_unit() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    write(&mut log, &[(1, 1)]);
    log.commit().unwrap();
    let many: Vec<(u32, u64)> = (1..=700).map(|n| (n, u64::from(n) + 5)).collect();
    write(&mut log, &many);
    let mut bytes = [0; PAGE_BYTES];
    log.read(no(3), &mut bytes).unwrap();
    assert_eq!(bytes, page(8), "read back from the disk before the commit");
    log.rollback();
    assert_eq!(seen(&mut log).pages, [Digest::of(&page(1))]);
    write(&mut log, &many);
    write(&mut log, &[(3, 99), (1, 1)]);
    log.commit().unwrap();
    let before = seen(&mut log);
    assert_eq!(before.pages[2], Digest::of(&page(99)));
    assert_eq!(before.pages[0], Digest::of(&page(1)), "written anew, and back to what it was");
    drop(log);
    assert_eq!(seen(&mut open(&disk).unwrap()), before);
}

#[test]
fn what_is_cut_off_and_grown_again_is_zeros() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    let many: Vec<(u32, u64)> = (1..=300).map(|n| (n, u64::from(n))).collect();
    write(&mut log, &many);
    log.set_pages(2);
    write(&mut log, &[(6, 6)]);
    log.commit().unwrap();
    let zeros = Digest::of(&[0; PAGE_BYTES]);
    let expected = [1, 2].map(|seed| Digest::of(&page(seed)));
    let mut expected = expected.to_vec();
    expected.extend([zeros, zeros, zeros, Digest::of(&page(6))]);
    assert_eq!(seen(&mut log).pages, expected);
    log.set_pages(1);
    let mut bytes = [1; PAGE_BYTES];
    write(&mut log, &[(3, 3)]);
    log.read(no(2), &mut bytes).unwrap();
    assert_eq!(bytes, [0; PAGE_BYTES]);
    log.commit().unwrap();
    let before = seen(&mut log);
    assert_eq!(before.pages.len(), 3);
    assert_eq!(before.pages[1], zeros);
    drop(log);
    assert_eq!(seen(&mut open(&disk).unwrap()), before);
}

#[test]
fn snapshots_stay_whatever_is_written_and_compacted_until_they_are_dropped() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    let mut roots = Vec::new();
    for round in 0..6u64 {
        let pages: Vec<(u32, u64)> = (1..=300).map(|n| (n, u64::from(n / 40) * round)).collect();
        write(&mut log, &pages);
        log.commit().unwrap();
        roots.push((log.snapshot(SCHEMA).unwrap(), seen(&mut log).pages));
        assert_eq!(log.snapshot(SCHEMA).unwrap(), roots.last().unwrap().0, "nothing new");
        if round == 1 {
            log.keep("first", roots[1].0).unwrap();
        }
    }
    let kept: Vec<Cid> = log.kept().iter().map(|kept| kept.root).collect();
    assert_eq!(kept, [roots[1].0, roots[3].0, roots[4].0, roots[5].0]);
    compact(&mut log, &disk).unwrap();
    let before = seen(&mut log);
    drop(log);
    let mut log = open(&disk).unwrap();
    assert_eq!(seen(&mut log), before);
    assert_eq!(block_on(disk.list()).unwrap().len(), 1);
    // Chains of roots say what changed.
    let root = log.root(&roots[4].0).unwrap();
    assert_eq!(root.parent, Some(roots[3].0));
    assert!(root.changed.is_some_and(|changed| changed.check(300).unwrap() > 250));
    assert!(matches!(log.restore(&roots[0].0, Hash([0; 32])), Err(LogError::NoSuchRoot { .. })));
    for (root, pages) in [&roots[1], &roots[4]] {
        assert!(log.restore(root, Hash([0; 32])).unwrap());
        let now = seen(&mut log).pages;
        assert_eq!(now[1..], pages[1..], "but for the change counter of page 1");
        assert_ne!(now[0], pages[0]);
    }
    assert!(log.drop_kept("first").unwrap() && !log.drop_kept("first").unwrap());
    assert!(matches!(log.keep("x", roots[0].0), Err(LogError::NoSuchRoot { .. })));
    assert!(matches!(log.keep("a/b", roots[5].0), Err(LogError::Name(_))));
    let before = log.size();
    compact(&mut log, &disk).unwrap();
    assert!(log.size().used_bytes < before.used_bytes);
    assert!(!log.wants_compaction());
    assert!(!log.has(&roots[1].0));
}

#[test]
fn a_log_grows_no_further_than_twice_what_is_needed() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    let mut most = 0;
    for round in 0..2_000u64 {
        write(&mut log, &[(1, round), ((round % 7) as u32 + 1, round + 1)]);
        log.commit().unwrap();
        if log.wants_compaction() {
            compact(&mut log, &disk).unwrap();
        }
        most = most.max(log.size().used_bytes);
    }
    assert!(most < 100 << 10, "{most}");
    assert!(log.units() > 2_000);
    // Snapshots that nobody keeps go too.
    for round in 0..400u64 {
        write(&mut log, &[(1, round), ((round % 7) as u32 + 1, round + 1)]);
        log.commit().unwrap();
        log.snapshot(SCHEMA).unwrap();
        if log.wants_compaction() {
            compact(&mut log, &disk).unwrap();
        }
        most = most.max(log.size().used_bytes);
    }
    assert!(most < 250 << 10, "{most}");
    assert_eq!(log.kept().len(), 3);
}

#[test]
fn two_logs_cannot_share_a_name_and_a_newer_format_is_refused() {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(LogError::Busy)));
    let (name, _) = log.file_names();
    drop(log);
    let header = record::Header { name: "a database".to_owned(), generation: 0, base: 0 };
    let (mut bytes, _) = header.encode();
    bytes[8] = 2;
    let copy = bytes[..2048].to_vec();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&copy[..48]).update(&copy[64..]);
    hasher.finalize_xof().fill(&mut bytes[48..64]);
    let file = block_on(disk.open(&name)).unwrap();
    file.write_at(0, &bytes[..2048]).unwrap();
    drop(file);
    assert!(matches!(open(&disk), Err(LogError::Newer { found: 2, known: 1 })));
    assert!(matches!(block_on(Log::open(&disk, "", options())), Err(LogError::Name(_))));
}

#[test]
fn a_full_disk_refuses_a_commit_and_takes_the_next_when_there_is_room() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    write(&mut log, &[(1, 1)]);
    log.commit().unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 10_000));
    let many: Vec<(u32, u64)> = (1..=20).map(|n| (n, u64::from(n))).collect();
    write(&mut log, &many);
    assert!(matches!(log.commit(), Err(LogError::Full { .. })));
    assert!(log.is_dirty());
    log.rollback();
    assert_eq!(seen(&mut log).pages, [Digest::of(&page(1))]);
    disk.set_capacity(None);
    write(&mut log, &many);
    log.commit().unwrap();
    let before = seen(&mut log);
    drop(log);
    assert_eq!(seen(&mut open(&disk).unwrap()), before);
}

#[test]
fn a_flush_that_fails_leaves_nothing_that_was_refused() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    write(&mut log, &[(1, 1), (2, 2)]);
    log.commit().unwrap();
    let before = seen(&mut log);
    let now = disk.changes();
    disk.fail(now + 1..now + 2, std::io::ErrorKind::Other, true);
    write(&mut log, &[(1, 3)]);
    assert!(matches!(log.commit(), Err(LogError::Io { .. })));
    disk.mend();
    log.rollback();
    assert_eq!(seen(&mut log), before);
    drop(log);
    disk.crash(Damage::Kept);
    let mut log = open(&disk).unwrap();
    assert_eq!(seen(&mut log), before, "the head was spoilt");
    write(&mut log, &[(1, 4)]);
    log.commit().unwrap();
    let before = seen(&mut log);
    drop(log);
    disk.crash(Damage::Lost);
    assert_eq!(seen(&mut open(&disk).unwrap()), before);
}

#[test]
fn a_flush_that_fails_after_a_spill_can_only_be_rolled_back() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    write(&mut log, &[(1, 1)]);
    log.commit().unwrap();
    let before = seen(&mut log);
    let many: Vec<(u32, u64)> = (1..=300).map(|n| (n, u64::from(n) + 5)).collect();
    write(&mut log, &many);
    let now = disk.changes();
    disk.fail(now + 1..now + 2, std::io::ErrorKind::Other, true);
    assert!(log.commit().is_err(), "the flush");
    disk.mend();
    assert!(log.commit().is_err(), "what was spilled may be gone");
    log.rollback();
    assert_eq!(seen(&mut log), before);
    write(&mut log, &many);
    log.commit().unwrap();
    let before = seen(&mut log);
    drop(log);
    disk.crash(Damage::Lost);
    assert_eq!(seen(&mut open(&disk).unwrap()), before);
}
